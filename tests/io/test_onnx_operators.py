"""Every operator rule against onnxruntime, over random shapes and attributes, at operator sets old and new."""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.io.onnx_models import NEWEST, OPSETS, model, node, quarters, save
from verinet.io.onnx_operators import SUPPORTED
from verinet.io.onnx_reader import read_onnx
from verinet.io.onnx_replay import Replayer
from verinet.model import Affine, Relu, evaluate, evaluate_exact

EXACT = 0.0
ROUNDING = 2e-6
"""Relative difference allowed where the operator's definition rounds: averages, division, batch normalisation."""


@dataclass
class Case:
    """One operator as drawn: what the test's file will hold."""

    nodes: list[onnx.NodeProto]
    shape: tuple[int, ...]
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    opset: int = 13
    outputs: tuple[str, ...] = ("y",)
    tolerance: float = EXACT
    types: dict[str, np.ndarray] = field(default_factory=dict)


class Draw:
    """Hypothesis choices by name."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any], opset: int) -> None:
        self.draw, self.opset = draw, opset
        self.generator = np.random.default_rng(draw(st.integers(0, 2**16)))

    def integer(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))

    def among(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def flag(self) -> bool:
        return bool(self.draw(st.booleans()))

    def shape(self, axes: int, most: int = 4, lead: int = 1) -> tuple[int, ...]:
        """Draw a shape whose first axis is the batch."""
        return (lead, *(self.integer(1, most) for _ in range(axes - 1)))

    def numbers(self, *shape: int) -> np.ndarray:
        return quarters(self.generator, *shape)

    def broadcast_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Draw a shape that broadcasts with the given one, in either direction."""
        cut = self.integer(0, len(shape))
        return tuple(1 if self.flag() else (self.integer(2, 3) if n == 1 and self.flag() else n) for n in shape[cut:])


def case(d: Draw, nodes: Any, shape: tuple[int, ...], tolerance: float = EXACT, **constants: Any) -> Case:
    arrays = {name: v for name, v in constants.items() if v is not None}
    return Case(nodes if isinstance(nodes, list) else [nodes], shape, arrays, d.opset, tolerance=tolerance)


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


# Affine operators


def gemm(d: Draw) -> Case:
    rows, inner, columns = d.among(1, 1, 3), d.integer(1, 4), d.integer(1, 4)
    trans_a, trans_b = d.integer(0, 1), d.integer(0, 1)
    shape = (inner, rows) if trans_a else (rows, inner)
    weights = d.numbers(*((columns, inner) if trans_b else (inner, columns)))
    bias_shape = d.among((), (1,), (columns,), (1, columns), (rows, 1), (rows, columns))
    bias = None if d.opset >= 11 and d.flag() else d.numbers(*bias_shape)
    attributes = {"alpha": d.among(None, 1.0, 0.5, -2.0, 0.75), "beta": d.among(None, 1.0, 0.25, 0.0)}
    arguments = "x w" if bias is None else "x w b"
    return case(d, node("Gemm", arguments, transA=trans_a, transB=trans_b, **attributes), shape, w=weights, b=bias)


def gemm_right(d: Draw) -> Case:
    rows, inner, columns = d.integer(1, 3), d.integer(1, 3), d.integer(1, 3)
    return case(d, node("Gemm", "w x b"), (inner, columns), w=d.numbers(rows, inner), b=d.numbers(rows, columns))


def gemm_tensor_addend(d: Draw) -> Case:
    shape = d.shape(2)
    return case(d, node("Gemm", "x w x", beta=d.among(1.0, -0.5)), shape, w=d.numbers(shape[1], shape[1]))


def matmul(d: Draw) -> Case:
    shape = (*d.shape(d.integer(1, 3), lead=d.among(1, 2)), d.integer(1, 3))
    columns = d.among((), (d.integer(1, 3),))
    batch = () if not columns or d.flag() else tuple(d.among(1, n) for n in shape[:-2])
    return case(d, node("MatMul", "x w"), shape, w=d.numbers(*batch, shape[-1], *columns))


