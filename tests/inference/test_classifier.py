"""From audio to an answer: the same features and windows as in training, sections, and what is out of its depth."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.evaluation.temperature import at_temperature
from pipeline.features import extract
from pipeline.features.extract import Task
from pipeline.inference import about
from pipeline.inference.classifier import Classifier
from pipeline.inference.song import SongError
from pipeline.models.exported import Exported
from pipeline.params import ParamsError, SoundParams

MakeSong = Callable[..., Path]


@pytest.mark.parametrize("label", ["low", "middle", "high"])
def test_a_clip_has_the_answer_of_its_features(
    label: str, song: MakeSong, package: Path, settings: SoundParams
) -> None:
    file = song(label, "a.wav", seed=5)
    answer = Classifier(package)(file)
    block = extract.blocks(Task(file, ["tabular"]), settings.features)["tabular"]
    row = np.frombuffer(block.content, np.float32)[None]
    expected = at_temperature(Exported(package / about.GRAPH, 1)([row])[0].astype(float), 2.0)
    np.testing.assert_allclose(answer.probabilities, expected, rtol=1e-6)
    assert answer.ranking[0][0] == label
    assert answer.verdict == "named"
    assert len(answer.sections) == 1


def test_a_long_song_is_heard_in_sections(song: MakeSong, package: Path, tmp_path: Path) -> None:
    parts = [song("low", "low.wav"), song("high", "high.wav")]
    both = tmp_path / "both.wav"
    soundfile.write(both, np.concatenate([soundfile.read(part)[0] for part in parts]), 22050)
    classifier = Classifier(package)
    answer = classifier(both)
    assert [(heard.start_s, heard.stop_s) for heard in answer.sections] == [(0.0, 2.0), (2.0, 4.0)]
    own = [classifier(part).probabilities for part in parts]
    np.testing.assert_allclose(answer.probabilities, np.mean(own, axis=0), atol=1e-6)


def test_content_is_as_good_as_a_file(song: MakeSong, package: Path) -> None:
    file = song("low", "a.flac")
    classifier = Classifier(package)
    np.testing.assert_array_equal(
        classifier(io.BytesIO(file.read_bytes())).probabilities, classifier(file).probabilities
    )


def test_what_is_between_labels_is_unsure(song: MakeSong, package: Path) -> None:
    change(package, sure=0.999)
    assert Classifier(package)(song("low", "a.wav")).verdict == "unsure"


def test_noise_is_out_of_its_depth(package: Path, tmp_path: Path, noise: Callable[..., np.ndarray]) -> None:
    file = tmp_path / "noise.wav"
    soundfile.write(file, noise(1, 2.0), 22050)
    answer = Classifier(package)(file)
    assert answer.verdict == "unfamiliar"
    assert answer.distance > 3.0


def test_silence_has_no_answer(package: Path, tmp_path: Path) -> None:
    file = tmp_path / "silence.wav"
    soundfile.write(file, np.zeros(44100), 22050)
    with pytest.raises(SongError, match="silent"):
        Classifier(package)(file)


def test_a_model_of_another_version_is_named(package: Path) -> None:
    change(package, surprise=1)
    with pytest.raises(ParamsError, match="surprise: unknown key"):
        Classifier(package)


def change(package: Path, **values: object) -> None:
    file = package / about.FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
