"""The genre alone changes, in the version of the tags that is there, and the backup brings every byte back."""

import io
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import mutagen
import numpy as np
import pytest
import soundfile
from mutagen.apev2 import APEv2
from mutagen.id3 import ID3

from pipeline import cli
from pipeline.base.errors import UserError
from pipeline.library import commands, genres, tags
from pipeline.library.batch import Song
from pipeline.library.id3 import with_genres

SOUND = b"\xff\xfb\x90\x00" + bytes(413)
"""A frame of MP3: silence."""
MP3 = 8 * SOUND
V1 = (b"TAG" + b"An old title".ljust(30, b"\0") + b"Somebody".ljust(30, b"\0")).ljust(127, b"\0") + b"\x11"
LATIN = b"\x00"


def synchsafe(number: int) -> bytes:
    return bytes(number >> 7 * place & 127 for place in (3, 2, 1, 0))


def tag(version: int, frames: bytes, flags: int = 0, padding: int = 0) -> bytes:
    return b"ID3" + bytes([version, 0, flags]) + synchsafe(len(frames) + padding) + frames + bytes(padding)


def frame(name: bytes, content: bytes, flags: bytes = b"\0\0") -> bytes:
    return name + struct.pack(">L", len(content)) + flags + content


def frame_2(name: bytes, content: bytes) -> bytes:
    return name + struct.pack(">L", len(content))[1:] + content


def frame_4(name: bytes, content: bytes) -> bytes:
    return name + synchsafe(len(content)) + b"\0\0" + content


KEPT_3 = [
    frame(b"TIT2", LATIN + b"A song"),
    frame(b"TYER", LATIN + b"1969"),
    frame(b"TDAT", LATIN + b"1508"),
    frame(b"TIME", LATIN + b"1200"),
    frame(b"TORY", LATIN + b"1968"),
    frame(b"IPLS", LATIN + b"producer\0Somebody\0"),
    frame(b"RVAD", b"\x03\x10" + bytes(16)),
    frame(b"NCON", b"MusicMatch\xff\x00\xfe"),
    frame(b"TXXX", LATIN + b"a\0b", b"\0\x20"),  # in a group: the first byte is its number
    frame(b"TPE1", b"\x01\xff\xfeB\0j\0"),
    frame(b"TIT3", b""),
    frame(b"TSS\0", LATIN + b"an id of version 2"),
]
KEPT_2 = [frame_2(b"TT2", LATIN + b"A song"), frame_2(b"TYE", LATIN + b"1969"), frame_2(b"XYZ", b"\x00\xff\x01")]
KEPT_4 = [frame_4(b"TIT2", b"\x03Bj\xc3\xb6rk"), frame_4(b"TDRC", b"\x031969"), frame_4(b"XYZW", bytes(200))]
ITUNES_4 = [frame(b"TIT2", LATIN + b"x" * 300), frame(b"COMM", LATIN + b"eng\0" + b"y" * 200)]
OLD = LATIN + b"Dub"
ITEMS = [
    struct.pack("<2I", len(value), flags) + key + b"\0" + value
    for key, value, flags in ((b"Title", b"A song", 0), (b"MP3GAIN_MINMAX", b"1,2", 1), (b"Cover", b"\0\xff", 2))
]


def ape(*items: bytes, header: bool = True) -> bytes:
    body = b"".join(items)
    fields = (2000, len(body) + 32, len(items))
    own = (1 << 31) * header
    ends = [b"APETAGEX" + struct.pack("<4I", *fields, own | flag) + bytes(8) for flag in (1 << 29, 0)]
    return (ends[0] if header else b"") + body + ends[1]


GENRE = struct.pack("<2I", 3, 0) + b"GENRE\0Dub"


