"""A trained model on disk: an ONNX graph from features to label probabilities. No pickle, no torch to run it.

A frozen backbone takes the same form, from a window to its embedding.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]
LOG_PROBS = "log_probs"
"""A second output, of a fusion: (B, branches, labels) log probabilities."""


def export(net: Any, examples: Sequence[Any], names: Sequence[str], outputs: Sequence[str], file: Path) -> None:
    """Write ``net`` with the ``outputs`` that it computes from ``examples``, batches of at least two; the size of a batch
    is free in the graph. ``names`` are the inputs'."""
    import torch

    with warnings.catch_warnings():
        # the exporter that will replace this one takes 20 s for MobileNetV2 in place of 1 s, and 8 s to import
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        # that what only shapes and settings decide is taken for fixed, which it is
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
        # of what it leaves as it is; of negative indices, of which there are none; of WavLM, in transformers
        for message in ("Constant folding", "Exporting aten::index", "Support for mismatched key_padding_mask"):
            warnings.filterwarnings("ignore", message)
        torch.onnx.export(
            net,
            tuple(examples),
            str(file),
            dynamo=False,
            input_names=list(names),
            output_names=list(outputs),
            dynamic_axes={name: {0: "batch"} for name in (*names, *outputs)},
        )


class Exported:
    """Runs an exported model on the CPU."""

    def __init__(self, file: Path, threads: int, output: str | None = None) -> None:
        """``output`` is by default the first."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self.output = output or self.session.get_outputs()[0].name
        self.names = [source.name for source in self.session.get_inputs()]

    def __call__(self, inputs: Sequence[Array]) -> Array:
        """(B, labels or width), or what ``output`` has, from one array per feature, in the experiment's order."""
        (output,) = self.session.run([self.output], dict(zip(self.names, inputs, strict=True)))
        return output