def matmul_left(d: Draw) -> Case:
    inner = d.integer(1, 3)
    shape = d.among((inner,), (inner, 1), (inner, 2), (1, inner, 1), (2, inner, 2))
    rows = d.among((), (d.integer(1, 3),))
    return case(d, node("MatMul", "w x"), shape, w=d.numbers(*rows, inner))


def add(d: Draw) -> Case:
    shape = d.shape(d.integer(1, 4), 3)
    arguments = d.among("x c", "c x")
    return case(d, node(d.among("Add", "Sub"), arguments), shape, c=d.numbers(*d.broadcast_shape(shape)))


def add_tensors(d: Draw) -> Case:
    n = d.integer(1, 3)
    nodes = [node("MatMul", "x w", "t"), node(d.among("Add", "Sub"), d.among("x t", "t x", "x x", "t t"))]
    return case(d, nodes, (1, 2, n), w=d.numbers(n, d.among(1, n)))


def variadic_sum(d: Draw) -> Case:
    shape = d.shape(3, 3)
    return case(d, node("Sum", "x c x e"), shape, c=d.numbers(*d.broadcast_shape(shape)), e=d.numbers(1))


def mul(d: Draw) -> Case:
    shape = d.shape(d.integer(1, 3), 3)
    return case(d, node("Mul", d.among("x c", "c x")), shape, c=d.numbers(*d.broadcast_shape(shape)))


def div(d: Draw) -> Case:
    shape = d.shape(2)
    exact = d.flag()
    divisor = d.generator.choice([0.5, -2.0, 4.0] if exact else [3.0, -0.75, 1.0], size=d.broadcast_shape(shape))
    return case(d, node("Div", "x c"), shape, EXACT if exact else ROUNDING, c=np.asarray(divisor, dtype=np.float64))


def neg(d: Draw) -> Case:
    return case(d, node("Neg", "x"), d.shape(d.integer(1, 4), 3))


def batch_normalization(d: Draw) -> Case:
    shape = d.shape(d.integer(2, 4))
    channels = shape[1]
    parameters = {name: d.numbers(channels) for name in "sbm"}
    attributes = {"epsilon": d.among(None, 0.01), "spatial": 1 if d.opset < 9 else None}
    variance = np.abs(d.numbers(channels)) + 0.5
    return case(d, node("BatchNormalization", "x s b m v", **attributes), shape, ROUNDING, **parameters, v=variance)


def conv(d: Draw) -> Case:
    axes, groups = d.integer(1, 2), d.integer(1, 2)
    channels, filters = d.integer(1, 2), groups * d.integer(1, 2)
    space = tuple(d.integer(3, 6) for _ in range(axes))
    kernel = tuple(d.integer(1, 3) for _ in range(axes))
    padding = d.among("explicit", "none", "SAME_UPPER", "SAME_LOWER", "VALID")
    dilations = tuple(d.integer(1, 2) for _ in range(axes))
    if padding.startswith("SAME"):
        dilations = (1,) * axes
    attributes = {
        "kernel_shape": d.among(None, kernel),
        "strides": d.among(None, tuple(d.integer(1, 3) for _ in range(axes))),
        "dilations": dilations,
        "group": groups,
        "pads": tuple(d.integer(0, 2) for _ in range(2 * axes)) if padding == "explicit" else None,
        "auto_pad": None if padding in ("explicit", "none") else padding,
    }
    pads = attributes["pads"] or (0,) * (2 * axes)
    reach = [e * (k - 1) + 1 for e, k in zip(dilations, kernel, strict=True)]
    assume(all(n + p + q >= r for n, p, q, r in zip(space, pads[:axes], pads[axes:], reach, strict=True)))
    bias = d.numbers(filters) if d.flag() else None
    arguments = "x w" if bias is None else "x w b"
    weights = d.numbers(filters, channels, *kernel)
    return case(d, node("Conv", arguments, **attributes), (1, channels * groups, *space), w=weights, b=bias)


# Piecewise-linear operators


def relu(d: Draw) -> Case:
    return case(d, node("Relu", "x"), d.shape(d.integer(1, 4), 3))


