"""``soundtrack-lesson``: what a lesson can do once `dvc repro` has run in its folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from pipeline.base.errors import UserError, reported

FOLDER = Path(__file__).parent
app = typer.Typer(
    help="Use what a lesson has learned.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    rich_markup_mode=None,
)  # fmt: skip
posts = typer.Typer(help="Lesson posts: will this post do well?", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(posts, name="posts")


@posts.command(epilog='Example: soundtrack-lesson posts score "A kernel in Rust" --domain github.com --at "Tue 09:00"')
def score(
    title: Annotated[str, Argument(help="Of the post.")],
    domain: Annotated[str, Option(metavar="DOMAIN", help="Of its link.")] = "",
    at: Annotated[
        str, Option(metavar="TIME", help="As 'Tue 09:00' or '2026-03-24 09:00', in the posts' time zone.")
    ] = "",
    picture: Annotated[Path | None, Option(metavar="FILE", help="That is attached.")] = None,
) -> None:
    """Score a draft from 1 to 10, say what moved it, and when such posts did best."""
    with lesson_folder() as place:
        from lessons.posts.answer import Draft
        from lessons.posts.answer import score as answered

        found = answered(Draft(title, domain, at, place / picture if picture else None))
    print(f"Score {found.score} of 10")
    for row in found.moved:
        print(f"  {row['branch']:<10} {row['log points']:+.2f}  {row['seen']}")
    print("\n".join(found.sentences))


@posts.command(epilog="Example: soundtrack-lesson posts page --port 8010")
def page(port: Annotated[int, Option(metavar="N", min=1, max=65535)] = 8010) -> None:
    """Serve the lesson's page, with a form for a draft, to this machine alone."""
    with lesson_folder():
        from lessons.posts.webapp import serve

        serve(port)


@contextmanager
def lesson_folder() -> Iterator[Path]:
    """Paths of the stages are relative to the lesson's folder; yields the one where the command was typed.

    Raises:
        UserError: a stage has not run.
    """
    place = Path.cwd()
    os.chdir(FOLDER)
    try:
        yield place
    except FileNotFoundError as error:
        raise UserError(
            f"the lesson has not run, {error.filename or error} is not there: `dvc repro` in {FOLDER}"
        ) from None


def main() -> None:
    with reported():
        app(prog_name="soundtrack-lesson")


if __name__ == "__main__":
    main()
