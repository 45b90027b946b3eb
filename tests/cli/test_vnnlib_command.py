"""Chapter 5 of the VNN-LIB standard: what our command line prints, writes and refuses."""

import gzip
import json
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.cli.commands import write
from tests.io.vnnlib_text import read_assignment, satisfied
from verinet import __version__
from verinet.cli import run
from verinet.cli.supporting import CAPABILITIES
from verinet.io import read_onnx, write_onnx
from verinet.model import dense_network, evaluate_exact

QUERY = """(vnnlib-version <2.0>)
(declare-network f (declare-input X {type} [2]) (declare-output Y {type} [1]))
(assert (and (>= X[0] 0.0) (<= X[0] 1.0) (>= X[1] 0.0) (<= X[1] 1.0)))
(assert (> Y[0] {threshold}))
"""
"""Of `f`, whose largest value is 1."""

COPIES = """(vnnlib-version <2.0>)
(declare-network f (declare-input X1 real [2]) (declare-output Y1 real [1]))
(declare-network g (equal-to f) (declare-input X2 real [2]) (declare-output Y2 real [1]))
(assert (and (>= X1[0] 0.0) (<= X1[0] 1.0) (>= X1[1] 0.0) (<= X1[1] 1.0)))
(assert (and (<= X1[0] X2[0]) (<= X2[0] 1.0) (== X1[1] X2[1])))
(assert ({relation} Y2[0] Y1[0]))
"""


@pytest.fixture
def network(tmp_path) -> Path:
    """``relu(x0) + 0 * x1``: increasing in the first input, at most 1 on the unit square."""
    path = tmp_path / "f.onnx"
    write_onnx(dense_network([np.array([[1.0, 0.0]]), np.array([[1.0]])], [np.zeros(1), np.zeros(1)]), path)
    return path


def ask(capsys, *arguments: object) -> tuple[int, list[str], str]:
    code = run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out.splitlines(), captured.err


@pytest.mark.parametrize(("type_", "threshold", "word"), [("real", "0.5", "sat"), ("real", "1.0", "unsat")])
def test_the_verdict_comes_first_then_every_variable(tmp_path, network, capsys, type_, threshold, word):
    text = QUERY.format(type=type_, threshold=threshold)
    code, lines, _ = ask(capsys, "verify", write(tmp_path / "q.vnnlib", text), "--network", f"f={network}")
    assert (code, lines[0]) == (0, word)
    if word == "sat":
        heads, values = read_assignment(lines[1:])
        assert heads == [("X", "real", (2,)), ("Y", "real", (1,))]
        assert satisfied(text, values)
        assert tuple(values["Y"]) == evaluate_exact(read_onnx(network), values["X"])
    else:
        assert len(lines) == 1


@pytest.mark.parametrize(
    ("threshold", "word"),
    [("0.5", "sat"), ("1.0", "unsat"), ("1.01", "unsat"), ("0.9999999", "sat"), ("0.99999999", "unknown")],
)
def test_float32_is_answered_with_what_it_computes(tmp_path, network, capsys, threshold, word):
    text = QUERY.format(type="float32", threshold=threshold)
    code, lines, _ = ask(capsys, "verify", write(tmp_path / "q.vnnlib", text), "--network", f"f={network}")
    assert (code, lines[0]) == (0, word)
    if word == "sat":
        _, values = read_assignment(lines[1:])
        assert satisfied(text, values)
        assert all(Fraction(float(np.float32(float(v)))) == v for v in [*values["X"], *values["Y"]])


@pytest.mark.parametrize(("relation", "word"), [("<", "unsat"), ("<=", "sat"), (">", "sat"), ("!=", "sat")])
def test_copies_are_compared_with_strictness_as_written(tmp_path, network, capsys, relation, word):
    query = write(tmp_path / "q.vnnlib", COPIES.format(relation=relation))
    code, lines, _ = ask(capsys, "verify", query, "--network", f"f={network}")
    assert (code, lines[0]) == (0, word)
    if word == "sat":
        heads, values = read_assignment(lines[1:])
        assert [name for name, *_ in heads] == ["X1", "Y1", "X2", "Y2"]
        assert satisfied(COPIES.format(relation=relation), values)


@pytest.mark.parametrize("name", ["q.vnnlib", "q.txt", "q.vnnlib.txt", "q.vnnlib.gz", "q.txt.gz"])
@pytest.mark.parametrize("word", [["verify"], []])
def test_what_other_tools_write_is_understood(tmp_path, network, capsys, name, word):
    text = COPIES.format(relation="<").replace("real", "Real").replace("0.0", "0").replace("1.0", "1e0")
    text = text.replace("X2[0]", "X2 [0]").replace("==", "=")
    data = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(network.read_bytes())
    code, lines, err = ask(
        capsys, *word, tmp_path / name, "--network", f"f={network}", "--network", f"g={copy}", "--timeout", "20"
    )
    assert (code, lines) == (0, ["unsat"]), err


