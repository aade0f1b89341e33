"""A model's page: which mistakes it shows and in which order, and that no name gets out of its place."""

import base64
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image
from stores import write_store

from pipeline.evaluation import metrics
from pipeline.evaluation.bootstrap import Interval
from pipeline.features.store import Store
from pipeline.reports import figures
from pipeline.reports.answer import confusions
from pipeline.reports.model_page import Model, bars, explained, mistakes, write
from pipeline.reports.saliency import Patches, Saliency

RATE = 22050
EVIL = "<img src=x onerror=alert(1)>"
LABELS = ["bach", EVIL, "tune"]
CLIPS = 15
SPEC = {"sample_rate": RATE, "params": {"hop_length": 512}, "silence_db": -80.0, "bands": "mel"}
FALLS = np.linspace(-0.2, 0.4, 36).reshape(6, 6)
LINKS = {"Comparison": "../comparison.html", "MLflow run": "http://127.0.0.1:5000/#/run"}
MODEL = Model("cnn", f"cnn on {EVIL}", None, Interval(0.5, 0.4, 0.6), LINKS)


class Page(HTMLParser):
    def __init__(self, file: Path) -> None:
        super().__init__()
        self.source = file.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(self.source)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def name(number: int) -> str:
    return f"{EVIL} {number:02d}.wav"


def answers(wrong: int) -> pd.DataFrame:
    """Answers to clips of all labels in turn, of which the first ones are wrong, each more confident than the one before."""
    rows = []
    for number in range(CLIPS):
        true = number % 3
        predicted = (true + 1) % 3 if number < wrong else true
        confidence = 0.5 + 0.02 * number
        given = {f"p:{label}": (1 - confidence) / 2 for label in LABELS} | {f"p:{LABELS[predicted]}": confidence}
        rows.append({"clip_id": name(number), "label": LABELS[true], "predicted": LABELS[predicted], **given})
    return pd.DataFrame(rows).assign(fold=0, seed=7, part="test", temperature=1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


@pytest.fixture(scope="module")
def clips(folder: Path) -> pd.DataFrame:
    """Files whose names say nothing, and their spectrograms in a store."""
    rows = []
    for number in range(CLIPS):
        file = folder / f"{number}.wav"
        soundfile.write(file, np.random.default_rng(number).normal(0, 0.1, RATE), RATE)
        rows.append({"clip_id": name(number), "path": str(file), "group": f"{EVIL} group", "duration_s": 1.0})

    def blocks() -> Iterator[Any]:
        yield from (np.full((44, 8), -4.0 * number) for number in range(CLIPS))

    write_store(folder / "spectrogram", [name(number) for number in range(CLIPS)], blocks(), "float16", SPEC)
    return pd.DataFrame(rows)


def of_windows(number: int) -> list[Saliency]:
    window = np.tile(np.linspace(-80, 0, 44), (8, 1))
    return [Saliency(0.2, 0.5, [Patches("spectrogram", SPEC, window, FALLS)])] * number


Made = Callable[..., Page]


@pytest.fixture
def page(folder: Path, clips: pd.DataFrame, tmp_path: Path) -> Made:
    def make(test: pd.DataFrame, saliencies: list[Saliency] | None = None, **changes: Any) -> Page:
        given = of_windows(len(explained(test))) if saliencies is None else saliencies
        stores = {"spectrogram": Store(folder / "spectrogram")}
        confusion = figures.png(figures.confusion(metrics.confusion(test, LABELS), "cnn"))
        model, table = changes.get("model", MODEL), changes.get("clips", clips)
        write(model, test, given, table, stores, confusion, tmp_path / "cnn.html")
        return Page(tmp_path / "cnn.html")

    return make


def section(found: Page, title: str) -> str:
    return found.source.split(f"<h2>{title}</h2>")[1].split("<h2>")[0]


def test_mistakes_come_sorted_by_confidence(page: Made) -> None:
    found = page(answers(wrong=10))
    shown = section(found, "Most confident mistakes")
    places = [shown.find(f"&gt; {number:02d}.wav<br>") for number in range(9, 1, -1)]
    assert min(places) >= 0
    assert places == sorted(places)
    assert "01.wav<br>" not in shown
    assert "<strong>bach</strong> (0.66)<br>true label <strong>tune</strong> (0.17)" in shown
    assert "10 of 15 test clips get the wrong label." in found.text


def test_the_order_of_the_answers_does_not_matter(page: Made, tmp_path: Path) -> None:
    test = answers(wrong=10)
    equal = test.assign(**{column: 1 / 3 for column in test if column.startswith("p:")})
    page(equal)
    first = (tmp_path / "cnn.html").read_bytes()
    page(equal.sample(frac=1, random_state=1))
    assert (tmp_path / "cnn.html").read_bytes() == first


def test_a_clip_is_shown_once_with_its_most_confident_trial(page: Made) -> None:
    test = answers(wrong=4)
    more_confident = test.assign(seed=8, **{"p:bach": 0.9})
    chosen = mistakes(pd.concat([test, more_confident]))
    assert chosen["clip_id"].is_unique
    assert len(chosen) == 4
    assert set(chosen["seed"]) == {8}
    assert "8 of 30 predictions on 15 test clips are wrong." in page(pd.concat([test, more_confident])).text


def test_three_mistakes_and_three_labels_that_are_right_are_explained() -> None:
    chosen = explained(answers(wrong=10))
    wrong, right = chosen[:3], chosen[3:]
    assert wrong["clip_id"].tolist() == [name(number) for number in (9, 8, 7)]
    assert (right["label"] == right["predicted"]).all()
    assert right["clip_id"].tolist() == [name(number) for number in (14, 13, 12)]
    assert set(right["label"]) == set(LABELS)


def test_names_stay_text(page: Made) -> None:
    found = page(answers(wrong=10))
    assert EVIL not in found.source
    assert EVIL in found.text
    assert not any(key.startswith("on") for _, attributes in found.tags for key in attributes)
    sources = [attributes["src"] for _, attributes in found.tags if "src" in attributes]
    assert sources
    assert all(str(source).startswith("data:") for source in sources)
    assert [attributes["href"] for attributes in found.all("a")] == list(LINKS.values())
    assert {tag for tag, _ in found.tags} & {"script", "link", "iframe"} == set()


def test_players_are_there_and_play_what_is_seen(page: Made) -> None:
    found = page(answers(wrong=10))
    sounds = [str(own["src"]) for own in found.all("audio")]
    assert len(sounds) == 8 + 6
    seconds = []
    for sound in sounds:
        head, content = sound.split(",")
        assert head == "data:audio/mpeg;base64"
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(content)))
        seconds.append(len(samples) / rate)
    assert seconds == pytest.approx([1.0] * 8 + [0.5] * 6, abs=0.1)
    assert "seconds 0.2 to 0.7" in found.text


