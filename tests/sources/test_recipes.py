"""Known data sets are imported by their own metadata: made-up copies of six layouts."""

from pathlib import Path

import pytest
from typed_import import Import

from pipeline.sources.importing import plan
from pipeline.sources.importing.plan import Plan, Wish

pytestmark = pytest.mark.usefixtures("checkout")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def imported(made: Plan) -> dict[str, tuple[str, str]]:
    """Label and group by the place in data/music."""
    groups = made.groups or {}
    return {
        place.as_posix(): (made.labels[file], groups[file])
        for file, place in sorted(made.places.items(), key=lambda item: item[1])
    }


TRACKS = """\
,album,album,artist,artist,set,set,track,track,track
,comments,title,id,name,split,subset,genre_top,genres,title
track_id,,,,,,,,,
2,0,"AWOL, a way",1,AWOL,training,small,Hip-Hop,[21],Food
5,0,"AWOL, a way",1,AWOL,training,small,Hip-Hop,[21],This World
137,0,Loops,53,"Nicky Cook, Ed",training,small,Old-Time / Historic,"[8, 9]","Quoted
over two lines"
1040,0,None,6,Kurt Vile,test,large,,[10],Freeway
2000,0,None,6,Kurt Vile,test,large,Pop,[10],Not here
"""


@pytest.fixture
def fma(tmp_path: Path) -> Path:
    """fma_small and fma_metadata as they are unpacked: side by side."""
    top = tmp_path / "fma"
    names = ("000/000002.mp3", "000/000005.mp3", "000/000137.mp3", "001/001040.mp3", "README.txt", "checksums")
    touch(top / "fma_small", *names)
    (top / "fma_metadata").mkdir()
    (top / "fma_metadata/tracks.csv").write_text(TRACKS, encoding="utf-8")
    return top


@pytest.mark.parametrize(("at", "above"), [("fma_small", ""), ("", "fma_small/")])
def test_fma(fma: Path, at: str, above: str, soundtrack_import: Import) -> None:
    made = plan.make(fma / at, Wish())
    assert imported(made) == {
        f"Hip-Hop/{above}000/000002.mp3": ("Hip-Hop", "AWOL"),
        f"Hip-Hop/{above}000/000005.mp3": ("Hip-Hop", "AWOL"),
        f"Old-Time - Historic/{above}000/000137.mp3": ("Old-Time - Historic", "Nicky Cook, Ed"),
    }
    text = soundtrack_import(fma / at, "--dry-run").text
    assert "Labels: FMA's top genres, " in text
    assert "`--labels folders` takes the names of the folders instead" in text
    assert f"{above}001/001040.mp3" in text, "it has no genre_top"


def test_fma_without_its_metadata_names_the_command(fma: Path, soundtrack_import: Import) -> None:
    (fma / "fma_metadata").rename(fma.parent / "elsewhere")
    (fma / "fma_small/checksums").unlink()
    text = soundtrack_import(fma / "fma_small").text
    assert "Labels that are numbers: 000, 001. FMA's labels are in the archive fma_metadata" in text
    assert f"`soundtrack import {fma}/fma_small --labels fma_metadata/tracks.csv`" in text
    assert "nothing was changed" in text
    made = plan.make(fma / "fma_small", Wish(labels=str(fma.parent / "elsewhere/tracks.csv")))
    assert set(made.labels.values()) == {"Hip-Hop", "Old-Time - Historic"}


def test_fma_beside_other_music_is_not_taken_for_its_metadata(fma: Path) -> None:
    touch(fma / "mine", "jazz/000002.mp3", "jazz/2.mp3", "rock/5.mp3")
    assert set(plan.make(fma / "mine", Wish()).labels.values()) == {"jazz", "rock"}


def test_a_data_sets_table_without_these_files_is_refused(fma: Path, soundtrack_import: Import) -> None:
    touch(fma / "mine", "jazz/2.mp3")
    text = soundtrack_import(fma / "mine", "--labels", fma / "fma_metadata/tracks.csv").text
    assert f"tracks.csv has a label for none of the 1 file of {fma}/mine" in text


