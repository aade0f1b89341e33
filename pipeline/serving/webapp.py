"""A page to try a model: drop a song on it and see the prediction, segment by segment.

``python -m pipeline.serving.webapp BUNDLE`` serves it to this machine alone.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse
from librosa import power_to_db
from starlette.middleware.trustedhost import TrustedHostMiddleware

from pipeline.config.features import Features
from pipeline.features.sound import Sound, mel
from pipeline.reports import data_figures, pages
from pipeline.reports.figures import OKABE_ITO
from pipeline.serving.manifest import Manifest
from pipeline.serving.predictor import Predictor, SongPrediction
from pipeline.serving.segments import SongError

MAX_BYTES = 200_000_000
"""Size of a file that is accepted."""
MAX_COLUMNS = 1200
"""Of the spectrogram's image."""
NOTHING_FROM_OUTSIDE = {
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; img-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
}


def app(bundle: Path) -> FastAPI:
    """Of a bundle as :mod:`pipeline.serving.bundle` writes it."""
    predictor = Predictor(bundle)
    template = pages.environment().get_template("page.html.j2")
    shown = template.render(known=predictor.manifest, colours=OKABE_ITO, max_bytes=MAX_BYTES)
    # features of one song at a time: memory stays that of one
    lock = asyncio.Lock()
    server = FastAPI(openapi_url=None)
    # a page elsewhere could give its own name this machine's address, and read the answers
    server.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])

    @server.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(shown, headers=NOTHING_FROM_OUTSIDE)

    @server.post("/classify")
    async def classify(request: Request) -> dict[str, Any]:
        with tempfile.TemporaryFile() as file:
            await receive(request, file)
            try:
                async with lock:
                    return await run_in_threadpool(predict, predictor, file)
            except SongError as error:
                raise HTTPException(400, str(error)) from None

    return server


async def receive(request: Request, file: BinaryIO) -> None:
    """Write the request's body to the file, and go back to its start.

    Raises:
        HTTPException: the body is empty, or larger than MAX_BYTES.
    """
    too_large = HTTPException(413, f"larger than {MAX_BYTES / 1e6:.0f} MB")
    if int(request.headers.get("content-length", 0)) > MAX_BYTES:
        raise too_large
    async for chunk in request.stream():
        file.write(chunk)
        if file.tell() > MAX_BYTES:
            raise too_large
    if not file.tell():
        raise HTTPException(400, "the file is empty")
    file.seek(0)


def predict(predictor: Predictor, file: BinaryIO) -> dict[str, Any]:
    """What the page shows.

    Raises:
        SongError: the file has no usable audio.
    """
    known, spectrogram, found = predictor.manifest, SongSpectrogram(predictor.manifest.features), []
    for segment, sound in predictor.decode(file):
        spectrogram.add(segment.start_s, sound)
        found.append(predictor.predict_segment(segment, sound))
    prediction = predictor.combine(found)
    return {
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
    return {
        "confident": prediction.guess,
        "uncertain": f"Uncertain, perhaps {prediction.guess}",
        "out-of-distribution": "Out of distribution",
    }[prediction.verdict]


def sentence(prediction: SongPrediction, known: Manifest) -> str:
    """The verdict in words."""
    if prediction.verdict == "out-of-distribution":
        return (
            f"This song is unlike all training clips (distance {prediction.distance:.1f}, limit "
            f"{known.ood_threshold:.1f}). Do not rely on the probabilities below."
        )
    if known.confidence_threshold > 1:
        return "This model is never confident: no confidence threshold was precise enough on validation clips."
    above = f"Above that, {known.target_precision:.0%} of predictions were right on validation clips."
    if prediction.verdict == "uncertain":
        return f"The best guess is below {known.confidence_threshold:.0%}. {above}"
    return f"Its probability is {prediction.confidence:.0%}. The confidence threshold is {known.confidence_threshold:.0%}. {above}"


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
        decibels = power_to_db(power, ref=np.max, top_db=self._settings.top_db)
        return data_figures.bands(decibels, -self._settings.top_db)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.serving.webapp", description=__doc__)
    parser.add_argument("bundle", type=Path, help="a model's folder, with manifest.json in it")
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="(default: %(default)s)")
    arguments = parser.parse_args()
    uvicorn.run(app(arguments.bundle), host="127.0.0.1", port=arguments.port, log_level="warning")


if __name__ == "__main__":
    main()