def leaky_relu(d: Draw) -> Case:
    return case(d, node("LeakyRelu", "x", alpha=d.among(0.25, 0.5, 0.0, 1.0, -1.0, 3.0)), d.shape(2))


def leaky_relu_rounding(d: Draw) -> Case:
    return case(d, node("LeakyRelu", "x", alpha=d.among(None, 0.1, 1e-30)), d.shape(2), ROUNDING)


def prelu(d: Draw) -> Case:
    shape = d.shape(3)
    return case(d, node("PRelu", "x s"), shape, s=d.numbers(*d.among((1,), shape[1:], (shape[1], 1))))


def absolute(d: Draw) -> Case:
    return case(d, node("Abs", "x"), d.shape(2))


def clip(d: Draw) -> Case:
    low, high = sorted((d.integer(-4, 4) / 4, d.integer(-4, 4) / 4))
    has_low, has_high, shape = d.flag(), d.flag(), d.shape(3)
    if d.opset < 11:
        attributes = {"min": low if has_low else None, "max": high if has_high else None}
        return case(d, node("Clip", "x", **attributes), shape)
    arguments = f"x {'l' if has_low else '_'} {'h' if has_high else '_'}"
    return case(d, node("Clip", arguments), shape, l=np.array(low), h=np.array(high))


def extremum(d: Draw) -> Case:
    shape = d.shape(3, 3)
    arguments = d.among("x", "x c", "c x", "x x c", "x z")
    constants = {"c": d.numbers(*d.broadcast_shape(shape)), "z": np.zeros(1)}
    used = {name: v for name, v in constants.items() if name in arguments}
    return case(d, node(d.among("Max", "Min"), arguments), shape, **used)


def pool(d: Draw, operator: str) -> Case:
    axes = d.integer(1, 2)
    space = tuple(d.integer(2, 6) for _ in range(axes))
    kernel = tuple(d.integer(1, min(3, n)) for n in space)
    padding = d.among("explicit", "none", "SAME_UPPER", "SAME_LOWER", "VALID")
    # A pad as large as the kernel would leave windows in the padding alone.
    pads = tuple(d.integer(0, k - 1) for k in kernel + kernel)
    may_dilate = operator == "MaxPool" and d.opset >= 10 and not padding.startswith("SAME")
    dilations = tuple(d.integer(1, 2) for _ in range(axes)) if may_dilate else None
    may_ceil = d.opset >= 10 and padding in ("explicit", "none")
    attributes = {
        "kernel_shape": kernel,
        "strides": tuple(d.integer(1, 3) for _ in range(axes)),
        "pads": pads if padding == "explicit" else None,
        "auto_pad": None if padding in ("explicit", "none") else padding,
        "dilations": dilations,
        "ceil_mode": d.integer(0, 1) if may_ceil else None,
        "count_include_pad": d.integer(0, 1) if operator == "AveragePool" else None,
    }
    for n, k, e, stride in zip(space, kernel, dilations or (1,) * axes, attributes["strides"], strict=True):
        # onnxruntime refuses automatic pads that come out negative.
        assume(n >= e * (k - 1) + 1 and (k >= stride or not padding.startswith("SAME")))
    tolerance = ROUNDING if operator == "AveragePool" else EXACT
    return case(d, node(operator, "x", **attributes), (1, d.integer(1, 2), *space), tolerance)


def max_pool(d: Draw) -> Case:
    return pool(d, "MaxPool")


def average_pool(d: Draw) -> Case:
    return pool(d, "AveragePool")


def global_pool(d: Draw) -> Case:
    operator = d.among("GlobalAveragePool", "GlobalMaxPool")
    return case(d, node(operator, "x"), d.shape(d.integer(3, 4)), ROUNDING)


def reduction(d: Draw) -> Case:
    operator = d.among("ReduceMax", "ReduceMin", "ReduceSum", "ReduceMean")
    axes = d.among(None, (1,), (-1, 1), (2,))
    as_input = d.opset >= (13 if operator == "ReduceSum" else 18)
    attributes: dict[str, Any] = {"keepdims": d.integer(0, 1)}
    if as_input:
        constants = {} if axes is None else {"a": ints(*axes)}
        return case(d, node(operator, "x a" if axes else "x", **attributes), (1, 2, 3, 2), ROUNDING, **constants)
    return case(d, node(operator, "x", axes=axes, **attributes), (1, 2, 3, 2), ROUNDING)


