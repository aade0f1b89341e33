"""What a model that is handed out needs to know of itself, kept beside its graph as ``about.json``."""

from pathlib import Path

from pydantic import Field

from pipeline import config
from pipeline.config.base import Section
from pipeline.config.data import Audit
from pipeline.config.features import Features, Window

FILE = "about.json"
GRAPH = "model.onnx"
FAMILIAR = "familiar.npz"


class About(Section):
    experiment: str
    run_id: str
    """Of the MLflow run that trained it."""
    labels: list[str]
    """In the order of the graph's output."""
    kinds: list[str]
    """In the order of the graph's inputs."""
    features: Features
    window: Window
    batch_size: int
    audit: Audit
    longest_s: float = Field(gt=0)
    """Of the clips it learned from and was judged on: what is longer is heard in sections."""
    temperature: float = Field(gt=0)
    sure: float
    """A label is named from this calibrated probability on; above 1 where no probability was precise enough."""
    precision: float
    """Of the labels that are named, the share of right ones on validation."""
    named: float
    """Share of validation clips whose label is named."""
    familiar: float
    """Distance from the training clips up to which music is taken to be of their kind."""


def load(folder: Path) -> About:
    """
    Raises:
        ParamsError: the file is missing, or of another version of this package.
    """
    return config.read(folder / FILE, About)
