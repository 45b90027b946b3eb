"""Traps that have misled verifiers: each stays a test."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from tests.strategies import random_network, random_query
from verinet.model import (
    Affine,
    Atom,
    Dense,
    Domain,
    LinearExpression,
    Network,
    Query,
    Region,
    Relu,
    Side,
    Symbol,
    dense_network,
    evaluate,
    evaluate_exact,
)
from verinet.verify import Answer, VerifyOptions, verify_query

ENGINES = [
    VerifyOptions(engine="milp", falsify=False, timeout=60),
    VerifyOptions(engine="phase", falsify=False, timeout=60),
    VerifyOptions(engine="smt", falsify=False, timeout=60),
]


def output_at_least(threshold: Fraction, strict: bool = False) -> Atom:
    return Atom(LinearExpression.from_terms([(Symbol(Side.OUTPUT, 0), Fraction(-1))], threshold), strict)


def query(network: Network, domain: Domain, *atoms: Atom) -> Query:
    return Query(network, (Region(domain, (atoms,)),))


@pytest.mark.parametrize("weight", [1e3, 1e9, 1e12, 1e13, 1e15, 1e18])
@pytest.mark.parametrize("options", ENGINES, ids=lambda o: o.engine)
def test_cancelling_huge_weights_never_prove_anything_false(weight: float, options: VerifyOptions) -> None:
    # t = relu(W h - W h + 1e-3) is 1e-3 exactly; some solvers call t >= 5e-4 infeasible from W = 1e13 on.
    first = np.array([[1.0], [1.0]])
    network = dense_network(
        [first, np.array([[weight, -weight]]), np.eye(1)], [np.zeros(2), np.array([1e-3]), np.zeros(1)]
    )
    domain = Domain.from_box([0.25], [1.0])
    above = verify_query(network, query(network, domain, output_at_least(Fraction(1, 2000))), options)
    assert above.answer in (Answer.VIOLATED, Answer.UNKNOWN)
    if options.engine == "smt":
        assert above.answer is Answer.VIOLATED
    higher = verify_query(network, query(network, domain, output_at_least(Fraction(1, 500))), options)
    assert higher.answer in (Answer.VERIFIED, Answer.UNKNOWN)


def test_a_block_that_depends_on_the_order_of_summation_is_judged_by_its_real_function() -> None:
    # In floats w + x - w loses x; the real function is relu(x), which reaches 1.
    w = 2.0**60
    network = dense_network(
        [np.array([[1.0], [0.0], [0.0]]), np.array([[1.0, w, -w]]), np.eye(1)],
        [np.array([0.0, 1.0, 1.0]), np.zeros(1), np.zeros(1)],
    )
    domain = Domain.from_box([0.0], [1.0])
    for options in (VerifyOptions(), *ENGINES):
        verdict = verify_query(network, query(network, domain, output_at_least(Fraction(1))), options)
        assert verdict.answer in (Answer.VIOLATED, Answer.UNKNOWN)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("side", [-1, 1])
def test_a_verdict_flips_at_the_exact_edge(seed: int, side: int) -> None:
    # Find the exact largest output at a vertex-free level by asking Z3, then move the threshold to either side of it.
    network = random_network(seed, max_neurons=8)
    domain = Domain.from_box([-1] * network.size_in, [1] * network.size_in)
    low, high = Fraction(-200), Fraction(200)
    smt = VerifyOptions(engine="smt", falsify=False, timeout=60)
    for _ in range(40):
        middle = (low + high) / 2
        found = verify_query(network, query(network, domain, output_at_least(middle)), smt)
        if found.witness is None:
            high = middle
        else:
            low = max(middle, found.witness.points[0].outputs[0])
    margin = max(high - low, Fraction(1, 10**9))
    threshold = low if side < 0 else low + 2 * margin
    for options in (VerifyOptions(timeout=60), *ENGINES):
        verdict = verify_query(network, query(network, domain, output_at_least(threshold)), options)
        expected = Answer.VIOLATED if side < 0 else Answer.VERIFIED
        assert verdict.answer in (expected, Answer.UNKNOWN)
        if options.engine == "smt":
            assert verdict.answer is expected


def tent_network(seed: int, depth: int, width: int) -> tuple[Network, Domain, tuple[Fraction, ...], Fraction]:
    """Add a narrow tent around a planted point to the output of a random network; return it and the tent's height."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 4))
    centre = rng.integers(-12, 13, size=size) / 16.0
    slope = 2.0 ** rng.integers(4, 8)
    # relu(1 - slope * sum |x - c|) has height one, and is zero beyond 1 / slope.
    first = np.vstack([np.eye(size), -np.eye(size), rng.integers(-4, 5, size=(width, size)) / 4.0])
    bias = np.concatenate([-centre, centre, rng.integers(-4, 5, size=width) / 4.0])
    layers, biases = [first], [bias]
    for level in range(depth):
        rows = np.zeros((1 + width, layers[-1].shape[0]))
        if level == 0:
            rows[0, : 2 * size] = -slope
        else:
            rows[0, 0] = 1.0
        rows[1:, -width:] = rng.integers(-4, 5, size=(width, width)) / 8.0
        layers.append(rows)
        biases.append(np.concatenate([[1.0 if level == 0 else 0.0], rng.integers(-4, 5, size=width) / 8.0]))
    last = np.zeros((1, 1 + width))
    last[0, 0] = 64.0
    last[0, 1:] = rng.integers(-2, 3, size=width) / 64.0
    network = dense_network([*layers, last], [*biases, np.zeros(1)])
    point = tuple(Fraction(float(c)) for c in centre)
    domain = Domain.from_box([-1] * size, [1] * size)
    return network, domain, point, evaluate_exact(network, point)[0]


