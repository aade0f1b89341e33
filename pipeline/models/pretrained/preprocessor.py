"""What an Audio Spectrogram Transformer's ``preprocessor_config.json`` says of the filter banks it was trained on."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.models.pretrained import WeightsError

FILE = "preprocessor_config.json"


class Preprocessor(BaseModel):
    """What a file leaves out is as in transformers' ASTFeatureExtractor: mean and deviation are AudioSet's."""

    model_config = ConfigDict(allow_inf_nan=False)
    do_normalize: bool = True
    mean: float = -4.2677393
    std: Annotated[float, Field(gt=0)] = 4.5689974
    sampling_rate: Literal[16_000] = 16_000
    num_mel_bins: Literal[128] = 128

    @property
    def scale(self) -> tuple[float, float]:
        """What is taken away from filter banks, and what they are divided by."""
        return (self.mean, 2 * self.std) if self.do_normalize else (0.0, 1.0)


def read(folder: Path) -> Preprocessor:
    """
    Raises:
        WeightsError: the file is broken, or asks for filter banks that are not the feature ``fbank``.
    """
    file = folder / FILE
    if not file.exists():
        return Preprocessor()
    try:
        return Preprocessor.model_validate_json(file.read_bytes())
    except ValidationError as error:
        places = [f"{'.'.join(map(str, item['loc']))} {item['msg']}".strip() for item in error.errors()]
        raise WeightsError(
            f"{file} asks for what the feature fbank is not: {'; '.join(places)}. Without this file, "
            "filter banks are normalised as AudioSet's"
        ) from None
