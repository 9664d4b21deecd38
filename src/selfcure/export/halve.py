"""float16: weights are stored in 16 bits and computed with in 32, so a file is half as large and as fast."""

from pathlib import Path

import numpy as np

_FEWEST = 256
"""Smaller tensors (biases, batch norm) stay as they are: they weigh nothing."""


def halve(path: Path) -> None:
    """Rewrite the ONNX file ``path`` with its large float32 weights in float16, each cast back where it is used.

    Engines cast once, when they load the file. Metadata stay.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(path)
    graph, casts = model.graph, []
    for weight in graph.initializer:
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < _FEWEST:
            continue
        name, values = weight.name, numpy_helper.to_array(weight)
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.float16"))
        casts.append(helper.make_node("Cast", [weight.name], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)
    path.write_bytes(model.SerializeToString())
