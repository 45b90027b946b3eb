"""The cone search bounds a network in weight space: never below any vertex of its kinks' arrangement."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.arrangement import kink_normals, pooled_value, vertices
from verinet.errors import InputError
from verinet.numeric import gamma
from verinet.verify import ConeOptions, ConeSearch, Deadline
from verinet.verify.cone_climb import climb


def problem(seed: int, size: int, terms: int, pooled: bool, whole: bool):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 4, terms) if pooled else np.ones(terms, dtype=int)
    count = int(sizes.sum())
    rows = rng.integers(-3, 4, (count, size)).astype(float) if whole else rng.normal(size=(count, size))
    weights = rng.integers(-4, 5, terms).astype(float) if whole else rng.normal(size=terms)
    return rows, np.cumsum(sizes), weights


MOST = 100_000
"""Nodes: where the optimum is zero bounds may fall with the hulls and never reach it. All other searches end before."""

everything = st.tuples(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 6), st.booleans(), st.booleans())


@settings(max_examples=60, deadline=None)
@given(everything)
def test_bounds_hold_at_every_vertex_and_the_best_vertex_is_found(case) -> None:
    rows, ends, weights = problem(*case)
    size = rows.shape[1]
    search = ConeSearch(rows, np.arange(size)[None, :], ends)
    found = search.maximise(weights, ConeOptions(relative_gap=1e-7, most_nodes=MOST))
    points = vertices(kink_normals(rows, ends)) if size > 1 else np.array([[1.0], [-1.0]])
    best = float(pooled_value(rows, ends, weights, points).max())
    assert found.bounds[0] >= best - 1e-12
    assert best <= 0 or found.values[0] >= best * (1 - 1e-6) - 1e-12
    assert best <= 1e-9 or found.bounds[0] <= best * (1 + 1e-6) + 1e-9
    at = pooled_value(rows, ends, weights, found.points)[0]
    assert at == pytest.approx(found.values[0], abs=1e-12)
    assert np.abs(found.points[0]).sum() == pytest.approx(1.0) or not found.points.any()


@settings(max_examples=60, deadline=None)
@given(everything, st.floats(0.01, 2.0))
def test_a_cut_off_search_still_bounds(case, share) -> None:
    rows, ends, weights = problem(*case)
    size = rows.shape[1]
    points = vertices(kink_normals(rows, ends)) if size > 1 else np.array([[1.0], [-1.0]])
    best = float(pooled_value(rows, ends, weights, points).max())
    search = ConeSearch(rows, np.arange(size)[None, :], ends)
    found = search.maximise(weights, ConeOptions(cutoff=abs(best) * share, relative_gap=0.1, most_nodes=MOST))
    assert found.bounds[0] >= best - 1e-12
    few = search.maximise(weights, ConeOptions(most_nodes=2))
    assert few.bounds[0] >= best - 1e-12


@settings(max_examples=60, deadline=None)
@given(everything, st.lists(st.sampled_from([(True, False), (False, True), (True, True)]), min_size=3, max_size=3))
def test_signs_are_kept_and_bounded(case, sides) -> None:
    rows, ends, weights = problem(*case)
    size = rows.shape[1]
    allowed = np.array(sides[:size])
    found = ConeSearch(rows, np.arange(size)[None, :], ends).maximise(
        weights, ConeOptions(relative_gap=1e-7, most_nodes=MOST), allowed=allowed
    )
    rng = np.random.default_rng(case[0])
    points = rng.dirichlet(np.ones(size), 2000) * rng.choice([-1.0, 1.0], (2000, size))
    points = np.where((points > 0) & ~allowed[:, 0], -points, points)
    points = np.where((points < 0) & ~allowed[:, 1], -points, points)
    assert found.bounds[0] >= pooled_value(rows, ends, weights, points).max() - 1e-12
    assert not ((found.points[0] > 0) & ~allowed[:, 0]).any()
    assert not ((found.points[0] < 0) & ~allowed[:, 1]).any()


def test_maxima_that_are_linear_on_every_edge_and_not_between_are_split_too() -> None:
    triple = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    search = ConeSearch(np.vstack([triple, triple]), np.arange(3)[None, :], np.array([3, 6]))
    positive = np.array([[True, False]] * 3)
    found = search.maximise(np.array([1.0, -1.2]), ConeOptions(cutoff=1e-3), allowed=positive)
    # The function is -0.2 times a positive maximum; over the whole orthant its interpolation reaches 0.2.
    assert found.bounds[0] <= 1e-3 + 1e-9
    assert found.nodes[0] > 0


@pytest.mark.parametrize(
    "case",
    [
        (255744, 3, 2, True, True),
        (909469, 3, 2, True, True),
        (847972, 3, 6, False, True),
        (136558, 3, 2, True, False),
        (871947, 3, 1, True, True),
        (649319, 3, 6, False, True),
        (437339, 3, 4, True, True),
        (467930, 3, 5, True, True),
    ],
)
def test_the_best_average_ends_what_a_good_one_would_halve_for_ever(case) -> None:
    rows, ends, weights = problem(*case)
    search = ConeSearch(rows, np.arange(3)[None, :], ends)
    found = search.maximise(weights, ConeOptions(relative_gap=1e-7, most_nodes=MOST))
    assert found.nodes[0] < 1000
    assert found.bounds[0] == pytest.approx(max(found.values[0], 0.0), abs=1e-6)


def test_supports_are_searched_apart_and_side_by_side() -> None:
    rng = np.random.default_rng(3)
    rows, weights = rng.normal(size=(30, 5)), rng.normal(size=30)
    supports = np.array([[0, 4, -1], [1, 2, 4], [3, 4, -1]])
    search = ConeSearch(rows, supports)
    options = ConeOptions(relative_gap=1e-6)
    alone = search.maximise(weights, options)
    together = search.maximise(weights, ConeOptions(relative_gap=1e-6, threads=2))
    assert alone.values.tolist() == together.values.tolist()
    assert alone.bounds.tolist() == together.bounds.tolist()
    for k, support in enumerate(supports):
        used = support[support >= 0]
        own = ConeSearch(rows[:, used], np.arange(len(used))[None, :]).maximise(weights, options)
        assert own.values[0] == pytest.approx(alone.values[k])
    chosen = search.maximise(weights, options, chosen=np.array([2]))
    assert chosen.values.tolist() == [alone.values[2]]


def test_wide_units_are_bounded_too() -> None:
    rng = np.random.default_rng(5)
    rows, weights = rng.normal(size=(12, 6)), rng.normal(size=12)
    found = ConeSearch(rows, np.arange(6)[None, :]).maximise(weights, ConeOptions(relative_gap=1e-3))
    points = rng.dirichlet(np.ones(6), 50_000) * rng.choice([-1.0, 1.0], (50_000, 6))
    sampled = pooled_value(rows, np.arange(1, 13), weights, points).max()
    assert sampled <= found.bounds[0]
    assert found.values[0] >= sampled
    assert found.bounds[0] <= found.values[0] * 1.0011


def test_a_deadline_leaves_valid_bounds() -> None:
    rng = np.random.default_rng(6)
    rows, weights = rng.normal(size=(200, 9)), rng.normal(size=200)
    started = time.monotonic()
    search = ConeSearch(rows, np.arange(9)[None, :])
    found = search.maximise(weights, ConeOptions(relative_gap=1e-9), deadline=Deadline.after(0.3))
    assert time.monotonic() - started < 20
    points = rng.dirichlet(np.ones(9), 5000) * rng.choice([-1.0, 1.0], (5000, 9))
    assert found.bounds[0] >= pooled_value(rows, np.arange(1, 201), weights, points).max()


def test_the_slack_covers_the_rounding_of_sums() -> None:
    search = ConeSearch(np.ones((1000, 2)), np.arange(2)[None, :])
    assert search.slack(np.ones(1000), 3) >= gamma(1000) * 1000


@settings(max_examples=40, deadline=None)
@given(everything)
def test_an_ascent_never_falls_and_ends_at_a_vertex(case) -> None:
    rows, ends, weights = problem(*case[:4], False)
    size = rows.shape[1]
    start = np.random.default_rng(case[0]).dirichlet(np.ones(size))
    before = pooled_value(rows, ends, weights, start[None, :])[0]
    point = start.copy()
    value = climb(np.ascontiguousarray(rows.T), weights, ends, np.ones((size, 2), dtype=bool), point, 300)
    assert value == pytest.approx(pooled_value(rows, ends, weights, point[None, :])[0], abs=1e-10)
    assert value >= before - 1e-10
    assert np.abs(point).sum() == pytest.approx(1.0)


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        ConeSearch(np.array([[np.nan, 1.0]]), np.array([[0, 1]]))
    with pytest.raises(InputError, match="below 2"):
        ConeSearch(np.ones((1, 2)), np.array([[0, 2]]))


def test_a_maximum_without_a_kink_on_any_edge_is_found() -> None:
    """Any two corners share the greatest row of the pooled term, all three do not: the optimum is in the middle."""
    rows = np.array([[1.0, 1, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]])
    search = ConeSearch(rows, np.arange(3)[None, :], np.array([1, 4]))
    positive = np.array([[True, False]] * 3)
    found = search.maximise(np.array([1.0, -1.0]), ConeOptions(0.1, relative_gap=1e-6), allowed=positive)
    assert found.values[0] == pytest.approx(1 / 3)
    assert found.bounds[0] == pytest.approx(1 / 3, rel=1e-4)
    np.testing.assert_allclose(found.points[0], 1 / 3)
