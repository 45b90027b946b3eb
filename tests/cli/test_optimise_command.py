"""``verinet optimise`` keeps the command line's contract."""

import json
from pathlib import Path

import numpy as np
import pytest

from verinet.audit import OptimumRecord
from verinet.cli import run
from verinet.io import write_onnx
from verinet.model import dense_network

PROPERTIES = """
[inputs.income]
range = [0, 10]

[inputs.debt]
range = [0, 10]

[inputs.home]
type = "categorical"
values = ["own", "rent"]

[outputs]
names = ["score"]

[[property]]
name = "never above two"
kind = "linear"
require = ["score <= 2"]

[[property]]
name = "debt hurts"
kind = "monotone"
input = "debt"
output = "score"
direction = "decreasing"

[[property]]
name = "stable"
kind = "robust"
at = [[3, 2.5, "own"]]
radius = 0.1
band = 0.25
"""

VNNLIB = """
(declare-const X_0 Real)
(declare-const Y_0 Real)
(assert (>= X_0 0.0))
(assert (<= X_0 1.0))
(assert (>= Y_0 0.5))
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """``score = relu(income - debt) + rent / 2``."""
    path = tmp_path / "model.onnx"
    weights = [np.array([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]), np.array([[1.0, 0.5]])]
    write_onnx(dense_network(weights, [np.zeros(2), np.zeros(1)]), path)
    return path


@pytest.fixture
def properties(tmp_path: Path) -> Path:
    path = tmp_path / "p.toml"
    path.write_text(PROPERTIES)
    return path


def ask(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = run(["optimise", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_ranges_of_outputs_and_expressions(properties: Path, model: Path, capsys) -> None:
    code, out, err = ask(capsys, properties, "--network", model, "--goal", "range")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("optimal")
    assert "score: minimum 0 (confirmed), at least" in lines[0]
    assert "score: maximum 10.5 (confirmed), at most 10.5" in lines[2]
    assert "income = 10, debt = 0, home=own = 0, home=rent = 1  ->  score = 10.5" in lines[3]
    mixed = "score - 0.1 * income"
    code, out, _ = ask(capsys, properties, "--network", model, "--goal", "range", "--output", mixed, "--maximise")
    assert code == 0
    assert f"{mixed}: maximum 9.5 (confirmed)" in out
    assert "minimum" not in out


def test_the_largest_violation_of_each_property_and_its_record(
    tmp_path: Path, properties: Path, model: Path, capsys
) -> None:
    record = tmp_path / "record.json"
    code, out, _ = ask(capsys, properties, "--network", model, "--json", record)
    assert code == 0
    assert "never above two: largest violation 8.5 (confirmed)" in out
    assert "debt hurts: largest violation 0 (confirmed)" in out
    # |3.1 - 2.4 - 0.5| exceeds 0.25 by less than nothing.
    assert "stable: largest violation -0.05 (confirmed)" in out
    entries = json.loads(record.read_text())
    assert [OptimumRecord.model_validate_json(json.dumps(entry)).name for entry in entries] == [
        entry["name"] for entry in entries
    ]
    assert set(OptimumRecord.model_json_schema()["properties"]) == set(entries[0])
    assert [entry["name"] for entry in entries] == ["never above two", "debt hurts", "stable"]
    assert entries[0]["value"] == {"exact": "17/2", "value": 8.5}
    assert entries[0]["bound"] >= 8.5
    assert entries[0]["network"]["sha256"]
    assert len(entries[1]["points"]) == 2


def test_the_nearest_counterexample_from_a_point_or_a_row(
    tmp_path: Path, properties: Path, model: Path, capsys
) -> None:
    asked = (properties, "--network", model, "--goal", "nearest", "--only", "never above two")
    code, out, _ = ask(capsys, *asked, "--point", "3,2.5,own", "--norm", "l1")
    assert code == 0
    # Only a score above 2 is unsafe; a category counts once: moving to rent would save half, and costs one.
    assert "distance (l1) 1.5000000" in out
    table = tmp_path / "people.csv"
    table.write_text("debt,home,name,income\n1,own,x,1\n2.5,own,y,3\n")
    by_row = ("--point", table, "--row", "2")
    assert "distance (l1) 1.5000000" in ask(capsys, *asked, *by_row, "--norm", "l1")[1]
    assert "distance (count) 1 (confirmed)" in ask(capsys, *asked, *by_row, "--norm", "count")[1]
    code, out, _ = ask(capsys, *asked, *by_row, "--norm", "l1", "--costs", "income=inf,debt=4")
    # Rent for 1 and debt lower by 1, or debt alone by 3/2 for 6.
    assert "priced) 5.0000000" in out
    assert "income = 3, debt = 1.49999999" in out
    assert "home=own = 0, home=rent = 1" in out
    code, out, _ = ask(capsys, *asked, "--point", "0,2.5,own", "--costs", "income=inf:1,debt=inf:inf,home=inf")
    assert code == 0
    assert out.startswith("infeasible")


def test_the_radius_of_a_robust_property_is_about_its_own_point(properties: Path, model: Path, capsys) -> None:
    asked = (properties, "--network", model, "--goal", "radius", "--only", "stable")
    code, out, _ = ask(capsys, *asked)
    assert code == 0
    # |3 + r - (2.5 - r) - 0.5| > 0.25 from r = 1/8 on; home stays.
    assert "robust radius (linf) 0.125" in out
    code, _, err = ask(capsys, *asked, "--point", "1,1,own")
    assert code == 2
    assert "point of its own" in err


def test_the_least_constant_of_a_lipschitz_property(properties: Path, model: Path, tmp_path: Path, capsys) -> None:
    asked = ("--network", model, "--goal", "constant")
    code, _, err = ask(capsys, properties, *asked)
    assert code == 2
    assert "needs a property of the kind lipschitz" in err
    text = properties.read_text() + '\n[[property]]\nname = "steady"\nkind = "lipschitz"\nconstant = 100\n'
    steady = tmp_path / "steady.toml"
    steady.write_text(text)
    code, out, _ = ask(capsys, steady, *asked, "--json", tmp_path / "record.json")
    assert code == 0
    # The score is income less debt and a constant for the home: both may move.
    assert "steady: Lipschitz constant (linf) 2 (confirmed), at most 2 (rounding-safe bounds)" in out
    assert (tmp_path / "record.json").exists()


def test_a_vnnlib_file_is_answered_too(tmp_path: Path, capsys) -> None:
    model, prop = tmp_path / "line.onnx", tmp_path / "p.vnnlib"
    write_onnx(dense_network([np.eye(1)], [np.zeros(1)]), model)
    prop.write_text(VNNLIB)
    code, out, _ = ask(capsys, prop, "--network", model, "--goal", "radius", "--point", "0.25")
    assert code == 0
    assert "0.25 (confirmed)" in out
    assert "X_0 = 0.5  ->  Y_0 = 0.5" in out


def test_a_search_that_stops_short_says_so(tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(0)
    sizes = [(60, 10), (60, 60), (1, 60)]
    model, prop = tmp_path / "hard.onnx", tmp_path / "p.toml"
    write_onnx(dense_network([rng.normal(size=s) for s in sizes], [np.zeros(n) for n, _ in sizes]), model)
    inputs = "[inputs]\ncount = 10\nrange = [-1, 1]\n"
    prop.write_text(f'{inputs}[[property]]\nname = "p"\nkind = "linear"\nrequire = ["Y_0 <= 0"]\n')
    code, out, _ = ask(capsys, prop, "--network", model, "--goal", "range", "--maximise", "--timeout", "0.5")
    assert code == 3
    assert out.startswith("limit")
    assert "time limit" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--goal", "furthest"], "--goal needs to be one of range, largest-violation, nearest, radius"),
        (["--goal", "nearest", "--norm", "l2", "--point", "1,1,own"], "--norm needs to be one of linf, l1, count"),
        (["--goal", "nearest", "--only", "never above two"], "needs --point"),
        (["--goal", "nearest", "--only", "debt hurts", "--point", "1,1,own"], "compares two inputs"),
        (["--goal", "radius", "--only", "never above two", "--point", "1,1,own", "--norm", "count"], "norm linf or l1"),
        (["--only", "nothing"], "there is no property 'nothing'"),
        (["--goal", "range", "--output", "scor"], "did you mean 'score'"),
        (["--goal", "range", "--output", "score <= 2"], "linear expression"),
        (["--goal", "nearest", "--only", "never above two", "--point", "1,99,own"], "outside of its range"),
        (["--goal", "nearest", "--only", "never above two", "--point", "1,own"], "3 values"),
        (["--goal", "nearest", "--only", "never above two", "--point", "no.csv"], "no.csv"),
        (
            ["--goal", "nearest", "--only", "never above two", "--point", "1,1,own", "--costs", "age=2"],
            "no input 'age'",
        ),
        (["--goal", "nearest", "--only", "never above two", "--point", "1,1,own", "--costs", "debt"], "name=price"),
        (["--goal", "nearest", "--only", "never above two", "--point", "1,1,own", "--costs", "debt=-1"], "at least 0"),
        (["--timeout", "0"], "above 0"),
        (["--engine", "magic"], "engine must be one of"),
    ],
)
def test_mistakes_get_one_sentence_and_exit_code_2(
    properties: Path, model: Path, capsys, arguments: list[str], message: str
) -> None:
    code, out, err = ask(capsys, properties, "--network", model, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
