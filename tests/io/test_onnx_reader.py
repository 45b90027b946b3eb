"""Whole files: random graphs, folding, the benchmark networks, reports, and files that are wrong in some way."""

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from time import perf_counter

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.io.onnx_models import model, node, quarters, save
from verinet.errors import FileFormatError, MissingFileError, UnsupportedOperatorError, VerinetError
from verinet.io import onnx_gate, onnx_reader
from verinet.io.folding import fold
from verinet.io.onnx_reader import Outcome, inspect_onnx, read_onnx
from verinet.io.onnx_replay import replay
from verinet.model import Affine, Convolution, Dense, Input, Maximum, Network, Relu, evaluate_exact

FLOAT = onnx.TensorProto.FLOAT


# Random graphs


class Chain:
    """A random graph over rows of numbers, shape (1, n), grown one operator at a time."""

    def __init__(self, seed: int, length: int) -> None:
        self.generator = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.sizes = {"x": 4}
        self.last = "x"
        steps = [
            self.matmul,
            self.add,
            self.relu,
            self.gather,
            self.concat,
            self.neg,
            self.scale,
            self.residual,
            self.top,
        ]
        for _ in range(length):
            steps[self.generator.integers(len(steps))]()

    def grow(self, operator: str, arguments: str, size: int, **attributes: object) -> None:
        name = f"v{len(self.nodes)}"
        self.nodes.append(node(operator, arguments, name, **attributes))
        self.sizes[name], self.last = size, name

    def constant(self, values: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = values
        return name

    def some(self) -> str:
        return str(self.generator.choice(list(self.sizes)))

    def matmul(self) -> None:
        size = int(self.generator.integers(1, 5))
        weights = self.constant(quarters(self.generator, self.sizes[self.last], size))
        self.grow("MatMul", f"{self.last} {weights}", size)

    def add(self) -> None:
        self.grow(
            "Add",
            f"{self.last} {self.constant(quarters(self.generator, self.sizes[self.last]))}",
            self.sizes[self.last],
        )

    def relu(self) -> None:
        self.grow("Relu", self.last, self.sizes[self.last])

    def gather(self) -> None:
        chosen = self.generator.integers(self.sizes[self.last], size=self.generator.integers(1, 6))
        self.grow("Gather", f"{self.last} {self.constant(chosen)}", len(chosen), axis=1)

    def concat(self) -> None:
        other = self.some()
        if self.sizes[self.last] + self.sizes[other] <= 12:
            self.grow("Concat", f"{self.last} {other}", self.sizes[self.last] + self.sizes[other], axis=1)

    def neg(self) -> None:
        self.grow("Neg", self.last, self.sizes[self.last])

    def scale(self) -> None:
        self.grow("Mul", f"{self.last} {self.constant(np.array([0.5]))}", self.sizes[self.last])

    def residual(self) -> None:
        equal = [name for name, size in self.sizes.items() if size == self.sizes[self.last]]
        self.grow("Add", f"{self.last} {self.generator.choice(equal)}", self.sizes[self.last])

    def top(self) -> None:
        self.grow("ReduceMax", self.last, 1, axes=[1], keepdims=1)

    def model(self) -> onnx.ModelProto:
        self.grow("Identity", self.last, self.sizes[self.last])
        return model(
            self.nodes, self.constants, {"x": ("N", 4)}, outputs=dict.fromkeys([self.last, self.some_computed()])
        )

    def some_computed(self) -> str:
        return str(self.generator.choice([n.output[0] for n in self.nodes]))


@settings(max_examples=60)
@given(seed=st.integers(0, 2**20), length=st.integers(1, 12))
def test_random_graphs_are_read_exactly_and_folding_changes_nothing(seed, length, tmp_path_factory):
    path = save(tmp_path_factory.getbasetemp() / "graph.onnx", Chain(seed, length).model())
    network = read_onnx(path)
    reading = onnx_reader._interpret(onnx_reader.load_onnx(path))
    outputs = tuple(tensor.node for tensor in onnx_reader._output_tensors(reading).values())
    raw = Network(tuple(reading.builder.nodes.values()), outputs)
    assert len(network.nodes) <= len(raw.nodes)
    assert network.outputs == tuple(value.name for value in reading.file.graph.output)
    generator = np.random.default_rng(seed)
    for _ in range(3):
        x = quarters(generator, 4)
        exact = evaluate_exact(network, [Fraction(v) for v in x])
        assert exact == evaluate_exact(raw, [Fraction(v) for v in x])
        theirs = replay(path, x)
        np.testing.assert_allclose([float(v) for v in exact], theirs, rtol=1e-5, atol=1e-5)


def test_folding_a_network_twice_is_folding_it_once(tmp_path):
    for seed in range(40):
        network = read_onnx(save(tmp_path / "m.onnx", Chain(seed, 10).model()), check=False)
        again = fold(network.nodes, network.outputs)
        assert [n.name for n in again] == [n.name for n in network.nodes]


def test_repeated_doubling_stays_small(tmp_path):
    """Copies that were taken in twice would grow to 2**40 terms."""
    nodes = [node("Add", f"v{i} v{i}" if i else "x x", f"v{i + 1}") for i in range(40)]
    nodes.append(node("Identity", "v40"))
    started = perf_counter()
    network = read_onnx(save(tmp_path / "m.onnx", model(nodes, {}, {"x": (1, 2)})))
    assert perf_counter() - started < 2
    assert evaluate_exact(network, [Fraction(1), Fraction(-3)]) == (2**40, -3 * 2**40)


def test_two_maps_that_hold_numbers_are_not_multiplied(tmp_path):
    nodes = [node("MatMul", "x a", "t"), node("MatMul", "t b")]
    path = save(
        tmp_path / "m.onnx", model(nodes, {"a": np.full((2, 2), 0.1), "b": np.full((2, 2), 0.3)}, {"x": (1, 2)})
    )
    assert len(read_onnx(path).nodes) == 3


def test_biases_are_added_only_where_the_sum_is_exact(tmp_path):
    nodes = [node("MatMul", "x w", "h"), node("Add", "h b", "s"), node("Add", "s c")]
    for small, count in ((2.0**-60, 3), (0.5, 2)):
        constants = {"w": np.ones((1, 1)), "b": np.array([1.0]), "c": np.array([small])}
        network = read_onnx(save(tmp_path / "m.onnx", model(nodes, constants, {"x": (1, 1)})))
        assert len(network.nodes) == count
        assert evaluate_exact(network, [Fraction(1)]) == (2 + Fraction(small),)


def test_a_concatenation_dissolves_in_the_layer_that_reads_it(tmp_path):
    nodes = [
        node("Relu", "x", "r"),
        node("Slice", "x s e a", "part"),
        node("Concat", "r part", "both", axis=1),
        node("Gemm", "both w b"),
    ]
    constants = {"s": np.array([1]), "e": np.array([3]), "a": np.array([1]), "w": np.ones((5, 2)), "b": np.ones(2)}
    network = read_onnx(save(tmp_path / "m.onnx", model(nodes, constants, {"x": (1, 3)})))
    assert [type(n.op) for n in network.nodes] == [Input, Relu, Affine]
    assert network.nodes[2].arguments == ("r", "x")


def test_maxima_read_through_a_selection_and_lose_repeated_members(tmp_path):
    nodes = [node("Gather", "x i", "g", axis=1), node("ReduceMax", "g", axes=[2], keepdims=0)]
    path = save(tmp_path / "m.onnx", model(nodes, {"i": np.array([[3, 1], [2, 2]])}, {"x": (1, 4)}))
    network = read_onnx(path)
    (maximum,) = [n.op for n in network.nodes if isinstance(n.op, Maximum)]
    assert [list(group) for group in maximum.groups] == [[3, 1], [2]]
    assert network.nodes[1].arguments == ("x",)


def test_a_maximum_over_padding_has_ragged_groups(tmp_path):
    pool = node("MaxPool", "x", kernel_shape=(3,), strides=(2,), pads=(1, 1))
    network = read_onnx(save(tmp_path / "m.onnx", model([pool], {}, {"x": (1, 1, 4)})))
    assert [list(group) for group in network.nodes[1].op.groups] == [[0, 1], [1, 2, 3]]
    assert evaluate_exact(network, [Fraction(-v) for v in (1, 2, 3, 4)]) == (-1, -2)


def test_outputs_that_are_inputs_or_constants_or_twice_the_same_get_nodes_of_their_own(tmp_path):
    nodes = [
        node("Identity", "x", "same"),
        node("Relu", "x", "r"),
        node("Flatten", "r", "flat"),
        node("Identity", "c", "fixed"),
    ]
    proto = model(nodes, {"c": np.array([0.5, 1.5])}, {"x": (1, 2)}, outputs=("same", "r", "flat", "fixed"))
    network = read_onnx(save(tmp_path / "m.onnx", proto))
    assert network.outputs == ("same", "r", "flat", "fixed")
    assert evaluate_exact(network, [Fraction(-1), Fraction(2)]) == (-1, 2, 0, 2, 0, 2, Fraction(1, 2), Fraction(3, 2))


def test_several_inputs_keep_their_order_and_unused_ones_stay(tmp_path):
    nodes = [node("Concat", "b a", axis=1)]
    network = read_onnx(save(tmp_path / "m.onnx", model(nodes, {}, {"a": (1, 1), "idle": (1, 3), "b": (1, 2)})))
    assert network.inputs == ("a", "idle", "b")
    assert evaluate_exact(network, [Fraction(v) for v in range(6)]) == (4, 5, 0)


# Benchmark networks


def benchmark_files(shared: Path) -> list[Path]:
    return sorted((shared / "bench").glob("*/onnx/**/*.onnx"))


def test_every_benchmark_network_agrees_with_onnxruntime(shared):
    files = benchmark_files(shared)
    assert files
    for path in files:
        # One of the 27 ACAS Xu networks in three: they differ in their weights only.
        if "acasxu" not in path.parts or path.stem.endswith("1_batch_2000"):
            read_onnx(path)
            assert {report.outcome for report in inspect_onnx(path)} <= {Outcome.SUPPORTED, Outcome.FOLDED}


def test_acas_xu_is_read_lean_and_fast(shared):
    path = next(iter(sorted((shared / "bench" / "acasxu" / "onnx").glob("*.onnx"))))
    read_onnx(path, check=False)
    started = perf_counter()
    network = read_onnx(path, check=False)
    assert perf_counter() - started < 0.5
    assert [type(n.op) for n in network.nodes] == [Input, *([Affine, Relu] * 6), Affine]
    assert all(isinstance(n.op.maps[0], Dense) for n in network.nodes if isinstance(n.op, Affine))
    assert network.nodes[0].shape == (1, 1, 5)


def test_cifar_and_resnet_keep_their_convolutions(shared):
    for path in benchmark_files(shared):
        if "cifar_base" in path.name or "resnet" in path.name:
            started = perf_counter()
            network = read_onnx(path, check=False)
            assert perf_counter() - started < 1
            kinds = [type(m) for n in network.nodes if isinstance(n.op, Affine) for m in n.op.maps]
            assert kinds.count(Convolution) == (2 if "cifar" in path.name else 10)
            assert set(kinds) == {Convolution, Dense}


# Reports


def test_inspection_names_every_node_and_never_refuses_the_file(tmp_path):
    nodes = [
        node("Flatten", "x", "a"),
        node("MatMul", "a w", "b"),
        node("Add", "b v", "c"),
        node("Sigmoid", "c", "d"),
        node("MatMul", "d u", "e"),
        node("Exp", "e", "f"),
        node("Neg", "v", "idle"),
        node("Mul", "b b", "square"),
        node("Add", "f square"),
    ]
    constants = {"w": np.ones((3, 2)), "v": np.ones(2), "u": np.ones((2, 2))}
    path = save(tmp_path / "m.onnx", model(nodes, constants, {"x": (1, 3)}))
    outcomes = {(r.operator, r.node): r.outcome.value for r in inspect_onnx(path)}
    assert outcomes == {
        ("Flatten", "a"): "folded",
        ("MatMul", "b"): "supported",
        ("Add", "c"): "supported",
        ("Sigmoid", "d"): "refused",
        ("MatMul", "e"): "supported",
        ("Exp", "f"): "refused",
        ("Neg", "idle"): "folded",
        ("Mul", "square"): "refused",
        ("Add", "y"): "supported",
    }
    with pytest.raises(UnsupportedOperatorError, match=r"node 'd' \(Sigmoid\).*2 more") as caught:
        read_onnx(path)
    assert "\n" not in str(caught.value)


def test_inspection_says_what_was_folded(tmp_path):
    nodes = [node("MatMul", "x w", "b"), node("Add", "b v", "c"), node("Neg", "v", "idle"), node("Relu", "c")]
    path = save(tmp_path / "m.onnx", model(nodes, {"w": np.ones((3, 2)), "v": np.ones(2)}, {"x": (1, 3)}))
    matmul, add, idle, relu = inspect_onnx(path)
    assert (matmul.outcome, matmul.detail) == (Outcome.FOLDED, "exactly, into the map that reads it")
    assert (add.outcome, add.detail) == (Outcome.SUPPORTED, "becomes Affine")
    assert (idle.outcome, idle.detail) == (Outcome.FOLDED, "no output depends on its result")
    assert (relu.outcome, relu.detail) == (Outcome.SUPPORTED, "becomes Relu")


# Files that are wrong


def small_model(**changes: object) -> onnx.ModelProto:
    nodes = [node("Gemm", "x w b", "h"), node("Relu", "h")]
    return model(nodes, {"w": np.ones((3, 2)), "b": np.ones(2)}, {"x": (1, 3)}, **changes)


def refused(path: Path, pattern: str, kind: type[Exception] = FileFormatError) -> None:
    for check in (False, True):
        with pytest.raises(kind, match=pattern) as caught:
            read_onnx(path, check=check)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_missing_files(tmp_path):
    refused(tmp_path / "none.onnx", "does not exist", MissingFileError)
    refused(tmp_path, "found the folder", MissingFileError)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x00" * 100, b"<html></html>", bytes(range(256))])
def test_other_files(tmp_path, content):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(FileFormatError):
        read_onnx(path)


def test_truncated_files_are_refused_at_every_length(tmp_path):
    content, path = small_model().SerializeToString(), tmp_path / "m.onnx"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(FileFormatError):
            read_onnx(path, check=False)


@settings(max_examples=200)
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=3))
def test_damaged_files_are_read_or_refused(changes, tmp_path_factory):
    content = bytearray(small_model().SerializeToString())
    for place, value in changes:
        content[place % len(content)] = value
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(bytes(content))
    for read in (lambda: read_onnx(path, check=False), lambda: inspect_onnx(path)):
        with suppress(VerinetError):
            read()


