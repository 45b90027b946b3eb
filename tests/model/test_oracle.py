"""The oracle that other rooms are tested against is tested itself, by means that cannot share its mistakes."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import (
    Weights,
    decide_by_enumeration,
    points_in,
    queries,
    random_domain,
    random_network,
    random_query,
)
from verinet.model import Atom, Convolution, Domain, LinearExpression, Maximum, Query, Region, Relu, Side, Symbol
from verinet.model import dense_network as dense

F = Fraction


@given(st.booleans().flatmap(lambda typed: queries(typed=typed)), st.integers(0, 99))
def test_no_sampled_counterexample_escapes(query, seed):
    witness = decide_by_enumeration(query)
    if witness is None:
        domain = query.regions[0].domain
        assert not any(query.violated_at(x) for x in points_in(domain, np.random.default_rng(seed), 20))
    else:
        assert query.violated_at(witness)


@pytest.mark.parametrize("peak", [F(1, 7), F(1, 2), F(6, 7)])
def test_the_top_of_a_tent_is_found_to_the_last_digit(peak):
    # y = 1 - |x - c| with c stored as a float: it reaches 1 at c alone and exceeds it nowhere.
    c = float(peak)
    tent = dense([np.ones((2, 1)) * [[1.0], [-1.0]], -np.ones((1, 2))], [np.array([-c, c]), np.ones(1)])
    box = Domain((F(0),), (F(1),))
    for level, strict, found in ((F(1), False, True), (F(1), True, False), (F(1) + F(1, 10**40), False, False)):
        atom = Atom(LinearExpression.from_terms([(Symbol(Side.OUTPUT, 0), F(-1))], level), strict)
        witness = decide_by_enumeration(Query(tent, (Region(box, ((atom,),)),)))
        assert witness == ((F(c),) if found else None)


def test_every_region_and_conjunction_is_looked_at():
    y = LinearExpression.from_terms([(Symbol(Side.OUTPUT, 0), F(1))])
    low, high = Domain((F(0),), (F(1),)), Domain((F(4),), (F(5),))
    never, above = (Atom(LinearExpression((), F(1))),), (Atom(-y + LinearExpression((), F(4))),)
    network = dense([np.ones((1, 1))], [np.zeros(1)])
    assert decide_by_enumeration(Query(network, (Region(low, (never, above)),))) is None
    assert decide_by_enumeration(Query(network, (Region(low, (above,)), Region(high, (never, above))))) is not None


def test_the_generators_reach_every_operation_and_both_verdicts():
    samples = [random_query(seed, weights=list(Weights)[seed % 2]) for seed in range(80)]
    nodes = [node for query in samples for node in query.network.nodes]
    maps = {type(m).__name__ for node in nodes for m in getattr(node.op, "maps", ())}
    assert maps == {"Dense", "Sparse", "Convolution"}
    assert {type(node.op).__name__ for node in nodes} == {"Input", "Affine", "Relu", "Maximum"}
    assert any(len(q.network.inputs) > 1 for q in samples)
    assert any(len(q.network.outputs) > 1 for q in samples)
    assert all(q.network.neurons <= 12 and q.network.size_in <= 4 for q in samples)
    assert any(isinstance(n.op, Relu) and n.arguments[0].startswith("input") for n in nodes)
    assert any(isinstance(n.op, Maximum) and len(set(n.op.members)) < len(n.op.members) for n in nodes)
    assert any(isinstance(m, Convolution) and m.groups > 1 for n in nodes for m in getattr(n.op, "maps", ()))
    refuted = sum(decide_by_enumeration(query) is not None for query in samples)
    assert len(samples) / 5 < refuted < len(samples) * 4 / 5


def test_the_generators_reach_every_kind_of_domain():
    samples = [random_domain(seed, 3) for seed in range(80)]
    for feature in ("groups", "conditions", "balls", "integral"):
        assert any(getattr(domain, feature) for domain in samples), feature
    assert any(low == high for domain in samples for low, high in zip(domain.lower, domain.upper, strict=True))


def test_a_seed_means_one_network():
    first, second = random_network(5), random_network(5)
    assert [node.name for node in first.nodes] == [node.name for node in second.nodes]
