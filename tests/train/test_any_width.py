"""Any-width training reaches the optimum over all arrangement vertices, with a bound that anybody can recompute."""

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from sklearn.datasets import load_breast_cancer, load_diabetes, make_moons

from tests.arrangement import pooled_value, vertices
from verinet.errors import DataError, InputError
from verinet.model import Domain, Monotone, evaluate
from verinet.program import Progress, Status
from verinet.train import (
    AnyWidthSpecification,
    Budget,
    Loss,
    Objective,
    PointCondition,
    Skip,
    Specification,
    TrainingData,
    TrainOptions,
    train,
    train_any_width,
)
from verinet.train.any_width import dense_family, generate, prepare_problem
from verinet.train.any_width.band import BANDS, bands_of
from verinet.train.any_width.dual import ESTIMATES, VALUES
from verinet.train.any_width.family import supports_of
from verinet.train.any_width.generation import MOST_UNITS
from verinet.train.any_width.master import SMALL, Columns, LinearMaster, PointRows
from verinet.train.any_width.pricing import Priced, Pricer
from verinet.train.any_width.pricing_programme import bound_by_programme
from verinet.train.any_width.smooth import SMOOTH, SmoothMaster, nonnegative_quadratic
from verinet.train.export import worst_slope
from verinet.train.objective import LOSSES
from verinet.verify import Answer, ConeOptions, Deadline, verify_property

EXACT = TrainOptions(gap_tolerance=1e-8, time_limit=120)
USUAL = TrainOptions(gap_tolerance=1e-3, time_limit=120)


def small_data(seed: int, samples: int, features: int, loss: Loss) -> TrainingData:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 9, (samples, features)).astype(float)
    x[0], x[1] = 0.0, 8.0
    y = rng.choice([-1.0, 1.0], samples) if loss.classifies else rng.integers(0, 9, samples).astype(float)
    y[0], y[1] = (-1.0, 1.0) if loss.classifies else (0.0, 8.0)
    return TrainingData.prepare(x, y, classes=loss.classifies)


def explicit_optimum(data: TrainingData, specification: AnyWidthSpecification) -> float:
    """Minimise over every vertex of the samples' arrangement as a unit, by one linear programme."""
    x, y, weights = data.scaled_x, data.scaled_y, data.weights
    z = np.column_stack([x, np.ones(len(x))])
    most = specification.max_features_per_unit or x.shape[1]
    rays = []
    for chosen in itertools.combinations(range(x.shape[1]), most):
        own = [*chosen, x.shape[1]]
        for ray in vertices(z[:, own]):
            full = np.zeros(z.shape[1])
            full[own] = ray
            rays.append(full)
    columns = np.maximum(z @ np.array(rays).T, 0.0)
    objective = specification.objective
    bands = bands_of(y, weights, objective)
    skip = x if specification.skip is not Skip.NONE else x[:, :0]
    f = np.column_stack([columns, -columns, skip, -skip, np.ones(len(y)), -np.ones(len(y))])
    cost = np.concatenate(
        [
            np.full(2 * columns.shape[1], objective.l1),
            np.full(2 * skip.shape[1], specification.price_of_skip),
            np.zeros(2),
            bands.under,
            bands.over,
        ]
    )
    none, eye = np.zeros((len(y), len(y))), np.eye(len(y))
    low, high = np.isfinite(bands.low), np.isfinite(bands.high)
    rows = np.vstack([np.hstack([-f, -eye, none])[low], np.hstack([f, none, -eye])[high]])
    sides = np.concatenate([-bands.low[low], bands.high[high]])
    answer = linprog(cost, A_ub=rows, b_ub=sides, bounds=(0, None))
    assert answer.status == 0
    return float(answer.fun)


@pytest.mark.parametrize("loss", BANDS)
@pytest.mark.parametrize(("seed", "samples", "most", "skip"), [
    (0, 12, 2, Skip.PENALISED), (1, 9, None, Skip.NONE), (2, 14, 1, Skip.FREE), (3, 8, 1, Skip.NONE),
])  # fmt: skip
def test_the_optimum_is_that_of_all_arrangement_vertices(loss, seed, samples, most, skip) -> None:
    data = small_data(seed, samples, 2, loss)
    specification = AnyWidthSpecification(Objective(loss, l1=0.01, quantile=0.3), most, skip)
    result = train_any_width(data, specification, EXACT)
    expected = explicit_optimum(data, specification)
    assert float(result.record.objective) == pytest.approx(expected, rel=1e-7, abs=1e-9)
    assert result.record.bound <= expected + 1e-9
    assert result.record.status is Status.OPTIMAL


