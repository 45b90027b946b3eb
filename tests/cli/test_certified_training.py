"""``verinet train --property``, from the files to the network, its verdicts and its exit codes."""

import json
from pathlib import Path

import pytest

from tests.cli.commands import run

TRAINING = """
[data]
file = "credit.csv"
target = "score"
[model]
{model}
[objective]
loss = "l1"
l1 = 0.01
[solver]
time_limit = 30
gap_tolerance = 0.05
"""

PROPERTY = """
[inputs.income]
range = [0, 8]
[inputs.debt]
range = [0, 1]
[outputs]
names = ["score"]
[[property]]
name = "the score stays on its scale"
kind = "range"
output = "score"
at_least = 0.1
at_most = 0.8
[[property]]
name = "who has much is not refused"
kind = "rule"
if = "income >= 7"
then = "score >= 0.5"
"""


def write_files(folder: Path, model: str = "", prop: str = PROPERTY) -> tuple[Path, Path]:
    """Write a table of scores from 0 to 1, what to train and what must hold."""
    rows = ["income,debt,score"]
    rows += [f"{income},{debt},{float(income > 3) * (1 - 0.5 * debt)}" for income in range(0, 9, 2) for debt in (0, 1)]
    (folder / "credit.csv").write_text("\n".join(rows) + "\n")
    (folder / "train.toml").write_text(TRAINING.format(model=model))
    (folder / "score.toml").write_text(prop)
    return folder / "train.toml", folder / "score.toml"


def test_a_network_is_trained_under_a_property_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, prop = write_files(tmp_path)
    out = tmp_path / "out"
    assert run("train", file, "--property", prop, "--out", out) == 0
    shown = capsys.readouterr()
    assert "everywhere: the score stays on its scale: verified" in shown.out
    assert "everywhere: who has much is not refused: verified" in shown.out
    assert "round 1:" in shown.err
    record = json.loads((out / "record.json").read_text())
    assert [kept["name"] for kept in record["universal"]["kept"]] == [
        "the score stays on its scale",
        "who has much is not refused",
    ]
    assert record["universal"]["counterexamples"] > 0
    assert record["universal"]["price"][1] > 0
    assert run("verify", prop, "--network", out / "network.onnx", "--quiet") == 0


LAYERS = 'layers = [{ kind = "dense", units = 1 }, { kind = "relu" }, { kind = "dense", units = 1 }]'


def test_a_stack_of_layers_is_trained_under_it_or_said_to_be_impossible(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, prop = write_files(tmp_path, LAYERS)
    assert run("train", file, "--property", prop, "--out", tmp_path / "out", "--quiet") == 1
    shown = capsys.readouterr()
    # Scores of whole weights are whole, and 0.1 to 0.8 holds none.
    assert "no network passed verification: no network of the specification" in shown.out
    assert not (tmp_path / "out").exists()
    wide = PROPERTY.replace("at_least = 0.1", "at_least = 0").replace("at_most = 0.8", "at_most = 1")
    file, prop = write_files(tmp_path, LAYERS, wide)
    assert run("train", file, "--property", prop, "--out", tmp_path / "out", "--quiet") == 0
    shown = capsys.readouterr()
    assert "everywhere: the score stays on its scale: verified" in shown.out
    assert "proven optimal" in shown.out
    assert run("verify", prop, "--network", tmp_path / "out" / "network.onnx", "--quiet") == 0


@pytest.mark.parametrize(
    ("change", "words", "options"),
    [
        (("inputs.debt", "inputs.age"), "in their order, 'income', 'debt'; found 'income', 'age'", []),
        (('"score"]', '"score", "other"]'), "1 outputs, but the file names 2", []),
        (('then = "score >= 0.5"', 'then = "score >= 0.5 or score <= 0.2"'), "an 'or'", []),
        (("", ""), "needs a name", ["--network", "model.onnx"]),
    ],
)
def test_what_cannot_be_trained_for_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], words: str, options: list[str]
) -> None:
    file, prop = write_files(tmp_path, prop=PROPERTY.replace(*change) if change[0] else PROPERTY)
    assert run("train", file, "--property", prop, "--out", tmp_path / "out", "--quiet", *options) == 2
    found = capsys.readouterr()
    assert words in found.err
    assert "Traceback" not in found.err
    assert not (tmp_path / "out").exists()


def test_rounds_are_for_properties(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, _ = write_files(tmp_path)
    assert run("train", file, "--rounds", 3, "--out", tmp_path / "out") == 2
    assert "add --property" in capsys.readouterr().err
