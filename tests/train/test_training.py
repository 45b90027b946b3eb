"""Training reaches the optimum that exhaustive search finds, and says honestly what it reached."""

import itertools
import time
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.sparse import block_diag
from sklearn.datasets import make_moons

from verinet.errors import DataError, InputError
from verinet.model import Domain, Monotone, evaluate, evaluate_exact
from verinet.program import Status
from verinet.solve import AUTO, get
from verinet.train import Budget, Loss, Objective, Specification, TrainingData, TrainOptions, train
from verinet.train.export import build_network, to_raw, worst_slope
from verinet.train.objective import LOSSES as EXACT_LOSSES
from verinet.train.programme import LOSSES, Parameters, predict
from verinet.train.warm_start import SLOPES
from verinet.verify import Answer, verify_property

QUICK = TrainOptions(time_limit=60, gap_tolerance=1e-7)


def needs(solver: str) -> None:
    if not get(solver).is_installed():
        pytest.skip(f"{solver} is not installed")


def tiny_data(seed: int, samples: int, loss: Loss, features: int = 2) -> TrainingData:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 5 if features == 2 else 50, size=(samples, features)).astype(np.float64)
    x[0], x[1] = 0.0, 4.0
    y = rng.choice([-1.0, 1.0], size=samples) if loss.classifies else rng.integers(0, 9, size=samples) / 2.0
    y[0], y[1] = (-1.0, 1.0) if loss.classifies else (0.0, 4.0)
    return TrainingData.prepare(x, y, classes=loss.classifies)


def exhaustive_optimum(data: TrainingData, specification: Specification) -> float:
    """Minimise over every activation pattern of every unit by linear programming, independently of the trainer.

    The programmes of a first unit's pattern with all patterns of the others are blocks of one programme: the sum of
    what they minimise is least where each of them is.
    """
    x, y = data.scaled_x, data.scaled_y
    z = np.column_stack([x, np.ones(len(x))])
    signs = specification.signs
    patterns = [p for p in itertools.product((0, 1), repeat=len(x)) if separable(z, np.array(p))]
    best = np.inf
    for first in patterns:
        choices = [
            choice
            for choice in itertools.product([first], *[patterns] * (len(signs) - 1))
            if not any(a > b for (a, s), (b, t) in itertools.pairwise(zip(choice, signs, strict=True)) if s == t)
        ]
        blocks = [pattern_programme(z, y, data.weights, np.array(choice), specification) for choice in choices]
        best = min(best, least_optimum(blocks))
    return best


def separable(z: np.ndarray, pattern: np.ndarray) -> bool:
    """Tell whether a unit is active at just these samples, and not at the edge of it: edges belong to such patterns."""
    rows = np.where(pattern[:, None] == 1, -z, z)
    return linprog(np.zeros(z.shape[1]), A_ub=rows, b_ub=-np.ones(len(z)), bounds=(None, None)).status == 0


class LinearProgramme(NamedTuple):
    """Minimise ``cost v`` where ``rows v <= sides``, within bounds."""

    cost: np.ndarray
    rows: np.ndarray
    sides: np.ndarray
    bounds: list[tuple[float | None, float | None]]


def least_optimum(blocks: list[LinearProgramme]) -> float:
    """Return the least of the optima; each block has one, since weights of zero are feasible."""
    rows = block_diag([block.rows for block in blocks], format="csc")
    sides = np.concatenate([block.sides for block in blocks])
    bounds = [pair for block in blocks for pair in block.bounds]
    answer = linprog(np.concatenate([block.cost for block in blocks]), A_ub=rows, b_ub=sides, bounds=bounds)
    assert answer.status == 0
    parts = np.split(answer.x, np.cumsum([len(block.cost) for block in blocks])[:-1])
    return min(float(block.cost @ part) for block, part in zip(blocks, parts, strict=True))


