from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import domains, points_in
from verinet.errors import PropertyError
from verinet.model import Atom, Domain, Feature, L1Ball, LinearExpression, PropertySet, Side, Symbol, VariableType

F = Fraction
C, N, B = VariableType.CONTINUOUS, VariableType.INTEGER, VariableType.BINARY
any_domain = st.integers(1, 4).flatmap(domains)


def typed(lower, upper, types=(), **more):
    return Domain(tuple(map(F, lower)), tuple(map(F, upper)), types, **more)


def x(i, side=Side.INPUT):
    return LinearExpression.from_terms([(Symbol(side, i), F(1))])


def member(domain, point):
    """Decide membership from the definition, clause by clause."""
    inside = all(a <= v <= b for a, v, b in zip(domain.lower, point, domain.upper, strict=True))
    whole = all(v == int(v) for v, kind in zip(point, domain.types, strict=True) if kind is not C)
    hot = all([point[i] for i in group].count(1) == 1 for group in domain.groups)
    zeros = all(sum(point[i] == 0 for i in group) == len(group) - 1 for group in domain.groups)
    linear = all(
        sum(c * point[s.index] for s, c in a.expression.terms) + a.expression.constant
        < (0 if a.strict else F(1, 10**99))
        for a in domain.conditions
    )
    near = all(
        sum(abs(point[i] - c) for i, c in zip(b.coordinates, b.centre, strict=True)) <= b.radius for b in domain.balls
    )
    return inside and whole and hot and zeros and linear and near


@given(any_domain, st.integers(0, 99))
def test_membership_follows_its_definition(domain, seed):
    rng = np.random.default_rng(seed)
    for point in points_in(domain, rng, 6):
        assert domain.contains(point) is member(domain, point)
        i = int(rng.integers(domain.size))
        moved = tuple(v + F(1, 4) if j == i else v for j, v in enumerate(point))
        assert domain.contains(moved) is member(domain, moved)


@given(any_domain, st.integers(0, 99))
def test_the_boxes_contain_the_domain(domain, seed):
    exact_lower, exact_upper = domain.exact_box()
    lower, upper = domain.box()
    assert lower.dtype == upper.dtype == np.float64
    for i in range(domain.size):
        assert domain.lower[i] <= exact_lower[i] <= exact_upper[i] <= domain.upper[i]
        assert F(lower[i]) <= exact_lower[i] < F(np.nextafter(lower[i], np.inf))
        assert F(np.nextafter(upper[i], -np.inf)) < exact_upper[i] <= F(upper[i])
    # Points of the wider box that are members must lie in the tighter one.
    wide = Domain(domain.lower, domain.upper, domain.types, domain.groups)
    for point in points_in(wide, np.random.default_rng(seed), 6):
        if domain.contains(point):
            assert all(a <= v <= b for a, v, b in zip(exact_lower, point, exact_upper, strict=True))


def test_decimals_round_outward():
    lower, upper = typed(["1/10", "-1/10"], ["1/10", "3/10"]).box()
    assert F(lower[0]) < F(1, 10) < F(upper[0])
    assert F(lower[1]) < F(-1, 10)
    assert F(upper[1]) > F(3, 10)
    np.testing.assert_array_equal(Domain.from_box([0.1], [0.1]).box(), [[0.1], [0.1]])


def test_types_and_balls_cut_the_box():
    ball = L1Ball((0, 2), (F(1, 2), F(0)), F(1, 4))
    domain = typed([-3, "1/2", -1], [3, "7/2", 5], (C, N, N), balls=(ball,))
    assert domain.exact_box() == ((F(1, 4), F(1), F(0)), (F(3, 4), F(3), F(0)))


@given(any_domain, st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4))
def test_nearest_lies_in_the_typed_box(domain, target):
    point = domain.nearest(target[: domain.size])
    box = Domain(*domain.exact_box(), domain.types, domain.groups)
    assert box.contains(point)


