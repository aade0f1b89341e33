"""Bring pre-trained weights here, converted to safetensors."""

from pipeline import params, paths
from pipeline.models.weights.bringing import bring
from pipeline.stages import main


def weights(name: str) -> None:
    bring(name, params.load().weights[name], paths.WEIGHTS / name)


if __name__ == "__main__":
    main(weights, "name")