def changed(change: object) -> onnx.ModelProto:
    proto = small_model()
    change(proto)  # type: ignore[operator]
    return proto


WRONG = {
    "no outputs": (lambda m: m.graph.ClearField("output"), "at least one output"),
    "no inputs": (lambda m: m.graph.ClearField("input"), "at least one input"),
    "no operator set": (lambda m: m.ClearField("opset_import"), "operator set"),
    "two operator sets": (lambda m: m.opset_import.add(domain="ai.onnx", version=9), "found 9 and 13"),
    "redefined operator": (
        lambda m: m.functions.append(onnx.helper.make_function("", "Relu", ["a"], ["b"], [node("Neg", "a", "b")], [])),
        "functions that redefine",
    ),
    "sparse initialiser": (lambda m: m.graph.sparse_initializer.add(), "sparse"),
    "old operator set": (lambda m: setattr(m.opset_import[0], "version", 6), "found 6"),
    "future operator set": (lambda m: setattr(m.opset_import[0], "version", 999), "found 999"),
    "missing initialiser": (lambda m: m.graph.initializer.pop(0), "'w', which nothing before it provides"),
    "symbolic axis": (
        lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[1], "dim_param", "n"),
        "axis 1, found n",
    ),
    "no shape": (lambda m: m.graph.input[0].type.tensor_type.ClearField("shape"), "declares no shape"),
    "no numbers": (
        lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[1], "dim_value", 0),
        "axis 1, found 0",
    ),
    "huge input": (lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[1], "dim_value", 10**12), "exceeds"),
    "whole numbers": (lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 7), "floating-point"),
    "wrong shape": (lambda m: m.graph.initializer[0].dims.__setitem__(slice(0, 2), [2, 3]), "do not fit"),
    "short data": (lambda m: m.graph.initializer[0].dims.__setitem__(0, 30), "damaged"),
    "negative shape": (lambda m: m.graph.initializer[0].dims.__setitem__(0, -3), "impossible shape"),
    "huge shape": (lambda m: m.graph.initializer[0].dims.__setitem__(0, 2**60), "impossible shape"),
    "external data": (lambda m: setattr(m.graph.initializer[0], "data_location", 1), "another file"),
    "not a number": (
        lambda m: m.graph.initializer[0].CopyFrom(
            onnx.numpy_helper.from_array(np.full((3, 2), np.nan, np.float32), "w")
        ),
        "NaN or infinity in 'w'",
    ),
    "text": (
        lambda m: m.graph.initializer[0].CopyFrom(onnx.helper.make_tensor("w", 8, [1], [b"a"])),
        "no real numbers",
    ),
    "value twice": (lambda m: m.graph.node.add().CopyFrom(node("Relu", "x", "h")), "computed twice"),
    "nothing computes the output": (
        lambda m: setattr(m.graph.output[0], "name", "z"),
        "nothing computes the output 'z'",
    ),
    "wrong order": (lambda m: m.graph.node.reverse(), "nothing before it provides"),
    "unknown attribute": (lambda m: m.graph.node[0].attribute.add(name="q", i=1, type=2), "no attribute 'q'"),
    "wrong attribute": (lambda m: m.graph.node[0].attribute.add(name="transB", f=1, type=1), "wrong type"),
    "too many arguments": (lambda m: m.graph.node[1].input.append("x"), "2 arguments"),
    "too few arguments": (lambda m: m.graph.node[0].input.pop(), "'h'"),
    "other domain": (lambda m: setattr(m.graph.node[0], "domain", "com.example"), "com.example"),
}


