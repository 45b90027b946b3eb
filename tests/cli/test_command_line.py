"""The command line keeps its contract: what goes to stdout, and which exit code."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest

from verinet import cli as command_line
from verinet.io import read_onnx, write_onnx
from verinet.model import Network, dense_network, evaluate

PROPERTIES = """
[inputs.income]
range = [0, 10]

[inputs.debt]
range = [0, 10]

[outputs]
names = ["score"]

[[property]]
name = "income helps"
kind = "monotone"
input = "income"
output = "score"
direction = "increasing"

[[property]]
name = "debt hurts"
kind = "monotone"
input = "debt"
output = "score"
direction = "{direction}"
"""

VNNLIB = """
(declare-const X_0 Real)
(declare-const X_1 Real)
(declare-const Y_0 Real)
(assert (>= X_0 0.0))
(assert (<= X_0 1.0))
(assert (>= X_1 0.0))
(assert (<= X_1 1.0))
(assert (>= Y_0 {threshold}))
"""


def run(*arguments: str | Path) -> int:
    """Run the command line in this process and return its exit code."""
    return command_line.run([str(argument) for argument in arguments])


@pytest.fixture
def network() -> Network:
    return dense_network(
        [np.array([[1.0, -1.0], [0.0, 0.25]]), np.array([[1.0, -0.5]])], [np.array([0.0, -1.0]), np.zeros(1)]
    )


@pytest.fixture
def model(tmp_path: Path, network: Network) -> Path:
    path = tmp_path / "model.onnx"
    write_onnx(network, path)
    return path


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


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


def test_two_networks_are_compared(tmp_path: Path, model: Path, network: Network, capsys) -> None:
    prop, record = write(tmp_path / "p.toml", EQUIVALENT), tmp_path / "record.json"
    biases = [node.op.bias for node in network.nodes if node.name.startswith("affine")]  # type: ignore[union-attr]
    weights = [node.op.maps[0].weights for node in network.nodes if node.name.startswith("affine")]  # type: ignore[union-attr]
    for shift, code in ((0.125, 0), (0.5, 1)):
        write_onnx(dense_network(weights, [*biases[:-1], biases[-1] + shift]), tmp_path / "old.onnx")
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


TABLE = "a,b,label\n" + "".join(f"{a},{b},{'yes' if a > b else 'no'}\n" for a in range(4) for b in range(4))
WRITTEN = [
    "network.html",
    "network.onnx",
    "network.svg",
    "network.txt",
    "progress.svg",
    "record.json",
    "rules.txt",
    "units.svg",
]


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


def test_bad_usage_is_code_2(capsys) -> None:
    assert run("verify") == 2
    assert run("nonsense") == 2


def test_everything_works_without_gurobi(tmp_path: Path, model: Path) -> None:
    prop = write(tmp_path / "p.vnnlib", VNNLIB.format(threshold="1.5"))
    blocker = "import sys; sys.modules['gurobipy'] = None; from verinet.cli import main; main()"
    command = [sys.executable, "-c", blocker, "verify", str(prop), "--network", str(model), "--engine", "milp"]
    done = subprocess.run([*command, "--no-falsify"], capture_output=True, text=True, check=False)
    assert done.stdout == "unsat\n"
    assert done.returncode == 0


def test_the_demo_runs_and_writes_everything(tmp_path: Path, capsys) -> None:
    assert run("demo", "--out", tmp_path, "--time-limit", "60") == 0
    out = capsys.readouterr().out
    assert "proven optimal over networks of any width" in out
    assert len(re.findall(r"^verified .* raises the score", out, flags=re.MULTILINE)) == 5
    assert len(re.findall(r"^verified", out, flags=re.MULTILINE)) >= 5
    assert len(re.findall(r"^violated .* small nuclei", out, flags=re.MULTILINE)) == 1
    names = {p.name for p in tmp_path.iterdir()}
    assert names >= {*WRITTEN, "monotone.toml", "robust.json", "refuted.json"}
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["status"] == "optimal"
    assert record["gap"] <= 1e-3
    assert record["dual"]["prices"]


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


@pytest.fixture
def hard(tmp_path: Path) -> tuple[Path, Path]:
    """Write a network and a question about it that no engine answers within seconds."""
    rng = np.random.default_rng(0)
    sizes = [8, 60, 60, 60, 1]
    weights = [rng.normal(size=(b, a)) * np.sqrt(2 / a) for a, b in itertools.pairwise(sizes)]
    network = dense_network(weights, [rng.normal(size=len(w)) * 0.1 for w in weights])
    write_onnx(network, tmp_path / "hard.onnx")
    values = evaluate(network, rng.uniform(-1, 1, size=(4000, 8)))
    lines = [f"(declare-const X_{i} Real)" for i in range(8)] + ["(declare-const Y_0 Real)"]
    lines += [f"(assert (>= X_{i} -1.0))\n(assert (<= X_{i} 1.0))" for i in range(8)]
    return write(
        tmp_path / "hard.vnnlib", "\n".join([*lines, f"(assert (>= Y_0 {values.max() + np.ptp(values):.6f}))"])
    ), tmp_path / "hard.onnx"


def start(*arguments: str | Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "verinet", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def _compiled() -> None:
    assert run("doctor", "--warm") == 0


@pytest.mark.usefixtures("_compiled")
def test_a_time_limit_counts_from_the_start_of_the_process(tmp_path: Path, hard: tuple[Path, Path]) -> None:
    prop, model = hard
    record = tmp_path / "record.json"
    started = time.monotonic()
    with start("verify", prop, "--network", model, "--engine", "branch", "--timeout", "3", "--json", record) as process:
        out, error = process.communicate()
    assert time.monotonic() - started < 4
    assert process.returncode == 0
    assert out == "timed-out\n"
    assert "best bound" in error
    assert error.count("\n") == 1
    (verdict,) = json.loads(record.read_text())
    assert verdict["timed_out"]
    assert verdict["bound"] < verdict["needed_bound"] == 0
    assert len(verdict["open_box"]["lower"]) == len(verdict["open_box"]["upper"]) == 8
    # The verdict's own seconds leave out what the process took before: the limit counts it.
    assert 0 < verdict["seconds"] < 3


@pytest.mark.usefixtures("_compiled")
def test_an_interrupt_prints_what_is_known(tmp_path: Path, hard: tuple[Path, Path]) -> None:
    prop, model = hard
    record = tmp_path / "record.json"
    with start("verify", prop, "--network", model, "--engine", "branch", "--json", record) as process:
        time.sleep(4)
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        out, error = process.communicate()
    assert time.monotonic() - started < 1.5
    assert process.returncode == 130
    assert out == "unknown\n"
    assert "interrupted" in error
    assert "Traceback" not in error
    (verdict,) = json.loads(record.read_text())
    assert verdict["reason"].startswith("interrupted")
    assert verdict["bound"] < 0


@pytest.mark.usefixtures("_compiled")
@pytest.mark.parametrize("interrupt", [False, True])
def test_the_phase_engine_ends_in_time_and_says_what_is_left(
    tmp_path: Path, hard: tuple[Path, Path], interrupt: bool
) -> None:
    prop, model = hard
    record = tmp_path / "record.json"
    limit = ("--timeout", "60" if interrupt else "3")
    started = time.monotonic()
    with start("verify", prop, "--network", model, "--engine", "phase", *limit, "--json", record) as process:
        if interrupt:
            time.sleep(3)
            process.send_signal(signal.SIGINT)
        out, error = process.communicate()
    assert time.monotonic() - started < 4.5
    assert process.returncode == (130 if interrupt else 0)
    assert out == ("unknown\n" if interrupt else "timed-out\n")
    assert "best bound" in error
    assert "worst domain" in error
    assert "Traceback" not in error
    (verdict,) = json.loads(record.read_text())
    assert verdict["bound"] < 0
    assert verdict["open_box"] is None
    assert verdict["open_phases"]["undecided"] > 0
    assert verdict["engine"].startswith("phase")


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


def test_doctor_compiles_ahead_and_says_so(capsys) -> None:
    assert run("doctor", "--warm") == 0
    assert "search kernels" in capsys.readouterr().out
    assert run("doctor") == 0
    assert "search kernels compiled" in capsys.readouterr().out


def test_output_that_nobody_reads_is_no_error(model: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "verinet", "inspect", str(model)]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.returncode == 141
    assert done.stderr == ""
