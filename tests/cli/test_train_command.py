"""``verinet train``: the files that it writes say what it prints, and what it reads is checked."""

import itertools
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.cli.commands import TABLE, WRITTEN, run, write
from verinet.io import read_onnx
from verinet.model import evaluate


@pytest.mark.parametrize(
    ("shape", "method"), [("", "any-width"), ("[model]\npositive_units = 1\nnegative_units = 0", "milp")]
)
def test_training_writes_network_record_and_pictures(tmp_path: Path, capsys, shape: str, method: str) -> None:
    write(tmp_path / "data.csv", TABLE)
    spec = f"""
[data]
file = "data.csv"
target = "label"
{shape}
[objective]
l1 = 0.01
[constraints]
monotone = {{ a = "increasing", b = "decreasing" }}
[solver]
time_limit = 20
"""
    out = tmp_path / "out"
    assert run("train", write(tmp_path / "t.toml", spec), "--out", out) == 0
    printed = capsys.readouterr().out
    assert "proven optimal" in printed
    assert ("over networks of any width" in printed) == (method == "any-width")
    network = read_onnx(out / "network.onnx")
    assert evaluate(network, np.array([3.0, 0.0]))[0] > 0 > evaluate(network, np.array([0.0, 3.0]))[0]
    record = json.loads((out / "record.json").read_text())
    assert record["status"] == "optimal"
    assert record["method"] == method
    assert record["bound"] <= record["objective"]["value"] + 1e-6
    assert record["history"]
    assert record["history"][-1]["bound"] == pytest.approx(record["bound"], rel=1e-6)
    assert (record["dual"] is None) == (method == "milp")
    for name in ("network.svg", "progress.svg", "units.svg"):
        assert "<svg" in (out / name).read_text()[:400]
    assert "label =" in (out / "network.txt").read_text()
    assert "the 16 rows" in (out / "rules.txt").read_text()
    assert "% of them yes" in (out / "rules.txt").read_text()
    page = (out / "network.html").read_text()
    assert page.count("<svg") >= 4
    assert "never falls" in page
    assert sorted(p.name for p in out.iterdir()) == WRITTEN


RESUMED = """
method = "milp"
[data]
file = "data.csv"
target = "label"
[objective]
l1 = {price}
[solver]
gap_tolerance = 0.5
"""


def test_training_resumes_from_a_folder(tmp_path: Path, capsys) -> None:
    write(tmp_path / "data.csv", TABLE)
    spec, out = write(tmp_path / "t.toml", RESUMED.format(price=0.01)), tmp_path / "out"
    assert run("train", spec, "--out", out) == 0
    first = json.loads((out / "record.json").read_text())
    assert run("train", spec, "--out", out, "--resume", out) == 0
    second = json.loads((out / "record.json").read_text())
    assert second["objective"]["value"] <= first["objective"]["value"]
    assert second["bound"] >= first["bound"]
    capsys.readouterr()
    other = write(tmp_path / "other.toml", RESUMED.format(price=0.02))
    any_width = write(tmp_path / "wide.toml", RESUMED.format(price=0.01).replace("milp", "any-width"))
    for file, folder, words in (
        (other, out, "specification and data"),
        (any_width, out, "method milp"),
        (spec, tmp_path, "record.json"),
    ):
        assert run("train", file, "--out", tmp_path / "new", "--resume", folder) == 2
        assert words in capsys.readouterr().err
    (out / "network.onnx").write_bytes(b"other")
    assert run("train", spec, "--out", tmp_path / "new", "--resume", out) == 2
    assert "not the network of the record" in capsys.readouterr().err


IMAGES = "a,b,c,d,label\n" + "".join(
    f"{a},{b},{c},{d},{'row' if (a and b) or (c and d) else 'column' if (a and c) or (b and d) else 'neither'}\n"
    for a, b, c, d in itertools.product((0, 1), repeat=4)
)


