"""Awkward pictures: each is decoded upright and in colour, or rejected with a reason; none stops a run."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from lessons.common.pictures.config import Audit
from lessons.common.pictures.decode import PictureError, decode
from lessons.common.pictures.inspect import PICTURES, fingerprint, inspect, near
from lessons.common.pictures.sources.sign_mnist import PIXELS, read
from pipeline.data.audit import Finding, audit, examine, summary
from pipeline.data.groups import join

LIMITS = Audit(min_side=8, max_pixels=1_000_000, min_clips=2)


def looked(file: Path) -> Finding:
    return examine(file, LIMITS, inspect)


def photograph(seed: int = 1, side: int = 40) -> Image.Image:
    """Soft random colours, all of them above black."""
    noise = np.random.default_rng(seed).integers(30, 255, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)


def saved(file: Path, picture: Image.Image, **options: Any) -> Path:
    picture.save(file, **options)
    return file


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header announces a size, and no pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_a_good_picture_has_no_reason(tmp_path: Path) -> None:
    found = looked(saved(tmp_path / "a.jpg", photograph()))
    assert found.reason == ""
    assert len(found.sha256) == 64
    assert np.linalg.norm(found.fingerprint) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("L", "a.png"),
        ("P", "a.gif"),
        ("CMYK", "a.jpg"),
        ("RGBA", "a.png"),
        ("LA", "a.png"),
        ("1", "a.png"),
        ("I;16", "a.png"),
    ],
)
def test_every_mode_becomes_colour(tmp_path: Path, mode: str, name: str) -> None:
    grey = photograph().convert("L")
    whole = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    picture = whole if mode == "I;16" else (photograph() if mode in ("P", "CMYK", "RGBA") else grey).convert(mode)
    file = saved(tmp_path / name, picture)
    assert looked(file).reason == ""
    decoded = decode(file)
    assert (decoded.mode, decoded.size) == ("RGB", (40, 40))
    if mode in ("L", "LA", "I;16"):
        np.testing.assert_array_equal(np.asarray(decoded)[..., 0], np.asarray(grey))
    if mode in ("CMYK", "RGBA"):
        assert np.abs(np.asarray(decoded, int) - np.asarray(photograph(), int)).mean() < 12


def test_transparent_pixels_become_white(tmp_path: Path) -> None:
    picture = photograph().convert("RGBA")
    picture.putalpha(Image.fromarray(np.repeat([[0, 255]], 40, axis=0).astype(np.uint8).repeat(20, axis=1)))
    decoded = np.asarray(decode(saved(tmp_path / "a.png", picture)))
    assert (decoded[:, :20] == 255).all()
    np.testing.assert_array_equal(decoded[:, 20:], np.asarray(photograph())[:, 20:])


def test_a_picture_of_a_turned_camera_is_upright(tmp_path: Path) -> None:
    wide = photograph().resize((60, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn clockwise by a quarter
    decoded = decode(saved(tmp_path / "a.png", wide, exif=exif))
    assert decoded.size == (40, 60)
    np.testing.assert_array_equal(np.asarray(decoded), np.rot90(np.asarray(wide), -1))


def bad(folder: Path) -> dict[str, str]:
    """Bad files by name, with the start of the reason that each is to be rejected with."""
    jpeg = saved(folder / "whole.jpg", photograph(2, 200)).read_bytes()
    png = saved(folder / "whole.png", photograph(3, 200)).read_bytes()
    (folder / "whole.jpg").unlink()
    (folder / "whole.png").unlink()
    for name, content in {
        "empty.jpg": b"",
        "text.jpg": b"this is a text\n" * 100,
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "cut.png": png[: len(png) // 2],
        "header alone.jpg": jpeg[:200],
        "huge.png": png_header(30_000, 30_000),
        "large.png": png_header(1001, 1000),
        "flat.png": png_header(0, 0),
    }.items():
        (folder / name).write_bytes(content)
    saved(folder / "dot.png", photograph().resize((1, 1)))
    saved(folder / "line.png", photograph().resize((200, 4)))
    saved(folder / "black.png", Image.new("RGB", (40, 40)))
    saved(folder / "float.tiff", Image.fromarray(np.random.default_rng(0).random((40, 40), np.float32)))
    (folder / "dangling.jpg").symlink_to("nowhere")
    return {
        "empty.jpg": "empty file",
        "text.jpg": "cannot be decoded: not a picture that Pillow reads",
        "cut.jpg": "cannot be decoded: ",
        "cut.png": "cannot be decoded: ",
        "header alone.jpg": "cannot be decoded: ",
        "huge.png": "too large: ",
        "large.png": "too large: 1001 x 1000 pixels, at most 1,000,000 in all",
        "flat.png": "cannot be decoded: ",
        "dot.png": "too small: 1 x 1 pixels, each side needs 8",
        "line.png": "too small: 200 x 4 pixels",
        "black.png": "empty: all pixels have one colour",
        "float.tiff": "its pixels are floating-point numbers",
        "dangling.jpg": "cannot be read: No such file or directory",
    }


def test_each_bad_picture_is_rejected_with_its_reason(tmp_path: Path) -> None:
    reasons = bad(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == set(reasons)
    for name, reason in reasons.items():
        found = looked(tmp_path / name)
        assert found.reason.startswith(reason), f"{name}: {found.reason!r}"


@given(st.data())
@hypothesis_settings(max_examples=150, deadline=None)
def test_no_damage_to_a_file_raises_anything_else(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"]))
    stream = io.BytesIO()
    photograph().save(stream, kind)
    content = bytearray(stream.getvalue())
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=8)
    ):
        content[place] = value
    cut = data.draw(st.integers(0, len(content)))

    class Damaged(type(Path())):  # type: ignore[misc]
        def read_bytes(self) -> bytes:
            return bytes(content[:cut])

    try:
        assert decode(Damaged("x"), 1_000_000).mode == "RGB"
    except PictureError as error:
        assert str(error)


def table(files: dict[str, str]) -> pd.DataFrame:
    rows = [(file, file, label, file, "pictures", "", "") for file, label in files.items()]
    return pd.DataFrame(rows, columns=["clip_id", "path", "label", "group", "source", "origin", "licence"])


def test_pictures_that_look_the_same_are_one_group(tmp_path: Path) -> None:
    saved(tmp_path / "a.png", photograph(1))
    saved(tmp_path / "b.jpg", photograph(1, 90), quality=60)  # another size and coding
    saved(tmp_path / "c.png", Image.eval(photograph(1), lambda value: value // 2))  # darker
    saved(tmp_path / "d.png", photograph(2))
    (tmp_path / "e.png").write_bytes((tmp_path / "d.png").read_bytes())
    (tmp_path / "f.png").write_bytes(b"no picture")
    files = {str(tmp_path / f"{name}"): "x" for name in ("a.png", "b.jpg", "c.png", "d.png", "e.png", "f.png")}
    found, pairs = audit(table(files), LIMITS, PICTURES)
    groups = [Path(group).name for group in found["group"]]
    assert groups == ["a.png", "a.png", "a.png", "d.png", "d.png", "f.png"]
    assert [reason.split(":")[0].split(" /")[0] for reason in found["reason"]] == [
        "",
        "",
        "",
        "",
        "identical to",
        "cannot be decoded",
    ]
    assert list(pairs["kind"]) == ["identical", "near-identical", "near-identical"]
    text = summary(found, pairs, PICTURES.same)
    assert "Pictures that look the same are put into one group" in text
    assert "not a picture that Pillow reads" in text


def test_the_one_photograph_that_is_there_twice_is_found(shared: Path) -> None:
    dogs = sorted((shared / "data/animals/dogs").glob("dogs_00[24]*.jpg"))
    found, pairs = audit(table({str(file): "dogs" for file in dogs}), LIMITS, PICTURES)
    assert (found["status"] == "ok").all()
    assert [(Path(pair.first).stem, Path(pair.second).stem) for pair in pairs.itertuples()] == [
        ("dogs_00276", "dogs_00404")
    ]


def test_sign_language_mnist_is_made_of_few_photographs(shared: Path) -> None:
    """Kaggle says that all 34,627 pictures come from 1704 photographs, which is 353 for these 7172."""
    rows = read(shared / "data/sign-mnist/sign_mnist_test.csv.gz")
    pixels = rows[PIXELS].to_numpy(np.uint8).reshape(-1, 28, 28)
    names = [f"{number:04}" for number in range(len(rows))]
    prints = {name: fingerprint(Image.fromarray(one)) for name, one in zip(names, pixels, strict=True)}
    links = [(first, second) for first, second, *_ in near(prints)]
    groups = join(pd.Series(names, index=names), links)
    assert 330 <= groups.nunique() <= 360
    labels = pd.Series(rows["label"].to_numpy(), index=names)
    assert (labels.groupby(groups).nunique() == 1).all()
