"""The ``soundtrack`` command: everything around ``dvc repro``.

Imports that take more than a moment are inside the commands, so that ``--help`` answers at once.
"""

import io
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from pipeline.base import paths
from pipeline.base.addresses import UI_PORT
from pipeline.base.errors import reported

app = typer.Typer(
    help="Import music, run the pipeline, search for better params, and use the best model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Model = Annotated[
    str | None,
    Option(
        metavar="URI",
        help="champion, tags (the pre-trained tagger), models:/<name>/<version>, or a folder, like candidate.",
        show_default="the champion; tags where there is none",
    ),
]
Port = Annotated[int, Option(metavar="N", min=1, max=65535)]


def main() -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        # a file's name is not always text that this terminal can show
        sys.stdout.reconfigure(errors="backslashreplace")
    paths.user_cache()  # for numba, and for all processes to come
    with reported():
        app(prog_name="soundtrack")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"soundtrack {version_of('soundtrack')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@app.command("import", epilog="Example: soundtrack import ~/Music --labels tags --min-clips 20")
def import_(
    folder: Annotated[Path, Argument(help="Music in folders of any depth.")],
    labels: Annotated[
        str | None,
        Option(
            metavar="folders|tags|CSV",
            help="Where labels are: the names of the folders, the genres in the files' tags, or a table with the columns "
            "path (or id), label and optionally artist.",
            show_default="as a known data set (FMA, GTZAN, ISMIR 2004, MTG-Jamendo, Ballroom), else folders",
        ),
    ] = None,
    groups: Annotated[
        Path | None,
        Option(
            metavar="CSV",
            help="Clips that must stay in the same part: columns path (or id) and group (or artist). "
            "Clips of a label without a group form one group.",
            show_default="by the artists in the tags",
        ),
    ] = None,
    map_: Annotated[
        Path | None,
        Option("--map", metavar="CSV", help="Rename, merge or drop labels: columns from and to; a blank to drops."),
    ] = None,
    merge_spellings: Annotated[
        bool, Option("--merge-spellings", help="Make one label of Hip-Hop, hip hop and HipHop.")
    ] = False,
    min_clips: Annotated[int, Option(metavar="N", min=0, help="Drop labels with fewer clips.")] = 0,
    yes: Annotated[bool, Option("--yes", help="Import without asking, also where something looks wrong.")] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Show the plan and change nothing.")] = False,
) -> None:
    """Import a folder of music as data/music, versioned with DVC.

    Show what was understood and what looks wrong, ask, then link (where the file system can) or copy the clips and
    `dvc add` them. The folder itself is never changed. Import again for a new version.
    """
    from pipeline.features import cost
    from pipeline.sources.importing import command
    from pipeline.sources.importing.plan import Wish

    wish = Wish(labels, groups, map_, merge_spellings, min_clips)
    command.import_music(folder, wish, cost.in_words, yes=yes, dry_run=dry_run)


@app.command(epilog="Example: soundtrack repro --jobs 2")
def repro(
    files: Annotated[list[Path] | None, Argument(help="Pipelines to run.", show_default="dvc.yaml")] = None,
    jobs: Annotated[int, Option(metavar="N", min=1, help="Stages at a time.")] = 1,
    cluster: Annotated[
        str | None,
        Option(
            metavar="ADDRESS|local:N|slurm:N",
            help="Work on clips on a Dask cluster: that of a scheduler, or N workers here or as jobs of SLURM.",
            show_default="$DASK_SCHEDULER_ADDRESS, else this machine's cores",
        ),
    ] = None,
) -> None:
    """Run `dvc repro` with several stages at a time.

    The results are the same as those of `dvc repro`. One line is printed for each stage, and at the end the scores.
    """
    from pipeline import config
    from pipeline.base.cluster import given
    from pipeline.reports import summary
    from pipeline.workflow import scheduler

    chosen = files or [summary.PIPELINE]
    with given(cluster):
        if summary.PIPELINE in chosen:
            config.load()  # names what is wrong, which DVC may not
            changed = scheduler.repro(jobs, chosen, _check_store)
        else:
            changed = scheduler.repro(jobs, chosen)
    if not changed:
        print("Data and pipelines are up to date.")
    print("", *summary.after(chosen), sep="\n")