def test_a_file_that_cannot_be_read_has_a_note_and_no_player(page: Made, clips: pd.DataFrame) -> None:
    lost = clips.assign(path=clips["path"].where(clips.index != 9, "nowhere.wav"))
    found = page(answers(wrong=10), clips=lost)
    assert len(found.all("audio")) == 7 + 5
    assert found.text.count("No sound: the file could not be read.") == 2


def test_no_mistake_is_a_sentence(page: Made) -> None:
    found = page(answers(wrong=0))
    assert "The model labels every test clip correctly." in found.text
    assert "None of 15 test clips get the wrong label." in found.text
    assert "Most often" not in found.text
    assert len(found.all("audio")) == 3


def test_no_right_answer_leaves_the_mistakes(page: Made) -> None:
    assert "Correct predictions" not in page(answers(wrong=CLIPS)).text


def test_the_first_box_says_the_answer(page: Made) -> None:
    box = page(answers(wrong=10)).source.split('class="panel">')[1].split("</div>")[0]
    assert "Macro F1 on the test set: 0.50 (95 % interval 0.40 to 0.60)." in box
    assert "Most frequent mistake: bach was predicted as" in box


def test_confusions_are_counted_and_said(page: Made) -> None:
    found = page(answers(wrong=10))
    assert f"bach was predicted as {EVIL} 4 of 5 times" in found.text
    matrix = pd.DataFrame([[5, 1, 0], [3, 5, 2], [0, 0, 9]], index=LABELS, columns=LABELS)
    assert confusions(matrix) == [
        f"{EVIL} was predicted as bach 3 of 10 times",
        f"{EVIL} was predicted as tune 2 of 10 times",
        f"bach was predicted as {EVIL} 1 of 6 times",
    ]


def test_a_window_is_grey_with_its_falls_in_colour(page: Made) -> None:
    falls = np.zeros((6, 6))
    falls[5, 0], falls[0, 5] = 0.3, -0.3
    window = np.full((8, 44), -80.0)
    own = Saliency(0.0, 1.0, [Patches("spectrogram", SPEC, window, falls)])
    found = page(answers(wrong=10), [own] * 6)
    (plot, *_) = [image for image in found.all("img") if str(image["alt"]).startswith("Parts of the spectro")]
    png = base64.b64decode(str(plot["src"]).split(",")[1])
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    assert pixels.shape == (8, 44, 3)
    red, _, blue = pixels[0, 0]
    assert red > blue + 100, "falls are orange, and high bands on top"
    red, _, blue = pixels[-1, -1]
    assert blue > red + 100, "rises are blue"
    assert (pixels[3, 20] == 255).all(), "silence is white"
    assert found.text.count("+0.30") == 6


def test_columns_are_bars_and_have_no_player(page: Made) -> None:
    found = page(answers(wrong=10), [Saliency(0.0, 1.0, [{"rms": 0.3, "mfcc": -0.1}])] * 6)
    assert len(found.all("audio")) == 8
    assert "family of columns" in found.text
    fall, rise = bars({"rms": 0.3, "mfcc": -0.1})
    assert [bar[side] for bar in (fall, rise) for side in ("left", "width")] == pytest.approx([25, 75, 0, 25])
    assert (fall["text"], fall["rises"]) == ("−0.30", False)
    assert (rise["text"], rise["rises"]) == ("+0.10", True)


def test_where_nothing_falls_a_sentence_says_so(page: Made) -> None:
    flat = Saliency(0.0, 1.0, [{"rms": 0.0, "mfcc": 1e-9}])
    found = page(answers(wrong=10), [flat] * 6)
    assert "On no part of the input: whichever part is hidden, the predictions stay the same." in found.text
    assert "Correct predictions" not in found.text
    mixed = page(answers(wrong=10), [flat, *of_windows(5)])
    assert mixed.text.count("Whichever part is hidden, the prediction stays the same.") == 1


def test_a_leaky_split_is_marked(page: Made) -> None:
    assert "leaky" not in page(answers(wrong=3)).text
    leaky = page(answers(wrong=3), model=replace(MODEL, leak="groups are cut"))
    assert "The split is leaky: groups are cut." in leaky.text
