"""Written files hold the same function, exactly, and onnxruntime computes it."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import Weights, networks
from verinet.errors import InputError, MissingFileError
from verinet.io.onnx_reader import read_onnx
from verinet.io.onnx_replay import Replayer
from verinet.io.onnx_writer import MAP_WRITERS, WRITERS, Precision, write_onnx
from verinet.model import (
    Affine,
    Convolution,
    Dense,
    Input,
    LinearMap,
    Maximum,
    Network,
    Node,
    Op,
    Relu,
    Sparse,
    dense_network,
    evaluate,
    evaluate_exact,
)


def check_round_trip(network: Network, path: Path, **options: object) -> Network:
    write_onnx(network, path, **options)
    onnx.checker.check_model(str(path), full_check=True)
    again = read_onnx(path)
    assert (again.size_in, again.size_out, again.notes) == (network.size_in, network.size_out, ())
    replayer = Replayer(path)
    assert replayer.engine == "onnxruntime"
    generator = np.random.default_rng(0)
    for _ in range(3):
        x = generator.integers(-16, 17, size=network.size_in) / 8
        exact = evaluate_exact(network, [Fraction(v) for v in x])
        assert evaluate_exact(again, [Fraction(v) for v in x]) == exact
        scale = max(1.0, *(abs(float(v)) for v in exact))
        np.testing.assert_allclose(replayer(x), evaluate(network, x), rtol=1e-4, atol=1e-4 * scale)
    return again


@pytest.mark.parametrize("kind", list(Weights))
@pytest.mark.parametrize("dtype", ["auto", "float64"])
@settings(max_examples=25)
@given(data=st.data())
def test_any_network_survives_the_round_trip(kind, dtype, data, tmp_path_factory):
    network = data.draw(networks(weights=kind, width=6, max_inputs=9))
    check_round_trip(network, tmp_path_factory.getbasetemp() / "written.onnx", dtype=dtype)


def image_network(
    linear_map: LinearMap, bias: np.ndarray, shape: tuple[int, ...], shape_out: tuple[int, ...]
) -> Network:
    nodes = (
        Node("image", Input(linear_map.size_in), (), shape),
        Node("map", Affine((linear_map,), bias), ("image",), shape_out),
        Node("relu", Relu(linear_map.size_out), ("map",), shape_out),
    )
    return Network(nodes, ("relu",))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("uniform", [True, False])
def test_convolutions(tmp_path, dtype, uniform):
    generator = np.random.default_rng(0)
    kernel = generator.standard_normal((4, 1, 3, 2)).astype(np.float32).astype(np.float64)
    convolution = Convolution(kernel, (2, 6, 5), (2, 1), (1, 0, 2, 1), (1, 2), 2)
    bias = np.repeat(np.arange(4.0), convolution.size_out // 4) if uniform else np.arange(float(convolution.size_out))
    network = image_network(convolution, bias, (2, 6, 5), convolution.shape_out)
    again = check_round_trip(network, tmp_path / "m.onnx", dtype=dtype)
    assert (again.by_name["image"].shape, again.by_name["relu"].shape) == ((2, 6, 5), convolution.shape_out)
    kept = any(isinstance(m, Convolution) for n in again.nodes if isinstance(n.op, Affine) for m in n.op.maps)
    assert kept == (dtype == "float32")


@pytest.mark.parametrize(
    "linear_map",
    [
        Sparse.identity(4),
        Sparse.selection(np.array([3, 0, 0]), 4),
        Sparse.placement(np.array([2, 0]), 5),
        Sparse.diagonal(np.array([0.5, 0.0, -3.0])),
        Sparse.from_entries(np.array([0, 0, 2]), np.array([1, 8, 3]), np.array([2.0, 0.5, -1.0]), 4, 9),
        Sparse.from_entries(np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([2.0, 0.5, -1.0]), 2, 2),
        Sparse.from_entries(np.zeros(0, int), np.zeros(0, int), np.zeros(0), 2, 3),
        Dense(np.array([[0.1, 0.2]])),
    ],
)
def test_maps_of_every_pattern(tmp_path, linear_map):
    for bias in (np.zeros(linear_map.size_out), np.arange(1.0, linear_map.size_out + 1)):
        shapes = ((linear_map.size_in,), (linear_map.size_out,))
        check_round_trip(image_network(linear_map, bias, *shapes), tmp_path / "m.onnx")


def test_ragged_maxima_come_back_as_they_were(tmp_path):
    maximum = Maximum(np.array([0, 3, 1, 2, 3, 1]), np.array([0, 2, 3, 6]), 4)
    network = Network((Node("x", Input(4)), Node("y", maximum, ("x",))), ("y",))
    (again,) = [n.op for n in check_round_trip(network, tmp_path / "m.onnx").nodes if isinstance(n.op, Maximum)]
    assert [list(g) for g in again.groups] == [list(g) for g in maximum.groups]


def pools(shape: tuple[int, int, int], window: tuple[int, int]) -> tuple[Op, Op]:
    """Return the maximum and the sum over windows that tile every channel."""
    (channels, rows, columns), (height, width) = shape, window
    places = np.arange(channels * rows * columns).reshape(channels, rows // height, height, columns // width, width)
    members = places.transpose(0, 1, 3, 2, 4).ravel()
    offsets = np.arange(0, places.size + 1, height * width)
    total = Sparse(np.ones(places.size), members, offsets, places.size)
    return Maximum(members, offsets, places.size), Affine((total,), np.zeros(total.size_out))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("window", [(4, 6), (2, 3), (1, 6), (4, 1)])
def test_windows_that_tile_are_pools(tmp_path, dtype, window):
    shape = (2, 4, 6)
    for op, written in zip(pools(shape, window), ("MaxPool", "ReduceSum"), strict=True):
        shape_out = (2, 4 // window[0], 6 // window[1])
        network = Network((Node("x", Input(48), (), shape), Node("y", op, ("x",), shape_out)), ("y",))
        check_round_trip(network, tmp_path / "m.onnx", dtype=dtype)
        operators = [n.op_type for n in onnx.load(tmp_path / "m.onnx").graph.node]
        assert (written in operators) == (dtype == "float32" or written == "ReduceSum")
        assert "Gather" not in operators or dtype == "float64"


def test_windows_that_do_not_tile_are_gathered(tmp_path):
    maximum, _ = pools((2, 4, 6), (2, 3))
    for members in (maximum.members[::-1], np.roll(maximum.members, 1), np.minimum(maximum.members, 40)):
        odd = Maximum(np.ascontiguousarray(members), maximum.offsets, 48)
        nodes = (Node("x", Input(48), (), (2, 4, 6)), Node("y", odd, ("x",), (8,)))
        check_round_trip(Network(nodes, ("y",)), tmp_path / "m.onnx")
        assert "MaxPool" not in [n.op_type for n in onnx.load(tmp_path / "m.onnx").graph.node]


def test_outputs_that_repeat_or_are_inputs(tmp_path):
    nodes = (Node("a", Input(2)), Node("b", Input(1)), Node("r", Relu(2), ("a",)))
    again = check_round_trip(Network(nodes, ("r", "b", "r")), tmp_path / "m.onnx")
    assert again.outputs == ("r", "b/output", "r/output")


def dense() -> Network:
    return dense_network([np.array([[0.5, -1.0]]), np.array([[2.0]])], [np.array([0.25]), np.array([1.0])])


def test_dense_networks_are_plain_gemm_and_relu(tmp_path):
    write_onnx(dense(), tmp_path / "m.onnx")
    proto = onnx.load(tmp_path / "m.onnx")
    assert [n.op_type for n in proto.graph.node] == ["Gemm", "Relu", "Gemm"]
    assert [d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim] == [1, 2]
    again = read_onnx(tmp_path / "m.onnx")
    assert [n.name for n in again.nodes] == [n.name for n in dense().nodes]


def test_precision(tmp_path):
    path = tmp_path / "m.onnx"
    fine = dense_network([np.array([[0.1]])], [np.array([0.0])])
    for network, dtype, kind in [
        (dense(), "auto", np.float32),
        (dense(), Precision.FLOAT64, np.float64),
        (fine, "auto", np.float64),
    ]:
        write_onnx(network, path, dtype=dtype)
        assert Replayer(path)(np.zeros(network.size_in)).dtype == kind
    with pytest.raises(InputError, match="'affine_1' holds numbers that float32 would round"):
        write_onnx(fine, tmp_path / "other.onnx", dtype="float32")
    huge = dense_network([np.array([[1e300]])], [np.array([0.0])])
    with pytest.raises(InputError):
        write_onnx(huge, tmp_path / "other.onnx", dtype="float32")
    assert not (tmp_path / "other.onnx").exists()
    with pytest.raises(InputError, match="float16"):
        write_onnx(fine, path, dtype="float16")


def test_names_and_metadata(tmp_path):
    path = tmp_path / "m.onnx"
    write_onnx(dense(), path, input_name="features", metadata={"seed": "1", "author": "é"})
    proto = onnx.load(path)
    assert proto.graph.input[0].name == "features"
    assert {p.key: p.value for p in proto.metadata_props} == {"seed": "1", "author": "é"}
    assert read_onnx(path).inputs == ("features",)
    for name in ("relu_1", ""):
        with pytest.raises(InputError):
            write_onnx(dense(), path, input_name=name)
    two = Network((Node("a", Input(1)), Node("b", Input(1)), Node("y", Relu(1), ("a",))), ("y",))
    with pytest.raises(InputError, match="has 2"):
        write_onnx(two, path, input_name="z")


def test_node_names_may_look_like_those_the_writer_makes(tmp_path):
    nodes = (
        Node("y/gathered", Input(3)),
        Node("y/indices", Relu(3), ("y/gathered",)),
        Node("y", Maximum(np.array([0, 2]), np.array([0, 2]), 3), ("y/indices",)),
    )
    check_round_trip(Network(nodes, ("y",)), tmp_path / "m.onnx")


def test_the_same_network_gives_the_same_bytes(tmp_path):
    for name in "ab":
        write_onnx(dense(), tmp_path / name, metadata={"k": "v", "a": "b"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(MissingFileError, match="nowhere"):
        write_onnx(dense(), tmp_path / "nowhere" / "m.onnx")


def test_every_operation_and_map_can_be_written():
    assert {*WRITERS, Input} == set(Op.__args__)
    assert set(MAP_WRITERS) == set(LinearMap.__subclasses__())


def test_benchmark_networks_survive_the_round_trip(shared, tmp_path):
    for name in ("verivital_2021/onnx/Convnet_maxpool", "nn4sys_2023/onnx/pensieve_small_simple"):
        network = read_onnx(shared / "bench" / f"{name}.onnx", check=False)
        write_onnx(network, tmp_path / "m.onnx")
        again = read_onnx(tmp_path / "m.onnx")
        x = np.random.default_rng(0).integers(0, 9, size=network.size_in) / 8
        point = [Fraction(v) for v in x]
        assert evaluate_exact(again, point) == evaluate_exact(network, point)