@pytest.mark.parametrize("name", sorted(set(WRONG) - {"too few arguments"}))
def test_wrong_files_are_refused_in_one_sentence(tmp_path, name):
    change, pattern = WRONG[name]
    refused(save(tmp_path / "m.onnx", changed(change)), pattern)


UNSUPPORTED = {
    "product of tensors": ([node("Mul", "x x")], "not piecewise linear"),
    "softmax": ([node("Softmax", "x")], "remove it if it comes last"),
    "dynamic reshape": ([node("Cast", "x", "s", to=7), node("Reshape", "x s")], "whole numbers"),
    "random": ([node("RandomNormal", "", "r", shape=[1, 3]), node("Add", "x r")], "random"),
    "batch in training": (
        [node("BatchNormalization", "x v v v v", "y p q", training_mode=1)],
        "inference",
    ),
    "window in the padding": (
        [node("Unsqueeze", "x a", "t"), node("MaxPool", "t", kernel_shape=[2], pads=[3, 0], strides=[1])],
        "padding alone",
    ),
    "indices": (
        [node("Unsqueeze", "x a", "t"), node("MaxPool", "t", "m k", kernel_shape=[1]), node("Add", "m k")],
        "second result",
    ),
}


@pytest.mark.parametrize("name", sorted(UNSUPPORTED))
def test_unsupported_uses_are_refused_with_a_remedy(tmp_path, name):
    nodes, pattern = UNSUPPORTED[name]
    proto = model(nodes, {"a": np.array([0]), "v": np.ones(3)}, {"x": (1, 3)}, opset=14)
    refused(save(tmp_path / "m.onnx", proto), pattern, UnsupportedOperatorError)


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([node("Expand", "x s")], {"s": np.array([10**6, 10**6])}),
        ([node("Tile", "x s")], {"s": np.array([10**6, 10**6])}),
        ([node("Pad", "x s")], {"s": np.array([0, 10**12, 0, 0])}),
        ([node("ConstantOfShape", "s", "c"), node("Add", "x c")], {"s": np.array([10**12])}),
        ([node("Clip", "x l h")], {"l": np.array(2.0), "h": np.array(1.0)}),
        ([node("Clip", "x l")], {"l": np.array(np.nan)}),
        ([node("Div", "x z")], {"z": np.zeros(1)}),
        ([node("Reshape", "x s")], {"s": np.array([2, 2])}),
        ([node("Transpose", "x", perm=[0, 0])], {}),
        ([node("Gather", "x s", axis=1)], {"s": np.array([3])}),
        ([node("Slice", "x s s", "t"), node("Relu", "t")], {"s": np.array([0])}),
    ],
)
def test_contradictions_inside_a_graph_are_refused(tmp_path, nodes, constants):
    refused(save(tmp_path / "m.onnx", model(nodes, constants, {"x": (1, 3)})), "node '.*' ")