@given(any_domain, st.integers(0, 99))
def test_nearest_keeps_points_that_are_already_there(domain, seed):
    for point in points_in(domain, np.random.default_rng(seed), 3):
        assert domain.nearest(point) == point


def test_nearest_is_nearest():
    domain = typed([0, "1/2", 0, 0], [1, "5/2", 1, 1], (C, N, B, B), groups=((2, 3),))
    assert domain.nearest([0.25, 1.4, 0.3, 0.4]) == (F(1, 4), 1, 0, 1)
    assert domain.nearest([7.0, -9.0, 0.4, 0.3]) == (1, 1, 1, 0)
    fixed = typed([1, 0], [1, 1], (B, B), groups=((0, 1),))
    assert fixed.nearest([0.0, 1.0]) == (1, 0)


def test_from_box_takes_floats_exactly():
    assert Domain.from_box([0.1], [F(1, 5)]).lower == (F(0.1),)
    assert Domain.from_box([0.1], [F(1, 5)]).is_box


@pytest.mark.parametrize(
    ("more", "is_box"),
    [
        ({}, True),
        ({"types": (N, C)}, False),
        ({"types": (B, B), "groups": ((0, 1),)}, False),
        ({"conditions": (Atom(x(0)),)}, False),
        ({"balls": (L1Ball((0,), (F(0),), F(1)),)}, False),
    ],
)
def test_is_box(more, is_box):
    assert Domain((F(0),) * 2, (F(1),) * 2, **more).is_box is is_box


def test_integral_lists_integers_and_binaries():
    assert typed([0, 0, 0], [1, 1, 1], (B, C, N)).integral == (0, 2)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: typed([0], [1, 2]), "as many lower bounds"),
        (lambda: typed([0], [1], (C, C)), "as many lower bounds"),
        (lambda: typed([1], ["1/2"]), "input 0 has lower bound 1 and upper bound 0.5"),
        (lambda: typed([0, "1/4"], [1, "3/4"], (C, N)), r"input 1 \(integer\)"),
        (lambda: typed([0], [2], (B,)), "binary input 0 needs bounds within 0 and 1"),
        (lambda: typed([0, 0], [1, 1], (B, C), groups=((0, 1),)), "needs binary inputs"),
        (lambda: typed([0], [1], (B,), groups=((0, 1),)), r"inputs 0\.\.0 only"),
        (lambda: typed([0], [1], conditions=(Atom(x(1)),)), "speak of the 1 inputs only"),
        (lambda: typed([0], [1], conditions=(Atom(x(0, Side.OUTPUT)),)), "speak of the 1 inputs only"),
        (lambda: typed([0], [1], balls=(L1Ball((1,), (F(0),), F(1)),)), r"inputs 0\.\.0 only"),
        (lambda: L1Ball((0,), (F(0),), F(-1)), "radius of at least 0"),
        (lambda: L1Ball((0, 1), (F(0),), F(1)), "one centre coordinate"),
    ],
)
def test_what_does_not_fit_is_refused(build, message):
    with pytest.raises(PropertyError, match=message):
        build()


def test_a_property_file_becomes_a_typed_domain():
    features = (
        Feature("income", F(0), F(100)),
        Feature("region", F(0), F(1), values=("north", "south")),
        Feature("age", F(18), F(99), N),
    )
    properties = PropertySet(features, ("score",), ())
    assert dict(properties.columns) == {"income": (0,), "region": (1, 2), "age": (3,)}
    assert properties.names[Symbol(Side.INPUT, 2)] == "region=south"
    assert properties.names[Symbol(Side.INPUT, 3)] == "age"
    assert properties.names[Symbol(Side.OUTPUT, 0)] == "score"
    assert properties.domain == typed([0, 0, 0, 18], [100, 1, 1, 99], (C, B, B, N), groups=((1, 2),))


def test_an_empty_range_is_named():
    with pytest.raises(PropertyError, match=r"the range of input 'age' is empty: 2 exceeds 1"):
        _ = PropertySet((Feature("age", F(2), F(1)),), (), ()).domain
