"""A page to try a model: drop a song on it and see the prediction, segment by segment.

``python -m pipeline.serving.webapp BUNDLE`` serves it to this machine alone.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from pipeline.base.files import sha256
from pipeline.config.features import Features
from pipeline.features.mel import mel
from pipeline.features.sound import Sound, decibels
from pipeline.reports import data_figures, pages
from pipeline.reports.figures import OKABE_ITO
from pipeline.serving import labelling
from pipeline.serving.labelling import ONLY_THIS_PAGE
from pipeline.serving.manifest import Example, Manifest
from pipeline.serving.predictor import Predictor, SongPrediction
from pipeline.serving.segments import SongError

MAX_BYTES = 200_000_000
"""Size of a file that is accepted."""
MAX_COLUMNS = 1200
"""Of the spectrogram's image."""
NOTHING_FROM_OUTSIDE = {
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; img-src data:; media-src 'self' blob:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
}
LINES = "application/x-ndjson"
"""A client that accepts this is told of progress: a line of JSON per segment before the answer."""
Step = dict[str, Any]


def app(bundle: Path, table: Path | None = None) -> FastAPI:
    """Of a bundle as :mod:`pipeline.serving.bundle` writes it; with a table of suggested labels also the tab Label."""
    predictor = Predictor(bundle)
    examples = available(predictor.manifest.examples)
    template = pages.environment().get_template("page.html.j2")
    shown = template.render(
        known=predictor.manifest, examples=examples, colours=OKABE_ITO, max_bytes=MAX_BYTES, lines=LINES, table=table
    )
    lock = asyncio.Lock()
    server = FastAPI(openapi_url=None)
    # a page elsewhere could give its own name this machine's address, and read the answers
    server.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    if table is not None:
        server.include_router(labelling.router(table, predictor.manifest.labels))

    @server.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(shown, headers=NOTHING_FROM_OUTSIDE)

    @server.get("/examples/{number}")
    def example(number: int) -> FileResponse:
        if number not in range(len(examples)) or not Path(examples[number].path).is_file():
            raise HTTPException(404, "the clip is not there")
        return FileResponse(examples[number].path, media_type="application/octet-stream", headers=ONLY_THIS_PAGE)

    @server.post("/classify")
    async def classify(request: Request) -> Response:
        try:
            steps = analysed(request, await received(request))
            step = await anext(steps, None)  # before the status is sent
            if LINES in request.headers.get("accept", ""):
                return StreamingResponse(lines(step, steps), media_type=LINES)
            async for later in steps:
                step = later
            return JSONResponse(step)
        except SongError as error:
            raise HTTPException(400, str(error)) from None
        except ClientDisconnect:
            return Response()  # to nobody

    async def analysed(request: Request, file: BinaryIO) -> AsyncIterator[Step]:
        steps = predict(predictor, file)
        while not await request.is_disconnected():
            async with lock:  # one segment at a time: memory stays that of one
                # meanwhile others had their turn, and this one may have gone
                step = None if await request.is_disconnected() else await run_in_threadpool(next, steps, None)
            if step is None:
                break
            yield step

    return server


def available(examples: list[Example]) -> list[Example]:
    """Those whose clip is in the checkout, unchanged."""
    return [one for one in examples if Path(one.path).is_file() and sha256(Path(one.path)) == one.sha256]


async def received(request: Request) -> BinaryIO:
    """The request's body, as a file that vanishes when it is closed.

    Raises:
        HTTPException: the body is empty, or larger than MAX_BYTES.
    """
    too_large = HTTPException(413, f"larger than {MAX_BYTES / 1e6:.0f} MB")
    if int(request.headers.get("content-length", 0)) > MAX_BYTES:
        raise too_large
    file = tempfile.TemporaryFile()  # noqa: SIM115
    async for chunk in request.stream():
        file.write(chunk)
        if file.tell() > MAX_BYTES:
            raise too_large
    if not file.tell():
        raise HTTPException(400, "the file is empty")
    file.seek(0)
    return file


async def lines(first: Step | None, steps: AsyncIterator[Step]) -> AsyncIterator[str]:
    """The steps as lines of JSON; an error after the first one is a line as well, since the status was sent."""
    try:
        yield json.dumps(first) + "\n"
        async for step in steps:
            yield json.dumps(step) + "\n"
    except SongError as error:
        yield json.dumps({"detail": str(error)}) + "\n"


