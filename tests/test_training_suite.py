"""The training suite's rows, choices and tables are right on small data; what it measures is its own affair."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.performance.training.__main__ import SOLVERS
from tests.performance.training_any_width.cases import Case, all_cases, select
from tests.performance.training_any_width.command import main
from tests.performance.training_any_width.models import boosted, fit_any_width, fold_score, linear, perceptron, score
from tests.performance.training_any_width.monotone import run_fold
from tests.performance.training_any_width.tables import best_published, read_table
from verinet.errors import InputError, MissingFileError
from verinet.solve import backends
from verinet.train import Loss, TrainOptions

PUBLISHED = """data_set,method,monotone_guarantee,metric,value,std,parameters,protocol
esl,loose,none,RMSE on scaled target,0.01,0.005,9,"folds/lujano_5fold.csv"
esl,good,by construction,RMSE on scaled target,0.2,0.005,81,"folds/lujano_5fold.csv"
esl,other folds,by construction,RMSE on scaled target,0.1,0.005,7,"one split"
esl,bad,by construction,RMSE on scaled target,0.3,0.005,5,"folds/lujano_5fold.csv"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny stand-in for the set `esl`: the target rises with both features."""
    place = tmp_path / "esl"
    (place / "folds").mkdir(parents=True)
    x = np.random.default_rng(0).integers(0, 9, (30, 2))
    rows = [f"{a},{b},{a + max(b - 4, 0)}" for a, b in x]
    (place / "data.csv").write_text("a,b,out\n" + "\n".join(rows) + "\n")
    (place / "folds" / "lujano_5fold.csv").write_text(
        "row,test_fold,used_in_tuning\n" + "".join(f"{i},{i % 5},1\n" for i in range(30))
    )
    features = [{"name": name, "type": "integer", "monotone": 1} for name in "ab"]
    (place / "schema.json").write_text(json.dumps({"task": "ordinal regression", "features": features}))
    (tmp_path / "published.csv").write_text(PUBLISHED)
    return tmp_path


def test_rows_have_names_of_their_own() -> None:
    cases = all_cases()
    assert len({case.name for case in cases}) == len(cases)
    assert [case.name for case in select(cases, ["moons 40 "])] == [
        f"moons 40 hinge s=2 {p}" for p in (0.01, 0.003, 0.001)
    ]
    with pytest.raises(InputError, match="none of"):
        select(cases, ["suns"])


def test_one_row_from_command_to_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "rows.csv"
    assert main(["--select", "moons 40 hinge s=2 0.01", "--milp", "0.1", "--threads", "1", "--out", str(out)]) == 0
    assert "moons 40 hinge s=2 0.01" in capsys.readouterr().out
    (row,) = csv.DictReader(out.read_text().splitlines())
    assert float(row["gap"]) <= 1e-3
    assert 0 <= float(row["seconds_to_1_percent"]) <= float(row["seconds_to_0_1_percent"])
    assert 0.5 <= float(row["test_score"]) <= 1
    assert main(["--select", "suns"]) == 2


def test_a_path_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "path.svg"
    small = ["--select", "moons 40 ", "--threads", "1", "path", "--steps", "2", "--range", "0.1", "0.2"]
    assert main([*small, "--picture", str(picture)]) == 0
    assert "chosen l1" in capsys.readouterr().out
    assert "<svg" in picture.read_text()
    assert main(["--select", "filters 0 v 1", "path"]) == 2
    assert "one dense network" in capsys.readouterr().err


def test_several_classes_are_one_network_each() -> None:
    x = np.arange(12.0)[:, None]
    y = np.repeat([0.0, 1.0, 2.0], 4)
    case = Case("steps", x, y, Loss.HINGE, 1e-3, 1)
    fitted = fit_any_width(case, x, y, TrainOptions(gap_tolerance=1e-3))
    assert len(fitted.trained.records) == 3
    assert score(case, y, fitted.predict(x)) == 1.0
    assert fitted.seconds_to(1e-2) is not None
    assert fitted.seconds_to(-1.0) is None


def test_a_fold_of_a_monotone_table(folder: Path) -> None:
    table = read_table(folder, "esl")
    assert table.monotone == {0: 1, 1: 1}
    assert (table.y.min(), table.y.max()) == (0.0, 1.0)
    limits = TrainOptions(gap_tolerance=1e-2)
    found = run_fold(table, 0, limits, limits)
    assert found.is_monotone
    assert found.level
    assert found.free >= 0
    assert found.error < 0.1
    assert found.choice.features <= 2


def test_the_best_published_method_is_certified_and_on_the_same_folds(folder: Path) -> None:
    best = best_published(folder, "esl")
    assert (best.method, best.error, best.parameters) == ("good", 0.2, 81)


def test_absent_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="--data"):
        read_table(tmp_path, "esl")
    assert main(["monotone", "--data", str(tmp_path), "--sets", "esl"]) == 2


def test_the_other_models_fit_real_targets_too() -> None:
    x = np.arange(40.0)[:, None]
    case = Case("line", x, 2 * x[:, 0], Loss.SQUARED, 1e-3, 1)
    for fit in (linear(case), boosted(case), perceptron(case, 3)):
        assert fold_score(case, fit) <= 1.0


def test_auto_prefers_the_solvers_in_the_order_that_was_measured() -> None:
    measured: dict[str, list[float]] = {}
    for row in csv.DictReader(SOLVERS.read_text().splitlines()):
        measured.setdefault(row["solver"], []).append(np.log(float(row["seconds"])))
    assert len({len(logarithms) for logarithms in measured.values()}) == 1
    assert sorted(measured, key=lambda solver: np.mean(measured[solver])) == ["gurobi", "highs", "scip"]
    assert [backend.name for backend in backends()][:3] == ["gurobi", "highs", "scip"]