def test_an_assignment_is_serialised_instead_of_printed(tmp_path, network, capsys):
    text = QUERY.format(type="float32", threshold="0.5")
    folder = tmp_path / "made" / "here"
    query = write(tmp_path / "q.vnnlib", text)
    code, lines, _ = ask(capsys, "verify", query, "--network", f"f={network}", "--serialise-assignments", folder)
    assert (code, lines) == (0, ["sat"])
    values = {}
    for name, shape in {"X": (2,), "Y": (1,)}.items():
        tensor = onnx.TensorProto.FromString((folder / f"{name}.pb").read_bytes())
        assert (tensor.name, tensor.data_type, tuple(tensor.dims)) == (name, TensorProto.FLOAT, shape)
        values[name] = [Fraction(float(v)) for v in numpy_helper.to_array(tensor).ravel()]
    assert satisfied(text, values)


def test_an_unsatisfiable_query_serialises_nothing(tmp_path, network, capsys):
    query = write(tmp_path / "q.vnnlib", QUERY.format(type="real", threshold="1.0"))
    folder = tmp_path / "none"
    code, lines, _ = ask(capsys, "verify", query, "--network", f"f={network}", "--serialise-assignments", folder)
    assert (code, lines, folder.exists()) == (0, ["unsat"], False)


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        (["h={f}"], "'h'"),
        (["f={f}", "f={f}"], "twice"),
        (["f={f}", "h={f}"], "'h'"),
        (["f={missing}"], "does not exist"),
        (["g={f}"], "network f has no model file"),
        (["f={f}", "g={other}"], "differ"),
        (["{f}", "{f}"], "NAME=FILE"),
    ],
)
def test_files_that_do_not_fit_the_declarations_are_refused(tmp_path, network, capsys, networks, message):
    other = tmp_path / "other.onnx"
    write_onnx(dense_network([np.array([[2.0, 0.0]])], [np.zeros(1)]), other)
    names = {"f": network, "other": other, "missing": tmp_path / "missing.onnx"}
    options = [part for value in networks for part in ("--network", value.format(**names))]
    code, lines, err = ask(capsys, "verify", write(tmp_path / "q.vnnlib", COPIES.format(relation="<")), *options)
    assert (code, lines) == (2, [])
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("float32", "float64"), "declared float64"),
        (("Y float32", "Y real"), "all of them real or none"),
        (("Y float32", "Y float64"), "one float type"),
        (("float32", "float16"), "float16"),
        (("X float32 [2]", "X float32 [3]"), "shape"),
        (("X float32 [2]", "X float32 [1]) (declare-input Z float32 [1]"), "declares 2 inputs"),
        (("X float32", "X float"), "element type"),
    ],
)
def test_types_and_shapes_that_differ_from_the_file_are_refused(tmp_path, network, capsys, change, message):
    text = QUERY.format(type="float32", threshold="0.5").replace(*change).replace("X[1]", "X[0]")
    code, lines, err = ask(capsys, "verify", write(tmp_path / "q.vnnlib", text), "--network", f"f={network}")
    assert (code, lines) == (2, [])
    assert message in err


def test_contradictory_assertions_are_unsatisfiable(tmp_path, network, capsys):
    text = QUERY.format(type="real", threshold="0.0") + "(assert (> X[0] 2.0))"
    code, lines, _ = ask(capsys, "verify", write(tmp_path / "q.vnnlib", text), "--network", f"f={network}")
    assert (code, lines) == (0, ["unsat"])


@pytest.mark.parametrize(("threshold", "word"), [("500.0", "sat"), ("5000.0", "unknown")])
def test_without_bounds_only_counterexamples_count(tmp_path, network, capsys, threshold, word):
    text = QUERY.format(type="real", threshold=threshold)
    text = "\n".join(line for line in text.splitlines() if "and" not in line)
    code, lines, err = ask(capsys, "verify", write(tmp_path / "q.vnnlib", text), "--network", f"f={network}")
    assert (code, lines[0]) == (0, word)
    assert ("bounds" in err) is (word == "unknown")


def test_two_files_can_differ_in_their_weights(tmp_path, network, capsys):
    other = tmp_path / "g.onnx"
    write_onnx(dense_network([np.array([[1.0, 0.0]]), np.array([[1.0]])], [np.zeros(1), np.full(1, 0.25)]), other)
    text = COPIES.replace("equal-to", "isomorphic-to").format(relation="<")
    for relation, word in (("<", "unsat"), (">=", "sat")):
        text = COPIES.replace("equal-to", "isomorphic-to").format(relation=relation)
        query = write(tmp_path / "q.vnnlib", text)
        code, lines, _ = ask(capsys, "verify", query, "--network", f"f={network}", "--network", f"g={other}")
        assert (code, lines[0]) == (0, word)
        if word == "sat":
            assert satisfied(text, read_assignment(lines[1:])[1])


