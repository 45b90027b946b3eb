"""``verinet train`` of stacks of layers, from the file to the network."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.commands import run
from verinet.io import read_onnx
from verinet.model import Maximum, evaluate

SPECIFICATION = """
[data]
file = "images.csv"
target = "kind"
[model]
input_shape = [1, 4, 4]
layers = [
  {{ kind = "conv2d", filters = 1, kernel = [2, 2] }},
  {{ kind = "relu" }},
  {{ kind = "max_pool", kernel = [3, 3] }},
  {{ kind = "flatten" }},
  {{ kind = "dense", units = {units}, weights = {{ kind = "integer", limit = 2 }} }},
]
[objective]
loss = "zero_one"
margin = 0.25
goals = ["errors"]
[solver]
time_limit = 20
{extra}
"""


def write_files(folder: Path, units: int = 1, extra: str = "") -> Path:
    """Write images of a bright square somewhere, or none."""
    rows = [",".join([*(f"p{i}" for i in range(16)), "kind"])]
    for number in range(12):
        image = np.zeros((4, 4), dtype=int)
        if number % 2:
            row, column = divmod(number // 2, 3)
            image[row : row + 2, column : column + 2] = 8
        else:
            image[number % 4, number % 3] = 8
        rows.append(",".join([*map(str, image.ravel()), "square" if number % 2 else "dot"]))
    (folder / "images.csv").write_text("\n".join(rows) + "\n")
    (folder / "train.toml").write_text(SPECIFICATION.format(units=units, extra=extra))
    return folder / "train.toml"


def test_a_stack_of_layers_is_trained_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_files(tmp_path)
    assert run("train", file, "--out", tmp_path / "out", "--quiet") == 0
    shown = capsys.readouterr().out
    assert "errors 0 (exact)" in shown
    assert "proven optimal" in shown
    network = read_onnx(tmp_path / "out" / "network.onnx")
    assert any(isinstance(node.op, Maximum) for node in network.nodes)
    table = np.genfromtxt(tmp_path / "images.csv", delimiter=",", skip_header=1, usecols=range(16))
    outputs = evaluate(network, table)[:, 0]
    np.testing.assert_array_equal(outputs > 0, np.arange(12) % 2 == 1)
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["method"] == "milp"
    assert record["status"] == "optimal"
    page = (tmp_path / "out" / "network.html").read_text()
    for words in ("What the training reached", "errors", "proven optimal", "of them square", "filters of 1 x 2 x 2"):
        assert words in page
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "network.html",
        "network.onnx",
        "network.svg",
        "network.txt",
        "progress.svg",
        "record.json",
        "rules.txt",
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('kind = "flatten"', 'kind = "reshape"'), "expected one of 'dense', 'conv2d'"),
        (("input_shape = [1, 4, 4]", "input_shape = [1, 4, 5]"), "takes 20 inputs"),
        (('kind = "relu" }', 'kind = "relu", units = 3 }'), "units"),
        (("limit = 2", "bound = 2"), "bound is for continuous weights"),
        (("input_shape", "units = 3\ninput_shape"), "model.units is for networks of one hidden layer"),
        (("[solver]", '[constraints]\nmonotone = { p0 = "increasing" }\n[solver]'), "constraints.monotone is for"),
        (('goals = ["errors"]', 'goals = ["beauty"]'), "goals"),
    ],
)
def test_wrong_layers_are_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], words: str
) -> None:
    file = write_files(tmp_path)
    file.write_text(file.read_text().replace(*change))
    assert run("train", file, "--out", tmp_path / "out", "--quiet") == 2
    found = capsys.readouterr()
    assert words in found.err
    assert "Traceback" not in found.err
    assert not (tmp_path / "out").exists()
