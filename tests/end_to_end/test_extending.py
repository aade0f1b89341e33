"""docs/extending.md, done for real: its files are written, its lines changed, and the pipeline runs with all of them."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from checkouts import ROOT, run
from safetensors.numpy import save_file

BLOCK = re.compile(r"^```(\w+) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, Path, str]]:
    """Language, file and text of each block of the page."""
    page = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    return [(kind, Path(file), text) for kind, file, text in BLOCK.findall(page)]


def apply(diff: str, file: Path) -> None:
    """Change a file by lines that begin with a blank, ``-`` or ``+``."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{file} has no (or not one) place like:\n{before}"
    file.write_text(text.replace(before, after), encoding="utf-8")


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    both = {k: merged(base[k], v) for k, v in changes.items() if isinstance(v, dict) and isinstance(base.get(k), dict)}
    return {**base, **changes, **both}


def extend(checkout: Path) -> None:
    for kind, file, text in blocks():
        if kind == "diff":
            apply(text, checkout / file)
        elif kind == "yaml":
            params = yaml.safe_load((checkout / file).read_text())
            asked = yaml.safe_load(text)
            changed = merged(params, asked) | {"experiments": asked["experiments"], "sweeps": {}}
            (checkout / file).write_text(yaml.safe_dump(changed, sort_keys=False))
        else:
            assert not (checkout / file).exists()
            (checkout / file).write_text(text, encoding="utf-8")
    folder = checkout / "band-net"
    folder.mkdir()
    random = np.random.default_rng(0)
    bands = yaml.safe_load((checkout / "params.yaml").read_text())["features"]["spectrogram"]["bands"]
    weights = {"weight": random.normal(size=(6, bands)), "bias": random.normal(size=6)}
    save_file({name: values.astype(np.float32) for name, values in weights.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "band_net"}))


def test_a_model_a_feature_a_source_a_backbone_and_a_metric(checkout: Path) -> None:
    extend(checkout)
    run(checkout, "soundtrack", "repro", "--jobs", "2")
    assert set(pd.read_parquet(checkout / "data/clips.parquet")["label"]) == {"low", "middle", "high"}
    spec = json.loads((checkout / "features/zero_crossings/spec.json").read_text())
    assert spec["shape"][1] == 2
    assert (checkout / "embeddings/bands/0/bands/spec.json").exists()
    scores = {
        key: json.loads((checkout / f"evaluation/{key}/scores.json").read_text()) for key in ("centroid", "bands")
    }
    assert scores["centroid"]["test_macro_f1"] > 0.4, "the labels differ in how often the signal crosses zero"
    assert all(0 < own["test_labels_used"] <= 1 for own in scores.values())


def test_what_was_added_passes_the_linters(checkout: Path) -> None:
    extend(checkout)
    for command in (["ruff", "check", "pipeline"], ["ruff", "format", "--check", "pipeline"], ["lint-imports"]):
        done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
