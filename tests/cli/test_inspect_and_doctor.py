"""``verinet inspect`` and ``verinet doctor``: what is supported, and what is installed."""

import re
from pathlib import Path

import onnx

from tests.cli.commands import VNNLIB, run, write


def test_inspect_and_doctor(model: Path, capsys) -> None:
    assert run("inspect", model) == 0
    out = capsys.readouterr().out
    assert "Gemm" in out
    assert "2 inputs, 1 outputs" in out
    assert run("doctor") == 0
    out = capsys.readouterr().out
    assert "highs" in out
    assert "numpy" in out


def test_inspect_names_what_is_not_supported(tmp_path: Path, capsys) -> None:
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 2])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 2])
    node = onnx.helper.make_node("Sigmoid", ["x"], ["y"], name="squash")
    graph = onnx.helper.make_graph([node], "g", [x], [y])
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(made, tmp_path / "s.onnx")
    assert run("inspect", tmp_path / "s.onnx") == 2
    assert re.search(r"refused\s+Sigmoid\s+squash", capsys.readouterr().out)
    prop = write(tmp_path / "p.vnnlib", VNNLIB.format(threshold=0))
    assert run("verify", prop, "--network", tmp_path / "s.onnx") == 2
    error = capsys.readouterr().err
    assert "Sigmoid" in error
    assert "squash" in error


def test_doctor_compiles_ahead_and_says_so(capsys) -> None:
    assert run("doctor", "--warm") == 0
    assert "search kernels" in capsys.readouterr().out
    assert run("doctor") == 0
    assert "search kernels compiled" in capsys.readouterr().out
