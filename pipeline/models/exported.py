"""A trained model on disk: an ONNX graph from features to label probabilities. No pickle, no torch to run it."""

import io
import logging
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]
OUTPUT = "probabilities"


def export(net: Any, examples: Sequence[Any], names: Sequence[str], file: Path) -> None:
    """Write ``net`` (logits from ``examples``, batches of at least two) with a softmax behind it.

    Every input has a free batch size and the name of its feature.
    """
    import torch

    class Probabilities(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            return self.net(*inputs).softmax(dim=1)  # type: ignore[no-any-return]

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with redirect_stdout(io.StringIO()):  # the exporter prints its steps
        program = torch.onnx.export(
            Probabilities().eval(),
            tuple(examples),
            dynamo=True,
            input_names=list(names),
            output_names=[OUTPUT],
            dynamic_shapes=(tuple({0: torch.export.Dim("batch")} for _ in names),),
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    program.save(str(file), external_data=False)


class Exported:
    """Runs an exported model on the CPU."""

    def __init__(self, file: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self.names = [source.name for source in self.session.get_inputs()]

    def __call__(self, inputs: Sequence[Array]) -> Array:
        """(B, labels) from one array per feature, in the experiment's order."""
        (probabilities,) = self.session.run([OUTPUT], dict(zip(self.names, inputs, strict=True)))
        return probabilities  # type: ignore[no-any-return]
