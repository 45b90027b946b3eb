from fractions import Fraction
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model.test_linear import formulas, holds
from tests.strategies import decide_by_enumeration, domains, networks, points_in
from verinet.errors import PropertyError
from verinet.model import (
    Any,
    Atom,
    Domain,
    L1Ball,
    Linear,
    LinearExpression,
    Monotone,
    Norm,
    Property,
    Query,
    Region,
    Robust,
    Side,
    Symbol,
    VariableType,
    dense_network,
    evaluate_exact,
    product_network,
    reduce_property,
)
from verinet.model.reduction import REDUCTIONS

F = Fraction
seeds = st.integers(0, 999)


def x(i):
    return LinearExpression.from_terms([(Symbol(Side.INPUT, i), F(1))])


def y(i):
    return LinearExpression.from_terms([(Symbol(Side.OUTPUT, i), F(1))])


def constant(value):
    return LinearExpression((), F(value))


def identity(size):
    return dense_network([np.eye(size)], [np.zeros(size)])


def unit_box(size):
    return Domain((F(0),) * size, (F(1),) * size)


@st.composite
def cases(draw, max_neurons=6):
    """Draw a network, a typed domain of its inputs, a condition that is not always met, and a generator."""
    network = draw(networks(max_neurons=max_neurons, max_inputs=3))
    domain = draw(domains(network.size_in))
    rng = np.random.default_rng(draw(seeds))
    (anchor,) = points_in(domain, rng, 1)
    where = (Atom(x(0) + constant(-anchor[0])),) if draw(st.booleans()) else ()
    return network, domain, where, rng


def allowed(domain, where, point):
    return domain.contains(point) and all(atom.holds(point) for atom in where)


def test_every_kind_of_property_has_a_reduction():
    assert set(REDUCTIONS) == set(get_args(Property))


# ----------------------------------------------------------------------------------------------------------- linear


@given(cases(), formulas)
def test_linear_is_violated_where_the_formula_fails(case, formula):
    network, domain, where, rng = case

    def folded(symbol):
        """Bring the formula's symbols into the network's range."""
        size = network.size_in if symbol.side is Side.INPUT else network.size_out
        return LinearExpression.from_terms([(Symbol(symbol.side, symbol.index % size), F(1))])

    def renamed(part):
        if isinstance(part, Atom):
            return Atom(part.expression.substitute(folded), part.strict)
        return type(part)(tuple(renamed(p) for p in part.parts))

    require = renamed(formula)
    reduction = reduce_property(network, domain, Linear("p", require, where))
    for point in points_in(domain, rng, 6):
        broken = allowed(domain, where, point) and not holds(require, point, evaluate_exact(network, point))
        assert reduction.query.violated_at(point) is broken
        assert reduction.invert(point) == (point,)


def test_linear_strictness_is_kept():
    at_zero = (F(0),)
    for strict in (False, True):
        prop = Linear("p", Atom(y(0), strict))
        assert reduce_property(identity(1), unit_box(1), prop).query.violated_at(at_zero) is strict


# --------------------------------------------------------------------------------------------------------- monotone


@st.composite
def monotone_cases(draw, max_neurons=6):
    network, domain, where, rng = draw(cases(max_neurons))
    free = [i for i in range(network.size_in) if not any(i in group for group in domain.groups)]
    inputs = tuple(sorted(draw(st.sets(st.sampled_from(free), min_size=1)))) if free else ()
    prop = Monotone("p", inputs, draw(st.integers(0, network.size_out - 1)), draw(st.booleans()), where)
    return network, domain, prop, rng


def breaks_monotonicity(network, domain, prop, low, high):
    """Decide from the definition whether a pair of inputs is a counterexample."""
    rest = all(low[i] == high[i] for i in range(len(low)) if i not in prop.inputs)
    raised = all(low[i] <= high[i] for i in prop.inputs)
    before, after = (evaluate_exact(network, p)[prop.output] for p in (low, high))
    wrong = after < before if prop.increasing else after > before
    return rest and raised and wrong and all(allowed(domain, prop.where, p) for p in (low, high))


@given(monotone_cases())
def test_monotone_is_violated_by_the_pairs_that_break_it(case):
    network, domain, prop, rng = case
    reduction = reduce_property(network, domain, prop)
    assert reduction.query.network.size_out == 2 * network.size_out
    samples = points_in(domain, rng, 8)
    for first, second in zip(samples[:4], samples[4:], strict=True):
        point = first + tuple(second[i] for i in prop.inputs)
        pair = reduction.invert(point)
        assert pair == (first, tuple(second[i] if i in prop.inputs else v for i, v in enumerate(first)))
        assert reduction.query.violated_at(point) is breaks_monotonicity(network, domain, prop, *pair)


@given(monotone_cases())
def test_an_input_compared_with_itself_is_no_counterexample(case):
    network, domain, prop, rng = case
    query = reduce_property(network, domain, prop).query
    for point in points_in(domain, rng, 3):
        assert not query.violated_at(point + tuple(point[i] for i in prop.inputs))


