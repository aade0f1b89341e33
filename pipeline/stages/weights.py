"""Bring pre-trained weights here, converted to safetensors."""

from pipeline import config, paths
from pipeline.models.pretrained.fetch import bring
from pipeline.stages import main


def weights(name: str) -> None:
    bring(name, config.load().weights[name], paths.WEIGHTS / name)


if __name__ == "__main__":
    main(weights, "name")
