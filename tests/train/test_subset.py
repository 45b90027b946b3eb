"""Bounds from parts of the samples hold for all of them, close, and say what they are when time ends."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verinet.encode import lower_programme
from verinet.program import Progress, SolveOptions, Status
from verinet.solve import get
from verinet.train import (
    AnyWidthSpecification,
    Budget,
    Loss,
    Objective,
    Specification,
    TrainingData,
    TrainOptions,
    train,
    train_any_width,
)
from verinet.train.any_width import dense_family
from verinet.train.any_width.local_pricing import _next_level
from verinet.train.objective import LOSSES as EXACT
from verinet.train.programme import LOSSES, Parameters, Tangents, build_programme, predict
from verinet.train.subset import Floors, equivalent_points, solve_by_subsets, tangent_floors
from verinet.verify import Deadline

QUICK = TrainOptions(solver="highs", time_limit=30, gap_tolerance=1e-7)
CASES = [(Loss.L1, 0), (Loss.HINGE, 2)]


def repeated_data(seed: int, loss: Loss, samples: int = 12, features: int = 1) -> TrainingData:
    """Draw rows of few different points, with targets that contradict each other at some."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 6, (samples, features)).astype(np.float64)
    x[0], x[1], x[2] = 0.0, 5.0, 0.0
    y = rng.choice([-1.0, 1.0], samples) if loss.classifies else rng.integers(0, 9, samples) / 2.0
    y[:3] = (-1.0, 1.0, 1.0) if loss.classifies else (0.0, 4.0, 2.0)
    return TrainingData.prepare(x, y, classes=loss.classifies, sample_weight=rng.integers(1, 4, samples) / 1.0)


def floors_of(kind: str, data: TrainingData, objective: Objective) -> Floors:
    if kind == "points":
        return equivalent_points(data, objective)
    dual = train_any_width(data, AnyWidthSpecification(objective, None), QUICK).record.dual
    assert dual is not None
    return tangent_floors(data, objective, dual)


def optimum(data: TrainingData, specification: Specification) -> float:
    """Solve the programme of all samples, whose optima are compared with exhaustive search elsewhere."""
    programme = lower_programme(build_programme(specification, data).programme).programme
    solved = get("highs").solve(programme, SolveOptions(gap_tolerance=1e-9))
    assert solved.status is Status.OPTIMAL
    assert solved.objective is not None
    return solved.objective


