"""Other processes that tests start: given time, since computers that run tests are busy."""

import socket
import subprocess
import time
from collections.abc import Callable

PATIENCE_S = 600.0
"""Far beyond what anything takes: only what hangs is given up."""


def wait_until(condition: Callable[[], object], process: "subprocess.Popen[str] | None" = None) -> None:
    """Wait for the condition; raises AssertionError when ``process``, which was to bring it about, has ended."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert process is None or process.poll() is None, f"it ended, saying {process.communicate()}"
        assert time.monotonic() < end, f"waited {PATIENCE_S:.0f} s in vain"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
