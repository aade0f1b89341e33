"""Register the best model by validation, and make it the champion if it passes the promotion gate."""

from pipeline import tracking
from pipeline.base import paths
from pipeline.base.files import atomic_write
from pipeline.config.project import Params
from pipeline.serving import bundle, manifest, model_card, promotion
from pipeline.tracking import registry


def champion(settings: Params) -> str:
    name = settings.champion.name
    tracking.connect(settings.tracking.experiment)  # a server that is down is an error before the work
    candidate = bundle.best(settings)
    with atomic_write(paths.CANDIDATE) as folder:
        bundle.write(candidate, settings, folder)
    present = registry.champion(name)
    decision = promotion.gate(candidate, present, settings)
    cost = model_card.measure(paths.CANDIDATE, candidate)
    run_id = manifest.load(paths.CANDIDATE).run_id
    # the run's tags stay: they say what it was trained from, and this may be another experiment of DVC's
    with tracking.run(settings.tracking.experiment, candidate.key, run_id, {}) as run:
        version = registry.register(name, paths.CANDIDATE, run.id, {"experiment": candidate.key})
        run.log_metrics({"model_mb": cost.size_mb, "latency_ms": 1000 * cost.latency_s})
    if decision.passed:
        registry.promote(name, version)
    sentence = decision.sentence(version, present)
    model_card.write(candidate, paths.CANDIDATE, cost, version, sentence, settings)
    registry.describe(name, version, paths.CARD.read_text(encoding="utf-8"))
    return f"{name} version {version} ({candidate.key}). {sentence}"