# Movements


def reshape(d: Draw) -> Case:
    wanted = d.among((-1,), (1, -1), (0, 6), (0, -1, 2), (2, 0, 0), (3, 2, 2))
    shape = (2, 2, 3) if wanted == (2, 0, 0) else (1, 4, 3) if wanted != (0, 6) else (2, 2, 3)
    return case(d, node("Reshape", "x s"), shape, s=ints(*wanted))


def flatten(d: Draw) -> Case:
    axes = d.integer(1, 4)
    axis = d.integer(0 if d.opset < 11 else -axes, axes)
    return case(d, node("Flatten", "x", axis=axis), d.shape(axes, 3))


def transpose(d: Draw) -> Case:
    shape = d.shape(d.integer(1, 4), 3)
    perm = d.draw(st.permutations(range(len(shape))))
    return case(d, node("Transpose", "x", perm=d.among(None, list(perm))), shape)


def squeeze(d: Draw) -> Case:
    axes = d.among(None, (1,), (3,), (1, 3))
    if d.opset < 13:
        return case(d, node("Squeeze", "x", axes=axes), (1, 1, 3, 1))
    return case(d, node("Squeeze", "x a" if axes else "x"), (1, 1, 3, 1), **({"a": ints(*axes)} if axes else {}))


def unsqueeze(d: Draw) -> Case:
    axes = d.among((0,), (1,), (3,), (1, 3))
    if d.opset < 13:
        return case(d, node("Unsqueeze", "x", axes=axes), (1, 2, 3))
    return case(d, node("Unsqueeze", "x a"), (1, 2, 3), a=ints(*axes))


def expand(d: Draw) -> Case:
    return case(d, node("Expand", "x s"), (1, 1, 3), s=ints(*d.among((2, 1), (2, 2, 1), (3, 1, 4, 3))))


def tile(d: Draw) -> Case:
    return case(d, node("Tile", "x r"), (1, 2, 3), r=ints(1, d.integer(1, 2), d.integer(1, 3)))


def gather(d: Draw) -> Case:
    axis = d.integer(-2, 2)
    chosen = d.generator.integers(0 if d.opset < 11 else -2, 2, size=d.among((), (1,), (3,), (2, 2)))
    return case(d, node("Gather", "x i", axis=axis), (2, 3, 4), i=np.asarray(chosen, dtype=np.int64))


def slices(d: Draw) -> Case:
    axes = d.among((1,), (2, 1), (-1,)) if d.opset >= 10 else d.among((1,), (2, 1))
    starts = [d.integer(-6, 2) for _ in axes]
    steps = [d.among(1, 2, -1, -2) if d.opset >= 10 else 1 for _ in axes]
    ends = [d.among(-7, -1, 3, 5, 2**31) for _ in axes]
    taken = [len(range(*slice(a, b, s).indices(n))) for a, b, s, n in zip(starts, ends, steps, (4, 4), strict=False)]
    assume(all(taken))
    if d.opset < 10:
        return case(d, node("Slice", "x", axes=axes, starts=starts, ends=ends), (1, 4, 4))
    return case(d, node("Slice", "x s e a t"), (1, 4, 4), s=ints(*starts), e=ints(*ends), a=ints(*axes), t=ints(*steps))


def split(d: Draw) -> Case:
    nodes = [node("Split", "x s" if d.opset >= 13 else "x", "p q", axis=1, split=None if d.opset >= 13 else (1, 3))]
    nodes.append(node("MatMul", "q w"))
    drawn = case(d, nodes, (1, 4, 2), w=d.numbers(2, 2), s=ints(1, 3) if d.opset >= 13 else None)
    drawn.outputs = ("p", "y")
    return drawn