def chunked(container: str, chunk: bytes) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(4001) / 9) / 2, 22050, format=container, subtype="PCM_16")
    order = "little" if container == "WAV" else "big"
    content = file.getvalue() + chunk[:4] + struct.pack("<L" if order == "little" else ">L", len(chunk) - 4) + chunk[4:]
    content += bytes(len(content) % 2)
    size = (len(content) - 8).to_bytes(4, "little" if container == "WAV" else "big")
    return content[:4] + size + content[8:]


def dsf(tagged: bytes) -> bytes:
    data = b"data" + struct.pack("<Q", 12 + 4096) + bytes(4096)
    form = b"fmt " + struct.pack("<Q6LQ2L", 52, 1, 0, 1, 1, 2822400, 1, 4096 * 8, 4096, 0)
    size = 28 + len(form) + len(data)
    return b"DSD " + struct.pack("<3Q", 28, size + len(tagged), size if tagged else 0) + form + data + tagged


V3 = tag(3, b"".join([*KEPT_3[:3], frame(b"TCON", OLD), *KEPT_3[3:]]))
FILES: dict[str, tuple[str, bytes, list[bytes], int]] = {
    "ID3v2.3": (".mp3", V3 + MP3, KEPT_3, 3),
    "ID3v2.3 with padding": (".mp3", V3[:6] + synchsafe(len(V3) + 300 - 10) + V3[10:] + bytes(300) + MP3, KEPT_3, 3),
    "ID3v2.3 and v1": (".mp3", V3 + MP3 + V1, [*KEPT_3, V1[:-1]], 3),
    "ID3v2.3, APEv2 and v1": (".mp3", V3 + MP3 + ape(*ITEMS, GENRE) + V1, [*KEPT_3, *ITEMS, V1[:-1]], 3),
    "ID3v2.3, APEv2 without a genre": (".mp3", V3 + MP3 + ape(*ITEMS), [*KEPT_3, ape(*ITEMS)], 3),
    "ID3v2.2": (".mp3", tag(2, b"".join([*KEPT_2, frame_2(b"TCO", OLD)]), padding=9) + MP3, KEPT_2, 2),
    "ID3v2.4": (".mp3", tag(4, b"".join([frame_4(b"TCON", OLD), *KEPT_4])) + MP3, KEPT_4, 4),
    "ID3v2.4 as iTunes wrote it": (".mp3", tag(4, b"".join([*ITUNES_4, frame(b"TCON", OLD)])) + MP3, ITUNES_4, 4),
    "ID3v2.4 with a size that is too large if misread": (
        ".mp3",
        tag(4, b"".join([frame(b"TCON", OLD), frame(b"PRIV", bytes([65]) * 0x7F7F)])) + MP3,
        [frame(b"PRIV", bytes([65]) * 0x7F7F)],
        4,
    ),
    "ID3v2.3 with sizes of version 4": (
        ".mp3",
        tag(3, b"".join([frame_4(b"TCON", OLD), frame_4(b"COMM", LATIN + b"eng\0" + b"y" * 300)])) + MP3,
        [frame_4(b"COMM", LATIN + b"eng\0" + b"y" * 300)],
        3,
    ),
    "ID3v2.3 with an extended header": (
        ".mp3",
        tag(3, b"\0\0\0\x06" + bytes(6) + b"".join([frame(b"TCON", OLD), *KEPT_3]), 0x40) + MP3,
        [b"\0\0\0\x06" + bytes(6), *KEPT_3],
        3,
    ),
    "ID3v1": (".mp3", MP3 + V1[:-1] + b"\x03", [V1[:-1]], 0),
    "APEv2": (".mp3", MP3 + ape(*ITEMS, GENRE, header=False), ITEMS, 0),
    "APEv2 and ID3v1": (".mp3", MP3 + ape(*ITEMS, GENRE) + V1, [*ITEMS, V1[:-1]], 0),
    "WAV": (".wav", chunked("WAV", b"id3 " + V3), KEPT_3, 3),
    "WAV with a chunk behind": (
        ".wav",
        chunked("WAV", b"id3 " + V3 + bytes(len(V3) % 2) + b"abcd\2\0\0\0xy"),
        KEPT_3,
        3,
    ),
    "AIFF": (".aiff", chunked("AIFF", b"ID3 " + V3), KEPT_3, 3),
    "DSF": (".dsf", dsf(V3), KEPT_3, 3),
}


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """``changed("a.mp3", content)``: the file, after `classify --write-tags --yes` has made its genre ``Jazz``."""
    monkeypatch.chdir(tmp_path)

    def make(name: str, content: bytes, label: str = "Jazz") -> Path:
        file = tmp_path / name
        file.write_bytes(content)
        commands.write_tags([Song(file, "", label, "confident", 1.0, 1.0, {label: 0.9})], yes=True)
        return file

    return make