def predict(predictor: Predictor, file: BinaryIO) -> Iterator[Step]:
    """How far it is, in seconds of the song, after each segment; then what the page shows.

    Raises:
        SongError: the file has no usable audio.
    """
    known, spectrogram, found = predictor.manifest, SongSpectrogram(predictor.manifest.features), []
    with file:
        for segment, sound in predictor.decode(file):
            spectrogram.add(segment.start_s, sound)
            found.append(predictor.predict_segment(segment, sound))
            yield {"analysed_s": segment.stop_s}
    prediction = predictor.combine(found)
    yield {
        **prediction.to_dict(),
        "headline": headline(prediction),
        "sentence": sentence(prediction, known),
        "ranking": prediction.ranking,
        "segments": [
            {
                "start_s": one.start_s,
                "stop_s": one.stop_s,
                "probabilities": dict(zip(known.labels, one.probabilities.tolist(), strict=True)),
            }
            for one in found
        ],
        "spectrogram": pages.data_uri("image/png", spectrogram.png()),
    }


def headline(prediction: SongPrediction) -> str:
    guess = f"{prediction.guess}, {percent(prediction.confidence)}"
    return {
        "confident": guess,
        "uncertain": f"Not sure: best guess {guess}",
        "out-of-distribution": "Out of distribution: unlike what the model knows",
    }[prediction.verdict]


def sentence(prediction: SongPrediction, known: Manifest) -> str:
    """The verdict in words."""
    if prediction.verdict == "out-of-distribution" and known.tags:
        return "No tag of these genres is probable. Do not rely on the probabilities below."
    if prediction.verdict == "out-of-distribution":
        return (
            f"Its distance from the nearest training clip is {prediction.distance:.1f}, the threshold "
            f"{known.ood_threshold:.1f}. Do not rely on the probabilities below."
        )
    if known.confidence_threshold > 1:
        return "This model is never sure: no confidence threshold was precise enough on validation clips."
    threshold, right = percent(known.confidence_threshold), percent(known.target_precision)
    if prediction.verdict == "uncertain":
        return f"This is below the confidence threshold of {threshold}. Above it, {right} of answers were right on validation clips."
    return f"This is above the confidence threshold of {threshold}, where {right} of answers were right on validation clips."


def percent(share: float) -> str:
    """Whole percents; a model is never told to be certain."""
    if 0.995 <= share < 1:
        return "over 99\u00a0%"
    return f"{100 * share:.0f}\u00a0%"


class SongSpectrogram:
    """A mel spectrogram of a song of any length in one image: when its columns are full, it joins them in pairs."""

    def __init__(self, features: Features) -> None:
        self._settings = features.spectrogram
        self._sums = np.zeros((MAX_COLUMNS, self._settings.bands + 1))
        """Of the power in each band, and the number of frames in these sums."""
        self._span = 1
        """Frames per column."""

    def add(self, start_s: float, sound: Sound) -> None:
        """Add a segment that begins at ``start_s``; gaps between segments stay dark."""
        spectrum = sound.stft(self._settings.n_fft, self._settings.hop_length)
        power = mel(spectrum.real**2 + spectrum.imag**2, sound.rate, self._settings.bands)
        first = round(start_s * sound.rate / self._settings.hop_length)
        places = first + np.arange(len(power))
        while places[-1] // self._span >= MAX_COLUMNS:
            pairs = self._sums.reshape(MAX_COLUMNS // 2, 2, -1).sum(axis=1)
            self._sums = np.concatenate([pairs, np.zeros_like(pairs)])
            self._span *= 2
        np.add.at(self._sums, places // self._span, np.c_[power, np.ones(len(power))])

    def png(self) -> bytes:
        """Time to the right, low bands at the bottom; from the song's loudest point down to ``top_db`` below."""
        frames = self._sums[:, -1:]
        columns = int(np.flatnonzero(frames)[-1]) + 1
        power = (self._sums[:, :-1] / np.maximum(frames, 1))[:columns]
        levels = decibels(power, power.max(), top_db=self._settings.top_db)
        return data_figures.bands(levels, -self._settings.top_db)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.serving.webapp", description=__doc__)
    parser.add_argument("bundle", type=Path, help="a model's folder, with manifest.json in it")
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--labels", type=Path, metavar="CSV", help="a table of `soundtrack suggest`, to be corrected")
    arguments = parser.parse_args()
    uvicorn.run(app(arguments.bundle, arguments.labels), host="127.0.0.1", port=arguments.port, log_level="warning")


if __name__ == "__main__":
    main()