def model_with_hidden_node(path: Path, *, default: bool = False) -> Path:
    """``h = relu(x)``, ``y = h - b``, where b is the second input or its default of one half."""
    nodes = [helper.make_node("Relu", ["x"], ["h"], name="hidden node (1)"), helper.make_node("Sub", ["h", "b"], ["y"])]
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "b", "y")]
    constants = [numpy_helper.from_array(np.array([0.5], dtype=np.float32), "b")] if default else []
    graph = helper.make_graph(
        nodes, "g", tensors[:2] if not default else [tensors[0], tensors[1]], tensors[2:], constants
    )
    graph_model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(graph_model.SerializeToString())
    return path


HIDDEN = """(vnnlib-version <2.0>)
(declare-network f (declare-input X {type} [1]) (declare-input B {type} [1])
  (declare-hidden H {type} [1] "{node}") (declare-output Y {type} [1]))
(assert (and (>= X[0] -1.0) (<= X[0] 1.0) (>= B[0] 0.0) (<= B[0] 1.0)))
(assert (<= H[0] {limit}))
(assert (>= (+ Y[0] B[0]) 0.25))
"""


@pytest.mark.parametrize("type_", ["real", "float32"])
@pytest.mark.parametrize("node", ["h", "hidden node (1)"])
@pytest.mark.parametrize(("limit", "word"), [("0.5", "sat"), ("0.2", "unsat")])
def test_hidden_nodes_and_several_inputs(tmp_path, capsys, type_, node, limit, word):
    path = model_with_hidden_node(tmp_path / "f.onnx")
    text = HIDDEN.format(type=type_, node=node, limit=limit)
    code, lines, err = ask(capsys, "verify", write(tmp_path / "q.vnnlib", text), "--network", f"f={path}")
    assert (code, lines[0]) == (0, word), err
    if word == "sat":
        heads, values = read_assignment(lines[1:])
        assert [name for name, *_ in heads] == ["X", "B", "H", "Y"]
        assert values["H"] == [max(Fraction(0), values["X"][0])]
        assert satisfied(text.replace(f'"{node}"', '"n"'), values)


def test_a_hidden_node_that_is_not_there_is_named(tmp_path, capsys):
    path = model_with_hidden_node(tmp_path / "f.onnx")
    text = HIDDEN.format(type="real", node="relu", limit="0.5")
    code, lines, err = ask(capsys, "verify", write(tmp_path / "q.vnnlib", text), "--network", f"f={path}")
    assert (code, lines) == (2, [])
    assert "'relu'" in err
    assert "'hidden node (1)'" in err


@pytest.mark.parametrize(("threshold", "word"), [("0.5", "sat"), ("0.501", "unsat")])
def test_an_initialized_input_keeps_the_value_in_the_file(tmp_path, capsys, threshold, word):
    path = model_with_hidden_node(tmp_path / "f.onnx", default=True)
    text = f"""(vnnlib-version <2.1>)
(declare-network f (declare-input X real [1]) (declare-input B real [1] initialized) (declare-output Y real [1]))
(assert (and (>= X[0] -1.0) (<= X[0] 1.0)))
(assert (>= Y[0] {threshold}))
"""
    code, lines, err = ask(capsys, "verify", write(tmp_path / "q.vnnlib", text), "--network", f"f={path}")
    assert (code, lines[0]) == (0, word), err
    if word == "sat":
        assert read_assignment(lines[1:])[1]["B"] == [Fraction(1, 2)]


def test_global_options_and_capabilities(capsys):
    assert ask(capsys, "--name") == (0, ["verinet"], "")
    assert ask(capsys, "--version") == (0, [__version__], "")
    for option in CAPABILITIES:
        code, lines, err = ask(capsys, "supports", option)
        assert (code, err) == (0, "")
        assert all(line == line.strip() != "" for line in lines)
        assert ask(capsys, "capabilities", option) == (0, lines, "")
    assert ask(capsys, "supports", "--multiple-inputs-output-theories")[1] == ["SIO", "MIO"]
    assert ask(capsys, "supports", "--onnx-element-types")[1] == ["real", "float32", "float64"]
    for wrong in ([], ["--onnx-operators", "--vnnlib-versions"], ["--nothing"]):
        code, lines, err = ask(capsys, "supports", *wrong)
        assert (code, lines) == (2, [])
        assert err