@pytest.mark.parametrize("seed", range(40))
def test_planted_counterexamples_are_never_verified_away(seed: int) -> None:
    network, domain, point, height = tent_network(seed, depth=1 + seed % 2, width=2 + seed % 4)
    asked = query(network, domain, output_at_least(height - Fraction(1, 100)))
    assert asked.violated_at(point)
    verdict = verify_query(network, asked, VerifyOptions(falsify=False, timeout=30))
    assert verdict.answer is Answer.VIOLATED


def permuted(network: Network, rng: np.random.Generator) -> Network:
    """Reorder the neurons of every hidden layer of a dense network."""
    nodes, order = [], None
    for node in network.nodes:
        op = node.op
        if isinstance(op, Affine):
            weights = op.maps[0].weights
            weights = weights if order is None else weights[:, order]
            last = node.name == network.outputs[0]
            order = np.arange(len(weights)) if last else rng.permutation(len(weights))
            op = Affine((Dense(weights[order]),), op.bias[order])
        nodes.append(replace(node, op=op))
    return Network(tuple(nodes), network.outputs)


def duplicated(network: Network) -> Network:
    """Split every hidden neuron of a dense network into two equal ones of half the effect."""
    nodes, factor = [], 1
    for node in network.nodes:
        op = node.op
        if isinstance(op, Affine):
            weights = np.repeat(op.maps[0].weights, factor, axis=1) / factor
            repeat = 1 if node.name == network.outputs[0] else 2
            op = Affine((Dense(np.repeat(weights, repeat, axis=0)),), np.repeat(op.bias, repeat))
            factor = 2
        elif isinstance(op, Relu):
            op = Relu(2 * op.size)
        nodes.append(replace(node, op=op, shape=()))
    return Network(tuple(nodes), network.outputs)


@pytest.mark.parametrize("seed", range(10))
def test_what_does_not_change_the_function_does_not_change_the_verdict(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layers = [rng.integers(-8, 9, size=s) / 4.0 for s in ((3, 2), (3, 3), (1, 3))]
    network = dense_network(layers, [rng.integers(-4, 5, size=len(w)) / 4.0 for w in layers])
    domain = Domain.from_box([-1, -1], [1, 1])
    values = evaluate(network, rng.uniform(-1, 1, size=(4000, 2)))[:, 0]
    for share in (0.98, 1.2):
        threshold = Fraction(round(float(values.min() + share * np.ptp(values)) * 64), 64)
        atoms = (output_at_least(threshold), output_at_least(threshold - 1))
        answers = {
            verify_query(n, query(n, domain, *order), VerifyOptions(falsify=False, timeout=60)).answer
            for n in (network, permuted(network, rng), duplicated(network))
            for order in (atoms, atoms[::-1])
        }
        assert len(answers) == 1


@pytest.mark.parametrize("seed", range(10))
def test_a_solver_that_fails_never_reads_as_a_verdict(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    def crash(*_: object) -> None:
        raise RuntimeError("the solver printed garbage and died")

    monkeypatch.setattr("verinet.solve.highs.HighsBackend._run", crash)
    monkeypatch.setattr("verinet.solve.z3.Z3Backend.solve_exact", lambda *_: pytest.fail("not asked for"))
    monkeypatch.setattr("verinet.solve.z3.Z3Backend.is_installed", classmethod(lambda _: False))
    asked = random_query(seed)
    verdict = verify_query(asked.network, asked, VerifyOptions(solver="highs", falsify=False, timeout=30))
    if verdict.answer is Answer.VERIFIED:
        assert all("bounds" in sentence for sentence in verdict.evidence)
    else:
        assert verdict.answer is Answer.UNKNOWN
