"""From audio to a prediction: features and windows as in training, segments, and out-of-distribution songs."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx.parser
import pytest
import soundfile
from stores import write_store

from pipeline.config.base import ParamsError
from pipeline.config.features import MusicnnInput
from pipeline.config.project import Params
from pipeline.evaluation.temperature import at_temperature
from pipeline.features import extract
from pipeline.features.extract import Task
from pipeline.features.store import Store
from pipeline.models.exported import Exported
from pipeline.serving import manifest
from pipeline.serving.predictor import Predictor
from pipeline.serving.segments import SongError
from pipeline.training.dataset import Feature, Windows, averaged

MakeSong = Callable[..., Path]

TWO_KINDS = """
<ir_version: 8, opset_import: ["" : 17]>
two (float[batch, 96, 187] musicnn, float[batch, 57] tabular) => (float[batch, 3] probabilities)
{
    means = ReduceMean <axes = [2], keepdims = 0> (musicnn)
    bands = Constant <value_ints = [4, 24, 60]> ()
    loud = Gather <axis = 1> (means, bands)
    scale = Constant <value_float = 0.05> ()
    level = Mul (loud, scale)
    columns = Constant <value_ints = [0, 1, 2]> ()
    summary = Gather <axis = 1> (tabular, columns)
    logits = Add (level, summary)
    probabilities = Softmax <axis = 1> (logits)
}
"""
"""How loud three bands are in a window, and three columns of the clip."""


@pytest.mark.parametrize("label", ["low", "middle", "high"])
def test_a_clip_is_predicted_from_its_features(label: str, song: MakeSong, bundle: Path, settings: Params) -> None:
    file = song(label, "a.wav", seed=5)
    answer = Predictor(bundle)(file)
    block = extract.blocks(Task(file, ["tabular"]), settings.features)["tabular"]
    row = np.frombuffer(block.content, np.float32)[None]
    expected = at_temperature(Exported(bundle / manifest.GRAPH, 1)([row])[0].astype(float), 2.0)
    np.testing.assert_allclose(answer.probabilities, expected, rtol=1e-6)
    assert answer.ranking[0][0] == label
    assert answer.verdict == "confident"
    assert len(answer.segments) == 1


def test_a_long_song_is_heard_in_sections(song: MakeSong, bundle: Path, tmp_path: Path) -> None:
    parts = [song("low", "low.wav"), song("high", "high.wav")]
    both = tmp_path / "both.wav"
    soundfile.write(both, np.concatenate([soundfile.read(part)[0] for part in parts]), 22050)
    predictor = Predictor(bundle)
    answer = predictor(both)
    assert [(one.start_s, one.stop_s) for one in answer.segments] == [(0.0, 2.0), (2.0, 4.0)]
    own = [predictor(part).probabilities for part in parts]
    np.testing.assert_allclose(answer.probabilities, np.mean(own, axis=0), atol=1e-6)


def test_windows_of_a_model_of_two_kinds_are_those_of_the_store(
    song: MakeSong, bundle: Path, tmp_path: Path, settings: Params
) -> None:
    """Of a clip whose windows differ; those of musicnn have a length and a rate of their own."""
    kinds: list[str] = ["musicnn", "tabular"]
    features_used = settings.features.model_copy(update={"musicnn": MusicnnInput()})
    onnx.save(onnx.parser.parse_model(TWO_KINDS), bundle / manifest.GRAPH)
    change(bundle, kinds=kinds, features=features_used.model_dump(), longest_s=10.0)
    parts = [song("low", "low.wav", seconds=4.0), song("high", "high.wav", seconds=3.5)]
    clip = tmp_path / "clip.wav"
    soundfile.write(clip, np.concatenate([soundfile.read(part)[0] for part in parts]), 22050)

    blocks = extract.blocks(Task(clip, kinds), features_used)
    features = []
    for kind in kinds:
        spec = extract.spec(kind, features_used)
        rows = np.frombuffer(blocks[kind].content, spec["dtype"]).reshape(-1, spec["width"])
        write_store(tmp_path / kind, ["clip"], [rows], spec["dtype"], spec)
        features.append(Feature.stored(Store(tmp_path / kind), ["clip"], settings.window.of(kind)))
    windows = Windows(features, np.zeros(1, np.int64))
    run = Exported(bundle / manifest.GRAPH, 1)
    each = np.concatenate([run(batch.inputs) for batch in windows.batches(1)])
    assert len(each) == 3
    assert np.ptp(each, axis=0).max() > 0.1
    expected = at_temperature(averaged(run, windows.batches(32), 1, 3), 2.0)[0]
    np.testing.assert_allclose(Predictor(bundle)(clip).probabilities, expected, atol=1e-4)


def test_bytes_give_the_same_as_a_file(song: MakeSong, bundle: Path) -> None:
    file = song("low", "a.flac")
    predictor = Predictor(bundle)
    np.testing.assert_array_equal(predictor(io.BytesIO(file.read_bytes())).probabilities, predictor(file).probabilities)


def test_a_song_below_the_confidence_threshold_is_uncertain(song: MakeSong, bundle: Path) -> None:
    change(bundle, confidence_threshold=0.999)
    assert Predictor(bundle)(song("low", "a.wav")).verdict == "uncertain"


def test_noise_is_out_of_distribution(bundle: Path, tmp_path: Path, noise: Callable[..., np.ndarray]) -> None:
    file = tmp_path / "noise.wav"
    soundfile.write(file, noise(1, 2.0), 22050)
    answer = Predictor(bundle)(file)
    assert answer.verdict == "out-of-distribution"
    assert answer.distance > 3.0


def test_silence_has_no_prediction(bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "silence.wav"
    soundfile.write(file, np.zeros(44100), 22050)
    with pytest.raises(SongError, match="silent"):
        Predictor(bundle)(file)


def test_a_manifest_with_an_unknown_key_is_refused(bundle: Path) -> None:
    change(bundle, surprise=1)
    with pytest.raises(ParamsError, match="surprise: unknown key"):
        Predictor(bundle)


def change(bundle: Path, **values: object) -> None:
    file = bundle / manifest.FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
