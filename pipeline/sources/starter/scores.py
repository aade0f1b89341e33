"""The scores of the starter data: which pieces of music21's corpus stand for which style, and their notes.

Only pitches and times are read from an encoding: no dynamics, articulation, tempo marks, chord symbols, grace notes or
instrument names.
"""

import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import distribution
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any
from xml.etree.ElementTree import ParseError, fromstring
from zipfile import BadZipFile


@dataclass(frozen=True)
class Piece:
    """One score that clips can be cut from."""

    label: str
    group: str
    """The work or book that the piece belongs to, or its title."""
    name: str
    """For a reader: the path in the corpus; of a tune in a book also the title."""
    file: str
    text: str | None = None
    """The ABC notation of a tune in a book; None if the file is one piece."""


@dataclass(frozen=True)
class Note:
    start: float
    """In quarter notes from the beginning of the score, as ``end``."""
    end: float
    pitch: int
    """MIDI note number."""
    part: int


@dataclass(frozen=True)
class Score:
    notes: list[Note]
    """By start, then part, then pitch."""
    bars: list[float]
    """Where each bar begins."""
    beat: float
    """Length in quarter notes of the beat in most bars."""


class UnusableScore(Exception):
    """No clip can be cut from a score; the message says why in a few words."""


BROKEN = (ArithmeticError, AttributeError, BadZipFile, LookupError, ParseError, TypeError, ValueError)
"""What music21's parsers raise for a broken encoding, beside their own errors."""


def pieces(label: str, corpus: Path) -> list[Piece]:
    """All scores of a style, unparsed, in the same order on every machine."""
    return list(STYLES[label].listing(label, corpus))


def corpus() -> Path:
    """The folder of scores inside the installed music21."""
    # not by an import of music21, which takes a second
    return Path(str(distribution("music21").locate_file("music21/corpus")))


def read(piece: Piece, corpus: Path, bars: int) -> Score:
    """Parse a score.

    Args:
        bars: of a MusicXML file, the first so many are parsed: movements of quartets have hundreds, and take music21 a second.

    Raises:
        UnusableScore: music21 cannot parse it, or it has no notes or no bar lines.
    """
    from music21.exceptions21 import Music21Exception
    from music21.musicxml.xmlObjects import MusicXMLWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MusicXMLWarning)  # slips of notation, which music21 mends
            parts = list(_parsed(piece, corpus / piece.file, bars).parts)
        notes = [note for number, part in enumerate(parts) for note in _notes(part, number)]
        measures = list(parts[0].getElementsByClass("Measure"))
        lines, beat = [float(measure.offset) for measure in measures], _beat(measures)
    except (Music21Exception, *BROKEN) as error:
        raise UnusableScore(f"music21 cannot parse it ({type(error).__name__})") from error
    if not notes or not lines:
        raise UnusableScore("it has no notes or no bar lines")
    notes.sort(key=lambda note: (note.start, note.part, note.pitch))
    return Score(notes, lines, beat)


def _parsed(piece: Piece, file: Path, bars: int) -> Any:
    from music21 import converter
    from music21.musicxml.xmlToM21 import MusicXMLImporter

    if file.suffix not in (".mxl", ".xml"):
        kind = None if piece.text is None else "abc"
        return converter.parse(piece.text or file, format=kind, forceSource=True)
    root = fromstring(converter.ArchiveManager(file).getData() if file.suffix == ".mxl" else file.read_bytes())
    for part in root.findall("part"):
        del part[bars:]
    return MusicXMLImporter().xmlRootToScore(root)


def opening(score: Score) -> str:
    """The beginning of the highest part, equal for a tune under another title, in another key or other note values.

    Twelve intervals in semitones, with their durations relative to the first; empty for a shorter part.
    """
    parts = [[note for note in score.notes if note.part == part] for part in dict.fromkeys(n.part for n in score.notes)]
    highest = max(parts, key=lambda notes: mean(note.pitch for note in notes))
    melody = list({note.start: note for note in highest}.values())[:13]
    if len(melody) < 13:
        return ""
    unit = melody[1].start - melody[0].start
    steps = ((b.pitch - a.pitch, round((b.start - a.start) / unit, 2)) for a, b in pairwise(melody))
    return " ".join(f"{interval}:{duration}" for interval, duration in steps)


