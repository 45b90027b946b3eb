"""Backends that know nothing of each other find the same optimum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.programmes import linear
from verinet.errors import UnsupportedModelError
from verinet.program import Outcome, Programme, SolveOptions, Status
from verinet.solve import backends

TOLERANCE = 1e-6
OPTIMISERS = [backend for backend in backends() if backend.name != "z3" and backend.probe().usable]


def quarters(low: int, high: int) -> st.SearchStrategy[float]:
    return st.integers(4 * low, 4 * high).map(lambda k: k / 4)


@st.composite
def mixed_programmes(draw: st.DrawFn) -> Programme:
    """Draw a bounded programme, whose numbers are quarters, with some integer variables and some equations."""
    size, height = draw(st.integers(1, 6)), draw(st.integers(0, 5))
    rows = [[draw(quarters(-5, 5)) for _ in range(size)] for _ in range(height)]
    sides = [sorted((draw(quarters(-8, 8)), draw(st.just(-np.inf) | quarters(-8, 8)))) for _ in range(height)]
    boxes = [tuple(sorted((draw(quarters(-4, 4)), draw(quarters(-4, 4))))) for _ in range(size)]
    costs = [draw(quarters(-5, 5)) for _ in range(size)]
    integer = [draw(st.sampled_from([True, True, False])) for _ in range(size)]
    lower, upper = [low for low, _ in sides], [high for _, high in sides]
    return linear(costs, rows, lower, upper, box=boxes, integer=integer, offset=draw(quarters(-9, 9)))


def answers(programme: Programme, **options: object) -> dict[str, Outcome]:
    """Return what every backend says that takes the programme; only CP-SAT may refuse it."""
    found = {}
    for backend in OPTIMISERS:
        try:
            found[backend.name] = backend.solve(programme, SolveOptions(**{"time_limit": 20.0, **options}))
        except UnsupportedModelError:
            assert backend.name == "cpsat"
    return found


def agree(found: dict[str, Outcome]) -> None:
    statuses = {name: outcome.status for name, outcome in found.items()}
    assert len(set(statuses.values())) == 1, (statuses, {name: outcome.reason for name, outcome in found.items()})
    objectives = [outcome.objective for outcome in found.values() if outcome.objective is not None]
    assert objectives == pytest.approx(objectives[:1] * len(objectives), abs=TOLERANCE)
    for outcome in found.values():
        assert outcome.status in (Status.OPTIMAL, Status.INFEASIBLE), outcome.reason
        if outcome.objective is not None:
            assert outcome.bound == pytest.approx(outcome.objective, rel=1e-5, abs=TOLERANCE)


def test_there_is_somebody_to_agree_with() -> None:
    assert len(OPTIMISERS) >= 2


@settings(max_examples=20)
@given(mixed_programmes())
def test_mixed_programmes(programme: Programme) -> None:
    found = answers(programme)
    agree(found)
    for name, outcome in found.items():
        if outcome.values is None:
            continue
        rows = programme.matrix @ outcome.values
        slack = 1e-5
        assert (rows >= programme.rows.lower - programme.rows.expressions.constant - slack).all(), name
        assert (rows <= programme.rows.upper - programme.rows.expressions.constant + slack).all(), name
        whole = outcome.values[programme.integer]
        assert np.abs(whole - np.round(whole)).max(initial=0.0) <= slack, name
        assert (outcome.values >= programme.lower - slack).all(), name
        assert (outcome.values <= programme.upper + slack).all(), name


@settings(max_examples=8)
@given(mixed_programmes(), st.sampled_from([-0.375, 0.375]))
def test_a_cutoff_means_the_same_to_all(programme: Programme, distance: float) -> None:
    reference = OPTIMISERS[0].solve(programme, SolveOptions(time_limit=20.0))
    if reference.objective is None:
        return
    found = answers(programme, cutoff=reference.objective + distance)
    agree(found)
    expected = Status.OPTIMAL if distance > 0 else Status.INFEASIBLE
    assert {outcome.status for outcome in found.values()} == {expected}
