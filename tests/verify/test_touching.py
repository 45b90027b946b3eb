"""Unsafe sets that touch a domain in one point: rows in floats must not lose it."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from verinet.model import (
    Atom,
    Conjunction,
    Domain,
    LinearExpression,
    Network,
    Query,
    Region,
    Side,
    Symbol,
    dense_network,
    evaluate_exact,
)
from verinet.verify import Answer, VerifyOptions, verify_query

F = Fraction
POINT = (F(1), F(2))


def y(index: int) -> LinearExpression:
    return LinearExpression(((Symbol(Side.OUTPUT, index), F(1)),))


def networks() -> Iterator[Network]:
    """Yield networks whose outputs share neurons, so that atoms over several outputs add up weights."""
    rng = np.random.default_rng(1)
    for _ in range(12):
        yield dense_network([rng.normal(size=(3, 2)), rng.normal(size=(3, 3))], [rng.normal(size=3)] * 2)


def touching(network: Network, *weights: Fraction) -> Atom:
    """Return ``weights . y <= value``, where the value is that of the point."""
    total = LinearExpression(())
    for i, weight in enumerate(weights):
        total = total + y(i) * weight
    value = total.value(POINT, evaluate_exact(network, POINT))
    return Atom(total - LinearExpression((), value))


def conjunctions(network: Network) -> Iterator[Conjunction]:
    halves = touching(network, F(-1, 2), F(-1), F(-3, 2))
    thirds = touching(network, F(1, 3), F(-2, 7), F(1, 10))
    yield (halves,)
    yield (thirds,)
    yield (halves, thirds, touching(network, F(1), F(1), F(-1)))
    # The common denominator is near 2^53: scaling by it would leave what float solvers can tell apart.
    yield (touching(network, F(1, 3**16), F(1, 5**11), F(1)),)
    yield (touching(network, F(1, 10**9 + 7), F(10**6, 999983), F(-1)),)


@pytest.mark.parametrize("falsify", [True, False])
@pytest.mark.parametrize("engine", ["smt", "milp", "branch", "auto"])
def test_a_single_point_at_which_atoms_hold_with_equality_is_found(engine: str, falsify: bool) -> None:
    domain = Domain(POINT, POINT)
    for network in networks():
        for conjunction in conjunctions(network):
            query = Query(network, (Region(domain, (conjunction,)),))
            verdict = verify_query(network, query, VerifyOptions(engine=engine, falsify=falsify, timeout=300))
            assert verdict.answer is Answer.VIOLATED, (verdict, str(conjunction[0]))


@pytest.mark.parametrize("engine", ["smt", "milp"])
def test_a_network_that_repeats_an_output_is_read_as_one(engine: str) -> None:
    """Both outputs are one node: the atom's coefficients meet in one functional."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        base = dense_network(
            [rng.normal(size=(3, 2)), rng.normal(size=(1, 3))], [rng.normal(size=3), rng.normal(size=1)]
        )
        network = Network(base.nodes, base.outputs * 3)
        tenths = touching(network, F(1, 10), F(2, 10), F(7, 10))
        for atom in (tenths, Atom(tenths.expression * F(-1))):
            query = Query(network, (Region(Domain(POINT, POINT), ((atom,),)),))
            verdict = verify_query(network, query, VerifyOptions(engine=engine, falsify=False, timeout=300))
            assert verdict.answer is Answer.VIOLATED