def _notes(part: Any, number: int) -> list[Note]:
    """The sounding notes of a part, ties merged."""
    from music21 import harmony

    notes: list[Note] = []
    tied: dict[int, int] = {}
    for element in part.flatten().notes:
        if isinstance(element, harmony.Harmony) or element.quarterLength == 0:
            continue
        start, end = float(element.offset), float(element.offset + element.quarterLength)
        for head in element.notes if element.isChord else [element]:
            if not hasattr(head, "pitch"):
                continue
            pitch, tie = head.pitch.midi, head.tie.type if head.tie else None
            before = tied.pop(pitch, None) if tie in ("continue", "stop") else None
            if before is not None and notes[before].end == start:
                notes[before] = Note(notes[before].start, end, pitch, number)
            else:
                before = len(notes)
                notes.append(Note(start, end, pitch, number))
            if tie in ("start", "continue"):
                tied[pitch] = before
    return notes


def _beat(measures: list[Any]) -> float:
    """The beat of most bars: music21 gives each incomplete bar of an ABC tune a time signature of its own.

    In 3/8, 6/8, 9/16, ... three of the written units make a beat.
    """
    beats, beat = Counter[float](), 1.0
    for measure in measures:
        if measure.timeSignature is not None:
            top, bottom = measure.timeSignature.numerator, measure.timeSignature.denominator
            beat = (12 if top % 3 == 0 and bottom >= 8 else 4) / bottom
        beats[beat] += 1
    return beats.most_common(1)[0][0] if beats else beat


def _chorales(label: str, corpus: Path) -> Iterator[Piece]:
    from music21.corpus.chorales import ChoraleList, ChoraleListRKBWV

    titles = {str(number): entry["title"] for number, entry in ChoraleList().byBWV.items()}
    titles |= {number: entry["title"] for number, entry in ChoraleListRKBWV().byBWV.items()}
    for file in _files(corpus, "bach", r"bwv\d[^/]*\.(mxl|xml)"):
        number = file.stem.removeprefix("bwv")
        if number == "846":  # not a chorale: a prelude of the Well-Tempered Clavier
            continue
        title = titles.get(number) or titles.get(number.partition("-")[0])
        group = _plain(title) if title else f"bwv{re.split(r'[.-]', number)[0]}"
        yield _piece(label, group, file, corpus)


def _masses(label: str, corpus: Path) -> Iterator[Piece]:
    for file in _files(corpus, "palestrina", r"[^/]*\.krn"):
        with file.open(encoding="latin-1") as lines:
            work = next((line[7:].strip() for line in lines if line.startswith("!!!OPR:")), file.stem)
        yield _piece(label, work, file, corpus)


def _madrigals(label: str, corpus: Path) -> Iterator[Piece]:
    for file in _files(corpus, "monteverdi", r"madrigal\.\d+\.\d+\.mxl"):
        yield _piece(label, f"book {file.name.split('.')[1]}", file, corpus)


def _trecento(label: str, corpus: Path) -> Iterator[Piece]:
    files = {file.stem: file for file in _files(corpus, "trecento", r"[^/]*(?<!_bak)\.(mxl|xml)")}
    yield from (_piece(label, _trecento_group(stem), file, corpus) for stem, file in files.items())


def _trecento_group(stem: str) -> str:
    """The title, since a piece may stand in two volumes of the edition (PMFC); without one, the number there.

    ``10a`` and ``10b`` are two versions of one piece.
    """
    match = re.match(r"(PMFC_\d+)[-_ ]*(?:[A-Z][a-z]+[-_])?(\d+)?[a-c]?[-_ ]*(.*)", stem)
    if match is None:
        return stem
    volume, number, title = match.groups()
    words = re.sub(r"PMFC.*|Ciconia.*|\d+.*| [ab]$", "", title)
    if number and _plain(words) in ("", "kyrie", "gloria", "credo", "sanctus", "agnusdei", "benedicamus"):
        return f"{volume}-{number}"
    return _plain(words)


def _quartets(label: str, corpus: Path) -> Iterator[Piece]:
    """Those with a file for each movement; a file with all movements takes ten seconds to parse."""
    for composer in ("haydn", "mozart", "beethoven"):
        for file in _files(corpus, composer, r"[^/]+/movement\d\.mxl"):
            yield _piece(label, f"{composer} {file.parent.name}", file, corpus)


