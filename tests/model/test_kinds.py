"""The kinds that compare or restrict: each query is violated exactly where the definition says, point by point."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from verinet.errors import PropertyError
from verinet.model import (
    All,
    Any,
    Atom,
    Domain,
    Equivalent,
    Fair,
    Feature,
    Linear,
    LinearExpression,
    Lipschitz,
    Norm,
    PropertySet,
    Range,
    Robust,
    Rule,
    Side,
    Symbol,
    VariableType,
    dense_network,
    describe,
    evaluate_exact,
    join_networks,
    reduce_property,
)

F = Fraction
SEEDS = range(12)


def x(i):
    return LinearExpression(((Symbol(Side.INPUT, i), F(1)),))


def y(i):
    return LinearExpression(((Symbol(Side.OUTPUT, i), F(1)),))


def constant(value):
    return LinearExpression((), F(value))


def small_network(rng, size_in, size_out):
    """Draw a network whose outputs often tie."""
    weights = [rng.integers(-2, 3, (3, size_in)), rng.integers(-2, 3, (size_out, 3))]
    return dense_network([w.astype(float) for w in weights], [np.array([0.0, 1.0, -1.0]), np.zeros(size_out)])


def grid(size, high=2):
    domain = Domain((F(0),) * size, (F(high),) * size, (VariableType.INTEGER,) * size)
    return domain, [tuple(map(F, p)) for p in product(range(high + 1), repeat=size)]


def label(outputs):
    """Return the class, None for a tie."""
    if len(outputs) == 1:
        return int(outputs[0] > 0)
    best = [i for i, v in enumerate(outputs) if v == max(outputs)]
    return best[0] if len(best) == 1 else None


def loses_class(before, after):
    return label(before) is not None and label(before) != label(after)


def violated(reduction, *points, more=()):
    """Ask the query about compared inputs, put into one vector as its copies say."""
    vector = [F(0)] * reduction.query.regions[0].domain.size
    for copy, point in zip(reduction.copies, points, strict=True):
        for place, value in zip(copy, point, strict=True):
            vector[place] = value
    if more:
        vector[-len(more) :] = more
    assert reduction.invert(vector) == points
    return reduction.query.violated_at(vector)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_fair_compares_inputs_that_differ_where_they_may(seed, outputs):
    rng = np.random.default_rng(seed)
    network, (domain, points) = small_network(rng, 2, outputs), grid(2)
    tolerance = (F(0), F(int(rng.integers(0, 2))))
    band = None if rng.random() < 0.5 else F(int(rng.integers(0, 3)))
    where = (Atom(x(0) + x(1) + constant(-3)),)
    reduction = reduce_property(network, domain, Fair("f", (0,), tolerance, band, where))
    for one, other in product(points, repeat=2):
        if not tolerance[1] and one[1] != other[1]:
            continue
        a, b = evaluate_exact(network, one), evaluate_exact(network, other)
        near = abs(one[1] - other[1]) <= tolerance[1] and sum(one) <= 3 and sum(other) <= 3
        if band is None:
            # With one output the question is put in one direction, for pairs come in both.
            wrong = (a[0] > 0 >= b[0]) if outputs == 1 else loses_class(a, b)
        else:
            wrong = any(p - q > band for p, q in zip(a, b, strict=True))
        assert violated(reduction, one, other) is (near and wrong)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_categorical_input_is_protected_as_a_whole(seed):
    network = small_network(np.random.default_rng(seed), 3, 1)
    kinds = (VariableType.BINARY, VariableType.BINARY, VariableType.INTEGER)
    domain = Domain((F(0),) * 3, (F(1), F(1), F(2)), kinds, ((0, 1),))
    reduction = reduce_property(network, domain, Fair("f", (0, 1), (), F(0)))
    columns = ((F(1), F(0)), (F(0), F(1)), (F(1), F(1)))
    for first, second, rest in product(columns, columns, map(F, range(3))):
        one, other = (*first, rest), (*second, rest)
        valid = sum(first) == sum(second) == 1
        wrong = evaluate_exact(network, one)[0] > evaluate_exact(network, other)[0]
        assert violated(reduction, one, other) is (valid and wrong)
    with pytest.raises(PropertyError, match="all of its columns"):
        reduce_property(network, domain, Fair("f", (0,)))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("norm", Norm)
def test_lipschitz_measures_the_distance(seed, norm):
    rng = np.random.default_rng(seed)
    network, (domain, points) = small_network(rng, 3, 2), grid(3)
    prop = Lipschitz("l", (0, 2), 1, F(int(rng.integers(0, 6))), norm)
    reduction = reduce_property(network, domain, prop)
    for one, other in product(points, repeat=2):
        if one[1] != other[1]:
            continue
        changes = [abs(one[0] - other[0]), abs(one[2] - other[2])]
        rise = evaluate_exact(network, one)[1] - evaluate_exact(network, other)[1]
        distances = [max(changes)] if norm is Norm.LINF else changes
        assert violated(reduction, one, other, more=distances) is (rise > prop.constant * sum(distances))
        # A longer distance than the changes never makes a violation of none.
        if rise <= prop.constant * sum(distances):
            assert not violated(reduction, one, other, more=[min(d + 1, F(2)) for d in distances])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("outputs", [1, 3])
def test_equivalent_networks_agree(seed, outputs):
    rng = np.random.default_rng(seed)
    network, other = small_network(rng, 2, outputs), small_network(rng, 2, outputs)
    domain, points = grid(2)
    for band in (None, F(1)):
        reduction = reduce_property(network, domain, Equivalent("e", "old", band), {"old": other})
        assert reduction.networks == (network, other)
        for point in points:
            a, b = evaluate_exact(network, point), evaluate_exact(other, point)
            apart = band is not None and any(abs(p - q) > band for p, q in zip(a, b, strict=True))
            wrong = apart if band is not None else loses_class(a, b) or loses_class(b, a)
            assert violated(reduction, point, point) is wrong


@pytest.mark.parametrize("seed", SEEDS)
def test_rules_and_ranges_hold_where_they_say(seed):
    rng = np.random.default_rng(seed)
    network, (domain, points) = small_network(rng, 2, 3), grid(2)
    premise = Any((Atom(x(0) + constant(-1)), Atom(constant(2) - x(1))))
    conclusion = All((Atom(-y(0)), Atom(y(1) - x(0), strict=True)))
    for then, classes in ((conclusion, ()), (None, (0,)), (None, (0, 2)), (conclusion, (1,))):
        reduction = reduce_property(network, domain, Rule("r", premise, then, classes))
        for point in points:
            outputs = evaluate_exact(network, point)
            applies = point[0] <= 1 or point[1] >= 2
            kept = then is None or (outputs[0] >= 0 and outputs[1] < point[0])
            best = max(outputs[i] for i in classes) if classes else F(0)
            ranked = not classes or all(outputs[i] < best for i in range(3) if i not in classes)
            assert violated(reduction, point) is (applies and not (kept and ranked))
    for low, high in ((F(0), None), (None, F(1)), (F(-1), F(1))):
        reduction = reduce_property(network, domain, Range("r", 2, low, high))
        for point in points:
            value = evaluate_exact(network, point)[2]
            assert violated(reduction, point) is (
                (low is not None and value < low) or (high is not None and value > high)
            )


def test_with_one_output_a_rule_knows_two_classes():
    network, (domain, points) = dense_network([np.array([[1.0]])], [np.array([-1.0])]), grid(1)
    always = Atom(x(0) + constant(-9))
    for classes in ((0,), (1,), (0, 1)):
        reduction = reduce_property(network, domain, Rule("r", always, None, classes))
        for point in points:
            assert violated(reduction, point) is (int(point[0] > 1) not in classes)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_class_stays_among_the_first(seed):
    network, (domain, points) = small_network(np.random.default_rng(seed), 2, 4), grid(2)
    for top in (1, 2, 3):
        prop = Robust("r", points[0], (F(2), F(2)), label=1, top=top)
        reduction = reduce_property(network, domain, prop)
        for point in points:
            outputs = evaluate_exact(network, point)
            assert violated(reduction, point) is (sum(outputs[i] >= outputs[1] for i in (0, 2, 3)) >= top)


def test_copies_share_what_they_are_told_to():
    network, (domain, points) = small_network(np.random.default_rng(1), 2, 1), grid(2)
    # Three inputs alike in the second entry: b is no more than the larger of a and c.
    require = Any((Atom(y(1) - y(0)), Atom(y(1) - y(2))))
    prop = Linear("l", require, (Atom(x(0) - x(2)), Atom(x(2) - x(4))), ("a", "b", "c"), (1,))
    reduction = reduce_property(network, domain, prop)
    assert reduction.query.network.size_in == 4
    for a, b, c in product(points, repeat=3):
        if not a[1] == b[1] == c[1]:
            continue
        values = [evaluate_exact(network, p)[0] for p in (a, b, c)]
        wrong = a[0] <= b[0] <= c[0] and values[1] > max(values[0], values[2])
        assert violated(reduction, a, b, c) is wrong
    names = PropertySet((Feature("u", F(0), F(2)), Feature("v", F(0), F(2))), ("s",), ())
    assert describe(prop, names) == (
        "for any inputs a, b and c alike in v, b.s <= a.s or b.s <= c.s wherever a.u <= b.u and b.u <= c.u"
    )


def test_networks_side_by_side_keep_their_outputs():
    rng = np.random.default_rng(3)
    networks = [small_network(rng, 2, 1), small_network(rng, 2, 2)]
    joined = join_networks(networks, ((0, 1), (1, 2)), 4)
    point = (F(1), F(2), F(3), F(9))
    parts = [evaluate_exact(network, pick) for network, pick in zip(networks, (point[:2], point[1:3]), strict=True)]
    assert evaluate_exact(joined, point) == (*parts[0], *parts[1])


BOX = PropertySet((Feature("a", F(0), F(1)), Feature("b", F(0), F(1))), ("s", "t"), ())


@pytest.mark.parametrize(
    ("prop", "sentence"),
    [
        (Fair("p", (0,)), "changing a, all else equal, never changes the class"),
        (
            Fair("p", (0,), (F(0), F(1, 2)), F(1)),
            "changing a, moving b by at most 0.5, all else equal, never moves an output by more than 1",
        ),
        (Range("p", 1, F(0)), "t is always >= 0"),
        (Range("p", 1, F(0), F(2), (Atom(x(0)),)), "t is always from 0 to 2 wherever a <= 0"),
        (Lipschitz("p", (0,), 0, F(3)), "all else equal, s changes by at most 3 times the change of a"),
        (
            Lipschitz("p", (0, 1), 0, F(3), Norm.L1),
            "all else equal, s changes by at most 3 times the sum of changes of a and b",
        ),
        (Equivalent("p", "old"), "the network always has the class of old"),
        (Equivalent("p", "old", F(1, 10)), "the network always is within 0.1 of the outputs of old"),
        (Rule("p", Atom(x(0)), Atom(y(0)), (1,)), "if a <= 0 then s <= 0 and the class is t"),
        (
            Robust("p", (F(0),) * 2, (F(1),) * 2, top=2),
            "changes of at most 1 an input keep the class among the 2 largest outputs",
        ),
    ],
)
def test_every_kind_is_said_in_one_sentence(prop, sentence):
    assert describe(prop, BOX) == sentence


@pytest.mark.parametrize(
    ("prop", "message"),
    [
        (Fair("p", (2,)), "input 2 does not exist"),
        (Fair("p", (0,), (F(1),)), "one number for each input"),
        (Fair("p", (0,), (F(0), F(-1))), "at least 0"),
        (Range("p", 2, F(0)), "output 2 does not exist"),
        (Range("p", 0), "a lower or an upper limit"),
        (Lipschitz("p", (0,), 0, F(-1)), "at least 0"),
        (Lipschitz("p", (5,), 0, F(1)), "input 5 does not exist"),
        (Equivalent("p", "old"), "'old', which is not given; add --network old=MODEL.onnx"),
        (Rule("p", Atom(x(0))), "a conclusion or a class"),
        (Rule("p", Atom(x(0)), None, (2,)), "class 2 does not exist"),
        (Robust("p", (F(0),) * 2, (F(1),) * 2, top=2), "top may be 1 to 1 of 2"),
    ],
)
def test_what_does_not_fit_is_refused(prop, message):
    network = dense_network([np.eye(2)], [np.zeros(2)])
    with pytest.raises(PropertyError, match=message):
        reduce_property(network, grid(2)[0], prop)


def test_networks_of_other_sizes_are_not_compared():
    network, other = dense_network([np.eye(2)], [np.zeros(2)]), dense_network([np.eye(3)], [np.zeros(3)])
    with pytest.raises(PropertyError, match="'old' has 3 and 3"):
        reduce_property(network, grid(2)[0], Equivalent("p", "old"), {"old": other})
