"""Small ONNX files made for the tests, with weights and inputs in quarters so that float32 computes them exactly."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

NEWEST = onnx.defs.onnx_opset_version()
OPSETS = (8, 9, 11, 13, 18, NEWEST)


def ir_version(opset: int) -> int:
    """Return a file version that tools of the operator set's time, and today's onnxruntime, read."""
    return {8: 3, 9: 4, 11: 6, 13: 7, 18: 8}.get(opset, 10)


def quarters(generator: np.random.Generator, *shape: int) -> np.ndarray:
    """Return random quarters between -2 and 2."""
    return generator.integers(-8, 9, size=shape) / 4


def model(
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    shapes: dict[str, Sequence[int | str | None]],
    *,
    opset: int = 13,
    outputs: Sequence[str] = ("y",),
    kind: int = onnx.TensorProto.FLOAT,
) -> onnx.ModelProto:
    """Make a model; float constants are stored in the model's float type, and listed as inputs in old file versions."""
    version = ir_version(opset)
    float_type = helper.tensor_dtype_to_np_dtype(kind)
    stored = [
        numpy_helper.from_array(v.astype(float_type) if v.dtype == np.float64 else v, name)
        for name, v in constants.items()
    ]
    inputs = [helper.make_tensor_value_info(name, kind, shape) for name, shape in shapes.items()]
    if version < 4:
        inputs = [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in stored] + inputs
    results = [helper.make_tensor_value_info(name, kind, None) for name in outputs]
    graph = helper.make_graph(list(nodes), "test", inputs, results, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=version)


def save(path: Path, proto: onnx.ModelProto) -> Path:
    path.write_bytes(proto.SerializeToString())
    return path


def node(operator: str, inputs: str, outputs: str = "y", **attributes: Any) -> onnx.NodeProto:
    """Make a node; names are separated by spaces, `_` leaves an optional argument out."""
    names = ["" if name == "_" else name for name in inputs.split()]
    given = {key: value for key, value in attributes.items() if value is not None}
    return helper.make_node(operator, names, outputs.split(), **given)