def test_sixty_samples_equal_the_explicit_programme() -> None:
    x, y = make_moons(60, noise=0.25, random_state=1)
    data = TrainingData.prepare(x, 2.0 * y - 1, classes=True)
    specification = AnyWidthSpecification(Objective(l1=0.003))
    result = train_any_width(data, specification, EXACT)
    assert float(result.record.objective) == pytest.approx(explicit_optimum(data, specification), rel=1e-7)


@pytest.mark.parametrize("loss", [Loss.HINGE, Loss.L1, Loss.SQUARED, Loss.LOGISTIC])
def test_the_bound_is_recomputed_from_the_stored_dual(loss) -> None:
    data = small_data(5, 10, 2, loss)
    specification = AnyWidthSpecification(Objective(loss, l1=0.01), skip=Skip.NONE)
    record = train_any_width(data, specification, USUAL).record
    dual = record.dual
    assert dual is not None
    g = [dual.scale * p for p in dual.prices]
    # The constant is free, so the prices balance, exactly.
    assert sum(g) == 0
    # No unit is worth more than its cost: at every vertex of the arrangement, found by brute force.
    z = np.column_stack([data.scaled_x, np.ones(len(data.y))])
    worth = np.abs(pooled_value(z, np.arange(1, len(z) + 1), np.array([float(v) for v in g]), vertices(z)))
    assert worth.max() <= 0.01 * (1 + 1e-12)
    # The dual objective, in rationals.
    omega, y = [Fraction(float(w)) for w in data.weights], [Fraction(float(v)) for v in data.scaled_y]
    if loss is Loss.HINGE:
        assert all(0 <= gn * yn <= wn for gn, yn, wn in zip(g, y, omega, strict=True))
        value = sum(gn * yn for gn, yn in zip(g, y, strict=True))
    elif loss is Loss.L1:
        assert all(abs(gn) <= wn for gn, wn in zip(g, omega, strict=True))
        value = sum(gn * yn for gn, yn in zip(g, y, strict=True))
    elif loss is Loss.SQUARED:
        value = sum(gn * yn - gn * gn / (4 * wn) for gn, yn, wn in zip(g, y, omega, strict=True))
    else:
        share = np.array([float(gn * yn / wn) for gn, yn, wn in zip(g, y, omega, strict=True)])
        value = -(data.weights * (share * np.log(share) + (1 - share) * np.log1p(-share))).sum()
        assert float(dual.bound) == pytest.approx(value, rel=1e-9)
        assert float(dual.bound) <= value
        return
    assert value == dual.bound
    assert record.bound <= value


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([loss for loss in Loss if loss is not Loss.ZERO_ONE]))
def test_no_random_network_of_any_width_beats_the_bound(seed, loss) -> None:
    data = small_data(seed, 9, 2, loss)
    objective = Objective(loss, l1=0.02)
    record = train_any_width(data, AnyWidthSpecification(objective, max_features_per_unit=None), USUAL).record
    assert record.bound <= float(record.objective) + 1e-12
    rng = np.random.default_rng(seed)
    z = np.column_stack([data.scaled_x, np.ones(len(data.y))])
    for _ in range(40):
        units = int(rng.integers(0, 12))
        w, a = rng.normal(size=(units, 3)), rng.normal(size=units) * rng.choice([0.01, 0.1, 1.0])
        p, c = rng.normal(size=2) * rng.choice([0.0, 0.1, 1.0]), rng.normal()
        f = c + data.scaled_x @ p + np.maximum(z @ w.T, 0) @ a
        cost = 0.02 * (np.abs(a) @ np.abs(w).sum(axis=1) + np.abs(p).sum())
        assert mean_loss(loss, objective, data, f) + cost >= record.bound - 1e-12


def mean_loss(loss, objective, data, f) -> float:
    y, e = data.scaled_y, data.scaled_y - f
    values = {
        Loss.HINGE: np.maximum(0, 1 - y * f),
        Loss.LOGISTIC: np.logaddexp(0, -y * f),
        Loss.SQUARED: e**2,
        Loss.L1: np.abs(e),
        Loss.EPSILON_INSENSITIVE: np.maximum(0, np.abs(e) - objective.epsilon),
        Loss.PINBALL: np.maximum(objective.quantile * e, (objective.quantile - 1) * e),
    }[loss]
    return float(data.weights @ values)