def zero_network(specification: Specification, data: TrainingData) -> Parameters:
    units, features = len(specification.signs), len(data.names)
    return Parameters(np.zeros((units, features)), np.zeros(units), np.zeros(features), 0.0)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make parts so small that tiny data need several, and have no programme hold all samples."""
    monkeypatch.setattr("verinet.train.subset.FIRST", 2)
    monkeypatch.setattr("verinet.train.subset.FEWEST_NEW", 1)
    monkeypatch.setattr("verinet.train.trainer.MOST_HELD", 0)


@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(LOSSES, key=lambda loss: loss.value)))
@settings(max_examples=40)
def test_no_output_of_a_point_costs_less_than_its_floor_and_one_costs_as_much(seed: int, loss: Loss) -> None:
    objective = Objective(loss, margin=0.7)
    data = repeated_data(seed, loss)
    floors = equivalent_points(data, objective)
    rng = np.random.default_rng(seed)
    scale = 0.7 if loss.classifies else 1.0
    exact = EXACT[loss]
    for point in range(floors.points):
        here = np.flatnonzero(floors.place == point)
        samples = [(Fraction(float(data.weights[n])), Fraction(float(data.y[n]))) for n in here]
        outputs = [*rng.normal(size=20), *(scale * data.y[here])]
        costs = [sum(weight * exact(Fraction(f), y, objective, data.scaling) for weight, y in samples) for f in outputs]
        assert min(costs) >= floors.values[point]
        assert float(min(costs)) == pytest.approx(float(floors.values[point]), abs=1e-12)


@pytest.mark.parametrize("kind", ["points", "tangents"])
@pytest.mark.parametrize(("loss", "seed"), CASES)
def test_every_part_bounds_the_optimum_of_all_samples_and_all_points_reach_it(
    small_parts: None, kind: str, loss: Loss, seed: int
) -> None:
    data = repeated_data(seed, loss)
    specification = Specification(1, 1, objective=Objective(loss, l1=0.01))
    truth = optimum(data, specification)
    floors = floors_of(kind, data, specification.objective)
    assert float(floors.total) <= truth + 1e-9
    start, deadline = zero_network(specification, data), Deadline.after(30)
    rounds = list(solve_by_subsets(data, specification, floors, start, None, QUICK, deadline))
    assert len(rounds) > 2
    assert [r.points for r in rounds] == sorted({r.points for r in rounds})
    for found in rounds:
        assert float(floors.total) - 1e-7 <= found.bound <= truth + 1e-7
    assert rounds[-1].points == floors.points
    assert rounds[-1].bound == pytest.approx(truth, abs=1e-6)


def test_tangents_at_any_network_are_below_its_objective() -> None:
    data = repeated_data(5, Loss.L1, 12, 2)
    objective = Objective(Loss.L1, l1=0.02)
    floors = floors_of("tangents", data, objective)
    assert floors.prices is not None
    specification = Specification(2, 1, objective=objective)
    rng = np.random.default_rng(0)
    for _ in range(50):
        part = rng.random(floors.points) < 0.5
        inside = part[floors.place]
        some = replace(data, x=data.x[inside], y=data.y[inside], weights=data.weights[inside])
        tangents = Tangents(floors.prices[inside], floors.prices @ data.scaled_x)
        training = build_programme(specification, some, tangents=tangents)
        network = Parameters(rng.normal(size=(3, 2)), rng.normal(size=3), rng.normal(size=2), rng.normal())
        point = training.point(network)
        below = training.programme.objective
        value = float((below.matrix @ point[: below.columns])[0] + below.constant[0]) + float(floors.outside(part))
        losses = np.abs(predict(network, specification.signs, data.scaled_x) - data.scaled_y) @ data.weights
        sizes = sum(np.abs(a).sum() for a in (network.weights, network.biases, network.skip))
        assert float(floors.total) - 1e-9 <= value <= losses + 0.02 * sizes + 1e-9


@pytest.mark.parametrize("loss", [Loss.L1, Loss.ZERO_ONE])
def test_training_by_parts_is_training(small_parts: None, monkeypatch: pytest.MonkeyPatch, loss: Loss) -> None:
    data = repeated_data(7, loss, 8)
    objective = Objective(loss, margin=0.1, l1=1e-3)
    specification = Specification(1, 1, objective=objective, budget=Budget(units=1))
    states: list[Progress] = []
    by_parts = train(data, specification, replace(QUICK, on_progress=states.append)).record
    monkeypatch.setattr("verinet.train.trainer.MOST_HELD", 1000)
    whole = train(data, specification, QUICK).record
    assert "parts of up to" in by_parts.solver
    assert "parts of up to" not in whole.solver
    assert by_parts.bound == pytest.approx(whole.bound, abs=1e-5)
    if loss is Loss.L1:
        # Outputs at the margin itself may round to errors; the record of either says so.
        assert by_parts.status is whole.status is Status.OPTIMAL
        assert float(by_parts.objective) == pytest.approx(float(whole.objective), abs=1e-6)
    assert by_parts.units <= 1
    bounds, objectives = [s.bound for s in states], [s.objective for s in states if s.objective is not None]
    assert bounds == sorted(bounds)
    assert objectives == sorted(objectives, reverse=True)


def test_points_of_two_classes_are_errors_before_any_branching() -> None:
    data = TrainingData.prepare(np.array([[0.0], [0.0], [1.0], [2.0]]), np.array([1.0, -1.0, 1.0, -1.0]), classes=True)
    specification = Specification(1, 1, objective=Objective(Loss.ZERO_ONE, margin=0.1, l1=1e-6))
    record = train(data, specification, QUICK).record
    assert record.bound == pytest.approx(0.25, abs=1e-3)
    assert float(equivalent_points(data, specification.objective).total) == 0.25


def test_no_time_leaves_an_honest_gap(small_parts: None) -> None:
    data = repeated_data(8, Loss.L1, 60, 2)
    objective = Objective(Loss.L1, l1=1e-3)
    specification = Specification(2, 2, objective=objective)
    record = train(data, specification, replace(QUICK, time_limit=0.2)).record
    assert record.status is Status.UNKNOWN
    assert any("not proven" in note for note in record.notes)
    assert float(equivalent_points(data, objective).total) - 1e-9 <= record.bound <= float(record.objective)
    assert record.gap == pytest.approx(1 - record.bound / float(record.objective))


def test_the_bound_of_any_width_says_that_no_solver_stands_behind_it(small_parts: None) -> None:
    data = repeated_data(0, Loss.L1)
    # Weights so dear that the constant network is best, whatever the width.
    specification = Specification(1, 1, objective=Objective(Loss.L1, l1=0.5))
    record = train(data, specification, replace(QUICK, gap_tolerance=0.02)).record
    assert record.units == 0
    assert record.basis == "rounding-safe bounds"


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_equal_points_share_a_row_and_units_have_the_same_values(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, (12, 2)) / 2.0
    family = dense_family(x, None)
    assert len(family.rows) == len(np.unique(x, axis=0))
    weights, prices = rng.normal(size=(4, 3)), rng.normal(size=12)
    direct = np.maximum(np.column_stack([x, np.ones(12)]) @ weights.T, 0.0)
    assert family.values(weights) == pytest.approx(direct)
    shared = np.maximum(family.rows @ weights.T, 0.0)
    assert family.pull_back(prices) @ shared == pytest.approx(prices @ direct)


@given(st.floats(1.0, 1e3), st.floats(1e-6, 10.0))
def test_levels_fall_to_the_cutoff_in_few_steps(ratio: float, cutoff: float) -> None:
    level, steps = ratio * cutoff, 0
    while level > cutoff:
        following = _next_level(level, cutoff)
        assert cutoff <= following < level
        level, steps = following, steps + 1
    assert steps <= 45
