"""``verinet verify``: what goes to stdout, and which exit code."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.commands import BIASES, PROPERTIES, VNNLIB, WEIGHTS, run, write
from verinet.io import read_onnx, write_onnx
from verinet.model import Network, dense_network, evaluate


@pytest.mark.parametrize(("threshold", "word"), [("0.9", "sat"), ("1.5", "unsat")])
def test_a_vnnlib_verdict_comes_first(tmp_path: Path, model: Path, network: Network, capsys, threshold, word) -> None:
    prop = write(tmp_path / "p.vnnlib", VNNLIB.format(threshold=threshold))
    witness = tmp_path / "witness.txt"
    assert run("verify", prop, "--network", model, "--counterexample", witness) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == word
    if word == "unsat":
        assert len(out) == 1
        assert not witness.exists()
        return
    values = dict(re.findall(r"\((\w_\d+) ([-\d.]+)\)", "\n".join(out[1:])))
    x = np.array([float(values["X_0"]), float(values["X_1"])])
    assert float(values["Y_0"]) == pytest.approx(evaluate(network, x)[0])
    assert float(values["Y_0"]) >= 0.9
    assert "\n".join(out[1:]).strip() == witness.read_text().strip()


@pytest.mark.parametrize(("direction", "code"), [("decreasing", 0), ("increasing", 1)])
def test_a_property_file_decides_the_exit_code(tmp_path: Path, model: Path, capsys, direction: str, code: int) -> None:
    prop = write(tmp_path / "p.toml", PROPERTIES.format(direction=direction))
    record = tmp_path / "record.json"
    assert run("verify", prop, "--network", f"credit={model}", "--json", record) == code
    out = capsys.readouterr().out
    assert "verified (L1)" in out
    verdicts = json.loads(record.read_text())
    assert [v["answer"] for v in verdicts] == ["verified", "verified" if code == 0 else "violated"]
    if code:
        low, high = verdicts[1]["counterexample"]
        assert low["outputs"][0]["value"] > high["outputs"][0]["value"]
        assert low["onnxruntime"] is not None
        assert "->" in out


EQUIVALENT = """
[inputs]
count = 2
range = [0, 1]