def test_gradient_trained_networks_do_not_beat_the_bound() -> None:
    """A thousand networks of random width, trained by subgradients on the same objective."""
    x, y = make_moons(40, noise=0.2, random_state=0)
    data = TrainingData.prepare(x, 2.0 * y - 1, classes=True)
    lam = 0.003
    record = train_any_width(data, AnyWidthSpecification(Objective(l1=lam)), USUAL).record
    z, t, omega = np.column_stack([data.scaled_x, np.ones(40)]), data.y, data.weights
    rng = np.random.default_rng(0)
    nets, units = 1000, 10
    width = rng.integers(1, units + 1, nets)
    w, a, c = rng.normal(size=(nets, units, 3)), rng.normal(size=(nets, units)), np.zeros(nets)
    a[np.arange(units)[None, :] >= width[:, None]] = 0.0
    best = np.full(nets, np.inf)
    for step in range(150):
        h = np.maximum(np.einsum("nd,kud->knu", z, w), 0)
        f = np.einsum("knu,ku->kn", h, a) + c[:, None]
        loss = np.maximum(0, 1 - t * f) @ omega
        norm = np.abs(w).sum(axis=2)
        best = np.minimum(best, loss + lam * (np.abs(a) * norm).sum(axis=1))
        g = -(t * omega) * (t * f < 1)
        rate = 0.5 / (1 + step / 30)
        da = np.einsum("kn,knu->ku", g, h) + lam * np.sign(a) * norm
        dw = np.einsum("kn,knu,nd->kud", g, (h > 0) * a[:, None, :], z) + lam * np.abs(a)[..., None] * np.sign(w)
        c -= rate * g.sum(axis=1)
        a, w = a - rate * da * (a != 0), w - rate * dw
    assert best.min() >= record.bound
    assert best.min() < 1.2 * record.bound


def test_the_milp_with_enough_units_has_the_same_optimum() -> None:
    data = small_data(7, 8, 2, Loss.HINGE)
    objective = Objective(l1=0.02)
    any_width = train_any_width(data, AnyWidthSpecification(objective, max_features_per_unit=None), EXACT)
    milp = train(data, Specification(2, 2, objective=objective, weight_bound=100.0), TrainOptions(time_limit=60))
    assert any_width.record.units <= 4
    assert float(milp.record.objective) == pytest.approx(float(any_width.record.objective), rel=1e-4)


def test_the_exported_network_has_the_objective() -> None:
    x, y = load_diabetes(return_X_y=True)
    data = TrainingData.prepare(x, y, classes=False)
    result = train_any_width(data, AnyWidthSpecification(Objective(Loss.L1, l1=0.003)), USUAL)
    f = evaluate(result.network, data.x)[:, 0]
    width = data.scaling.target_width
    mean = float(data.weights @ np.abs(f - data.y)) / width
    size = np.abs(result.parameters.weights) @ data.scaling.width
    biases = np.abs(result.parameters.biases + result.parameters.weights @ data.scaling.offset)
    skip = np.abs(result.parameters.skip[0]) @ data.scaling.width / width
    assert float(result.record.objective) == pytest.approx(mean + 0.003 * (size.sum() + biases.sum() + skip), rel=1e-9)
    assert result.record.claimed_objective == pytest.approx(float(result.record.objective), rel=1e-9)
    assert ((result.parameters.weights != 0).sum(axis=1) <= 2).all()
    assert result.record.basis == "rounding-safe bounds"
    assert [p.bound for p in result.record.history] == sorted(p.bound for p in result.record.history)


@pytest.mark.parametrize("loss", [Loss.HINGE, Loss.SQUARED])
def test_monotone_by_construction(loss) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    data = TrainingData.prepare(x[::3, 20:26], 1.0 - 2.0 * y[::3], classes=True)
    specification = AnyWidthSpecification(Objective(loss, l1=0.002), monotone={0: 1, 1: 1, 4: -1})
    result = train_any_width(data, specification, USUAL)
    free = train_any_width(data, AnyWidthSpecification(Objective(loss, l1=0.002)), USUAL)
    assert result.record.status is Status.OPTIMAL
    assert result.record.objective >= Fraction(free.record.bound)
    for feature, direction in specification.monotone.items():
        assert worst_slope(result.parameters, feature, direction) >= 0
    domain = Domain.from_box(data.x.min(axis=0), data.x.max(axis=0))
    verdict = verify_property(result.network, domain, Monotone("up", (0,), 0, increasing=True))
    assert verdict.answer is Answer.VERIFIED


