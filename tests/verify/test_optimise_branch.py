"""The branch engine of the optimiser: against the oracle, against the MILP, and the promises of its bounds."""

import time
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from tests.strategies import random_query
from tests.verify.asking import constant, x, y
from tests.verify.optima import below, better_exists, box, check_nearest
from verinet.errors import InputError
from verinet.model import Atom, Domain, L1Ball, Query, Region, dense_network, evaluate_exact
from verinet.verify import (
    Basis,
    Distance,
    Metric,
    Objective,
    OptimiseOptions,
    Optimiser,
    OptimumStatus,
    largest_violation,
    maximise,
    minimise,
    nearest_counterexample,
    robust_radius,
)
from verinet.verify.reach import Reach

F = Fraction
BRANCH = OptimiseOptions(engine="branch", timeout=60, absolute_gap=1e-4, relative_gap=1e-3)
SMALL = {"max_neurons": 8, "max_inputs": 3}


def query_of(seed: int) -> tuple[Query, Region]:
    query = random_query(seed, typed=seed % 2 == 1, **SMALL)
    return query, query.regions[0]


@pytest.mark.parametrize("seed", range(16))
def test_the_oracle_agrees_about_a_linear_expression(seed: int) -> None:
    query, region = query_of(seed)
    expression = y() + x() * F(1, 3)
    found = minimise(query.network, region, expression, BRANCH)
    assert found.basis is not Basis.SOLVER_CLAIM
    if found.value is not None:
        assert query.violated_at(found.point)
        assert expression.value(found.point, evaluate_exact(query.network, found.point)) == found.value
    if found.status is OptimumStatus.INFEASIBLE:
        assert not better_exists(query, region.unsafe, region.domain)
    else:
        # Sets that touch in a point, which boxes cannot settle, are left open.
        assert found.status is OptimumStatus.OPTIMAL or "too small" in found.reason or "too many" in found.reason
        worse = [(*c, below(expression, found.bound)) for c in region.unsafe]
        assert not better_exists(query, worse, region.domain)


@pytest.mark.parametrize("seed", range(16))
def test_the_oracle_agrees_about_the_largest_violation(seed: int) -> None:
    query, region = query_of(seed)
    found = largest_violation(query, BRANCH)
    if found.status is OptimumStatus.INFEASIBLE:
        assert not better_exists(query, [()], region.domain)
        return
    assert found.status is OptimumStatus.OPTIMAL
    worse = [tuple(below(a.expression, -found.bound) for a in c) for c in region.unsafe]
    assert not better_exists(query, worse, region.domain)


@pytest.mark.parametrize("metric", [Metric.L1, Metric.LINF])
@pytest.mark.parametrize("start", [0, 100])
def test_the_oracle_agrees_about_the_nearest_counterexample(metric: Metric, start: int) -> None:
    for seed in range(start, start + 8):
        query, _ = query_of(2 * seed)
        check_nearest(query, metric, BRANCH)