def test_clip_bounds_of_infinite_size_are_no_bounds(tmp_path):
    largest = np.array(np.finfo(np.float32).max)
    path = save(
        tmp_path / "m.onnx", model([node("Clip", "x l h")], {"l": -largest, "h": np.array(np.inf)}, {"x": (1, 3)})
    )
    assert not any(isinstance(n.op, Relu) for n in read_onnx(path).nodes)


# The gate


@pytest.mark.parametrize("place", ["weight", "bias"])
def test_a_misread_number_is_caught_by_the_gate(tmp_path, place):
    generator = np.random.default_rng(1)
    constants = {"w": generator.standard_normal((8, 8)), "b": generator.standard_normal(8)}
    path = save(tmp_path / "m.onnx", model([node("Gemm", "x w b", "h"), node("Relu", "h")], constants, {"x": (1, 8)}))
    network = read_onnx(path)
    op = network.nodes[1].op
    weights, bias = op.maps[0].weights.copy(), op.bias.copy()
    (weights if place == "weight" else bias)[..., 0] += 1e-2
    wrong = Affine((Dense(weights),), bias)
    nodes = (network.nodes[0], type(network.nodes[1])("h", wrong, ("x",)), network.nodes[2])
    with pytest.raises(FileFormatError, match="differs from onnxruntime"):
        onnx_gate.check_against_runtime(Network(nodes, ("y",)), onnx_reader.load_onnx(path))


def test_cancelling_weights_do_not_trip_the_gate(tmp_path):
    """In float32 the hidden sum is noise; the exact network is not wrong for that."""
    nodes = [node("MatMul", "x w", "h"), node("MatMul", "h v", "k"), node("Add", "k b", "s"), node("Relu", "s")]
    constants = {"w": np.full((1, 2), 1e7) + 0.3, "v": np.array([[1.0], [-1.0]]), "b": np.array([1e-3])}
    network = read_onnx(save(tmp_path / "m.onnx", model(nodes, constants, {"x": (1, 1)})))
    assert evaluate_exact(network, [Fraction(3)]) == (Fraction(float(np.float32(1e-3))),)