@pytest.mark.parametrize("shape", ["", "[filters]\nimage_shape = [2, 2]\nkernel = [1, 2]\npooling = 'max'\n"])
def test_several_classes_are_outputs_of_one_network(tmp_path: Path, capsys, shape: str) -> None:
    write(tmp_path / "data.csv", IMAGES)
    spec = '[data]\nfile = "data.csv"\ntarget = "label"\n[objective]\nl1 = 0.01\n' + shape
    out = tmp_path / "out"
    assert run("train", write(tmp_path / "t.toml", spec), "--out", out) == 0
    printed = capsys.readouterr().out
    names = ["label[column]", "label[neither]", "label[row]"]
    assert all(f"{name}: objective" in printed and f"{name} = " in printed for name in names)
    assert "all outputs: objective" in printed
    network = read_onnx(out / "network.onnx")
    assert network.size_out == 3
    record = json.loads((out / "record.json").read_text())
    assert (record["kind"], record["outputs"], record["status"]) == ("trainings", names, "optimal")
    parts = [Fraction(part["objective"]["exact"]) for part in record["trainings"]]
    assert Fraction(record["objective"]["exact"]) == sum(parts)
    assert record["bound"] <= sum(part["bound"] for part in record["trainings"])
    rows = [line.split(",") for line in IMAGES.splitlines()[1:]]
    scores = evaluate(network, np.array([[float(v) for v in row[:4]] for row in rows]))
    for number, (name, part) in enumerate(zip(names, parts, strict=True)):
        y = np.array([1.0 if f"label[{row[4]}]" == name else -1.0 for row in rows])
        assert float(part) - np.maximum(1 - y * scores[:, number], 0).mean() >= 0
    written = {p.name for p in out.iterdir()}
    assert ("filters.svg" in written) == bool(shape)
    assert {"progress-1.svg", "progress-3.svg", "network.txt"} <= written
    assert ("units-2.svg" in written) == (not shape)
    page = (out / "network.html").read_text()
    assert "objective, all outputs" in page
    assert ("What each filter looks for" in page) == bool(shape)
    assert ("What each unit contributes" in page) == (not shape)


def test_training_by_counterexamples_says_what_holds_and_what_it_costs(tmp_path: Path, capsys) -> None:
    rows = [(0, 0, 0), (1, 0, 0.1), (2, 1, 0.0), (3, 0, 1.1), (4, 1, 1.0), (5, 0, 1.0)]
    write(tmp_path / "data.csv", "a,b,y\n" + "".join(f"{a},{b},{y}\n" for a, b, y in rows))
    spec = """
[data]
file = "data.csv"
target = "y"
[objective]
loss = "l1"
l1 = 0.003
[constraints]
monotone = { a = "increasing" }
monotone_by = "counterexamples"
fair = [{ features = ["b"], tolerance = 0.05 }]
ranges = { a = [0, 6], b = [0, 1] }
condition = [{ points = [{ a = 6, b = 0 }], high = 1.05 }]
"""
    out = tmp_path / "out"
    assert run("train", write(tmp_path / "t.toml", spec), "--out", out) == 0
    printed = capsys.readouterr().out
    assert "everywhere: more a never lowers the output: verified" in printed
    assert "everywhere: b alone move the output by at most 0.05: verified" in printed
    record = json.loads((out / "record.json").read_text())
    assert record["status"] == "optimal"
    assert record["universal"]["price"][0] <= record["universal"]["price"][1]
    assert len(record["dual"]["multipliers"]) == 1 + len(record["universal"]["rows"])
    network = read_onnx(out / "network.onnx")
    values = [evaluate(network, np.array([a, 0.0]))[0] for a in np.linspace(0, 6, 50)]
    assert (np.diff(values) >= -1e-12).all()
    assert values[-1] <= 1.05 + 1e-6


def test_rules_that_take_minutes_are_left_to_their_command(tmp_path: Path, monkeypatch) -> None:
    from verinet.cli import readable

    monkeypatch.setattr(readable, "MOST_WORK_FOR_RULES", 47)
    write(tmp_path / "data.csv", TABLE)
    spec = '[data]\nfile = "data.csv"\ntarget = "label"\n[objective]\nl1 = 0.01\n'
    write(tmp_path / "rules.txt", "of an earlier training")
    assert run("train", write(tmp_path / "t.toml", spec), "--out", tmp_path) == 0
    assert not (tmp_path / "rules.txt").exists()
    assert "see verinet rules" in (tmp_path / "network.html").read_text()


