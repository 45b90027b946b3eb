"""Optima against an exact oracle: no point is better than what is proved, none that is claimed is missing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import queries, random_query
from tests.verify.asking import x, y
from tests.verify.optima import TIMED, F, below, better_exists, check_linear, check_nearest, check_violation
from verinet.model import Query
from verinet.verify import Metric, OptimiseOptions, OptimumStatus, minimise

SOLVERS = [OptimiseOptions(timeout=60, solver=name) for name in ("gurobi", "highs")]

SMALL = {"max_neurons": 8, "max_inputs": 3}


@pytest.mark.parametrize("options", SOLVERS, ids=lambda options: options.solver)
@pytest.mark.parametrize("typed", [False, True])
def test_the_oracle_agrees(options: OptimiseOptions, typed: bool) -> None:
    for seed in range(14):
        query = random_query(seed + 1000 * typed, typed=typed, **SMALL)
        check_linear(query, y() + x() * F(1, 3), options)
        check_violation(query, options)
        check_nearest(query, tuple(Metric)[seed % 3], options)


@settings(max_examples=15, deadline=None)
@given(query=queries(typed=True, **SMALL), metric=st.sampled_from(Metric))
def test_the_oracle_agrees_on_drawn_queries(query: Query, metric: Metric) -> None:
    check_violation(query, TIMED)
    check_nearest(query, metric, TIMED)


@pytest.mark.parametrize("start", [0, 1000])
def test_z3_alone_bounds_what_the_oracle_confirms(start: int) -> None:
    for seed in range(8):
        query = random_query(seed + start, typed=start > 0, **SMALL)
        (region,) = query.regions
        found = minimise(query.network, region, y(), OptimiseOptions(engine="smt", timeout=20))
        if found.status is OptimumStatus.INFEASIBLE:
            assert not better_exists(query, region.unsafe, region.domain)
        else:
            # An infimum that is not attained is left open.
            assert found.status is OptimumStatus.OPTIMAL or "infimum" in found.reason
            assert not better_exists(query, [(*c, below(y(), found.bound)) for c in region.unsafe], region.domain)