def _check_store() -> None:
    """DVC removes a stage's outputs before the stage can say that MLflow cannot be used."""
    from pipeline import config, tracking

    tracking.connect(config.load().tracking.experiment)


@app.command(epilog="Example: soundtrack status")
def status() -> None:
    """Show all scores, and which stages would run again."""
    from pipeline import config
    from pipeline.reports import summary

    config.load()  # names what is wrong, which DVC may not
    print(*summary.status(), sep="\n")


@app.command(epilog="Example: soundtrack weights")
def weights() -> None:
    """List pre-trained networks, with licence and size.

    With the sample rate and what each was trained on. Those with a star are in params.yaml. docs/backbones.md says how to use one.
    """
    from pipeline import config
    from pipeline.config.models import HubWeights
    from pipeline.models.pretrained import known

    named = config.load().weights
    used = {given.id if isinstance(given, HubWeights) else name for name, given in named.items()}
    print(*known.table(used), sep="\n")


@app.command(epilog="Example: soundtrack report")
def report() -> None:
    """Open the report that compares all experiments.

    Its path is printed, and on a desktop a browser opens it.
    """
    from pipeline.reports import summary

    print(summary.open_report())


@app.command(epilog="Example: soundtrack sweep mlp --trials 80 --jobs 2 --apply")
def sweep(
    experiment: Annotated[str, Argument(help="A key of `sweeps` in params.yaml.")],
    trials: Annotated[
        int | None,
        Option(metavar="N", min=1, help="Trials in all, earlier ones included.", show_default="as in params.yaml"),
    ] = None,
    jobs: Annotated[int, Option(metavar="N", min=1, help="Trials at a time.")] = 1,
    apply: Annotated[
        bool, Option("--apply", help="Show the changes of the best trial to params.yaml, and ask to make them.")
    ] = False,
    yes: Annotated[bool, Option("--yes", help="Change params.yaml without asking.")] = False,
) -> None:
    """Search for better params of an experiment.

    Trials draw from `sweeps` in params.yaml and are scored on the validation set over all folds and seeds, never on
    the test set. Each trial is an MLflow run below the run of the sweep. An interrupted sweep resumes.
    """
    from pipeline.sweeps import command

    command.sweep(experiment, trials, jobs, apply_best=apply, yes=yes)


@app.command(epilog="Example: dvc pull && soundtrack champion")
def champion() -> None:
    """Register the model in candidate/ again, after `dvc pull`.

    For a clone that has pulled everything: nothing is trained. The promotion gate decides again whether the model
    becomes the champion, which `classify`, `page` and `serve` use.
    """
    from pipeline import config
    from pipeline.serving.restore import restore

    print(restore(config.load()))


@app.command(epilog="Example: soundtrack classify ~/Music --playlists ~/Playlists --csv songs.csv")
def classify(
    folder: Annotated[str, Argument(help="Music in folders of any depth, one file, or a URL (s3://, ssh://, ...).")],
    top: Annotated[int, Option(metavar="N", min=1, help="Labels to show per song.")] = 3,
    precision: Annotated[
        float | None,
        Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Accept answers at the confidence where this share was right on the validation set. "
            "A lower one labels more songs.",
            show_default="the model's own",
        ),
    ] = None,
    csv: Annotated[Path | None, Option(metavar="FILE", help="Write all probabilities as a table.")] = None,
    json: Annotated[Path | None, Option(metavar="FILE", help="Write all probabilities as JSON.")] = None,
    playlists: Annotated[Path | None, Option(metavar="DIR", help="Write a playlist (M3U8) for each label.")] = None,
    write_tags: Annotated[
        bool, Option("--write-tags", help="Show which genre tags would change; with --yes, change them.")
    ] = False,
    yes: Annotated[bool, Option("--yes", help="Write the tags. The old ones are saved in a backup file.")] = False,
    model: Model = None,
) -> None:
    """Classify every song in a folder with the best model.

    Print the label of each song, or say that the model is unsure or that the song is unlike its training data. Songs
    may have any length. An interrupted run resumes, and songs that were classified before are not classified again.
    """
    from pipeline.data import urls
    from pipeline.library import commands

    commands.classify(
        urls.place(folder),
        model,
        top=top,
        precision=precision,
        csv=csv,
        json=json,
        m3u=playlists,
        genres=write_tags,
        yes=yes,
    )


