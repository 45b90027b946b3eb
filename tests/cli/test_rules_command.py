"""``verinet rules`` and the page of ``verinet inspect``."""

from pathlib import Path

import numpy as np
import pytest

from tests.cli.commands import run
from verinet.io import write_onnx
from verinet.model import dense_network

TABLE = "income,age,label\n0,30,no\n2,40,no\n4,50,yes\n6,20,yes\n"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    network = dense_network([np.array([[1.0, 0.0]]), np.array([[1.0]])], [np.array([-3.0]), np.array([-0.5])])
    write_onnx(network, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "data.csv").write_text(TABLE)
    return tmp_path / "data.csv"


def test_rules_are_printed(model: Path, table: Path, capsys) -> None:
    assert run("rules", model, "--data", table, "--target", "label") == 0
    printed = capsys.readouterr().out
    assert "2 linear regions hold the 4 rows" in printed
    assert (
        "Rule 1: 2 rows (50.0%), 0.0% of them yes, 0.0% misjudged\n  IF   income <= 3\n  THEN label = -0.5" in printed
    )
    assert "  IF   income > 3\n  THEN label = income - 3.5" in printed


def test_rules_are_written(model: Path, table: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "rules.txt"
    columns = ("--feature", "age", "--feature", "income")
    assert run("rules", model, "--data", table, *columns, "--out", out) == 0
    assert "THEN Y_0 = age - 3.5" in out.read_text()
    assert str(out) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "leave the column out"),
        (("--target", "lable"), "label"),
        (("--feature", "income"), "found 1 columns"),
        (("--feature", "income", "--feature", "income"), "distinct"),
        (("--classes",), "--target"),
        (("--target", "age", "--feature", "income", "--feature", "label"), "number"),
        (("--target", "age", "--classes"), "number"),
    ],
)
def test_what_does_not_fit_is_one_sentence(model: Path, table: Path, capsys, arguments, words) -> None:
    assert run("rules", model, "--data", table, *arguments) == 2
    complaint = capsys.readouterr().err
    assert words in complaint
    assert complaint.count("\n") == 1


def test_inspect_writes_a_page(model: Path, table: Path, tmp_path: Path, capsys) -> None:
    page = tmp_path / "page.html"
    assert run("inspect", model, "--html", page) == 0
    assert "2 inputs, 1 outputs" in capsys.readouterr().out
    assert "X_0" in page.read_text()
    assert run("inspect", model, "--html", page, "--data", table, "--target", "label") == 0
    text = page.read_text()
    assert "income" in text
    assert "never falls" in text
    assert "model.onnx" in text


def test_data_without_a_page_is_a_mistake(model: Path, table: Path, capsys) -> None:
    assert run("inspect", model, "--data", table) == 2
    assert "--html" in capsys.readouterr().err
    assert run("inspect", model, "--target", "label") == 2
    assert "--data" in capsys.readouterr().err