def pattern_programme(z, y, weights, patterns, specification) -> LinearProgramme:
    """Variables: up and down parts of each unit and of the skip, the offset, the losses."""
    objective = specification.objective
    samples, width = z.shape
    features, units = width - 1, len(patterns)
    size = 2 * width * units + 2 * features + 1 + samples
    cost = np.zeros(size)
    cost[: 2 * width * units + 2 * features] = objective.l1
    cost[-samples:] = weights
    f = np.zeros((samples, size))
    rows, sides = [], []
    for k, (sign, pattern) in enumerate(zip(specification.signs, patterns, strict=True)):
        place = slice(2 * width * k, 2 * width * (k + 1))
        both = np.hstack([z, -z])
        f[:, place] = sign * pattern[:, None] * both
        rows.append(embed(np.where(pattern[:, None] == 1, -both, both), place, size))
        sides.append(np.zeros(samples))
        rows.append(embed(np.ones((1, 2 * width)), place, size))
        sides.append([specification.weight_bound])
    place = slice(2 * width * units, 2 * width * units + 2 * features)
    f[:, place] = np.hstack([z[:, :-1], -z[:, :-1]])
    f[:, place.stop] = 1.0
    losses = np.eye(samples)
    if objective.loss is Loss.HINGE:
        part = -y[:, None] * f
        part[:, -samples:] -= losses
        rows.append(part)
        sides.append(-np.full(samples, objective.margin))
    else:
        for sign in (1, -1):
            part = sign * f
            part[:, -samples:] -= losses
            rows.append(part)
            sides.append(sign * y)
    bounds: list[tuple[float | None, float | None]] = [(0, None)] * size
    bounds[place.stop] = (None, None)
    return LinearProgramme(cost, np.vstack(rows), np.concatenate(sides), bounds)


def embed(block: np.ndarray, place: slice, size: int) -> np.ndarray:
    rows = np.zeros((len(block), size))
    rows[:, place] = block
    return rows


@pytest.mark.parametrize(
    ("loss", "seed", "samples", "features"),
    [
        (Loss.HINGE, 0, 6, 2),
        (Loss.HINGE, 1, 6, 2),
        (Loss.L1, 2, 5, 2),
        (Loss.L1, 3, 6, 2),
        (Loss.HINGE, 4, 6, 1),
        (Loss.L1, 5, 6, 1),
    ],
)
def test_the_optimum_is_that_of_all_activation_patterns(loss: Loss, seed: int, samples: int, features: int) -> None:
    data = tiny_data(seed, samples, loss, features)
    specification = Specification(1, 1, objective=Objective(loss, l1=0.01))
    truth = exhaustive_optimum(data, specification)
    for solver in (AUTO, "gurobi", "highs"):
        if solver == AUTO or get(solver).is_installed():
            outcome = train(data, specification, TrainOptions(solver=solver, time_limit=60, gap_tolerance=1e-7))
            assert outcome.record.status is Status.OPTIMAL
            assert float(outcome.record.objective) == pytest.approx(truth, abs=1e-6)
            assert outcome.record.bound <= truth + 1e-6


@pytest.mark.parametrize(("solver", "seconds"), [("gurobi", 3.0), ("highs", 10.0)])
def test_twenty_points_are_solved_to_optimality_quickly(solver: str, seconds: float) -> None:
    needs(solver)
    x, y = make_moons(20, noise=0.2, random_state=0)
    data = TrainingData.prepare(x, 2.0 * y - 1, classes=True)
    started = time.monotonic()
    outcome = train(data, Specification(1, 1, objective=Objective(l1=0.01)), TrainOptions(solver=solver))
    assert outcome.record.status is Status.OPTIMAL
    assert time.monotonic() - started < seconds


def test_the_zero_one_loss_counts_errors() -> None:
    x = np.array([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]])
    y = np.array([1.0, -1.0, -1.0, 1.0, 1.0, -1.0])
    data = TrainingData.prepare(x, y, classes=True)
    objective = Objective(Loss.ZERO_ONE, margin=0.1, l1=1e-4)
    # One kink of each sign turns the score three times at most; a linear score only once.
    bent = train(data, Specification(1, 1, objective=objective), QUICK)
    straight = train(data, Specification(0, 0, objective=objective), QUICK)
    errors = [np.sum(data.y * evaluate(r.network, data.x)[:, 0] <= 0) for r in (bent, straight)]
    assert errors == [0, 2]
    assert straight.record.units == 0


