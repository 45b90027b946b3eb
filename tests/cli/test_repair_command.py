"""``verinet repair``, from the files to the network, its record and its exit codes."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.commands import run
from verinet.io import read_onnx, write_onnx
from verinet.model import dense_network, evaluate

PROPERTY = """
[inputs.income]
range = [0, 1]
[inputs.debt]
range = [0, 1]
[outputs]
names = ["score"]
[[property]]
name = "no score above the scale"
kind = "range"
output = "score"
at_most = {most}
"""


def write_files(folder: Path, most: float = 1.25) -> tuple[Path, Path, Path]:
    """Write a network with outputs up to 1.5, a limit of them and a table."""
    network = dense_network(
        [np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.array([[1.0, 1.0, -0.5]])],
        [np.array([0.0, 0.0, -1.0]), np.array([0.0])],
    )
    write_onnx(network, folder / "model.onnx")
    (folder / "limit.toml").write_text(PROPERTY.format(most=most))
    rows = ["debt,income,score", "0,0,0", "1,0,1", "0,1,1", "1,1,1.5"]
    (folder / "data.csv").write_text("\n".join(rows) + "\n")
    return folder / "model.onnx", folder / "limit.toml", folder / "data.csv"


def test_a_network_is_repaired_and_what_it_cost_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, limit, data = write_files(tmp_path)
    out = tmp_path / "out"
    assert run("repair", model, "--property", limit, "--data", data, "--out", out, "--quiet") == 0
    shown = capsys.readouterr().out
    assert "proven smallest" in shown
    assert "everywhere: no score above the scale: verified" in shown
    assert "mean absolute error 0 before" in shown
    assert run("verify", limit, "--network", out / "network.onnx", "--quiet") == 0
    record = json.loads((out / "record.json").read_text())
    assert record["l1"]["value"] == pytest.approx(0.25, rel=1e-3)
    assert record["score"]["before"] == 0
    assert record["score"]["after"] > 0
    assert evaluate(read_onnx(out / "network.onnx"), np.array([[1.0, 1.0]]))[0, 0] <= 1.25


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--reach", "0.01"], 1, "layer affine_2 is not repaired: no network passed verification in"),
        (["--rounds", "1"], 3, "the last counterexample is income = "),
    ],
)
def test_an_honest_failure_leaves_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int, words: str
) -> None:
    model, limit, _ = write_files(tmp_path)
    name = read_onnx(model).nodes[-1].name
    arguments = ["--property", limit, "--layer", "2", "--out", tmp_path / "out", "--quiet", *options]
    assert run("repair", model, *arguments) == code
    assert words.replace("affine_2", name) in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--layer", "7"], "there is no layer '7' to repair"),
        (["--norm", "l2"], "--norm needs to be one of l1, count"),
        (["--reach", "-1"], "reach of a repair"),
        (["--data", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_wrong_arguments_are_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    model, limit, _ = write_files(tmp_path)
    assert run("repair", model, "--property", limit, "--out", tmp_path / "out", *options) == 2
    found = capsys.readouterr()
    assert words in found.err
    assert "Traceback" not in found.err
    assert not (tmp_path / "out").exists()