def test_many_samples_enter_the_programme_as_they_are_needed() -> None:
    x, y = make_moons(SMALL + 500, noise=0.3, random_state=0)
    data = TrainingData.prepare(x, 2.0 * y - 1, classes=True)
    objective = Objective(l1=0.01)
    bands = bands_of(data.y, data.weights, objective)
    z = data.scaled_x
    design = np.column_stack([np.ones(len(z)), z, -z, np.maximum(z - 0.5, 0)])
    columns = Columns(design, np.array([0.0, *[0.01] * 6]), np.array([True, *[False] * 6]))
    fit = LinearMaster(bands, columns).solve(np.inf)
    plain = linprog(
        np.concatenate([[0.0, 0.0], np.full(6, 0.01), data.weights]),
        A_ub=np.hstack([-data.y[:, None] * np.column_stack([design[:, 0], -design[:, 0], design[:, 1:]]),
                        -np.eye(len(z))]),
        b_ub=-np.ones(len(z)),
    )  # fmt: skip
    assert fit.objective == pytest.approx(plain.fun, rel=1e-8)
    assert np.abs(fit.prices.sum()) < 1e-9
    assert (np.abs(fit.prices) <= data.weights * (1 + 1e-12)).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([Loss.SQUARED, Loss.LOGISTIC]))
def test_smooth_masters_meet_conditions_at_their_optimum(seed, loss) -> None:
    rng = np.random.default_rng(seed)
    samples, points, count = 8, 3, 5
    # A constant without a price; of both classes, so that the logistic loss has an optimum.
    design = np.column_stack([np.ones(samples + points), rng.normal(size=(samples + points, count - 1))])
    y = np.append(rng.choice([-1.0, 1.0], samples - 2), [-1.0, 1.0])
    columns = Columns(design, np.append(0.0, np.full(count - 1, 0.01)), np.arange(count) < 1)
    weights = np.hstack([np.zeros((2, samples)), rng.normal(size=(2, points))])
    # What some variables meet, tightly.
    at = weights @ design @ np.abs(rng.normal(size=count))
    rows = PointRows(weights, np.array([at[0], -np.inf]), np.array([at[0] + 0.1, at[1]]))
    fit = SmoothMaster(SMOOTH[loss], y, np.full(samples, 1 / samples), columns, rows).solve(np.inf)
    values = weights @ fit.outputs
    assert (values >= rows.low - 1e-6).all()
    assert (values <= rows.high + 1e-6).all()
    # No variable's price is wrong, and multipliers belong to sides that are reached: together, an optimum.
    reduced = columns.costs - design.T @ fit.prices
    assert np.abs(reduced[columns.free | (fit.values > 0)]).max() < 1e-5
    assert reduced.min() > -1e-5
    assert (fit.multipliers * (values - np.where(fit.multipliers > 0, rows.low, rows.high))).max() < 1e-5
    assert np.allclose(fit.prices[:samples], -SMOOTH[loss].slope(y, fit.outputs[:samples]) / samples)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 12))
def test_the_quadratic_programme_meets_its_conditions(seed, size, samples) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(samples, size))
    gram, target, free = matrix.T @ matrix, matrix.T @ rng.normal(size=samples), rng.random(size) < 0.3
    v = nonnegative_quadratic(gram, target, free, np.zeros(size))
    reduced = target - gram @ v
    assert (v[~free] >= 0).all()
    assert np.abs(reduced[free | (v > 0)]).max(initial=0.0) < 1e-6
    assert reduced[~free].max(initial=0.0) < 1e-6


def test_a_programme_bounds_wide_units_as_the_search_does() -> None:
    data = small_data(11, 14, 3, Loss.HINGE)
    family = dense_family(data.scaled_x, None)
    search = Pricer(family)._search
    weights = np.random.default_rng(0).normal(size=14)
    allowed = np.ones((4, 2), dtype=bool)
    best = search.maximise(weights, ConeOptions(relative_gap=1e-9)).values[0]
    above = bound_by_programme(search, weights, allowed, 0.5 * best, "highs", 1, Deadline.after(60))
    assert above.bound >= best - 1e-12
    assert max(worth for _, worth in above.points) == pytest.approx(best, rel=1e-6)
    below = bound_by_programme(search, weights, allowed, 1.01 * best, "highs", 1, Deadline.after(60))
    assert best <= below.bound <= 1.02 * best


