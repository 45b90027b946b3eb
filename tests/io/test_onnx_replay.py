"""Replays run the file as it is, in its own float type."""

import numpy as np
import onnx
import pytest

from tests.io.onnx_models import model, node, save
from verinet.errors import FileFormatError, InputError, MissingFileError
from verinet.io.onnx_reader import read_onnx
from verinet.io.onnx_replay import Replayer, replay


def test_replay_rounds_as_the_file_does(tmp_path):
    path = save(tmp_path / "m.onnx", model([node("Add", "x c")], {"c": np.array([2.0**24])}, {"x": ("N", 2)}))
    result = replay(path, [1.0, 0.1])
    assert result.dtype == np.float32
    assert list(result) == [2.0**24, 2.0**24]


def test_several_inputs_and_outputs_are_flat(tmp_path):
    nodes = [node("Relu", "a", "r"), node("Neg", "b", "n")]
    proto = model(nodes, {}, {"a": (1, 2, 1), "b": (1, 1)}, outputs=("n", "r"))
    path = save(tmp_path / "m.onnx", proto)
    assert list(replay(path, [-1, 2, 3])) == [-3, 0, 2]
    with pytest.raises(InputError, match="takes 3 inputs, found 2"):
        replay(path, [1, 2])


def test_a_session_is_kept(tmp_path):
    replayer = Replayer(save(tmp_path / "m.onnx", model([node("Relu", "x")], {}, {"x": (1, 2)})))
    assert list(replayer([-1, 1])) == list(replayer(np.array([[-2, 1]]))) == [0, 1]
    assert replayer.input_types == (np.float32,)


def test_operators_without_a_double_kernel_run_in_the_reference(tmp_path):
    constants = {"w": np.full((1, 1, 2, 2), 0.1)}
    proto = model([node("Conv", "x w")], constants, {"x": (1, 1, 2, 2)}, kind=onnx.TensorProto.DOUBLE)
    path = save(tmp_path / "m.onnx", proto)
    assert Replayer(path).engine == "onnx.reference"
    np.testing.assert_allclose(replay(path, [1, 2, 3, 4]), [1.0])
    assert read_onnx(path).size_out == 1


def test_nothing_is_printed(tmp_path, capfd):
    proto = model([node("Gemm", "x w")], {"w": np.ones((2, 2))}, {"x": (1, 3)}, opset=8)
    broken = save(tmp_path / "m.onnx", proto)
    with pytest.raises(FileFormatError, match="onnxruntime cannot evaluate") as caught:
        replay(broken, [1, 2, 3])
    assert "\n" not in str(caught.value)
    old = save(tmp_path / "n.onnx", model([node("MatMul", "x w")], {"w": np.ones((2, 2))}, {"x": (1, 2)}, opset=8))
    replay(old, [1, 2])
    assert capfd.readouterr() == ("", "")


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(MissingFileError):
        replay(tmp_path / "none.onnx", [1])
    (tmp_path / "m.onnx").write_bytes(b"nothing")
    with pytest.raises(FileFormatError):
        replay(tmp_path / "m.onnx", [1])
