"""``python -P worker.py CODE INTERFACE FUNCTION BUNDLE``: one process that runs a registered model's own code.

It reads songs from stdin and writes predictions to stdout, one JSON value a line, until stdin ends. It runs as a script
with nothing but the standard library: ``import pipeline`` must find the model's code, not this version's.
"""

import importlib
import json
import os
import signal
import sys
from pathlib import Path


def main(code: str, interface: str, function: str, bundle: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C also reaches the parent, which ends stdin
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the model prints must not mix with the answers
    sys.path.insert(0, code)
    module, _, name = function.partition(":")
    predict = getattr(importlib.import_module(module), name)
    path = Path if interface == "0" else str
    for line in sys.stdin:
        print(json.dumps(predict(path(json.loads(line)), path(bundle))), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