def test_identical_rows_are_one_row_with_a_weight() -> None:
    x = np.array([[0.0], [0.0], [1.0], [0.0]])
    data = TrainingData.prepare(x, np.array([1.0, 1.0, -1.0, -1.0]), classes=True)
    assert len(data.y) == 3
    assert sorted(data.weights) == [0.25, 0.25, 0.5]


def test_sample_weights_are_repetitions() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 1)), np.array([1.0, -1.0] * 4)
    repeated = TrainingData.prepare(np.repeat(x, 2, axis=0)[:12], np.repeat(y, 2)[:12], classes=True)
    weighted = TrainingData.prepare(x[:6], y[:6], classes=True, sample_weight=np.full(6, 2.0))
    assert repeated.x == pytest.approx(weighted.x)
    assert repeated.weights == pytest.approx(weighted.weights)


@pytest.mark.parametrize("penalty", ["l0", "unit_penalty", "feature_penalty"])
def test_a_huge_penalty_gives_the_empty_network(penalty: str) -> None:
    data = tiny_data(0, 6, Loss.HINGE)
    outcome = train(data, Specification(1, 1, objective=Objective(**{penalty: 10.0})), QUICK)
    used = {"l0": outcome.record.nonzeros, "unit_penalty": outcome.record.units}
    assert used.get(penalty, len(outcome.record.features)) == 0


@settings(max_examples=8)
@given(nonzeros=st.integers(0, 3), units=st.integers(0, 2), features=st.integers(0, 2))
def test_budgets_are_never_exceeded(nonzeros: int, units: int, features: int) -> None:
    data = tiny_data(4, 7, Loss.HINGE)
    budget = Budget(nonzeros, units, features)
    outcome = train(data, Specification(1, 1, objective=Objective(l1=1e-3), budget=budget), QUICK)
    assert outcome.record.nonzeros <= nonzeros
    assert outcome.record.units <= units
    assert len(outcome.record.features) <= features


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("loss", [Loss.HINGE, Loss.L1])
def test_monotone_networks_are_verified(direction: int, loss: Loss) -> None:
    data = tiny_data(5, 8, loss)
    specification = Specification(1, 1, objective=Objective(loss, l1=1e-3), monotone={0: direction})
    outcome = train(data, specification, QUICK)
    assert worst_slope(outcome.parameters, 0, direction) >= 0
    verdict = verify_property(outcome.network, Domain.from_box([-9, -9], [9, 9]), Monotone("m", (0,), 0, direction > 0))
    assert verdict.answer is Answer.VERIFIED
    free = train(data, Specification(1, 1, objective=Objective(loss, l1=1e-3)), QUICK)
    assert free.record.objective <= outcome.record.objective + Fraction(1, 10**6)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_mending_a_monotone_row_is_exact(seed: int) -> None:
    rng = np.random.default_rng(seed)
    specification = Specification(1, 1, monotone={0: 1, 1: -1})
    data = tiny_data(0, 6, Loss.HINGE)
    parameters = Parameters(
        rng.normal(size=(2, 2)), rng.normal(size=2), rng.normal(size=2) * rng.integers(0, 2, 2), 0.1
    )
    raw = to_raw(parameters, specification.signs, specification.monotone, data.scaling)
    assert worst_slope(raw, 0, 1) >= 0
    assert worst_slope(raw, 1, -1) >= 0


def test_the_exported_network_speaks_raw_units() -> None:
    rng = np.random.default_rng(1)
    x = np.column_stack([rng.uniform(1000, 2000, 30), rng.uniform(-1e-3, 1e-3, 30)])
    y = 3 * (x[:, 0] - 1500) / 500 + 2000 * x[:, 1]
    data = TrainingData.prepare(x, y, classes=False)
    outcome = train(data, Specification(1, 0, objective=Objective(Loss.L1, l1=1e-5)), TrainOptions(time_limit=10))
    assert np.abs(evaluate(outcome.network, x)[:, 0] - y).max() < 0.05
    exact = evaluate_exact(outcome.network, [Fraction(v) for v in x[0]])[0]
    assert float(exact) == pytest.approx(y[0], abs=0.05)