def split_evenly(d: Draw) -> Case:
    size = d.integer(4, 5) if d.opset >= 18 else 4
    drawn = case(d, node("Split", "x", "y z", axis=-1, num_outputs=2 if d.opset >= 18 else None), (1, size))
    drawn.outputs = ("z", "y")
    return drawn


def pad(d: Draw) -> Case:
    mode = d.among("constant", "constant", "edge", "reflect")
    low = -1 if mode == "constant" else 0
    pads = (0, *(d.integer(low, 2) for _ in range(2)), 0, *(d.integer(low, 2) for _ in range(2)))
    value = d.among(0.0, 1.5)
    if d.opset < 11:
        return case(d, node("Pad", "x", mode=mode, pads=pads, value=value), (1, 3, 4))
    arguments = d.among("x p", "x p v") if mode == "constant" else "x p"
    return case(d, node("Pad", arguments, mode=mode), (1, 3, 4), p=ints(*pads), v=np.array(value))


def concat(d: Draw) -> Case:
    axis = d.integer(1, 2)
    extra = [1, 2, 2]
    extra[axis] = d.integer(1, 2)
    nodes = [node("Relu", "x", "t"), node("Concat", d.among("x c t", "c t x x", "x"), axis=axis)]
    return case(d, nodes, (1, 2, 2), c=d.numbers(*extra))


def identities(d: Draw) -> Case:
    nodes = [node("Identity", "x", "t"), node("Dropout", "t", "u"), node("Cast", "u", to=onnx.TensorProto.FLOAT)]
    return case(d, nodes, d.shape(2))


def computed_shape(d: Draw) -> Case:
    """Flatten as exporters write it: the shape of the input, cut and put together again."""
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s zero", "batch", axis=0),
        *(
            [node("Unsqueeze", "batch", "lead", axes=[0])]
            if d.opset < 13
            else [node("Unsqueeze", "batch zero_list", "lead")]
        ),
        node("Concat", "lead minus", "target", axis=0),
        node("Reshape", "x target", "flat"),
        node("Size", "x", "n"),
        node("Cast", "n", "count", to=onnx.TensorProto.FLOAT),
        node("Add", "count count", "twice"),
        node("Mul", "flat twice"),
    ]
    return case(d, nodes, d.shape(3), zero=np.array(0), zero_list=ints(0), minus=ints(-1))


def constants(d: Draw) -> Case:
    """Constants as nodes, and one that has to be computed."""
    tensor = onnx.numpy_helper.from_array(d.numbers(3).astype(np.float32))
    assume(d.opset >= 9)
    nodes = [
        node("Constant", "", "c", value=tensor),
        node("ConstantOfShape", "s", "o", value=onnx.numpy_helper.from_array(np.array([0.5], dtype=np.float32))),
        node("Sub", "c o", "e"),
        node("Add", "x e"),
    ]
    return case(d, nodes, (1, 3), s=ints(3))


CASES = {
    "Abs": [absolute],
    "Add": [add, add_tensors],
    "AveragePool": [average_pool],
    "BatchNormalization": [batch_normalization],
    "Cast": [identities],
    "Clip": [clip],
    "Concat": [concat],
    "Constant": [constants],
    "Conv": [conv],
    "Div": [div],
    "Dropout": [identities],
    "Expand": [expand],
    "Flatten": [flatten],
    "Gather": [gather],
    "Gemm": [gemm, gemm_right, gemm_tensor_addend],
    "GlobalAveragePool": [global_pool],
    "GlobalMaxPool": [global_pool],
    "Identity": [identities],
    "LeakyRelu": [leaky_relu, leaky_relu_rounding],
    "MatMul": [matmul, matmul_left],
    "Max": [extremum],
    "MaxPool": [max_pool],
    "Min": [extremum],
    "Mul": [mul],
    "Neg": [neg],
    "PRelu": [prelu],
    "Pad": [pad],
    "ReduceMax": [reduction],
    "ReduceMean": [reduction],
    "ReduceMin": [reduction],
    "ReduceSum": [reduction],
    "Relu": [relu],
    "Reshape": [reshape],
    "Shape": [computed_shape],
    "Size": [computed_shape],
    "Slice": [slices],
    "Split": [split, split_evenly],
    "Squeeze": [squeeze],
    "Sub": [add, add_tensors],
    "Sum": [variadic_sum],
    "Tile": [tile],
    "Transpose": [transpose],
    "Unsqueeze": [unsqueeze],
}
"""What draws each operator."""