def test_fma_of_another_form_is_refused_in_words(fma: Path, soundtrack_import: Import) -> None:
    (fma / "fma_metadata/tracks.csv").write_text(",album,album\n,comments,title\ntrack_id,,\n2,0,x\n")
    assert "lacks FMA's columns track, genre_top and artist, name" in soundtrack_import(fma / "fma_small").text


@pytest.mark.parametrize(
    ("layout", "at", "told"),
    [
        ("Data/genres_original", "", "the copy on Kaggle"),
        ("Data/genres_original", "Data", "the copy on Kaggle"),
        ("Data/genres_original", "Data/genres_original", "the copy on Kaggle"),
        ("genres", "", "Labels: GTZAN's folders."),
        ("genres", "genres", "Labels: GTZAN's folders."),
    ],
)
def test_gtzan(tmp_path: Path, layout: str, at: str, told: str, soundtrack_import: Import) -> None:
    suffix = ".wav" if "Data" in layout else ".au"
    top = tmp_path / "gtzan"
    clips = [f"{genre}/{genre}.{number:05d}{suffix}" for genre in ("blues", "jazz") for number in (0, 1, 60)]
    touch(top / layout, *clips)
    if "Data" in layout:
        touch(top / "Data", "images_original/blues/blues00000.png", "features_30_sec.csv", "features_3_sec.csv")
    found = imported(plan.make(top / at, Wish()))
    assert list(found) == sorted(clips)
    assert found[f"blues/blues.00000{suffix}"] == ("blues", "John Lee Hooker")
    assert all(label == place.split("/")[0] for place, (label, _) in found.items())
    assert told in soundtrack_import(top / at, "--dry-run").text


def test_kaggles_pictures_are_beside_the_clips(tmp_path: Path, soundtrack_import: Import) -> None:
    touch(tmp_path / "Data", "images_original/blues/blues00000.png", "genres_original/blues/blues.00000.wav")
    text = soundtrack_import(tmp_path / "Data/images_original").text
    assert f"`soundtrack import {tmp_path}/Data/genres_original`" in text


CONTEST = """\
"classical","American Bach Soloists","Dido","Overture","1","./classical/american_bach_soloists/dido/01-overture.mp3"
"jazz_blues","Roots of Rebellion","Surrender","Legend, a","2","./jazz/roots/surrender/02-legend.mp3"
"rock_pop","Roots of Rebellion","Surrender","Legend","3","./pop/roots/surrender/03-gone.mp3"
"""


@pytest.fixture
def ismir(tmp_path: Path) -> Path:
    top = tmp_path / "ismir04_genre"
    training = ("classical/american_bach_soloists/dido/01-overture.mp3", "jazz/roots/surrender/02-legend.mp3")
    touch(top / "audio/training", *training)
    touch(top / "audio/development", "tracks/artist_1_album_1_track_1.mp3", "tracks/artist_2_album_1_track_1.mp3")
    for part, text in (
        ("training", CONTEST),
        (
            "development",
            "class,artist,album,track,track number,file path\n"
            "world,artist_1,album_1,track_1,1,tracks/artist_1_album_1_track_1.mp3\n"
            "electronic,artist_2,album_1,track_1,1,tracks\\artist_2_album_1_track_1.mp3\n",
        ),
    ):
        (top / "metadata" / part).mkdir(parents=True)
        (top / "metadata" / part / "tracklist.csv").write_text(text)
    return top


def test_ismir_2004(ismir: Path) -> None:
    found = imported(plan.make(ismir, Wish()))
    assert {label for label, _ in found.values()} == {"classical", "jazz_blues", "world", "electronic"}
    assert found["classical/american_bach_soloists/dido/01-overture.mp3"] == ("classical", "American Bach Soloists")
    assert found["jazz_blues/audio/training/jazz/roots/surrender/02-legend.mp3"] == ("jazz_blues", "Roots of Rebellion")
    assert imported(plan.make(ismir / "audio", Wish())).keys() == {place.replace("/audio/", "/") for place in found}
    assert set(plan.make(ismir / "audio/training", Wish()).labels.values()) == {"classical", "jazz_blues"}


