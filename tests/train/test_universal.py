"""Universal constraints by counterexamples: better networks than by construction, that hold everywhere, proven best."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from tests.arrangement import pooled_value, vertices
from verinet.errors import InputError
from verinet.model import Domain, Monotone, VariableType, evaluate, evaluate_exact_batch
from verinet.program import Status
from verinet.train import (
    AnyWidthSpecification,
    Budget,
    Loss,
    Objective,
    PointCondition,
    Skip,
    TrainingData,
    TrainOptions,
    UniversalFair,
    UniversalMonotone,
    cross_validate,
    train_any_width,
    train_network,
)
from verinet.train.any_width.counterexamples import constraints_of
from verinet.verify import Answer, Deadline, VerifyOptions, verify_property

USUAL = TrainOptions(gap_tolerance=1e-3, time_limit=60)
UP = (UniversalMonotone(0, 1),)


def step_data(samples: int = 15) -> TrainingData:
    """A noisy step from 0 to 1: flat at both ends, which signs of weights cannot be."""
    rng = np.random.default_rng(0)
    x = np.linspace(0, 1, samples)[:, None]
    y = 1 / (1 + np.exp(-12 * (x[:, 0] - 0.5))) + rng.normal(0, 0.12, samples)
    return TrainingData.prepare(x, y, classes=False)


def two_features(seed: int, samples: int = 12) -> TrainingData:
    rng = np.random.default_rng(seed)
    x = rng.random((samples, 2))
    y = (x[:, 0] > 0.5) * (0.3 + x[:, 1]) + rng.normal(0, 0.1, samples)
    return TrainingData.prepare(x, y, classes=False)


def brute_force(data: TrainingData, l1: float, points: np.ndarray, pairs: np.ndarray) -> float:
    """Minimise over all arrangement vertices of samples and points, with rows f(second) >= f(first) at pairs of points.

    Parameters
    ----------
    points : ndarray, shape (points, features)
        Scaled.
    pairs : ndarray of int, shape (rows, 2)
    """
    x = np.vstack([data.scaled_x, points])
    z = np.column_stack([x, np.ones(len(x))])
    units = np.maximum(z @ vertices(z).T, 0.0)
    f = np.column_stack([units, -units, x, -x, np.ones(len(x)), -np.ones(len(x))])
    samples, count = len(data.y), f.shape[1] - 2
    cost = np.concatenate([np.full(count, l1), np.zeros(2), data.weights, data.weights])
    own, none, eye = f[:samples], np.zeros((samples, samples)), np.eye(samples)
    at = f[samples:]
    order = np.hstack([at[pairs[:, 0]] - at[pairs[:, 1]], np.zeros((len(pairs), 2 * samples))])
    rows = np.vstack([np.hstack([-own, -eye, none]), np.hstack([own, none, -eye]), order])
    sides = np.concatenate([-data.scaled_y, data.scaled_y, np.zeros(len(pairs))])
    answer = linprog(cost, A_ub=rows, b_ub=sides, bounds=(0, None))
    assert answer.status == 0
    return float(answer.fun)


def test_the_best_monotone_network_of_one_feature_is_found_and_proven() -> None:
    data = step_data()
    result = train_network(data, AnyWidthSpecification(Objective(Loss.L1, l1=1e-3), 1, universal=UP), USUAL)
    record, found = result.record, result.record.universal
    assert found is not None
    assert record.status is Status.OPTIMAL
    # With every kink at a sample or between two, and a row for every stretch, brute force is monotone throughout.
    points = np.linspace(0, 1, 29)[:, None]
    best = brute_force(data, 1e-3, points, np.column_stack([np.arange(28), np.arange(1, 29)]))
    assert record.bound <= best + 1e-9
    assert float(record.objective) == pytest.approx(best, rel=2e-3)
    # Signs of weights are worse by far, and no constraint is better: the price is enclosed.
    assert found.constructed_objective > 1.2 * best
    assert found.free_bound < record.bound
    assert (
        found.price[0] <= best - brute_force(data, 1e-3, points, np.zeros((0, 2), dtype=int)) + 1e-9 <= found.price[1]
    )
    verdict = verify_property(
        result.network, Domain.from_box([0], [1]), Monotone("m", (0,), 0, True), VerifyOptions(cross_check_neurons=0)
    )
    assert verdict.answer is Answer.VERIFIED
    assert found.rows
    assert "verified" in found.kept[0].verdict


@pytest.mark.parametrize(("loss", "l1"), [(Loss.L1, 1e-3), (Loss.SQUARED, 1e-4)])
def test_the_bound_is_recomputed_from_the_stored_rows_without_a_margin(loss, l1) -> None:
    data = step_data()
    specification = AnyWidthSpecification(Objective(loss, l1=l1), 1, Skip.NONE, universal=UP)
    record = train_network(data, specification, USUAL).record
    dual, found = record.dual, record.universal
    assert dual is not None
    assert found is not None
    assert any(dual.multipliers)
    points = data.scaling.features(np.array([point for row in found.rows for point in row.points]))
    weights = [Fraction(w) for row in found.rows for w in row.weights]
    shares = [m for m, row in zip(dual.multipliers, found.rows, strict=True) for _ in row.points]
    prices = [dual.scale * p for p in dual.prices] + [dual.scale * m * w for m, w in zip(shares, weights, strict=True)]
    assert all(m >= 0 for m in dual.multipliers)
    assert sum(prices) == 0
    z = np.column_stack([np.vstack([data.scaled_x, points]), np.ones(len(prices))])
    worth = np.abs(pooled_value(z, np.arange(1, len(z) + 1), np.array([float(p) for p in prices]), vertices(z)))
    assert worth.max() <= l1 * (1 + 1e-12)
    # The sides of all rows are zero, so only the samples count.
    own = prices[: len(data.y)]
    value = sum(p * Fraction(float(y)) for p, y in zip(own, data.scaled_y, strict=True))
    if loss is Loss.SQUARED:
        value -= sum(p * p / (4 * Fraction(float(w))) for p, w in zip(own, data.weights, strict=True))
    assert value == dual.bound


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 10**6))
def test_a_network_of_two_features_holds_everywhere_and_lies_between_its_bounds(seed) -> None:
    data = two_features(seed)
    options = replace(USUAL, gap_tolerance=1e-2, time_limit=10)
    result = train_network(data, AnyWidthSpecification(Objective(Loss.L1, l1=0.01), universal=UP), options)
    record, found = result.record, result.record.universal
    assert found is not None
    assert record.bound <= float(record.objective) <= found.constructed_objective * (1 + 1e-12)
    assert record.bound >= found.free_bound
    # A grid's rows are a relaxation, which no network that passed can beat.
    steps = np.linspace(0, 1, 4)
    grid = np.array([(a, b) for b in steps for a in steps])
    pairs = np.array([(i, i + 1) for i in range(len(grid)) if grid[i, 0] < 1])
    assert float(record.objective) >= brute_force(data, 0.01, grid, pairs) - 1e-9
    rng = np.random.default_rng(seed)
    low, high = data.x.min(axis=0), data.x.max(axis=0)
    first = low + (high - low) * rng.random((500, 2))
    second = first.copy()
    second[:, 0] = np.minimum(first[:, 0] + rng.random(500) * rng.choice([1e-3, 1.0], 500), high[0])
    gains = zip(*(evaluate_exact_batch(result.network, points) for points in (first, second)), strict=True)
    assert all(after[0] >= before[0] for before, after in gains)


def test_fairness_is_bought_at_its_price() -> None:
    data = two_features(3)
    base = AnyWidthSpecification(Objective(Loss.L1, l1=0.01))
    free = train_any_width(data, base, USUAL).record
    result = train_network(data, replace(base, universal=(UniversalFair((1,), 0.2),)), USUAL)
    record, found = result.record, result.record.universal
    assert found is not None
    assert record.status is Status.OPTIMAL
    assert float(free.objective) < record.bound
    assert float(record.objective) < found.constructed_objective
    rng = np.random.default_rng(0)
    low, high = data.x.min(axis=0), data.x.max(axis=0)
    first, second = (low + (high - low) * rng.random((2000, 2)) for _ in range(2))
    second[:, 0] = first[:, 0]
    assert np.abs(evaluate(result.network, first) - evaluate(result.network, second)).max() <= 0.2
    # A tolerance that nothing exceeds costs nothing, in one round.
    loose = train_network(data, replace(base, universal=(UniversalFair((1,), 50.0),)), USUAL).record
    assert loose.universal is not None
    assert (loose.universal.rounds, loose.universal.rows) == (1, ())
    assert float(loose.objective) == pytest.approx(float(free.objective), rel=2e-3)


def test_smooth_losses_have_their_optimum_under_constraints_too() -> None:
    data = step_data()
    options = replace(USUAL, time_limit=20)
    for wanted in (UP, (UniversalFair((0,), 0.3),)):
        specification = AnyWidthSpecification(Objective(Loss.SQUARED, l1=1e-4), 1, universal=wanted)
        result = train_network(data, specification, options)
        record, found = result.record, result.record.universal
        assert found is not None
        assert record.status is Status.OPTIMAL
        assert found.free_bound < record.bound <= float(record.objective) < found.constructed_objective
        assert all(
            c.examine(result.network, Deadline.after(20)).passed for c in constraints_of(wanted, data, "auto", 1)
        )
    classes = TrainingData.prepare(data.x, np.where(data.y > 0.5, 1.0, -1.0), classes=True)
    specification = AnyWidthSpecification(Objective(Loss.LOGISTIC, l1=1e-2), 1, universal=(UniversalFair((0,), 0.5),))
    record = train_network(classes, specification, options).record
    assert record.status is Status.OPTIMAL
    assert record.universal is not None
    assert record.universal.price[0] > 0


def test_a_network_by_construction_that_breaks_given_conditions_is_not_the_best() -> None:
    data = step_data()
    # Protected features left out, the output is constant, which the condition forbids.
    rises = PointCondition(((0.0,), (1.0,)), (-1.0, 1.0), low=0.2)
    wanted = (UniversalFair((0,), 0.4),)
    specification = AnyWidthSpecification(Objective(Loss.L1, l1=0.3), 1, conditions=(rises,), universal=wanted)
    result = train_network(data, specification, replace(USUAL, time_limit=20))
    low, high = evaluate(result.network, np.array([[0.0], [1.0]]))[:, 0]
    assert 0.2 - 1e-6 <= high - low <= 0.4
    assert result.record.universal is not None
    assert float(result.record.objective) > result.record.universal.constructed_objective
    assert result.record.status is Status.OPTIMAL


def test_integers_are_compared_as_integers() -> None:
    data = two_features(3)
    data = TrainingData.prepare(np.column_stack([data.x[:, 0], data.x[:, 1] > 0.5]), data.y, classes=False)
    domain = Domain((Fraction(0),) * 2, (Fraction(1),) * 2, (VariableType.CONTINUOUS, VariableType.INTEGER))
    specification = AnyWidthSpecification(
        Objective(Loss.L1, l1=0.01), universal=(UniversalFair((1,), 0.2, domain), UniversalMonotone(1, 1, domain))
    )
    record = train_network(data, specification, replace(USUAL, time_limit=15)).record
    assert record.universal is not None
    points = [point for row in record.universal.rows for point in row.points]
    assert all(point[1] in (0.0, 1.0) for point in points)


def test_no_time_leaves_a_network_that_keeps_the_constraints() -> None:
    data = step_data()
    specification = AnyWidthSpecification(Objective(Loss.L1, l1=1e-3), 1, universal=UP)
    result = train_network(data, specification, TrainOptions(time_limit=0.0, gap_tolerance=1e-3))
    assert result.record.status is Status.UNKNOWN
    assert "time limit" in result.record.notes[0]
    assert result.record.universal is not None
    assert result.record.universal.kept[0].verdict == "by construction"
    assert (np.diff(evaluate(result.network, np.linspace(0, 1, 200)[:, None])[:, 0]) >= 0).all()


def test_an_interrupt_leaves_a_network_that_keeps_the_constraints() -> None:
    def interrupt(_) -> None:
        raise KeyboardInterrupt

    specification = AnyWidthSpecification(Objective(Loss.L1, l1=1e-3), 1, universal=UP)
    result = train_network(step_data(), specification, replace(USUAL, on_progress=interrupt))
    assert "interrupted" in result.record.notes[0]
    assert result.record.bound <= float(result.record.objective)
    assert (np.diff(evaluate(result.network, np.linspace(0, 1, 200)[:, None])[:, 0]) >= 0).all()


def test_an_examination_returns_rows_that_the_network_breaks() -> None:
    data = step_data()
    wanted = (UniversalMonotone(0, -1), UniversalFair((0,), 0.5))
    network = train_any_width(data, AnyWidthSpecification(Objective(Loss.L1, l1=1e-3), 1), USUAL).network
    for constraint in constraints_of(wanted, data, "auto", 1):
        found = constraint.examine(network, Deadline.after(20))
        assert not found.passed
        for row in found.rows:
            value = float(np.array(row.weights) @ evaluate(network, np.array(row.points))[:, 0])
            assert not row.low <= value <= row.high


def test_what_cannot_be_trained_is_refused_in_a_sentence() -> None:
    data = step_data(8)
    with pytest.raises(InputError, match="budgets"):
        AnyWidthSpecification(Objective(Loss.L1), budget=Budget(units=1), universal=UP)
    with pytest.raises(InputError, match="tolerance > 0"):
        UniversalFair((0,), 0.0)
    with pytest.raises(InputError, match="a box"):
        UniversalMonotone(0, 1, Domain((Fraction(0),), (Fraction(1),), (VariableType.BINARY,), ((0,),)))
    specification = AnyWidthSpecification(Objective(Loss.L1), 1, universal=UP)
    with pytest.raises(InputError, match="without a path"):
        cross_validate(data, specification, [0.01])
    with pytest.raises(InputError, match="train_network"):
        train_any_width(data, specification)
    with pytest.raises(InputError, match="names feature 4"):
        train_network(data, replace(specification, universal=(UniversalMonotone(4, 1),)))
    with pytest.raises(InputError, match="has 2 features"):
        train_network(
            data, replace(specification, universal=(UniversalMonotone(0, 1, Domain.from_box([0] * 2, [1] * 2)),))
        )


def test_conditions_at_points_hold_beside_universal_ones() -> None:
    data = step_data()
    low = PointCondition(((0.5,),), (1.0,), low=0.9)
    specification = AnyWidthSpecification(Objective(Loss.L1, l1=1e-3), 1, conditions=(low,), universal=UP)
    result = train_network(data, specification, USUAL)
    assert result.record.status is Status.OPTIMAL
    assert evaluate(result.network, np.array([[0.5]]))[0, 0] >= 0.9 - 1e-6
