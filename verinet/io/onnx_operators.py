"""Every operator that can be read, and the folding of those whose arguments are all constant."""

import math
from collections.abc import Mapping

import numpy as np

from verinet.errors import FileFormatError
from verinet.io.onnx_call import Call
from verinet.io.onnx_file import float_types, tensor_values
from verinet.io.onnx_graph import Constant, Tensor, Value
from verinet.io.onnx_linear import LINEAR, Rule
from verinet.io.onnx_movement import MOVEMENTS, move
from verinet.io.onnx_piecewise import PIECEWISE, stack
from verinet.io.onnx_pools import POOLS

__all__ = ["COMPUTATIONS", "REAL_ONLY", "STRUCTURAL", "SUPPORTED", "apply"]

ROUNDLESS = frozenset({"ConstantOfShape", "Equal", "Greater", "Less", "Range", "ScatterND", "Where"})
"""Operators on constants that never round, besides those on whole numbers."""

RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)

REMEDIES = {
    "Softmax": "remove it if it comes last: it keeps the order of the outputs",
    "LogSoftmax": "remove it if it comes last: it keeps the order of the outputs",
    "Sigmoid": "remove it if it comes last, and move the thresholds: it is increasing",
    "Tanh": "remove it if it comes last, and move the thresholds: it is increasing",
}
"""What to do about an operator that is not piecewise linear."""

OTHER_REMEDY = "rewrite the network with piecewise-linear operators; `verinet inspect` lists what is supported"


def _constant(call: Call) -> Value:
    (attribute,) = call.node.attribute
    if attribute.name == "value":
        return tensor_values(attribute.t, f"the constant {call.name!r}")
    if attribute.name in ("value_float", "value_floats"):
        return np.array(attribute.f if attribute.name == "value_float" else list(attribute.floats), dtype=np.float64)
    if attribute.name in ("value_int", "value_ints"):
        return np.array(attribute.i if attribute.name == "value_int" else list(attribute.ints), dtype=np.int64)
    raise call.refusal(f"a constant given as {attribute.name!r}", "export the network with dense numeric constants")


def _concat(call: Call) -> Value:
    values, axis = call.arguments(), call.integer("axis", 1)
    if all(isinstance(v, np.ndarray) for v in values):
        return np.concatenate([v for v in values if isinstance(v, np.ndarray)], axis=axis)
    shape = list(values[0].shape)
    shape[axis] = sum(v.shape[axis] for v in values)
    call.check_size(shape)
    places = np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
    ends = np.cumsum([v.shape[axis] for v in values])
    parts = np.split(places, ends[:-1], axis=axis)
    if any(part.shape != v.shape for part, v in zip(parts, values, strict=True)):
        raise call.fault(f"the shapes {[v.shape for v in values]} do not fit along axis {axis}")
    operands = [call.operand(i) for i in range(len(values))]
    return stack(call, call.name, operands, parts, tuple(shape), 1.0)


def _cast(call: Call) -> Value:
    from onnx import helper

    target, value, floats = call.integer("to", 0), call.argument(0), float_types()
    if isinstance(value, Tensor):
        if target not in floats:
            raise call.refusal("a cast to whole numbers is not piecewise linear", "keep floating-point numbers")
        return value
    cast: Constant = value.astype(helper.tensor_dtype_to_np_dtype(target))
    return cast.astype(np.float64) if target in floats else cast


def _shape(call: Call) -> Value:
    axes = len(call.argument(0).shape)
    start, end = call.integer("start", 0), call.integer("end", axes)
    return np.array(call.argument(0).shape[slice(start, end)], dtype=np.int64)


def _size(call: Call) -> Value:
    return np.array(call.argument(0).size, dtype=np.int64)


STRUCTURAL: Mapping[str, Rule] = {
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _constant,
    "Shape": _shape,
    "Size": _size,
}
"""Operators on constants and tensors alike."""