def test_ismir_2004_as_it_was_first_published(ismir: Path) -> None:
    """The lists stand in the folders of the audio; the test part has path and class alone."""
    (ismir / "metadata/training/tracklist.csv").rename(ismir / "audio/training/tracklist.csv")
    (ismir / "metadata/development/tracklist.csv").unlink()
    truth = '"tracks/artist_1_album_1_track_1.mp3","world"\n'
    (ismir / "audio/development/ground_truth.csv").write_text(truth)
    labels = plan.make(ismir / "audio", Wish()).labels
    assert sorted(labels.values()) == ["classical", "jazz_blues", "world"]


JAMENDO = """\
TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS
track_0000214\tartist_000014\talbum_000031\t14/214.mp3\t124.6\tgenre---punkrock
track_0000948\tartist_000087\talbum_000149\t48/948.mp3\t212.7\tgenre---rock\tinstrument---guitar\tmood/theme---sad
track_0001048\tartist_000087\talbum_000149\t48/1048.mp3\t212.7\tgenre---rock\tgenre---pop
track_0002048\tartist_000088\talbum_000150\t48/2048.mp3\t212.7\tmood/theme---"sad
track_0003048\tartist_000089\talbum_000150\t48/3048.mp3\t212.7\tgenre---"folk
"""


@pytest.mark.parametrize(("suffix", "at"), [(".mp3", ""), (".low.mp3", ""), (".mp3", "audio")])
def test_mtg_jamendo(tmp_path: Path, suffix: str, at: str, soundtrack_import: Import) -> None:
    top = tmp_path / "jamendo"
    touch(top / "audio", *(f"{name}{suffix}" for name in ("14/214", "48/948", "48/1048", "48/2048", "48/3048")))
    (top / "data").mkdir()
    (top / "data/autotagging.tsv").write_text(JAMENDO)
    (top / "data/raw.tsv").write_text(JAMENDO.replace("punkrock", "unclean"))
    found = imported(plan.make(top / at, Wish()))
    assert sorted(found.values()) == [
        ('"folk', "artist_000089"),
        ("punkrock", "artist_000014"),
        ("rock", "artist_000087"),
    ]
    text = soundtrack_import(top / at, "--dry-run").text
    assert "Labels: MTG-Jamendo's genres, " in text
    assert "1 track with several genres: not used, since none is the first." in text
    assert "Not used, not one genre: 2 files" in text


@pytest.mark.parametrize("at", ["", "BallroomData"])
def test_ballroom(tmp_path: Path, at: str, soundtrack_import: Import) -> None:
    top = tmp_path / "ballroom"
    clips = (
        "Rumba-International/Albums-Latin_Jam-08.wav",
        "Rumba-International/Albums-Latin_Jam-14.wav",
        "Waltz/Albums-Ballroom_Magic-03.wav",
        "Waltz/Media-104705.wav",
    )
    touch(top / "BallroomData", *clips, "allBallroomFiles")
    touch(top / "BallroomAnnotations", "Media-104705.beats")
    assert imported(plan.make(top / at, Wish())) == {
        "Rumba-International/Albums-Latin_Jam-08.wav": ("Rumba-International", "Latin_Jam"),
        "Rumba-International/Albums-Latin_Jam-14.wav": ("Rumba-International", "Latin_Jam"),
        "Waltz/Albums-Ballroom_Magic-03.wav": ("Waltz", "Ballroom_Magic"),
        "Waltz/Media-104705.wav": ("Waltz", "Media-104705"),
    }
    assert "Labels: Ballroom's folders." in soundtrack_import(top / at, "--dry-run").text


def test_a_known_data_set_can_be_taken_by_its_folders_and_with_other_groups(fma: Path, tmp_path: Path) -> None:
    assert set(plan.make(fma / "fma_small", Wish(labels="folders")).labels.values()) == {"000", "001"}
    (tmp_path / "groups.csv").write_text("id,group\n000002,mine\n")
    groups = plan.make(fma / "fma_small", Wish(groups=tmp_path / "groups.csv")).groups
    assert groups is not None
    assert set(groups.values()) == {"mine", ""}


def test_a_table_of_that_name_of_another_kind_is_no_data_set(tmp_path: Path) -> None:
    touch(tmp_path / "music", "jazz/a.wav", "rock/b.wav")
    for name in ("tracks.csv", "tracklist.csv", "list.tsv"):
        (tmp_path / "music" / name).write_text("name,artist\nx,y\n")
    assert set(plan.make(tmp_path / "music", Wish()).labels.values()) == {"jazz", "rock"}