def _irish(label: str, corpus: Path) -> Iterator[Piece]:
    printed: dict[str, Path] = {}
    for book in _files(corpus, "oneills1850", r"[^/]*\.abc"):
        for tune in _tunes(book):
            number = _field(tune, "X")
            if printed.setdefault(number, book) == book:  # some files transcribe the same tunes
                yield _tune(label, tune, f"no. {number}", book, corpus)


def _folk_songs(label: str, corpus: Path, books: str, country: str) -> Iterator[Piece]:
    for book in _files(corpus, "essenFolksong", books):
        for tune in _tunes(book):
            if country in _field(tune, "O"):
                yield _tune(label, tune, _field(tune, "N"), book, corpus)


def _files(corpus: Path, folder: str, pattern: str) -> list[Path]:
    """The files below ``folder`` whose path from there matches, sorted."""
    found = (file for file in (corpus / folder).rglob("*") if file.is_file())
    named = {file.relative_to(corpus / folder).as_posix(): file for file in found}
    return [named[name] for name in sorted(named) if re.fullmatch(pattern, name)]


def _piece(label: str, group: str, file: Path, corpus: Path) -> Piece:
    path = file.relative_to(corpus).as_posix()
    return Piece(label, f"{label}/{group}", path, path)


def _tune(label: str, text: str, number: str, book: Path, corpus: Path) -> Piece:
    path, title = book.relative_to(corpus).as_posix(), _field(text, "T")
    return Piece(label, f"{label}/{_plain(title) or number}", f"{title} ({path}, {number})", path, text)


def _tunes(book: Path) -> list[str]:
    """The tunes of an ABC book; parsing them one by one is many times faster than the book at once."""
    text = book.read_text(encoding="utf-8", errors="replace")
    return [tune for tune in re.split(r"(?m)^(?=X:)", text) if tune.startswith("X:")]


def _field(tune: str, letter: str) -> str:
    """The first header line of that letter in an ABC tune, empty where there is none."""
    match = re.search(rf"(?m)^{letter}:(.*)$", tune)
    return match.group(1).strip() if match else ""


def _plain(title: str) -> str:
    """A title without spelling variants: ``Silken Cravat., The`` equals ``The Silken Cravat, 2nd setting``."""
    text = unicodedata.normalize("NFKD", title.replace("ß", "ss")).encode("ascii", "ignore").decode().lower()
    text = re.sub(r"\(.*?\)|\b\w+ (setting|version)\b|['`]", "", text)
    words = re.findall(r"[a-z]+", text)
    return "".join(word for word in words if word not in ("the", "a", "an", "i", "ii", "iii", "iv"))


@dataclass(frozen=True)
class _Style:
    listing: Callable[[str, Path], Iterator[Piece]]
    licence: str
    """What music21's corpus states of the encodings."""


_UNSTATED = (
    "none stated in the encoding; music21 distributes it 'with the permission of the encoders' and warns "
    "that some encodings 'may not be used for commercial uses' (corpus/license.txt)"
)
_ESSEN = (
    "'non-commercial distribution and use' by permission of E. Dahlig-Turek, ABC files by S. Schlien; "
    "'the legal status of the Essen folksong database is unclear' (corpus/essenFolksong/license.txt)"
)

STYLES = {
    "viennese-quartet": _Style(_quartets, _UNSTATED),
    "monteverdi-madrigal": _Style(
        _madrigals, f"some files have the imprint 'UT ORPHEUS EDIZIONI 2003'; licence: {_UNSTATED}"
    ),
    "palestrina-mass": _Style(
        _masses,
        "'Copyright 2000, John Miller. Rights to all derivative electronic formats reserved. Refer to "
        "licensing agreement for further details' (in the file; the agreement itself is not part of music21)",
    ),
    "trecento": _Style(_trecento, _UNSTATED),
    "bach-chorale": _Style(
        _chorales, f"most files: 'PDF © 2004 Margaret Greentree, used by permission'; licence: {_UNSTATED}"
    ),
    "german-folk-song": _Style(partial(_folk_songs, books=r"(?!han)[^/]*\.abc", country="Deutschland"), _ESSEN),
    "irish-tune": _Style(_irish, f"the transcriber is named in the file; licence: {_UNSTATED}"),
    "chinese-folk-song": _Style(partial(_folk_songs, books=r"han\d\.abc", country="China"), _ESSEN),
}
"""By label: its scores and their terms. The slowest to parse come first, so that no core idles."""