@app.command(epilog="Example: soundtrack suggest ~/Music")
def suggest(
    folder: Annotated[Path, Argument(help="Music in folders of any depth.")],
    table: Annotated[Path, Option(metavar="CSV", help="The table to write.")] = paths.SUGGESTED,
    model: Model = None,
) -> None:
    """Write a table of proposed labels for a folder of music.

    Correct it on the page (tab Label) or in a spreadsheet, then give it to `soundtrack import FOLDER --labels`. Run
    again, the command adds new songs, and keeps every row that you changed or checked. The folder is never changed.
    """
    from pipeline.library import suggest

    suggest.suggest(folder, table, model)


@app.command(epilog="Example: soundtrack page --port 8080")
def page(
    port: Port = 8000,
    labels: Annotated[
        Path | None,
        Option(
            metavar="CSV",
            help="A table of `soundtrack suggest`, to listen to its songs and correct their labels.",
            show_default=f"{paths.SUGGESTED}, if it is here",
        ),
    ] = None,
    model: Model = None,
) -> None:
    """Open a page to try a song, or to correct suggested labels.

    The page shows the song's spectrogram, the probabilities of the labels over time, and the label. It is served to
    this machine only, by the code that the model was made with.
    """
    from pipeline.library import commands

    commands.page(model, port, labels)


@app.command(epilog="Example: soundtrack serve --port 5001 --workers 2")
def serve(
    port: Port = 5001,
    workers: Annotated[int, Option(metavar="N", min=1, help="Worker processes.")] = 1,
    timeout: Annotated[int, Option(metavar="SECONDS", min=1, help="For one request.")] = 600,
    model: Model = None,
) -> None:
    """Serve the best model to other programs.

    `mlflow models serve`, for this machine only: POST /invocations takes songs as the bytes of a file (column audio,
    base64) or as a path, and returns label, verdict and probabilities.
    """
    from pipeline.library import commands

    commands.serve(model, port, workers, timeout)


@app.command(epilog="Example: soundtrack restore-tags genres-before-20260102-030405.jsonl")
def restore_tags(backup: Annotated[Path, Argument(help="The file that `classify --write-tags` wrote.")]) -> None:
    """Restore the genre tags that --write-tags replaced."""
    from pipeline.library import commands

    commands.restore_tags(backup)


@app.command(epilog="Example: soundtrack ui --port 5002")
def ui(port: Port = UI_PORT) -> None:
    """Open MLflow on the table of all models.

    Print (and on a desktop open) the link to the training runs with their scores, sorted by validation macro F1. The
    pages are served to this machine only. Where MLFLOW_TRACKING_URI names a server, the link leads there.
    """
    from pipeline import config
    from pipeline.tracking.ui import ui as serve_ui

    serve_ui(config.load().tracking.experiment, port)


@app.command(epilog="Example: MLFLOW_TRACKING_URI=http://127.0.0.1:5000 soundtrack sync")
def sync() -> None:
    """Send waiting log entries to MLflow.

    Entries wait while their server cannot be used. Each is sent to the server that it was meant for; those of a run that
    was deleted there are dropped. The exit code is 1 while some still wait. Every stage that logs sends what waits for
    its server too.
    """
    from pipeline import tracking

    print(tracking.sync())


if __name__ == "__main__":
    main()
