"""What a bundle says about its model in ``manifest.json``, and the interface by which other versions of this package use it.

A registered model runs the code it was registered with. The promotion gate, ``soundtrack classify`` and ``soundtrack page``
may be of another version, import nothing from it, and rely on this alone (version 1, with an example in docs/serving.md):

- ``interface.function``, ``"module:name"``, takes two paths as strings, song and bundle. It returns what JSON can hold:
  ``label`` (empty unless confident), ``guess``, ``confidence``, ``verdict``, ``distance``, ``seconds`` and ``probabilities``
  by label, perhaps ``tags`` with their probabilities, strongest first; or ``reason`` and perhaps ``unexpected: true``, if
  another try may succeed.
- ``python -m`` runs the module ``interface.page`` with the bundle and ``--port``; and with ``--labels`` and a table of
  :mod:`pipeline.serving.suggestions`, if a module ``labelling`` is beside it.
- :class:`Summary` has the manifest's keys that any version may read.
- ``seen.parquet`` has ``sha256``, ``part``, ``label``, ``predicted`` and ``probability`` of training and validation clips.

Older models have ``about.json`` instead. They are interface 0: the function takes two :class:`~pathlib.Path` and calls the
guess ``label``; :mod:`pipeline.serving.isolated` translates its answers.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict, Field

from pipeline import config
from pipeline.base import paths
from pipeline.base.files import read_json
from pipeline.config.base import ParamsError, Section
from pipeline.config.data import Audit
from pipeline.config.features import Features, Window

if TYPE_CHECKING:
    import pandas as pd

FILE = paths.MANIFEST.name
GRAPH = "model.onnx"
OOD = "ood.npz"
SEEN = "seen.parquet"

Verdict = Literal["confident", "uncertain", "out-of-distribution"]


class Interface(Section):
    model_config = ConfigDict(extra="ignore")

    version: int
    function: str
    page: str


INTERFACE = Interface(version=1, function="pipeline.serving.predictor:predict", page="pipeline.serving.webapp")
OLD_INTERFACE = Interface(version=0, function="pipeline.inference.listening:listen", page="pipeline.inference.page")
OLD_FILE = "about.json"
OLD_KEYS = {"sure": "confidence_threshold", "precision": "target_precision", "familiar": "ood_threshold"}


class Summary(Section):
    model_config = ConfigDict(extra="ignore")

    interface: Interface
    experiment: str
    labels: list[str]
    """In the order of the graph's output."""
    confidence_threshold: float
    """Least calibrated probability of a confident prediction; above 1 where none is precise enough."""
    target_precision: float
    """Share of confident predictions that must be right on the validation set."""
    ood_threshold: float
    """Distance to the training clips above which a song is out of distribution."""
    tags: list[str] = Field(default_factory=list)
    """Of the pre-trained tagger: what its graph gives behind the labels. Its OOD score is 1 less the probability of the most
    probable tag of all genres."""


class Example(Section):
    """A test clip that the page offers."""

    path: str
    """Relative to the checkout; the clip itself stays there."""
    label: str
    sha256: str


class Manifest(Summary):
    model_config = ConfigDict(extra="forbid")

    run_id: str
    """MLflow run that trained the model."""
    source: str
    """Data source of its clips, as in params.yaml."""
    synthesised: bool
    """Whether its clips are synthesised from scores: then it does not know recordings."""
    test_accuracy: float
    examples: list[Example]
    kinds: list[str]
    """In the order of the graph's inputs."""
    features: Features
    window: Window
    batch_size: int
    audit: Audit
    longest_s: float = Field(gt=0)
    """Of a segment; longer songs are cut into segments of about this length."""
    temperature: float = Field(gt=0)
    coverage: float
    """Share of validation clips with a confident prediction."""
    genres: dict[str, list[str]] = Field(default_factory=dict)
    """Of a tagger: the tags of each label."""
    shown_tags: list[str] = Field(default_factory=list)
    """Of a tagger: those that are told beside the label."""
    spacing: int = Field(default=1, ge=1)
    """Distance between windows in songs of several segments, in window lengths."""


def load(bundle: Path) -> Manifest:
    """
    Raises:
        ParamsError: the file is missing, or was written by another version of this package.
    """
    return config.read(bundle / FILE, Manifest)


def seen(bundle: Path) -> "pd.DataFrame":
    """The training and validation clips, see above.

    Raises:
        ParamsError: the file is missing.
    """
    import pandas as pd  # half a second, which most readers of a manifest do without

    if not (bundle / SEEN).exists():
        raise ParamsError(
            f"{bundle} has no {SEEN}, by which a model is compared and its threshold set: register it anew"
        )
    return pd.read_parquet(bundle / SEEN)


def summary(bundle: Path) -> Summary:
    """What any version may read of a bundle, also of one registered before there was a manifest.

    Raises:
        ParamsError: there is no manifest, or its interface is newer than this package.
    """
    if (bundle / OLD_FILE).exists():
        old = {OLD_KEYS.get(key, key): value for key, value in read_json(bundle / OLD_FILE).items()}
        return Summary.model_validate({**old, "interface": OLD_INTERFACE})
    found = config.read(bundle / FILE, Summary)
    if found.interface.version > INTERFACE.version:
        raise ParamsError(
            f"{bundle} has interface {found.interface.version}, this version of soundtrack knows up to "
            f"{INTERFACE.version}: update the checkout"
        )
    return found