def test_the_dual_solution_in_a_record_proves_its_bound(tmp_path: Path) -> None:
    """A few lines of rational arithmetic recompute the bound of the hinge loss from the file."""
    write(tmp_path / "data.csv", TABLE)
    spec = '[data]\nfile = "data.csv"\ntarget = "label"\n[objective]\nl1 = 0.01\n'
    assert run("train", write(tmp_path / "t.toml", spec), "--out", tmp_path / "out") == 0
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    dual, scale = record["dual"], Fraction(record["dual"]["scale"])
    rows = sorted((a, b, 1 if a > b else -1) for a in range(4) for b in range(4))
    prices = {price["row"]: scale * Fraction(price["price"]) for price in dual["prices"]}
    assert record["samples"] == len(rows)
    assert sum(prices.values()) == 0
    assert all(0 <= price * rows[n][2] <= Fraction(1, 16) for n, price in prices.items())
    assert sum(price * rows[n][2] for n, price in prices.items()) == Fraction(dual["bound"]["exact"])
    assert Fraction(record["bound"]) <= Fraction(dual["bound"]["exact"]) <= Fraction(record["objective"]["exact"])
    assert scale * Fraction(dual["worth"]) <= Fraction(0.01)
    assert not dual["claimed"]


TRAINING = """
[data]
file = "data.csv"
target = "y"
[solver]
time_limit = 5
"""


@pytest.mark.parametrize(
    ("table", "extra", "words"),
    [
        ("a,y\n1,0\nx,1\n", "", ["data.csv", "row 3", "'a'"]),
        ("a,y\n1,0\n1,1\n", "", ["'a'", "one value"]),
        ("a,y\n1,1\n2,1\n", "", ["two classes"]),
        ("a,b\n1,1\n2,1\n", "", ["'y'"]),
        ("a,y\n1,0\n2,1\n", "[constraints]\nmonotone = { z = 'increasing' }", ["'z'"]),
        ("a,y\n1,0\n2,1\n", "[constraints]\nfair = [{features = ['z'], tolerance = 1}]", ["constraints.fair", "'z'"]),
        (
            "a,b,y\n1,1,0\n2,0,1\n",
            "[constraints]\nranges = {a = [0, 1]}\nfair = [{features = ['a'], tolerance = 1}]",
            ["every feature", "'b'"],
        ),
        ("a,b,y\n1,1,0\n2,0,1\n", "[constraints]\ncondition = [{points = [{a = 1}], low = 0}]", ["every feature"]),
        ("a,y\n1,0\n2,1\n", "[objective]\nl1 = -1", ["l1"]),
        ("a,y\n1,0\n2,1\n", "[objective]\nl1 = 0", ["l1 > 0", "always a wider network"]),
        ("a,y\n1,0\n2,1\n", "[model]\nmax_features_per_unit = 2", ["max_features_per_unit", "features, 1, found 2"]),
        ("a,y\n1,0\n2,1\n", "[model]\nmax_features_per_unit = 0", ["max_features_per_unit"]),
        ("a,y\nnan,0\n2,1\n", "", ["data.csv", "'a'"]),
        ("a,y\n1,0\n", "", ["two classes"]),
        ("a,y\n1,0\n", "[objective]\nloss = 'squared'", ["two samples"]),
        ("a,y\n1,3\n2,3\n", "[objective]\nloss = 'squared'", ["nothing to learn"]),
        ("a,y\n1,no\n2,yes\n", "[objective]\nloss = 'squared'", ["numbers", "'y'"]),
        ("a,y\n1,0\n2,1\n", "[model]\nskip = 'free'\n[constraints]\nmonotone = { a = 'increasing' }", ["free skip"]),
        ("a,y\n1,0\n2,1\n", "[model]\nunits = 'many'", ["units"]),
        ("a,y\n1,0\n2,1\n", "[filters]\nimage_shape = [2, 2]\nkernel = [1, 2]", ["4 pixels", "(2, 1)"]),
        ("a,y\n1,0\n2,1\n", "[filters]\nimage_shape = [2, 2]", ["kernel=(3, 3)", "does not fit"]),
        ("a,y\n1,0\n2,1\n", "[filters]\nimage_shape = [2]", ["image_shape"]),
        ("a,y\n1,0\n2,1\n", "[filters]\nimage_shape = [1, 1]\nkernel = [1, 1]\n[model]\nunits = 2", ["'milp'"]),
        (
            "a,y\n1,0\n2,1\n",
            "[filters]\nimage_shape = [1, 1]\nkernel = [1, 1]\n[constraints]\nmonotone = { a = 'increasing' }",
            ["filters cannot be monotone"],
        ),
    ],
)
def test_unusable_training_input(tmp_path: Path, capsys, table: str, extra: str, words: list[str]) -> None:
    write(tmp_path / "data.csv", table)
    out = tmp_path / "out"
    assert run("train", write(tmp_path / "t.toml", TRAINING + extra), "--out", out) == 2
    error = capsys.readouterr().err
    for word in words:
        assert word in error
    assert error.count("\n") == 1
    assert not out.exists()