def test_the_objective_is_that_of_the_exported_network() -> None:
    data = tiny_data(6, 8, Loss.HINGE)
    specification = Specification(1, 1, objective=Objective(l1=0.01, l0=0.001, unit_penalty=0.01))
    outcome = train(data, specification, QUICK)
    raw, record = outcome.parameters, outcome.record
    network = build_network(raw)
    loss = np.maximum(1 - data.y * evaluate(network, data.x)[:, 0], 0) @ data.weights
    scaled = raw.weights * data.scaling.width
    biases = raw.biases + raw.weights @ data.scaling.offset
    size = np.abs(scaled).sum() + np.abs(biases).sum() + np.abs(raw.skip * data.scaling.width).sum()
    expected = loss + 0.01 * size + 0.001 * record.nonzeros + 0.01 * record.units
    assert float(record.objective) == pytest.approx(expected, abs=1e-9)


def test_a_short_time_limit_still_gives_a_network_and_an_honest_gap() -> None:
    x, y = make_moons(60, noise=0.3, random_state=1)
    data = TrainingData.prepare(x, 2.0 * y - 1, classes=True)
    outcome = train(data, Specification(2, 2, objective=Objective(l1=1e-3)), TrainOptions(time_limit=2, solver="highs"))
    assert outcome.record.status is Status.UNKNOWN
    assert outcome.record.gap > 0
    assert any("not proven" in note for note in outcome.record.notes)
    constant = 1.0  # the best constant score has a mean hinge loss of one
    assert float(outcome.record.objective) < constant


def test_prediction_in_scaled_features_is_that_of_the_exported_network() -> None:
    rng = np.random.default_rng(2)
    data = tiny_data(7, 8, Loss.L1)
    specification = Specification(2, 1)
    parameters = Parameters(rng.normal(size=(3, 2)), rng.normal(size=3), rng.normal(size=2), 0.3)
    network = build_network(to_raw(parameters, specification.signs, specification.monotone, data.scaling))
    expected = predict(parameters, specification.signs, data.scaled_x)
    assert data.scaling.target(evaluate(network, data.x)[:, 0]) == pytest.approx(expected)


def test_every_loss_is_in_every_table() -> None:
    assert set(EXACT_LOSSES) == set(Loss)
    assert set(LOSSES) == set(SLOPES)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        ([[0.0], [1.0]], [1.0, 1.0], "two classes"),
        ([[0.0], [0.0]], [1.0, -1.0], "one value in all rows"),
        ([[np.nan], [0.0]], [1.0, -1.0], "NaN"),
        ([[0.0]], [1.0], "two samples"),
    ],
)
def test_unusable_data_is_refused_in_a_sentence(x: list, y: list, words: str) -> None:
    with pytest.raises(DataError, match=words):
        TrainingData.prepare(np.array(x), np.array(y), classes=True)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Objective(l1=-1.0),
        lambda: Objective(margin=0.0),
        lambda: Specification(weight_bound=np.inf),
        lambda: Specification(-1, 0),
        lambda: Specification(monotone={0: 2}),
        lambda: Budget(units=-1),
    ],
)
def test_a_specification_that_makes_no_sense_is_refused(make) -> None:
    with pytest.raises(InputError):
        make()


def test_a_monotone_feature_must_exist() -> None:
    with pytest.raises(InputError, match="feature 7"):
        train(tiny_data(0, 6, Loss.HINGE), Specification(monotone={7: 1}), QUICK)


def test_an_unknown_solver_is_refused() -> None:
    with pytest.raises(InputError, match="magic"):
        train(tiny_data(0, 6, Loss.HINGE), Specification(), TrainOptions(solver="magic"))


def test_an_interrupt_of_the_bound_of_any_width_ends_training_with_what_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = tiny_data(0, 8, Loss.HINGE)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("verinet.train.any_width.generation._State.step", stop)
    started = time.monotonic()
    result = train(data, Specification(1, 1, objective=Objective(l1=0.01)), replace(QUICK, solver="highs"))
    assert time.monotonic() - started < 30
    assert result.record.bound <= float(result.record.objective)
