"""``pl``: pytorch_lightning, imported in half of its time.

Lightning asks torchmetrics for one class, to know its objects when they are logged. The package around that class
imports every metric there is, and with them transformers and scipy.signal; no metric of it is used here.
"""

import importlib.util
import logging
import sys


def _torchmetrics_without_metrics() -> None:
    spec = importlib.util.find_spec("torchmetrics")
    if spec is None or "torchmetrics" in sys.modules:
        return
    package = importlib.util.module_from_spec(spec)
    package._logger = logging.getLogger("torchmetrics")  # type: ignore[attr-defined]
    sys.modules["torchmetrics"] = package  # its __init__ is not run, its submodules can be imported
    importlib.import_module("torchmetrics.utilities")
    package.Metric = importlib.import_module("torchmetrics.metric").Metric  # type: ignore[attr-defined]
    package.MetricCollection = importlib.import_module("torchmetrics.collections").MetricCollection  # type: ignore[attr-defined]


_torchmetrics_without_metrics()

import pytorch_lightning as pl  # noqa: E402

__all__ = ["pl"]
