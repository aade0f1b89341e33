"""Register the chosen model, and make it the champion if it passes the promotion gate."""

from pipeline import tracking
from pipeline.base import paths
from pipeline.base.files import atomic_write
from pipeline.config.project import Params
from pipeline.serving import bundle, manifest, model_card, promotion
from pipeline.tracking import links, registry


def champion(settings: Params) -> str:
    name = settings.champion.name
    tracking.connect(settings.tracking.experiment)  # a server that is down is an error before the work
    candidate = bundle.candidate()
    with atomic_write(paths.CANDIDATE) as folder:
        bundle.write(candidate, settings, folder)
    present = registry.champion(name)
    decision = promotion.gate(candidate, present, settings)
    cost = model_card.measure(paths.CANDIDATE, candidate)
    run_id = manifest.load(paths.CANDIDATE).run_id
    # the run's tags stay: they say what it was trained from, and this may be another experiment of DVC's
    with tracking.run(settings.tracking.experiment, candidate.key, run_id, {}) as run:
        version = registry.register(name, candidate.key, paths.CANDIDATE, run.id)
        run.log_metrics({"cost/bundle_mb": cost.size_mb, "cost/audio_to_label_ms": 1000 * cost.latency_s})
        if decision.passed:
            registry.promote(name, version)
        sentence = decision.sentence(version, present)
        pages = {
            f"run {run.id}": links.run_page(settings.tracking.experiment, run.id),
            f"model {name}, version {version}": links.version_page(name, version),
        }
        card = model_card.write(candidate, paths.CANDIDATE, cost, sentence, pages, settings)
        for file in (paths.CARD, paths.OOD_FIGURE):
            run.log_file(file)
    registry.describe(name, version, card, run.id)
    return f"{name} version {version} ({candidate.key}). {sentence}"