def test_both_signs_of_units_get_time_for_their_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    # The bound is that of the worse sign: all time for the first one left it where it was.
    family = dense_family(small_data(12, 30, 8, Loss.HINGE).scaled_x, None)
    left: dict[int, float] = {}

    def wait(_, sign, cell, prices, cutoff, relative_gap, deadline) -> Priced:
        left[sign] = deadline.left
        return Priced(1.0 + sign, (), True, 0)

    monkeypatch.setattr(Pricer, "_programmed", wait)
    monkeypatch.setattr(Pricer, "_climbed", lambda *_: Priced(9.0, (), False, 0))
    prices = np.repeat([-1.0, 1.0], 15)
    assert Pricer(family).price(prices, 1e-3, 0.5, Deadline.after(60)).bound == 2.0
    assert 25 < left[1] <= 30 < left[-1]


def test_interrupted_and_timed_out_runs_keep_network_and_bound() -> None:
    x, y = load_diabetes(return_X_y=True)
    data = TrainingData.prepare(x, y, classes=False)
    specification = AnyWidthSpecification(Objective(Loss.L1, l1=0.0005))
    seen: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == 3:
            raise KeyboardInterrupt

    result = train_any_width(data, specification, TrainOptions(time_limit=60, on_progress=interrupt))
    assert "interrupted" in result.record.notes[0]
    assert 0 < result.record.bound < float(result.record.objective)
    late = train_any_width(data, specification, TrainOptions(time_limit=0.5))
    assert "time limit" in late.record.notes[0]
    assert late.record.bound < float(late.record.objective)


def test_units_of_another_run_warm_start() -> None:
    x, y = make_moons(200, noise=0.2, random_state=0)
    data = TrainingData.prepare(x, 2.0 * y - 1, classes=True)
    specification = AnyWidthSpecification(Objective(l1=0.002))
    problem = prepare_problem(data, specification)
    pricer = Pricer(problem.family)
    first = generate(problem, pricer, 1e-3, Deadline.after(60))
    again = generate(problem, pricer, 1e-3, Deadline.after(60), start=first.units)
    assert len(again.rounds) < len(first.rounds)
    assert again.fit.objective <= first.fit.objective * (1 + 1e-9)
    assert MOST_UNITS >= 1


@pytest.mark.parametrize("loss", [Loss.HINGE, Loss.SQUARED])
@pytest.mark.parametrize(
    "budget", [Budget(units=1), Budget(nonzeros=3), Budget(features=1), Budget(units=0, nonzeros=2)]
)
def test_budgets_are_kept_and_the_bound_stays(loss, budget) -> None:
    data = small_data(21, 30, 3, loss)
    objective = Objective(loss, l1=0.003)
    free = train_any_width(data, AnyWidthSpecification(objective), USUAL).record
    record = train_any_width(
        data, AnyWidthSpecification(objective, budget=budget), replace(USUAL, time_limit=10)
    ).record
    assert budget.units is None or record.units <= budget.units
    assert budget.nonzeros is None or record.nonzeros <= budget.nonzeros
    assert budget.features is None or len(record.features) <= budget.features
    assert record.objective >= Fraction(free.bound)
    assert record.bound == pytest.approx(free.bound, rel=1e-2)


def test_one_unit_is_found_where_one_made_the_target() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((60, 3))
    y = 3 * np.maximum(x[:, 0] - x[:, 1] - 0.1, 0)
    data = TrainingData.prepare(x, y, classes=False)
    specification = AnyWidthSpecification(Objective(Loss.L1, l1=1e-4), budget=Budget(units=1, nonzeros=2))
    result = train_any_width(data, specification, replace(USUAL, time_limit=20))
    assert result.record.units == 1
    assert np.abs(evaluate(result.network, data.x)[:, 0] - data.y).max() < 0.02


def test_prices_of_units_and_weights_are_charged() -> None:
    data = small_data(22, 30, 3, Loss.HINGE)
    plain = train_any_width(data, AnyWidthSpecification(Objective(l1=0.003)), USUAL).record
    dear = Objective(l1=0.003, l0=0.01, unit_penalty=0.02)
    record = train_any_width(data, AnyWidthSpecification(dear), replace(USUAL, time_limit=10)).record
    charge = 0.01 * plain.nonzeros + 0.02 * plain.units
    assert float(record.objective) <= float(plain.objective) + charge + 1e-9
    assert record.nonzeros <= plain.nonzeros