[[property]]
name = "as before"
kind = "equivalent"
reference = "old"
band = 0.25
"""


def test_two_networks_are_compared(tmp_path: Path, model: Path, capsys) -> None:
    prop, record = write(tmp_path / "p.toml", EQUIVALENT), tmp_path / "record.json"
    for shift, code in ((0.125, 0), (0.5, 1)):
        write_onnx(dense_network(WEIGHTS, [*BIASES[:-1], BIASES[-1] + shift]), tmp_path / "old.onnx")
        old = f"old={tmp_path / 'old.onnx'}"
        assert run("verify", prop, "--network", model, "--network", old, "--json", record) == code
        out = capsys.readouterr().out
        assert "the network always is within 0.25 of the outputs of old" in out
        (verdict,) = json.loads(record.read_text())
        assert verdict["references"]["old"]["name"] == "old.onnx"
        if code:
            new, before = verdict["counterexample"]
            assert new["inputs"] == before["inputs"]
            assert before["outputs"][0]["value"] - new["outputs"][0]["value"] == pytest.approx(0.5)
            assert new["onnxruntime"] is not None
    for arguments, message in (
        ((), "add --network old=MODEL.onnx"),
        (("--network", tmp_path / "old.onnx"), "needs a name"),
        (("--network", old, "--network", old), "given twice"),
    ):
        assert run("verify", prop, "--network", model, *arguments) == 2
        assert message in capsys.readouterr().err


BROKEN_PROPERTIES = {
    "unknown kind": (PROPERTIES.format(direction="decreasing").replace('"monotone"', '"magic"'), "magic"),
    "empty range": (PROPERTIES.format(direction="decreasing").replace("[0, 10]", "[10, 0]"), "empty"),
    "unknown input": (PROPERTIES.format(direction="decreasing").replace('input = "debt"', 'input = "dept"'), "dept"),
    "no TOML": ("[inputs", "TOML"),
    "too many outputs": (
        PROPERTIES.format(direction="decreasing").replace('["score"]', '["score", "rate"]'),
        "1 outputs",
    ),
    "too many inputs": (
        PROPERTIES.format(direction="decreasing").replace("[outputs]", "[inputs.age]\nrange = [0, 1]\n[outputs]"),
        "2 inputs",
    ),
}


@pytest.mark.parametrize("case", BROKEN_PROPERTIES)
def test_a_broken_property_file_is_one_sentence_and_code_2(tmp_path: Path, model: Path, capsys, case: str) -> None:
    text, word = BROKEN_PROPERTIES[case]
    record = tmp_path / "record.json"
    assert run("verify", write(tmp_path / "p.toml", text), "--network", model, "--json", record) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert word in captured.err
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    assert not record.exists()


def test_missing_and_truncated_files(tmp_path: Path, model: Path, capsys) -> None:
    prop = write(tmp_path / "p.vnnlib", VNNLIB.format(threshold=0))
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(model.read_bytes()[:60])
    empty_box = write(tmp_path / "e.vnnlib", VNNLIB.format(threshold=0).replace("(<= X_0 1.0)", "(<= X_0 -1.0)"))
    for arguments, word in (
        ((tmp_path / "none.vnnlib", "--network", model), "none.vnnlib"),
        ((prop, "--network", tmp_path / "none.onnx"), "none.onnx"),
        ((prop, "--network", broken), "broken.onnx"),
        ((empty_box, "--network", model), "empty"),
        ((prop, "--network", model, "--solver", "magic"), "magic"),
        ((prop, "--network", model, "--engine", "magic"), "magic"),
        ((prop, "--network", model, "--timeout", "-1"), "--timeout"),
        ((prop, "--network", model, "--certificate", tmp_path / "c"), "--certificate"),
        ((write(tmp_path / "p.txt", ""), "--network", model), "p.txt"),
    ):
        assert run("verify", *arguments) == 2, arguments
        captured = capsys.readouterr()
        assert captured.out == ""
        assert word in captured.err
        assert captured.err.count("\n") == 1


def test_an_unknown_engine_names_all(tmp_path: Path, model: Path, capsys) -> None:
    prop = write(tmp_path / "p.vnnlib", VNNLIB.format(threshold=0))
    assert run("verify", prop, "--network", model, "--engine", "phases") == 2
    assert "auto, branch, phase, milp, smt" in capsys.readouterr().err
    assert run("doctor", "--warm", "--engine", "milp") == 2
    assert "branch, phase" in capsys.readouterr().err


def test_limits_need_positive_numbers(tmp_path: Path, model: Path, capsys) -> None:
    prop = write(tmp_path / "p.vnnlib", VNNLIB.format(threshold=0))
    assert run("verify", prop, "--network", model, "--memory", "0") == 2
    assert "--memory" in capsys.readouterr().err


def test_everything_works_without_gurobi(tmp_path: Path, model: Path) -> None:
    prop = write(tmp_path / "p.vnnlib", VNNLIB.format(threshold="1.5"))
    blocker = "import sys; sys.modules['gurobipy'] = None; from verinet.cli import main; main()"
    command = [sys.executable, "-c", blocker, "verify", str(prop), "--network", str(model), "--engine", "milp"]
    done = subprocess.run([*command, "--no-falsify"], capture_output=True, text=True, check=False)
    assert done.stdout == "unsat\n"
    assert done.returncode == 0


def test_an_acas_xu_query_is_answered(shared: Path, capsys) -> None:
    folder = shared / "bench" / "acasxu"
    network = folder / "onnx" / "ACASXU_run2a_1_9_batch_2000.onnx"
    assert run("verify", folder / "vnnlib" / "prop_4.vnnlib", "--network", network, "--timeout", "60") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "sat"
    values = dict(re.findall(r"\((\w_\d+) ([-\d.]+)\)", "\n".join(out[1:])))
    x = np.array([float(values[f"X_{i}"]) for i in range(5)])
    y = evaluate(read_onnx(network), x)
    assert y == pytest.approx([float(values[f"Y_{i}"]) for i in range(5)], abs=1e-9)
    assert y.argmin() == 0
