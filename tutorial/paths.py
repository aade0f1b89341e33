"""What the tutorial reads and writes, relative to the checkout's top folder, where its stages run."""

from pathlib import Path

from pipeline.base.paths import REPORTS

PARAMS = Path("tutorial/params.yaml")
RESULTS = Path("tutorial/results")
"""A folder for each of the tutorial's models."""
METRICS = Path("tutorial/metrics.json")
REPORT = REPORTS / "tutorial.html"