COMPUTATIONS: Mapping[str, Rule] = {**LINEAR, **PIECEWISE, **POOLS}
"""Operators that compute with a tensor; if all their arguments are constant, they are folded."""

SUPPORTED = frozenset({*MOVEMENTS, *STRUCTURAL, *COMPUTATIONS})
"""Names of the operators that can be read."""


REAL_ONLY = frozenset({"BatchNormalization", "Cast", "Sum"})
"""Operators that are read as exact maps whose coefficients do not bound the rounding of the file's own arithmetic: a
batch normalisation subtracts before it scales, a cast rounds, and several constants of a sum are added up."""


def apply(call: Call) -> tuple[Value, ...]:
    """Interpret one operator.

    Parameters
    ----------
    call : Call

    Returns
    -------
    tuple of Value
        Its results, as far as something may read them.

    Raises
    ------
    UnsupportedOperatorError
        If the operator, or the use that is made of it, cannot be read.
    FileFormatError
        If it does not fit its arguments.
    """
    if call.node.domain not in ("", "ai.onnx"):
        raise call.refusal(f"operators of the domain {call.node.domain!r} are not supported", OTHER_REMEDY)
    _check_schema(call)
    if call.operator in MOVEMENTS:
        return move(call, MOVEMENTS[call.operator])
    if call.operator in STRUCTURAL:
        return (STRUCTURAL[call.operator](call),)
    if not any(isinstance(value, Tensor) for value in call.inputs):
        return _fold(call)
    if call.operator not in COMPUTATIONS:
        reason = "the operator is not supported"
        raise call.refusal(reason, REMEDIES.get(call.operator, OTHER_REMEDY))
    return (COMPUTATIONS[call.operator](call),)


def _check_schema(call: Call) -> None:
    """Refuse what the operator does not have at the file's opset: nothing that is written there may be overlooked."""
    from onnx import defs

    try:
        schema = defs.get_schema(call.operator, call.opset, "")
    except defs.SchemaError:
        raise call.refusal(f"opset {call.opset} has no such operator", OTHER_REMEDY) from None
    unknown = [a.name for a in call.node.attribute if a.name not in schema.attributes]
    if unknown:
        raise call.refusal(f"opset {call.opset} knows no attribute {unknown[0]!r}", "export the model again")
    if not schema.min_input <= len(call.inputs) <= schema.max_input:
        raise call.fault(f"{len(call.inputs)} arguments do not fit opset {call.opset}")


def _fold(call: Call) -> tuple[Value, ...]:
    """Evaluate an operator whose arguments are all constant, in float64."""
    from onnx.reference import ReferenceEvaluator

    if call.operator in RANDOM or any(a.HasField("g") or a.graphs for a in call.node.attribute):
        raise call.refusal("random operators and control flow are not supported", OTHER_REMEDY)
    if call.operator in ("ConstantOfShape", "Range"):
        _check_generated_size(call)
    arguments = {name: v for name, v in zip(call.node.input, call.inputs, strict=True) if isinstance(v, np.ndarray)}
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(call.node, opsets={"": call.opset}).run(None, arguments)
    except Exception as error:
        # The evaluator raises whatever its operators raise.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FileFormatError(
            f"node {call.name!r} ({call.operator}) cannot be computed from its constants ({reason})"
        ) from None
    values = tuple(_widened(np.asarray(result)) for result in results)
    if call.operator not in ROUNDLESS and any(v.dtype == np.float64 for v in values):
        call.builder.note(f"{call.operator} {call.name!r}: computed from constants in float64")
    return values


def _widened(value: Constant) -> Constant:
    return value if value.dtype.kind in "biu" else value.astype(np.float64)


def _check_generated_size(call: Call) -> None:
    if call.operator == "ConstantOfShape":
        call.check_size(call.whole_numbers(0))
    else:
        start, limit, step = (float(call.constant(i).ravel()[0]) for i in range(3))
        call.check_size([int(max(0.0, (limit - start) / step)) if step else 0])
