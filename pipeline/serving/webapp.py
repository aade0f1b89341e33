"""A page to try a model: a person drops a song on it and sees what the model makes of it.

``python -m pipeline.serving.webapp PACKAGE`` serves it to this machine alone.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from pipeline.reports import pages
from pipeline.reports.figures import OKABE_ITO
from pipeline.serving.manifest import About
from pipeline.serving.overview import Overview
from pipeline.serving.predictor import Answer, Array, Classifier
from pipeline.serving.sections import SongError

LARGEST = 200_000_000
"""Bytes of a file that is listened to."""
NOTHING_FROM_OUTSIDE = {
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; img-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
}


def app(package: Path) -> FastAPI:
    """
    Args:
        package: a model as :mod:`pipeline.serving.bundle` writes it.
    """
    classifier = Classifier(package)
    shown = html(classifier.about)
    # features of one song at a time: memory stays that of one
    lock = asyncio.Lock()
    served = FastAPI(openapi_url=None)
    # a page elsewhere could give its own name this machine's address, and read the answers
    served.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])

    @served.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(shown, headers=NOTHING_FROM_OUTSIDE)

    @served.post("/classify")
    async def classify(request: Request) -> dict[str, Any]:
        with tempfile.TemporaryFile() as file:
            await receive(request, file)
            try:
                async with lock:
                    return await run_in_threadpool(told, classifier, file)
            except SongError as error:
                raise HTTPException(400, str(error)) from None

    return served


def html(known: About) -> str:
    template = pages.environment().get_template("page.html.j2")
    return template.render(known=known, colours=OKABE_ITO, largest=LARGEST)


async def receive(request: Request, file: BinaryIO) -> None:
    """Write the request's body to the file, and go back to its start.

    Raises:
        HTTPException: there is none, or more than LARGEST.
    """
    too_large = HTTPException(413, f"larger than {LARGEST / 1e6:.0f} MB")
    if int(request.headers.get("content-length", 0)) > LARGEST:
        raise too_large
    async for chunk in request.stream():
        file.write(chunk)
        if file.tell() > LARGEST:
            raise too_large
    if not file.tell():
        raise HTTPException(400, "the file is empty")
    file.seek(0)


def told(classifier: Classifier, file: BinaryIO) -> dict[str, Any]:
    """What the page shows of a song.

    Raises:
        SongError: nothing of it can be heard.
    """
    known, overview, heard = classifier.about, Overview(classifier.about.features), []
    for section, sound in classifier.decoded(file):
        overview.add(section.start_s, sound)
        heard.append(classifier.hear(section, sound))
    answer = classifier.answer(heard)
    return {
        "label": answer.label,
        "guess": answer.guess,
        "confidence": answer.confidence,
        "verdict": answer.verdict,
        "headline": headline(answer),
        "sentence": sentence(answer, known),
        "ranking": answer.ranking,
        "sections": [
            {
                "start_s": part.start_s,
                "stop_s": part.stop_s,
                "probabilities": by_label(part.probabilities, known),
            }
            for part in heard
        ],
        "seconds": sum(part.stop_s - part.start_s for part in heard),
        "spectrogram": pages.data_uri("image/png", overview.png()),
    }


def by_label(probabilities: Array, known: About) -> dict[str, float]:
    return dict(zip(known.labels, map(float, probabilities), strict=True))


def headline(answer: Answer) -> str:
    told = {
        "named": answer.guess,
        "unsure": f"Unsure, perhaps {answer.guess}",
        "unfamiliar": "Out of its depth",
    }
    return told[answer.verdict]


def sentence(answer: Answer, known: About) -> str:
    """The verdict in words."""
    if answer.verdict == "unfamiliar":
        return (
            f"This is unlike anything the model learned from (distance {answer.distance:.1f}, known up to "
            f"{known.familiar:.1f}): the probabilities below mean little."
        )
    if known.sure > 1:
        return "The model names nothing: on validation, no probability was right often enough."
    least = f"{known.sure:.2f}, from which on {known.precision:.0%} were right on validation"
    if answer.verdict == "unsure":
        return f"No label is as probable as {least}."
    return f"Its probability, {answer.confidence:.2f}, is at least {least}."


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.serving.webapp", description=__doc__)
    parser.add_argument("package", type=Path, help="a model's folder, with about.json in it")
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="(default: %(default)s)")
    arguments = parser.parse_args()
    uvicorn.run(app(arguments.package), host="127.0.0.1", port=arguments.port, log_level="warning")


if __name__ == "__main__":
    main()