@given(monotone_cases(max_neurons=3))
def test_what_refutes_the_query_refutes_monotonicity(case):
    network, domain, prop, rng = case
    reduction = reduce_property(network, domain, prop)
    witness = decide_by_enumeration(reduction.query)
    if witness is not None:
        assert breaks_monotonicity(network, domain, prop, *reduction.invert(witness))
        return
    samples = points_in(domain, rng, 12)
    for first, second in zip(samples[:6], samples[6:], strict=True):
        high = tuple(second[i] if i in prop.inputs else v for i, v in enumerate(first))
        assert not breaks_monotonicity(network, domain, prop, first, high)


def test_monotone_in_both_directions():
    falling = dense_network([np.array([[-1.0, 5.0]])], [np.zeros(1)])
    for increasing in (True, False):
        query = reduce_property(falling, unit_box(2), Monotone("p", (0,), 0, increasing)).query
        assert (decide_by_enumeration(query) is not None) is increasing


@pytest.mark.parametrize(
    "more",
    [
        {"balls": (L1Ball((0,), (F(1, 2),), F(1, 4)),)},
        {"conditions": (Atom(constant("1/4") - x(0)), Atom(x(0) - constant("3/4")))},
    ],
)
def test_both_inputs_of_a_pair_lie_in_the_domain(more):
    falling = dense_network([-np.eye(1)], [np.zeros(1)])
    query = reduce_property(falling, Domain((F(0),), (F(1),), **more), Monotone("p", (0,), 0, True)).query
    assert query.violated_at((F(1, 4), F(3, 4)))
    assert not query.violated_at((F(1, 5), F(3, 4)))
    assert not query.violated_at((F(1, 4), F(4, 5)))


def test_monotone_in_a_categorical_input_is_refused():
    domain = Domain((F(0),) * 2, (F(1),) * 2, (VariableType.BINARY,) * 2, ((0, 1),))
    with pytest.raises(PropertyError, match="'p': a categorical input has no order"):
        reduce_property(identity(2), domain, Monotone("p", (1,), 0, True))


# ----------------------------------------------------------------------------------------------------------- robust


@st.composite
def robust_cases(draw):
    network, domain, where, rng = draw(cases())
    (centre,) = points_in(domain, rng, 1)
    radius, norm = draw(st.sampled_from([F(0), F(1, 2), F(6, 5)])), draw(st.sampled_from(list(Norm)))
    radii = tuple(radius * draw(st.integers(0, 2)) for _ in centre)
    label = draw(st.one_of(st.none(), st.integers(0, max(1, network.size_out - 1))))
    band = draw(st.one_of(st.none(), st.sampled_from([F(0), F(1, 4), F(2)])))
    return network, domain, Robust("p", centre, radii, norm, label, band, where), rng


def breaks_robustness(network, domain, prop, point):
    """Decide from the definition whether an input is a counterexample."""
    changes = [abs(v - c) for v, c in zip(point, prop.centre, strict=True)]
    near = all(d <= r for d, r in zip(changes, prop.radius, strict=True))
    if prop.norm is Norm.L1:
        near = near and sum(d / r for d, r in zip(changes, prop.radius, strict=True) if r) <= 1
    there, here = evaluate_exact(network, prop.centre), evaluate_exact(network, point)
    if prop.band is not None:
        wrong = any(abs(a - b) > prop.band for a, b in zip(here, there, strict=True))
    elif len(here) == 1:
        kept = there[0] > 0 if prop.label is None else prop.label == 1
        wrong = (here[0] > 0) is not kept
    else:
        kept = there.index(max(there)) if prop.label is None else prop.label
        wrong = any(v >= here[kept] for i, v in enumerate(here) if i != kept)
    return near and wrong and allowed(domain, prop.where, point)


def with_sizes(reduction, prop, point):
    """Add the sizes of changes where radii of the L1 norm differ: the question has inputs for them."""
    sizes = [abs(v - c) for v, c, r in zip(point, prop.centre, prop.radius, strict=True) if r]
    extra = reduction.query.regions[0].domain.size - len(point)
    assert extra in (0, len(sizes))
    return (*point, *sizes[:extra])


@given(robust_cases())
def test_robust_is_violated_where_the_definition_says(case):
    network, domain, prop, rng = case
    reduction = reduce_property(network, domain, prop)
    near = [point[: domain.size] for point in points_in(reduction.query.regions[0].domain, rng, 8)]
    for point in [*near, *points_in(domain, rng, 4), prop.centre]:
        asked = with_sizes(reduction, prop, point)
        assert reduction.query.violated_at(asked) is breaks_robustness(network, domain, prop, point)
        assert reduction.invert(asked) == (point,)