def restore(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (backup,) = folder.glob("genres-before-*.jsonl")
    monkeypatch.setattr(sys, "argv", ["soundtrack", "restore-tags", str(backup)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code


@pytest.mark.parametrize("kind", FILES)
def test_the_genre_alone_changes_and_every_byte_comes_back(
    kind: str, changed: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending, before, kept, version = FILES[kind]
    file = changed(f"a{ending}", before)
    after = file.read_bytes()
    assert genres.read(file) == ["Jazz"]
    assert [part for part in kept if part not in after] == []
    if version:
        audio: Any = mutagen.File(file)
        assert audio.tags.version[:2] == (2, version)
    assert b"Dub" not in after, "nowhere is the old genre left"
    restore(tmp_path, monkeypatch)
    assert file.read_bytes() == before
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("ending", [".mp3", ".wav", ".aiff", ".dsf", ".tta"])
def test_a_file_without_tags(
    ending: str, changed: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tta = b"TTA1" + struct.pack("<3H2L", 1, 1, 16, 22050, 22050) + bytes(200)
    contents = {
        ".wav": chunked("WAV", b"abcdxyz"),
        ".aiff": chunked("AIFF", b"abcdxyz"),
        ".mp3": MP3,
        ".dsf": dsf(b""),
        ".tta": tta,
    }
    file = changed(f"a{ending}", contents[ending], "Trip Höp")
    assert genres.read(file) == ["Trip Höp"]
    restore(tmp_path, monkeypatch)
    assert file.read_bytes() == contents[ending]


def test_an_id3v1_tag_that_has_no_number_for_the_genre_is_joined_by_another(changed: Callable[..., Path]) -> None:
    file = changed("a.mp3", MP3 + V1, "palestrina")
    assert genres.read(file) == ["palestrina"]
    assert file.read_bytes().endswith(V1[:-1] + b"\xff")
    assert ID3(file, load_v1=False)["TIT2"] == ["An old title"], "players read no ID3v1 where there is ID3v2"


def encoded(file: Path, container: str, codec: str, metadata: dict[str, str]) -> bytes:
    with av.open(str(file), "w", format=container) as output:
        output.metadata.update(metadata)
        stream: Any = output.add_stream(codec, rate=44100)
        stream.bit_rate = 128_000
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 44100
        for packet in [*stream.encode(sound), *stream.encode(None)]:
            output.mux(packet)
    return file.read_bytes()


@pytest.mark.parametrize(
    ("container", "codec", "ending"),
    [("ipod", "aac", ".m4a"), ("asf", "wmav2", ".wma"), ("flac", "flac", ".flac"), ("ogg", "flac", ".oga")],
)
def test_tags_of_other_formats(
    container: str,
    codec: str,
    ending: str,
    changed: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = {"title": "Jóga", "artist": "Björk", "genre": "Dub", "date": "1997"}
    before = encoded(tmp_path / f"made{ending}", container, codec, known)
    others = {key: value for key, value in read_by_ffmpeg(tmp_path / f"made{ending}").items() if key != "genre"}
    file = changed(f"a{ending}", before)
    found = read_by_ffmpeg(file)
    assert found.pop("genre") == "Jazz"
    assert found == others
    restore(tmp_path, monkeypatch)
    assert file.read_bytes() == before


def read_by_ffmpeg(file: Path) -> dict[str, str]:
    with av.open(str(file)) as container:
        return {key.lower(): value for part in (container, *container.streams) for key, value in part.metadata.items()}


def test_an_unsynchronised_tag_stays_one() -> None:
    frames = b"".join([frame(b"PRIV", b"a\0\xff\xe0\xff\x00\xff"), frame(b"TCON", OLD)])
    coded = frames.replace(b"\xff\x00", b"\xff\x00\x00").replace(b"\xff\xe0", b"\xff\x00\xe0")
    new = with_genres(tag(3, coded, 0x80), ["Jazz"])
    assert new[5] == 0x80
    read = ID3(io.BytesIO(new), translate=False)
    assert read["TCON"].genres == ["Jazz"]
    assert read.getall("PRIV")[0].data == b"\xff\xe0\xff\x00\xff"


def test_a_large_collection_of_pages_needs_a_small_backup(
    changed: Callable[..., Path], tmp_path: Path, tone: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A longer comment may move all pages of an Ogg file, each of which has its number and its checksum."""
    sound = tone(440, 60.0) + np.random.default_rng(0).normal(0, 0.1, 60 * 22050).astype(np.float32)
    soundfile.write(tmp_path / "made.ogg", sound, 22050)
    file = changed("a.ogg", (tmp_path / "made.ogg").read_bytes(), "Jazz" * 2000)
    (backup,) = tmp_path.glob("*.jsonl")
    assert backup.stat().st_size < file.stat().st_size / 10
    restore(tmp_path, monkeypatch)
    assert file.read_bytes() == (tmp_path / "made.ogg").read_bytes()


def test_what_was_changed_since_stays(
    changed: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = changed("a.mp3", V3 + MP3)
    later = ID3(file)
    later["TIT2"].text = ["Another title"]
    later.save(v2_version=3)
    restore(tmp_path, monkeypatch)
    assert genres.read(file) == ["Dub"]
    assert ID3(file)["TIT2"] == ["Another title"]


DAMAGED: dict[str, tuple[str, bytes]] = {
    "frames behind the end": (".mp3", V3[:-30] + MP3[:20]),
    "no frames": (".mp3", tag(3, b"\x01\x02\x03\x04" * 20) + MP3),
    "text that is not UTF-8": (".flac", b""),
    "a WAV that says too much": (".wav", chunked("WAV", b"id3 " + V3)[:-20]),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_cannot_be_taken_apart_is_left_as_it_is(
    kind: str, changed: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ending, content = DAMAGED[kind]
    if ending == ".flac":
        made = encoded(tmp_path / "made.flac", "flac", "flac", {"title": "XXXX"})
        content = made.replace(b"XXXX", b"\xff\xfeXX")
    file = changed(f"a{ending}", content)
    assert file.read_bytes() == content
    assert f"not written: {file}" in capsys.readouterr().out
    assert list(tmp_path.glob("*.jsonl")) == []


def test_without_a_backup_nothing_is_changed(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(V3 + MP3)
    planned = [tags.Change(tmp_path / "a.mp3", ["Dub"], ["Jazz"])]
    with pytest.raises(UserError, match=r"the backup .* cannot be written"):
        list(tags.apply(planned, tmp_path / "a.mp3" / "backup.jsonl"))  # no folder, which not even root can write in
    assert (tmp_path / "a.mp3").read_bytes() == V3 + MP3


def test_items_of_apev2_keep_their_flags(changed: Callable[..., Path]) -> None:
    file = changed("a.mp3", MP3 + ape(*ITEMS, GENRE))
    assert {key.lower(): str(value) for key, value in APEv2(file).items() if key != "Cover"} == {
        "title": "A song",
        "mp3gain_minmax": "1,2",
        "genre": "Jazz",
    }