@pytest.mark.parametrize("seed", range(6))
def test_it_agrees_with_the_milp_on_a_wider_network(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = dense_network(
        [rng.normal(size=(12, 3)), rng.normal(size=(8, 12)) / 3, rng.normal(size=(2, 8))],
        [rng.normal(size=12), rng.normal(size=8) / 3, rng.normal(size=2)],
    )
    domain = Domain.from_box([-1] * 3, [1] * 3)
    top = maximise(network, domain, y(0) - y(1), OptimiseOptions(engine="milp", timeout=60))
    query = Query(network, (Region(domain, ((Atom(constant(top.value - abs(top.value) / 4) - y(0) + y(1)),),)),))
    prices = [F(1, 2), 2, 1], [1, 1, 3]
    questions = [
        lambda options: maximise(network, domain, y(0) - y(1), options),
        lambda options: largest_violation(query, options),
        *(
            (lambda options, d=distance: nearest_counterexample(query, d, options))
            for metric in (Metric.L1, Metric.LINF)
            for distance in (Distance(metric, (F(0),) * 3), Distance.between(metric, [0, 0, 0], *prices))
        ),
    ]
    for ask in questions:
        ours, theirs = ask(BRANCH), ask(replace(BRANCH, engine="milp"))
        assert ours.status is theirs.status is OptimumStatus.OPTIMAL
        assert ours.basis is Basis.ROUNDING_SAFE
        wanted = max(1e-4, 1e-3 * abs(float(theirs.value)))
        assert float(ours.value) == pytest.approx(float(theirs.value), abs=2 * wanted + 1e-6)
        assert ours.lower <= float(theirs.value)
        assert theirs.lower <= float(ours.value) + 1e-5


def tents() -> tuple[object, Domain]:
    """Return two tents side by side: a low one at -1, a high one at 2."""
    first = np.ones((6, 1))
    bias = np.array([2.0, 1.0, 0.0, -1.5, -2.0, -2.5])
    weights = np.array([[1.0, -2.0, 1.0, 4.0, -8.0, 4.0]])
    return dense_network([first, weights], [bias, np.zeros(1)]), Domain.from_box([-3], [4])


def test_a_cut_off_ends_the_search_on_either_side() -> None:
    network, domain = tents()
    assert maximise(network, domain, y(), BRANCH).value == 2
    query = Query(network, (Region(domain, ((Atom(constant(F(3, 2)) - y()),),)),))
    radius = robust_radius(query, Distance(Metric.LINF, (F(0),)), BRANCH)
    assert float(radius.value) == pytest.approx(1.875, abs=0.002)
    optimiser = Optimiser.prepare(network, domain, BRANCH)
    assert optimiser.maximise(y(), cutoff=F(3)).status in (OptimumStatus.CUT_OFF, OptimumStatus.OPTIMAL)
    beaten = optimiser.maximise(y(), cutoff=F(3, 2))
    assert beaten.value > F(3, 2)


def test_what_has_no_point_is_infeasible_by_bounds() -> None:
    network, domain = tents()
    query = Query(network, (Region(domain, ((Atom(constant(F(21, 10)) - y()),),)),))
    for metric in (Metric.L1, Metric.LINF):
        found = nearest_counterexample(query, Distance(metric, (F(0),)), BRANCH)
        assert (found.status, found.bound, found.basis) == (OptimumStatus.INFEASIBLE, np.inf, Basis.ROUNDING_SAFE)


def test_changes_are_not_counted() -> None:
    network, domain = tents()
    query = Query(network, (Region(domain, ((Atom(constant(F(3, 2)) - y()),),)),))
    with pytest.raises(InputError, match="cannot count"):
        nearest_counterexample(query, Distance(Metric.COUNT, (F(0),)), BRANCH)


def hard() -> tuple[object, Domain]:
    rng = np.random.default_rng(0)
    sizes = [(60, 8), (60, 60), (60, 60), (1, 60)]
    network = dense_network([rng.normal(size=size) for size in sizes], [np.zeros(rows) for rows, _ in sizes])
    return network, Domain.from_box([-1] * 8, [1] * 8)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_deadline_keeps_what_was_found(threads: int) -> None:
    network, domain = hard()
    started = time.monotonic()
    found = minimise(network, domain, y(), replace(BRANCH, timeout=2.0, threads=threads))
    assert time.monotonic() - started < 4
    assert found.status is OptimumStatus.LIMIT
    assert "time limit" in found.reason
    assert evaluate_exact(network, found.point) == (found.value,)
    assert found.basis is Basis.ROUNDING_SAFE
    assert np.isfinite(found.bound)
    assert found.bound <= found.value


def test_time_counts_from_where_the_caller_says() -> None:
    network, domain = hard()
    found = minimise(network, domain, y(), replace(BRANCH, timeout=1.0, started=time.monotonic() - 1))
    assert found.status is OptimumStatus.LIMIT
    assert found.seconds >= 1


def test_memory_is_a_limit_too() -> None:
    network, domain = hard()
    found = minimise(network, domain, y(), replace(BRANCH, memory=1.0))
    assert found.status is OptimumStatus.LIMIT
    assert "memory limit" in found.reason


@pytest.mark.parametrize("threads", [1, 2])
def test_a_search_repeats_itself(threads: int) -> None:
    query, _ = query_of(4)
    first, again = (largest_violation(query, replace(BRANCH, threads=threads)) for _ in range(2))
    assert (first.value, first.bound, first.evidence) == (again.value, again.bound, again.evidence)


def test_touching_sets_are_closed_by_the_other_engines_in_auto() -> None:
    rng = np.random.default_rng(5)
    network = dense_network([rng.normal(size=(24, 2)), rng.normal(size=(1, 24))], [rng.normal(size=24), np.zeros(1)])
    domain = Domain.from_box([-1, -1], [1, 1])
    top = maximise(network, domain, y(), OptimiseOptions(engine="milp", timeout=60)).value
    query = Query(network, (Region(domain, ((Atom(constant(top) - y()),),)),))
    found = nearest_counterexample(query, Distance(Metric.LINF, (F(0), F(0))), OptimiseOptions(timeout=60))
    assert found.value is not None
    assert evaluate_exact(network, found.point)[0] >= top
    assert found.bound <= found.value


@pytest.mark.parametrize("metric", [Metric.L1, Metric.LINF])
def test_no_point_within_a_cut_off_is_out_of_reach(metric: Metric) -> None:
    domain = box((-2, 3), ("-1/3", "5/7"), (0, 4))
    prices = ([1] * 3, [1] * 3), ([2, F(1, 3), 1], [1, 0, 3])
    for up, down in prices:
        objective = Distance.between(metric, [F(1, 3), F(2, 5), -1], up, down).objective
        reach = Reach(domain, objective)
        for cutoff in (F(0), F(1, 7), F(1), F(3)):
            lower, upper = reach.box(cutoff)
            radius = reach.radius(cutoff)
            for point in product((F(-2), F(0), F(1, 3), F(3)), (F(-1, 3), F(0), F(2, 5), F(5, 7)), (F(0), F(2), F(4))):
                if objective.value(point, ()) <= cutoff:
                    assert all(low <= v <= high for low, v, high in zip(lower, point, upper, strict=True))
                    if radius is not None:
                        assert isinstance(reach.widened.balls[-1], L1Ball)
                        assert reach.widened.contains(point)
                        assert L1Ball((0, 1, 2), (F(1, 3), F(2, 5), F(-1)), F(0)).norm(point) <= F(radius)
    assert Reach(domain, Objective.linear(y())).radius(F(1)) is None