@pytest.mark.parametrize("loss", [Loss.L1, Loss.SQUARED])
def test_conditions_at_points_hold_and_keep_a_bound(loss) -> None:
    rng = np.random.default_rng(1)
    x = rng.random((40, 2))
    y = 4 * x[:, 0] ** 2 + x[:, 1]
    data = TrainingData.prepare(x, y, classes=False)
    objective = Objective(loss, l1=0.003)
    free = train_any_width(data, AnyWidthSpecification(objective), USUAL)
    at = evaluate(free.network, np.array([[0.9, 0.5], [0.1, 0.5], [0.5, 0.5]]))[:, 0]
    conditions = (
        PointCondition(((0.9, 0.5),), (1.0,), high=float(at[0]) - 1.0),
        PointCondition(((0.1, 0.5), (0.5, 0.5)), (1.0, -1.0), low=0.0),
    )
    result = train_any_width(data, AnyWidthSpecification(objective, conditions=conditions), USUAL)
    values = evaluate(result.network, np.array([[0.9, 0.5], [0.1, 0.5], [0.5, 0.5]]))[:, 0]
    assert result.record.status is Status.OPTIMAL
    assert values[0] <= at[0] - 1.0 + 1e-6
    assert values[1] >= values[2] - 1e-6
    assert result.record.bound > float(free.record.objective)
    assert result.record.dual is not None
    assert any(result.record.dual.multipliers)


def test_conditions_that_nothing_meets_are_said() -> None:
    data = small_data(3, 8, 2, Loss.L1)
    conditions = (PointCondition(((1.0, 1.0),), (1.0,), low=5.0), PointCondition(((1.0, 1.0),), (1.0,), high=1.0))
    record = train_any_width(data, AnyWidthSpecification(Objective(Loss.L1), conditions=conditions), USUAL).record
    assert record.status is Status.UNKNOWN
    assert any("is not met" in note for note in record.notes)


@pytest.mark.parametrize("seed", range(4))
def test_a_free_skip_over_dependent_features_keeps_its_bound(seed) -> None:
    rng = np.random.default_rng(seed)
    kind = np.eye(3)[rng.integers(0, 3, 40)]
    kind[:3] = np.eye(3)
    x = np.column_stack([kind, rng.random(40), np.ones(40)])
    y = x[:, 0] + x[:, 3] ** 2 + rng.normal(0, 0.01, 40)
    data = TrainingData.prepare(x, y, classes=False, allow_constant=True)
    record = train_any_width(data, AnyWidthSpecification(Objective(Loss.L1, l1=0.001), skip=Skip.FREE), USUAL).record
    assert record.status is Status.OPTIMAL


def test_every_table_covers_every_convex_loss() -> None:
    convex = set(Loss) - {Loss.ZERO_ONE}
    assert set(BANDS) | set(SMOOTH) == convex
    assert set(VALUES) == set(ESTIMATES) == convex
    assert set(LOSSES) == set(Loss)


def test_bad_input_is_refused_in_a_sentence() -> None:
    with pytest.raises(InputError, match="wider network"):
        AnyWidthSpecification(Objective(l1=0.0))
    with pytest.raises(InputError, match="convex loss"):
        AnyWidthSpecification(Objective(Loss.ZERO_ONE))
    with pytest.raises(InputError, match="free skip"):
        AnyWidthSpecification(skip=Skip.FREE, monotone={0: 1})
    with pytest.raises(InputError, match="max_features_per_unit"):
        supports_of(2, 3)
    with pytest.raises(InputError, match="sets"):
        supports_of(200, 4)
    with pytest.raises(InputError, match="one weight for each"):
        PointCondition(((0.0,),), ())
    with pytest.raises(InputError, match="low <= high"):
        PointCondition(((0.0,),), (1.0,), low=1.0, high=0.0)
    point = PointCondition(((0.0,),), (1.0,))
    data = small_data(0, 6, 2, Loss.L1)
    with pytest.raises(InputError, match="2 features"):
        train_any_width(data, AnyWidthSpecification(Objective(Loss.L1), conditions=(point,)))
    with pytest.raises(InputError, match="names feature 5"):
        train_any_width(data, AnyWidthSpecification(Objective(Loss.L1), monotone={5: 1}))
    with pytest.raises(DataError, match="-1 and 1"):
        train_any_width(data, AnyWidthSpecification(Objective(Loss.HINGE)))
    with pytest.raises(InputError, match="any-width"):
        train(data, Specification(objective=Objective(Loss.SQUARED)))