@given(robust_cases())
def test_robust_points_are_what_the_oracle_finds(case):
    network, domain, prop, rng = case
    query = reduce_property(network, domain, prop).query
    witness = decide_by_enumeration(query)
    if witness is not None:
        assert breaks_robustness(network, domain, prop, witness[: domain.size])
    else:
        near = [point[: domain.size] for point in points_in(query.regions[0].domain, rng, 8)]
        assert not any(breaks_robustness(network, domain, prop, point) for point in near)


def test_a_tie_of_classes_counts_as_a_change():
    prop = Robust("p", (F(1), F(0)), (F(1), F(1)))
    query = reduce_property(identity(2), unit_box(2), prop).query
    assert query.violated_at((F(1, 2), F(1, 2)))
    assert not query.violated_at((F(1, 2), F(49, 100)))


def test_one_output_is_positive_or_not():
    network, box = identity(1), Domain((F(-1),), (F(1),))
    positive = reduce_property(network, box, Robust("p", (F(1),), (F(2),))).query
    assert positive.violated_at((F(0),))
    rest = reduce_property(network, box, Robust("p", (F(-1),), (F(2),))).query
    assert not rest.violated_at((F(0),))
    assert rest.violated_at((F(1, 10**9),))


def test_the_edge_of_a_band_is_inside():
    query = reduce_property(identity(1), unit_box(1), Robust("p", (F(0),), (F(1),), band=F(1, 2))).query
    assert not query.violated_at((F(1, 2),))
    assert query.violated_at((F(501, 1000),))


def test_l1_sums_the_changes():
    prop = Robust("p", (F(1, 2),) * 3, (F(1, 4), F(1, 4), F(0)), Norm.L1, band=F(0))
    query = reduce_property(identity(3), unit_box(3), prop).query
    assert query.violated_at((F(3, 4), F(1, 2), F(1, 2)))
    assert query.violated_at((F(5, 8), F(3, 8), F(1, 2)))
    assert not query.violated_at((F(3, 4), F(3, 4), F(1, 2)))
    assert not query.violated_at((F(1, 2), F(1, 2), F(5, 8)))


# ----------------------------------------------------------------------------------------------- products and misfits


@given(networks(), seeds)
def test_a_product_network_holds_its_copies(network, seed):
    rng = np.random.default_rng(seed)
    size = network.size_in + 1
    copies = [tuple(int(i) for i in rng.integers(0, size, network.size_in)) for _ in range(2)] + [tuple(range(1, size))]
    product = product_network(network, copies)
    point = tuple(F(int(v), 4) for v in rng.integers(-8, 9, size))
    assert product.size_in == size
    expected = tuple(v for copy in copies for v in evaluate_exact(network, [point[i] for i in copy]))
    assert evaluate_exact(product, point) == expected


def test_a_region_needs_domain_and_atoms_at_once():
    query = Query(identity(1), (Region(unit_box(1), ((Atom(-y(0)), Atom(x(0) + constant("-1/2"))), ())),))
    assert query.violated_at((F(1),)), "the empty conjunction holds always"
    assert not query.violated_at((F(2),))
    narrower = Query(identity(1), (Region(unit_box(1), query.regions[0].unsafe[:1]),))
    assert narrower.violated_at((F(1, 2),))
    assert not narrower.violated_at((F(3, 4),))


@pytest.mark.parametrize(
    ("prop", "message"),
    [
        (Linear("p", Atom(y(2))), "speaks of Y_2"),
        (Linear("p", Atom(x(2))), "speaks of X_2"),
        (Linear("p", Any(()), (Atom(y(0)),)), "inputs only"),
        (Monotone("p", (2,), 0, True), "input 2 does not exist, the network has 2"),
        (Monotone("p", (0,), -1, True), "output -1 does not exist"),
        (Robust("p", (F(0),), (F(0),)), "'p': the network takes 2 inputs, the centre has 1"),
        (Robust("p", (F(0),) * 2, (F(0),)), "the radius 1"),
        (Robust("p", (F(0),) * 2, (F(1), F(-1))), "'p': .* at least 0"),
        (Robust("p", (F(0),) * 2, (F(1), F(1)), band=F(-1)), "'p': .* at least 0"),
        (Robust("p", (F(0),) * 2, (F(1), F(1)), label=2), "class 2 does not exist"),
        (Robust("p", (F(5),) * 2, (F(1), F(1))), "empty"),
    ],
)
def test_a_property_that_does_not_fit_is_refused(prop, message):
    with pytest.raises(PropertyError, match=message):
        reduce_property(identity(2), unit_box(2), prop)


def test_one_output_has_two_classes():
    with pytest.raises(PropertyError, match="class 2 does not exist, the network has 2"):
        reduce_property(identity(1), unit_box(1), Robust("p", (F(0),), (F(1),), label=2))


def test_a_domain_of_another_size_is_refused():
    with pytest.raises(PropertyError, match="takes 2 inputs, but the property gives 3"):
        Query(identity(2), (Region(unit_box(3), ((),)),))
