"""The data report: what it counts, shows and plays, and that no name gets out of its place."""

import base64
import io
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from matplotlib import colors
from PIL import Image
from running import describe
from stores import split_table, write_store

from pipeline.base import paths
from pipeline.data import clips
from pipeline.features.store import Store
from pipeline.reports import data_figures, figures
from pipeline.reports.data_report import DataSet, data_report

pytestmark = pytest.mark.filterwarnings("ignore:Glyph .* missing from font")

RATE = 22050
EVIL = '<b>"bold"\'</b>&amp;'
FORMULA = r"$\no{formula}$"
FOREIGN = "Пётр & 名前"
LAYOUT = {
    "bach": {"bach/1": 4, "bach/2": 2, "bach/3": 1},
    EVIL: {"": 2, EVIL: 1},
    FORMULA: {FORMULA: 5},
    FOREIGN: {"alone": 1},
}
"""Clips by label and group."""
NO_PAIRS = pd.DataFrame(columns=["first", "second", "kind", "error_rate", "shift_s", "labels_differ"])


class Page(HTMLParser):
    """What a browser would make of the page: tags with attributes, tables, text."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.source = file.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.text = ""
        self._within = ""
        self.feed(self.source)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._within = tag
        if tag == "tr":
            self._rows().append([])
        if tag in ("td", "th"):
            self._rows()[-1].append("")

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        self._within = ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._within == "caption":
            self.tables[data] = []
        if self._within in ("td", "th"):
            self._rows()[-1][-1] += data

    def _rows(self) -> list[list[str]]:
        return self.tables[next(reversed(self.tables))]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def content(source: str | None) -> tuple[str, bytes]:
    """Kind and bytes of a data URI."""
    head, encoded = str(source).split(",")
    assert head.startswith("data:")
    assert head.endswith(";base64")
    return head[5:-7], base64.b64decode(encoded, validate=True)


def table(folder: Path, layout: Mapping[str, Mapping[str, int]], seconds: float = 1.0) -> pd.DataFrame:
    """A clips table and its files, which hold noise; their names say nothing of label and group."""
    members = [(label, group) for label, own in layout.items() for group, n in own.items() for _ in range(n)]
    rows = []
    for number, (label, group) in enumerate(members):
        file = folder / f"{number:03d}.flac"
        sound = np.random.default_rng(number).normal(0, 0.1, round(seconds * RATE))
        soundfile.write(file, sound, RATE)
        rows.append({"clip_id": f"{number:03d}", "path": str(file), "label": label, "group": group})
    return pd.DataFrame(rows).assign(
        source="folder",
        duration_s=seconds,
        sample_rate=RATE,
        sha256="",
        status="ok",
        reason="",
        origin="a recording of the user's own " + pd.Series(range(len(rows))).astype(str),
        licence="",
    )


def split(table: pd.DataFrame) -> pd.DataFrame:
    """Every third clip to each part."""
    parts = [("train", "valid", "test")[number % 3] for number in range(len(table))]
    return split_table(table["clip_id"], parts)


def stores(folder: Path, table: pd.DataFrame, bands: int = 8) -> dict[str, Store]:
    """Frames of each clip's duration; the level of a clip's frames and bands is its own."""
    spec = {"sample_rate": RATE, "params": {"hop_length": 512}, "silence_db": -80.0, "bands": "mel"}
    good = clips.good(table)

    def blocks() -> Iterator[Any]:
        for number, seconds in enumerate(good["duration_s"]):
            yield np.full((1 + int(seconds * RATE) // 512, bands), -80 * number / len(good))

    for kind in ("spectrogram", "wavelet"):
        write_store(folder / kind, list(good["clip_id"]), blocks(), "float16", spec)
    return {kind: Store(folder / kind) for kind in ("spectrogram", "wavelet")}


def page(folder: Path, table: pd.DataFrame, **changes: Any) -> Page:
    data = {"split": split(table), "duplicates": NO_PAIRS, "protocol": "by <chance>", **changes}
    data_report(DataSet(clips=table, **data), stores(folder, table), 7, folder / "out" / "data.html")
    return Page(folder / "out" / "data.html")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def given(folder: Path) -> pd.DataFrame:
    return table(folder, LAYOUT)


@pytest.fixture(scope="module")
def report(folder: Path, given: pd.DataFrame) -> Page:
    return page(folder, given)


@pytest.fixture(scope="module")
def full(folder: Path, given: pd.DataFrame) -> Page:
    """All that a data set can have: folds, clips in no part, rejected clips, duplicates, many licences."""
    rows = split(given)
    folds = pd.concat([rows.assign(fold=1, test_fold=1, part="test"), rows.iloc[1:]])
    named = given.assign(licence=[f"licence {max(number, 1):02d}" for number in range(len(given))])
    found = pairs(3)
    found.loc[0, ["kind", "error_rate", "shift_s"]] = ["identical", np.nan, np.nan]
    whole = pd.concat([named, rejected(2, "silent: <i>-61</i> dBFS")], ignore_index=True)
    return page(folder, whole, split=folds, duplicates=found)


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """More labels, rejected clips and duplicates than are shown."""
    folder = tmp_path_factory.mktemp("crowded")
    given = table(folder, {f"label {number:02d}": {f"{number}": 2} for number in range(62)}, 0.1)
    bad = rejected(201, "silent: -61 dBFS")
    bad.loc[:2, "reason"] = [f"identical to C:/{name}.wav: which label is right is not known" for name in "ab\n"]
    return page(folder, pd.concat([given, bad], ignore_index=True), duplicates=pairs(201))


def rejected(number: int, reason: str) -> pd.DataFrame:
    names = [f"bad {EVIL} {place:03d}" for place in range(number)]
    return pd.DataFrame({"clip_id": names, "path": names, "label": "bach", "group": names, "source": "folder"}).assign(
        duration_s=0.0, sample_rate=0, sha256="", status="rejected", reason=reason, origin="x", licence="x"
    )


def pairs(number: int) -> pd.DataFrame:
    names = [f"{EVIL} {place:03d}" for place in range(number)]
    table = pd.DataFrame({"first": names, "second": "x", "kind": "near-identical", "error_rate": 0.1234})
    return table.assign(shift_s=-1.5, labels_differ=[place == 1 for place in range(number)])


def test_the_page_is_all_there_is(folder: Path, report: Page) -> None:
    assert [file.name for file in (folder / "out").iterdir()] == ["data.html"]
    sources = [own["src"] for _, own in report.tags if "src" in own]
    assert sources
    assert [own["href"] for own in report.all("a")] == ["#examples", "comparison.html"]
    assert all(str(source).startswith("data:") for source in sources)
    for word in ("http://", "https://", "url(", "@import", "<script", "<link"):
        assert word not in report.source


def test_names_stay_text(report: Page) -> None:
    assert EVIL not in report.source
    assert {EVIL, FORMULA, FOREIGN} <= {row[0] for row in report.tables["Clips and groups by label and part"]}
    assert f"group: {EVIL}" in report.text
    assert "Split: by <chance>" in report.text
    assert {tag for tag, _ in report.tags} & {"b", "chance"} == set()
    assert all(len(str(own["alt"])) > 10 for own in report.all("img"))


def test_labels_are_counted(report: Page) -> None:
    _, *labels, last = report.tables["Clips, groups and durations by label"]
    assert [row[0] for row in labels] == sorted(LAYOUT)
    rows = {row[0]: row[1:] for row in labels}
    assert rows["bach"] == ["7", "3", "bach/1", "4 (57%)", "0.1", "1.0", "1.0", "1.0"]
    assert rows[FOREIGN][:4] == ["1", "1", "–", "1 (100%)"]
    assert last == ["all", "16", "7", FORMULA, "5 (31%)", "0.3", "1.0", "1.0", "1.0"]
    assert "16 clips with 4 labels in 7 groups, 0.3 minutes in all." in report.text
    assert report.tables["Good clips by origin"][1:] == [["a recording of the", "16"]]
    assert report.tables["Good clips by licence"][1:] == [["not stated", "16"]]


def test_the_page_warns_where_a_label_has_one_group_in_a_part(report: Page, tmp_path: Path) -> None:
    assert f"{FOREIGN}: one group in train. {FORMULA} and {EVIL}: one group in train, valid and test." in report.text
    assert report.text.index("Few groups.") < report.text.index("Labels and parts")
    given = table(tmp_path, {label: {f"{label} {number}": 1 for number in range(6)} for label in "ab"}, 0.1)
    assert "Few groups" not in page(tmp_path, given).text


def test_parts_are_counted_in_clips_and_groups(report: Page) -> None:
    header, *rows = report.tables["Clips and groups by label and part"]
    assert header[1:] == [f"{part}: {what}" for part in ("train", "valid", "test") for what in ("clips", "groups")]
    cells = {row[0]: row[1:] for row in rows}
    # the seven clips lie in train, valid, test, train; valid, test; train
    assert cells["bach"] == ["3", "2", "2", "2", "2", "2"]
    assert cells["all"] == ["6", "5", "5", "4", "5", "4"]


def test_the_first_fold_is_shown_and_clips_in_no_part_too(full: Page) -> None:
    assert "show the first of 2 test folds" in full.text
    header, *cells = full.tables["Clips and groups by label and part"]
    assert header[-2:] == ["no part: clips", "no part: groups"]
    assert cells[-1] == ["all", "5", "5", "5", "4", "5", "4", "1", "1"]


def captions(report: Page) -> list[tuple[str, str]]:
    """Clip and group of each example."""
    found = report.source.split("<figcaption>")[1:]
    texts = [text.split("</figcaption>")[0] for text in found if "<br>group:" in text.split("</figcaption>")[0]]
    return [(clip, group) for clip, group in (text.split("<br>group: ") for text in texts)]


def test_examples_come_from_different_groups_where_possible(report: Page, given: pd.DataFrame) -> None:
    chosen = [clip for clip, _ in captions(report)]
    assert len(set(chosen)) == len(chosen) == 3 + 3 + 3 + 1
    groups = given.set_index("clip_id").loc[chosen].groupby("label")["group"].nunique()
    assert groups.to_dict() == {"bach": 3, EVIL: 2, FORMULA: 1, FOREIGN: 1}


def test_the_same_seed_gives_the_same_page(folder: Path, given: pd.DataFrame, report: Page) -> None:
    again = page(folder, given.sample(frac=1, random_state=1), split=split(given))
    assert captions(again) == captions(report)
    data = DataSet(given, split(given), NO_PAIRS, "by chance")
    data_report(data, stores(folder, given), 8, folder / "other.html")
    assert captions(Page(folder / "other.html")) != captions(report)


def test_each_example_shows_its_own_frames(report: Page, given: pd.DataFrame) -> None:
    pictures = [own for own in report.all("img") if str(own["alt"]).startswith(("spectrogram", "scalogram"))]
    names = [f"{kind} of {clip}" for clip, _ in captions(report) for kind in ("spectrogram", "scalogram")]
    assert [own["alt"] for own in pictures] == names
    for own in pictures:
        kind, png = content(own["src"])
        image = Image.open(io.BytesIO(png))
        image.load()
        assert (kind, image.size) == ("image/png", (44, 8))
        place = int(str(own["alt"])[-3:])
        (level,) = np.unique(np.asarray(image))
        assert level == min(31, int(32 * (1 - place / len(given))))


def test_sounds_are_the_first_seconds_as_mp3(folder: Path, tone: Callable[..., Any]) -> None:
    (folder / "long").mkdir()
    long = table(folder / "long", {"a": {"a": 1}, "b": {"b": 1}}, seconds=12.0)
    for path, hertz in zip(long["path"], (500, 1000), strict=True):
        low = np.interp(np.arange(12 * 44100) / 44100, np.arange(12 * RATE) / RATE, tone(hertz, 12.0))
        soundfile.write(path, np.stack([low, low], axis=1), 44100)
    report = page(folder / "long", long)
    for own, hertz in zip(report.all("audio"), (500, 1000), strict=True):
        assert own["preload"] == "none"
        assert "controls" in own
        kind, mp3 = content(own["src"])
        samples, rate = soundfile.read(io.BytesIO(mp3))
        assert (kind, rate, samples.ndim) == ("audio/mpeg", RATE, 1)
        assert len(samples) / rate == pytest.approx(10, abs=0.1)
        assert len(mp3) < 60_000
        loudest = np.abs(np.fft.rfft(samples[:RATE])).argmax()
        assert loudest == pytest.approx(hertz, abs=2)
    assert "0.00%" in report.source
    assert ">10</span>" in report.source
    assert ">12</span>" not in report.source


def test_a_file_that_cannot_be_read_has_a_note_and_no_player(tmp_path: Path) -> None:
    given = table(tmp_path, {"a": {"a": 1}, "b": {"b": 1}, "c": {"c": 1}})
    Path(given["path"][0]).write_bytes(b"no sound")
    Path(given["path"][1]).unlink()
    report = page(tmp_path, given)
    assert [own["aria-label"] for own in report.all("audio")] == ["Sound of 002"]
    assert report.text.count("No sound: the file could not be read.") == 2
    assert len(captions(report)) == 3


def test_many_labels_have_one_example_each_and_the_last_ones_none(crowded: Page) -> None:
    assert len(captions(crowded)) == len(crowded.all("audio")) == 60
    assert "label 59" in crowded.source.split("<h3>")[-1]
    assert "2 more labels are not shown." in crowded.text


def test_no_rejected_clip_and_no_duplicate(report: Page) -> None:
    assert report.text.count("No clip was rejected.") == 2
    assert report.text.count("No two clips share audio.") == 2


def test_rejected_clips_are_named_with_the_reason(full: Page) -> None:
    rows = full.tables["Rejected clips and why"][1:]
    assert rows == [[f"bad {EVIL} {place:03d}", "bach", "silent: <i>-61</i> dBFS"] for place in range(2)]
    assert "Rejected: 2 more clips." in full.text
    assert "16 clips with 4 labels" in full.text


def test_of_many_rejected_clips_the_reasons_are_counted(crowded: Page) -> None:
    rows = crowded.tables["Rejected clips and why"]
    assert rows == [["reason", "clips"], ["silent", "198"], ["identical to another clip", "3"]]
    assert "201 clips were rejected; reports/audit.md lists them all." in crowded.text


def test_duplicates_with_two_labels_come_first(full: Page) -> None:
    rows = full.tables["Pairs of clips that share audio"][1:]
    assert rows[0] == [f"{EVIL} 001", "x", "near-identical", "0.123", "-1.50", "yes"]
    assert rows[1] == [f"{EVIL} 000", "x", "identical", "–", "–", "no"]
    assert "3 pairs of clips share audio, 1 of them under two labels." in full.text


def test_many_duplicates_are_cut(crowded: Page) -> None:
    assert len(crowded.tables["Pairs of clips that share audio"]) == 1 + 200
    assert "201 pairs of clips share audio" in crowded.text
    assert "The table shows the first 200." in crowded.text


def test_many_licences_are_summed_up(full: Page) -> None:
    rows = full.tables["Good clips by licence"][1:]
    assert rows == [
        ["licence 01", "2"],
        *([f"licence {number:02d}", "1"] for number in range(2, 11)),
        ["5 others", "5"],
    ]


def test_bands_have_time_to_the_right_and_low_bands_below() -> None:
    decibels = np.full((5, 3), -200.0)
    decibels[4, 0] = 0.0
    decibels[0, 2] = -40.0
    image = Image.open(io.BytesIO(data_figures.bands(decibels, -80.0)))
    levels = np.asarray(image)
    assert levels.tolist() == [[16, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 31]]
    brightness = np.asarray(image.convert("L")).astype(int)
    assert brightness[2, 4] > brightness[0, 0] > brightness[1, 1]


def test_groups_are_segments_in_the_order_of_parts_and_sizes() -> None:
    sizes = [("a", "train", 2), ("b", "train", 3), ("c", "test", 1), ("a", "no part", 1)]
    rows = [("x", group, part) for group, part, number in sizes for _ in range(number)]
    rows += [(FORMULA, "d", "valid")] * 4
    figure = data_figures.groups(pd.DataFrame(rows, columns=["label", "group", "part"]))
    figures.png(figure)
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [FORMULA, "x"]
    (segments,) = axes.collections
    boxes = [path.get_extents() for path in segments.get_paths()]
    spans = [(box.x0, box.x1, round((box.y0 + box.y1) / 2)) for box in boxes]
    colours = {name: colors.to_rgba(colour) for name, colour in data_figures.COLOURS.items()}
    order = ["valid", "train", "train", "test", "no part"]
    assert [tuple(colour) for colour in segments.get_facecolor()] == [colours[part] for part in order]
    assert spans == [(0, 4, 0), (0, 3, 1), (3, 5, 1), (5, 6, 1), (6, 7, 1)]
    legend = figure.legends[0].get_texts()
    assert [text.get_text() for text in legend] == ["train", "valid", "test", "no part"]


@pytest.mark.parametrize(
    ("seconds", "scale"), [([12.0] * 5, "linear"), ([1.0, 2.0, 19.0], "linear"), ([1.0, 30.0, 1200.0], "log")]
)
def test_all_durations_are_in_the_histogram(seconds: list[float], scale: str) -> None:
    figure = data_figures.durations(pd.Series(seconds))
    figures.png(figure)
    axes = figure.axes[0]
    assert sum(bar.get_height() for bar in axes.patches) == len(seconds)
    assert axes.get_xscale() == scale


def test_the_stage_writes_the_page_from_the_pipeline_s_files(checkout: Path, given: pd.DataFrame) -> None:
    given = given.assign(clip_id=["NA", *given["clip_id"][1:]])
    clips.write(given)
    split(given).to_parquet(paths.SPLIT, index=False)
    pairs(1).assign(first="NA", error_rate=np.nan).to_csv(paths.DUPLICATES, index=False)
    stores(paths.FEATURES, given)
    describe()
    report = Page(checkout / "reports" / "data.html")
    assert report.tables["Pairs of clips that share audio"][1][:4] == ["NA", "x", "near-identical", "–"]
    assert "16 clips with 4 labels" in report.text
    assert "Split: grouped: " in report.text


def test_the_stage_takes_an_empty_table_of_duplicates(checkout: Path, given: pd.DataFrame) -> None:
    clips.write(given)
    split(given).to_parquet(paths.SPLIT, index=False)
    NO_PAIRS.to_csv(paths.DUPLICATES, index=False)
    stores(paths.FEATURES, given)
    describe()
    assert "No two clips share audio" in Page(checkout / "reports" / "data.html").text
