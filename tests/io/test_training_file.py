"""Training files have the documented defaults, and wrong ones are named with their place."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from verinet.errors import FileFormatError, MissingFileError
from verinet.io.training_file import TrainingFile, read_training_file, training_schema

SCHEMA = Path(__file__).resolve().parents[2] / "properties" / "training.schema.json"
DATA = '[data]\nfile = "sub/a.csv"\ntarget = "y"\n'


@pytest.fixture
def read(tmp_path: Path):
    def read_text(text: str) -> TrainingFile:
        path = tmp_path / "train.toml"
        path.write_text(text, encoding="utf-8")
        return read_training_file(path)

    return read_text


def test_defaults(read, tmp_path: Path) -> None:
    found = read(DATA)
    assert found.data.file == tmp_path / "sub" / "a.csv"
    assert (found.data.target, found.data.features) == ("y", None)
    assert (found.model.units, found.model.skip, found.model.weight_bound) == (2, "penalised", 10.0)
    assert found.model.max_features_per_unit == "auto"
    assert (found.method, found.chosen_method) == (None, "any-width")
    assert (found.model.positive_units, found.model.negative_units) == (None, None)
    objective = found.objective
    assert (objective.loss, objective.margin, objective.l1) == ("hinge", 1.0, 0.001)
    assert (objective.l0, objective.unit_penalty, objective.feature_penalty) == (0.0, 0.0, 0.0)
    assert (found.budget.nonzeros, found.budget.units, found.budget.features) == (None, None, None)
    assert found.constraints.monotone == {}
    solver = found.solver
    assert (solver.name, solver.time_limit, solver.gap_tolerance, solver.threads, solver.seed) == (
        "auto",
        60.0,
        None,
        None,
        0,
    )


def test_everything_given(read) -> None:
    found = read(
        DATA.replace("sub/a.csv", "/data/a.csv")
        + 'features = ["a", "b c"]\n[model]\nunits = 0\nskip = false\nweight_bound = 2\n'
        + '[objective]\nloss = "l1"\nmargin = 0.5\nl1 = 1\nl0 = 0.1\nunit_penalty = 0.2\nfeature_penalty = 0.3\n'
        + '[budget]\nnonzeros = 5\nunits = 2\nfeatures = 1\n[constraints]\nmonotone = {"b c" = "decreasing"}\n'
        + '[solver]\nname = "highs"\ntime_limit = 1\ngap_tolerance = 0\nthreads = 2\nseed = 7\n'
    )
    assert found.data.file == Path("/data/a.csv")
    assert found.data.features == ("a", "b c")
    assert (found.model.units, found.model.skip, found.model.weight_bound) == (0, False, 2.0)
    assert (found.budget.nonzeros, found.constraints.monotone) == (5, {"b c": "decreasing"})
    assert (found.solver.name, found.solver.gap_tolerance, found.solver.seed) == ("highs", 0.0, 7)
    assert found.chosen_method == "milp"


@pytest.mark.parametrize(
    ("keys", "method"),
    [
        ("", "any-width"),
        ("[budget]\nunits = 3", "any-width"),
        ("[model]\nskip = true", "any-width"),
        ('[model]\nskip = "free"\nmax_features_per_unit = "all"', "any-width"),
        ('[objective]\nloss = "pinball"\nquantile = 0.9', "any-width"),
        ("[objective]\nl0 = 0", "any-width"),
        ("[objective]\nl0 = 0.01", "milp"),
        ("[objective]\nunit_penalty = 0.01", "milp"),
        ("[objective]\nfeature_penalty = 0.01", "milp"),
        ('[objective]\nloss = "zero_one"', "milp"),
        ("[model]\nunits = 1", "milp"),
        ("[model]\nnegative_units = 0", "milp"),
        ("[model]\nweight_bound = 5", "milp"),
        ("[budget]\nnonzeros = 3", "milp"),
        ("[budget]\nfeatures = 3", "milp"),
    ],
)
def test_the_keys_choose_the_method(read, keys: str, method: str) -> None:
    assert read(DATA + keys).chosen_method == method
    assert read(f'method = "{method}"\n' + DATA + keys).chosen_method == method


def test_what_counts_may_be_given_to_either_method(read) -> None:
    keys = (
        DATA + "[objective]\nl0 = 0.01\nunit_penalty = 0.01\nfeature_penalty = 1\n[budget]\nnonzeros = 3\nfeatures = 1"
    )
    assert read('method = "any-width"\n' + keys).chosen_method == "any-width"


def test_a_training_file_cannot_be_changed(read) -> None:
    with pytest.raises(ValidationError):
        read(DATA).data.target = "z"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "data is missing"),
        ('[data]\ntarget = "y"', r"data\.file is missing"),
        ('[data]\nfile = 3\ntarget = "y"', r"data\.file: expected a path, found 3"),
        ('[data]\nfile = "a"\ntarget = ""', r"data\.target: expected a text that is not empty"),
        (DATA + "featurs = []", r"data: unknown key 'featurs' \(did you mean 'features'"),
        (DATA + "features = []", r"data\.features: expected at least 1"),
        (DATA + 'features = "a"', r"data\.features: expected a list, found 'a'"),
        (DATA + "features = [3]", r"data\.features\[1\]: expected a text, found 3"),
        (DATA + 'features = ["a", "a"]', "'a' is listed twice"),
        (DATA + 'features = ["y"]', "target 'y' is listed as a feature"),
        (DATA + "[modle]", "unknown key 'modle'"),
        (DATA + "[model]\nunits = -1", r"model\.units: expected greater than or equal to 0, found -1"),
        (DATA + "[model]\nunits = 2.0", r"model\.units: expected a whole number, found 2\.0"),
        (DATA + "[model]\nunits = true", r"model\.units: expected a whole number, found true"),
        (DATA + "[model]\nskip = 1", r"model\.skip: expected 'penalised', 'free' or 'none', found 1"),
        (
            DATA + "[model]\nmax_features_per_unit = 0",
            r"model\.max_features_per_unit: expected greater",
        ),
        (DATA + "[objective]\nquantile = 1", r"objective\.quantile: expected less than 1"),
        (DATA + "[objective]\nskip_penalty = -1", r"objective\.skip_penalty"),
        ('method = "sgd"\n' + DATA, "method: expected 'any-width' or 'milp', found 'sgd'"),
        (
            'method = "any-width"\n' + DATA + "[model]\npositive_units = 1",
            r"model\.positive_units asks for the method 'milp', found method='any-width'",
        ),
        (
            'method = "milp"\n' + DATA + "[objective]\nskip_penalty = 0.1",
            r"objective\.skip_penalty asks for the method 'any-width', found method='milp'",
        ),
        (
            DATA + '[model]\nunits = 1\nskip = "free"',
            r"model\.units asks for the method 'milp', model\.skip for 'any-width'; leave one of them out",
        ),
        (DATA + "[model]\nweight_bound = 0", r"model\.weight_bound: expected greater than 0"),
        (DATA + "[model]\nweight_bound = inf", r"model\.weight_bound: expected a finite number"),
        (DATA + "[objective]\nl1 = nan", r"objective\.l1"),
        (DATA + "[objective]\nl0 = -1", r"objective\.l0"),
        (DATA + '[objective]\nloss = "log"', r"objective\.loss: expected 'hinge', .*, found 'log'"),
        (DATA + "[budget]\nunits = 1.5", r"budget\.units"),
        (DATA + '[constraints]\nmonotone = {a = "up"}', r"constraints\.monotone\.a: .*found 'up'"),
        (DATA + '[constraints]\nmonotone = {y = "increasing"}', "names the target 'y'"),
        (DATA + "[constraints]\nfair = [{features = ['y'], tolerance = 1}]", "constraints.fair names the target 'y'"),
        (DATA + "[constraints]\nfair = [{features = ['a'], tolerance = 0}]", "tolerance"),
        (DATA + "[constraints]\ncondition = [{points = [{a = 1}]}]", "needs low or high"),
        (
            DATA + "[constraints]\ncondition = [{points = [{a = 1}], weights = [1, 2], low = 0}]",
            "1 points need as many",
        ),
        (
            'method = "milp"\n' + DATA + "[constraints]\nmonotone_by = 'counterexamples'",
            "constraints.monotone_by asks for the method 'any-width'",
        ),
        (DATA + 'features = ["age"]\n[constraints]\nmonotone = {ag = "increasing"}', "'ag', no feature .*'age'"),
        (DATA + '[solver]\nname = "z3"', r"solver\.name"),
        (DATA + "[solver]\ntime_limit = 0", r"solver\.time_limit"),
        (DATA + "[solver]\nthreads = 0", r"solver\.threads"),
        (DATA + "[solver]\nseed = -1", r"solver\.seed"),
        (DATA + f"[solver]\ntime_limit = {'9' * 400}", r"solver\.time_limit"),
        ("[data", "expected a TOML file"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(read, text: str, message: str) -> None:
    with pytest.raises(FileFormatError, match=message) as caught:
        read(text)
    assert "train.toml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"none\.toml"):
        read_training_file(tmp_path / "none.toml")


def test_the_committed_schema_is_the_one_that_is_checked() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == training_schema()