def test_the_reference_solver_refuses_what_we_refuse(tmp_path, network, capsys):
    """The standard's three error conditions, against a solver that implements nothing else."""
    reference = pytest.importorskip("vnnlib_test_solver.cli", reason="vnnlib-test-solver is not installed")
    config = write(
        tmp_path / "solver.toml",
        '[solver]\nname = "n"\nversion = "1"\n[soundness]\nsound-for = ["float32", "float64"]\n'
        '[[rules]]\nmatch = "*"\nresult = "sat"\nmodel_element_types = { X = "float32", Y = "float32" }\n',
    )
    good = QUERY.format(type="float32", threshold="0.5")
    cases = {
        "good": (good, [f"f={network}"]),
        "missing": (good, []),
        "unknown": (good, [f"f={network}", f"g={network}"]),
        "types": (good.replace("float32", "float64"), [f"f={network}"]),
        "unsound": (good.replace("float32", "float16"), [f"f={network}"]),
        "syntax": (good.replace("(assert", "(asert"), [f"f={network}"]),
        "real": (good.replace("float32", "real"), [f"f={network}"]),
    }
    for name, (text, networks) in cases.items():
        query = write(tmp_path / f"{name}.vnnlib", text)
        options = [part for value in networks for part in ("--network", value)]
        theirs = reference.main(["--config", str(config), "verify", str(query), *options])
        reference_out = capsys.readouterr()
        code, lines, err = ask(capsys, "verify", query, *options)
        refused = theirs != 0
        assert (code != 0) is refused, (name, err, reference_out.err)
        assert bool(lines) is not refused, name
        assert reference_out.out.startswith("sat") is not refused, name


def test_export_writes_the_strict_form_and_keeps_the_verdict(tmp_path, network, capsys):
    properties = write(
        tmp_path / "p.toml",
        """
[inputs.a]
range = [0, 1]
[inputs.b]
type = "integer"
range = [-1, 2]
[outputs]
names = ["s"]
[[property]]
name = "up in a"
kind = "monotone"
input = "a"
direction = "increasing"
[[property]]
name = "down in a"
kind = "monotone"
input = "a"
direction = "decreasing"
[[property]]
name = "third"
kind = "linear"
require = "3 * s <= 3.3 or a + b < 1"
[[property]]
name = "ball"
kind = "robust"
at = [0.5, 1]
radius = { a = 0.25, b = 0.25 }
norm = "l1"
""",
    )
    record = tmp_path / "r.json"
    ask(capsys, "verify", properties, "--network", network, "--json", record)
    answers = [entry["answer"] for entry in json.loads(record.read_text())]
    code, paths, err = ask(capsys, "export", properties, "--network", network, "--out", tmp_path / "out")
    assert (code, len(paths), err) == (0, 4, "")
    parser = pytest.importorskip("vnnlib", reason="vnnlib-test-solver is not installed")
    for path, answer in zip(paths, answers, strict=True):
        text = Path(path).read_text()
        body = "\n".join(line for line in text.splitlines() if line.startswith("(assert"))
        literals = re.findall(r"(?<![\w\[,])-?[0-9][^\s()]*", re.sub(r"\[[^]]*\]", "", body))
        assert literals
        assert all(re.fullmatch(r"-?[0-9]+\.[0-9]+", literal) for literal in literals)
        parser.parse_query_file(path)
        code, lines, _ = ask(capsys, "verify", path, "--network", network)
        assert lines[0] == {"violated": "sat", "verified": "unsat"}[answer]
        if lines[0] == "sat":
            assert satisfied(text, read_assignment(lines[1:])[1])
    code, lines, err = ask(capsys, "export", paths[0], "--network", network, "--out", tmp_path / "out")
    assert (code, lines) == (2, [])
    assert "already" in err


@pytest.mark.parametrize(("type_", "code"), [("real", 0), ("float32", 2)])
def test_bounds_that_float32_may_not_tell_apart_are_no_contradiction(tmp_path, network, capsys, type_, code):
    text = QUERY.format(type=type_, threshold="0.0") + "(assert (<= X[0] 0.1))(assert (>= X[0] 0.1000000001))"
    found, lines, err = ask(capsys, "verify", write(tmp_path / "q.vnnlib", text), "--network", f"f={network}")
    assert (found, lines) == (code, ["unsat"] if code == 0 else [])
    assert ("tell them apart" in err) is (code == 2)


def test_equal_inputs_of_float32_with_bounds_that_round_together_are_left_open(tmp_path, network, capsys):
    text = COPIES.format(relation=">=").replace("real", "float32").replace("(<= X1[0] X2[0])", "(== X1[0] X2[0])")
    text += "(assert (<= X1[0] 0.1))(assert (>= X2[0] 0.1000000001))"
    code, lines, _ = ask(capsys, "verify", write(tmp_path / "q.vnnlib", text), "--network", f"f={network}")
    assert (code, lines) == (0, ["unknown"])