def test_every_supported_operator_is_drawn():
    assert set(CASES) == SUPPORTED


@pytest.mark.parametrize("drawn_by", sorted({f for fs in CASES.values() for f in fs}, key=lambda f: f.__name__))
@settings(max_examples=15)
@given(data=st.data())
def test_an_operator_computes_what_onnxruntime_computes(drawn_by, data, tmp_path_factory):
    opset = data.draw(st.sampled_from(OPSETS))
    drawn = drawn_by(Draw(data.draw, opset))
    path = tmp_path_factory.getbasetemp() / "operator.onnx"
    save(path, model(drawn.nodes, drawn.constants, {"x": drawn.shape}, opset=drawn.opset, outputs=drawn.outputs))
    network = read_onnx(path)
    replayer = Replayer(path)
    assert replayer.engine == "onnxruntime"
    generator = np.random.default_rng(0)
    for _ in range(3):
        x = quarters(generator, network.size_in)
        theirs = replayer(x).astype(np.float64)
        ours = evaluate_exact(network, [Fraction(v) for v in x])
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert abs(a - Fraction(b)) <= Fraction(drawn.tolerance) * max(1, abs(Fraction(b))) + (
                Fraction(drawn.tolerance) * 16
            )
        np.testing.assert_allclose(evaluate(network, x), theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("kind", [onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16])
def test_other_float_types_are_read_exactly(tmp_path, opset, kind):
    weights = np.random.default_rng(opset).standard_normal((3, 2))
    path = save(
        tmp_path / "m.onnx",
        model([node("MatMul", "x w")], {"w": weights}, {"x": ("batch", 3)}, opset=opset, kind=kind),
    )
    stored = weights.astype(np.float16).astype(np.float64) if kind == onnx.TensorProto.FLOAT16 else weights
    network = read_onnx(path)
    assert (network.nodes[1].op.maps[0].weights == stored.T).all()


def test_a_layer_becomes_one_affine_node(tmp_path):
    nodes = [
        node("Sub", "x zero", "a"),
        node("Flatten", "a", "b"),
        node("MatMul", "b w", "c"),
        node("Add", "c v", "d"),
        node("Relu", "d"),
    ]
    constants = {"zero": np.zeros((1, 1, 3)), "w": np.ones((3, 2)), "v": np.array([0.1, 0.2])}
    network = read_onnx(save(tmp_path / "m.onnx", model(nodes, constants, {"x": (1, 1, 3)})))
    assert [type(n.op) for n in network.nodes[1:]] == [Affine, Relu]
    assert [n.name for n in network.nodes] == ["x", "d", "y"]
    assert (network.nodes[1].op.bias == np.array([0.1, 0.2], dtype=np.float32)).all()
    assert network.notes == ()


def test_rewrites_that_round_leave_a_note(tmp_path):
    constants = {name: np.ones(2) for name in "sbmv"}
    path = save(tmp_path / "m.onnx", model([node("BatchNormalization", "x s b m v")], constants, {"x": (1, 2)}))
    (note,) = read_onnx(path).notes
    assert "BatchNormalization 'y'" in note
    path = save(tmp_path / "m.onnx", model([node("Div", "x c")], {"c": np.array([4.0, 0.5])}, {"x": (1, 2)}))
    assert read_onnx(path).notes == ()


def test_a_leaky_slope_close_to_one_is_exact(tmp_path):
    slope = float(np.float32(1e-30))
    path = save(tmp_path / "m.onnx", model([node("LeakyRelu", "x", alpha=1e-30)], {}, {"x": (1, 2)}))
    exact = evaluate_exact(read_onnx(path), [Fraction(-3), Fraction(3)])
    assert exact == (-3 * Fraction(slope), Fraction(3))


def test_newest_operator_set_is_among_the_tested():
    assert NEWEST in OPSETS
