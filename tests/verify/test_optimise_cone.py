"""The cone engine of the optimiser answers what the other engines do, on networks that price units, pooled or not."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.arrangement import kink_normals, vertices
from verinet.errors import InputError
from verinet.model import (
    Affine,
    Dense,
    Domain,
    Input,
    L1Ball,
    LinearExpression,
    Maximum,
    Network,
    Node,
    Relu,
    Side,
    Sparse,
    Symbol,
    dense_network,
    evaluate,
)
from verinet.verify import Basis, OptimiseOptions, Optimiser, OptimumStatus, compile_kernels


def ball(size: int, radius: Fraction, lower=None, upper=None) -> Domain:
    low, high = lower or [-radius] * size, upper or [radius] * size
    return replace(Domain.from_box(low, high), balls=(L1Ball(tuple(range(size)), (Fraction(0),) * size, radius),))


def network(seed: int, units: int, size: int):
    rng = np.random.default_rng(seed)
    return dense_network(
        [rng.normal(size=(units, size)), rng.normal(size=(2, units))], [np.zeros(units), rng.normal(size=2)]
    )


def objective(first, second=0) -> LinearExpression:
    terms = [(Symbol(Side.OUTPUT, 0), Fraction(first)), (Symbol(Side.OUTPUT, 1), Fraction(second))]
    return LinearExpression.from_terms([t for t in terms if t[1]], Fraction(1, 3))


def pooled(seed: int, size: int) -> Network:
    """Return a network of overlapping maxima of ReLUs, before or after them, then sums of these and two outputs."""
    rng = np.random.default_rng(seed)
    units, terms = 12, 7
    groups = [rng.choice(units, rng.integers(1, 5), replace=False) for _ in range(terms)]
    offsets = np.concatenate([[0], np.cumsum([len(group) for group in groups])])
    maximum = Node("pool", Maximum(np.concatenate(groups), offsets, units), ("relu" if seed % 2 else "hidden",))
    relu = Node("relu", Relu(units if seed % 2 else terms), ("hidden" if seed % 2 else "pool",))
    middle = [relu, maximum] if seed % 2 else [maximum, relu]
    sums = Sparse(np.ones(6), np.array([0, 1, 2, 3, 4, 4]), np.array([0, 2, 5, 6]), terms)
    nodes = [
        Node("input", Input(size)),
        Node("hidden", Affine((Dense(rng.normal(size=(units, size))),), np.zeros(units)), ("input",)),
        *middle,
        Node("sums", Affine((sums,), rng.normal(size=3)), (middle[-1].name,)),
        Node("output", Affine((Dense(rng.normal(size=(2, 3))),), rng.normal(size=2)), ("sums",)),
    ]
    return Network(tuple(nodes), ("output",))


@pytest.mark.parametrize("make", [lambda seed: network(seed, 9, 3), lambda seed: pooled(seed, 3)])
@pytest.mark.parametrize("seed", range(6))
def test_it_agrees_with_the_milp(seed, make) -> None:
    net, domain = make(seed), ball(3, Fraction(7, 10))
    expression = objective(Fraction(2, 3), -1)
    for sense in ("minimise", "maximise"):
        answers = {
            engine: getattr(Optimiser.prepare(net, domain, OptimiseOptions(engine=engine)), sense)(expression)
            for engine in ("cone", "milp")
        }
        assert answers["cone"].status is OptimumStatus.OPTIMAL
        assert answers["cone"].basis is Basis.ROUNDING_SAFE
        assert float(answers["cone"].value) == pytest.approx(float(answers["milp"].value), rel=1e-5, abs=1e-6)
        assert domain.contains(answers["cone"].point)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([Fraction(1, 7), Fraction(3)]))
def test_no_vertex_of_the_kinks_exceeds_a_pooled_optimum(seed, radius) -> None:
    net, domain, expression = pooled(seed, 3), ball(3, radius), objective(1, Fraction(-1, 3))
    best = Optimiser.prepare(net, domain, OptimiseOptions(engine="cone")).maximise(expression)
    rows = net.nodes[1].op.maps[0].to_sparse().matrix.toarray()
    maximum = next(node.op for node in net.nodes if isinstance(node.op, Maximum))
    points = vertices(kink_normals(rows[maximum.members], maximum.offsets[1:])) * float(radius)
    outputs = evaluate(net, points)
    assert best.status is OptimumStatus.OPTIMAL
    assert best.bound >= (1 / 3 + outputs[:, 0] - outputs[:, 1] / 3).max() - 1e-9


def test_signs_and_cut_offs() -> None:
    net = network(8, 12, 3)
    domain = ball(3, Fraction(1), upper=[0, 1, 1])
    optimiser = Optimiser.prepare(net, domain, OptimiseOptions(engine="cone"))
    best = optimiser.maximise(objective(1))
    assert best.point[0] <= 0
    milp = Optimiser.prepare(net, domain, OptimiseOptions(engine="milp")).maximise(objective(1))
    assert float(best.value) == pytest.approx(float(milp.value), rel=1e-5)
    above = optimiser.maximise(objective(1), cutoff=float(best.value) + 0.01)
    assert above.status is OptimumStatus.CUT_OFF
    below = optimiser.maximise(objective(1), cutoff=float(best.value) - 0.01)
    assert below.status in (OptimumStatus.BEATEN, OptimumStatus.OPTIMAL)
    assert float(below.value) > float(best.value) - 0.01


def test_auto_chooses_it_where_it_fits() -> None:
    compile_kernels("cones")
    net = network(1, 60, 4)
    found = Optimiser.prepare(net, ball(4, Fraction(1))).maximise(objective(1))
    assert found.engine.startswith("cone")
    boxed = Optimiser.prepare(net, Domain.from_box([-1] * 4, [1] * 4)).maximise(objective(1))
    assert not boxed.engine.startswith("cone")


def test_other_questions_are_refused_in_a_sentence() -> None:
    net = network(2, 5, 2)
    options = OptimiseOptions(engine="cone")
    with pytest.raises(InputError, match="engine cone"):
        Optimiser.prepare(net, Domain.from_box([-1, -1], [1, 1]), options).maximise(objective(1))
    half = ball(2, Fraction(1), upper=[Fraction(1, 2), 1])
    with pytest.raises(InputError, match="engine cone"):
        Optimiser.prepare(net, half, options).maximise(objective(1))
    rng = np.random.default_rng(0)
    biased = dense_network([rng.normal(size=(9, 2)), rng.normal(size=(2, 9))], [np.full(9, 0.1), np.zeros(2)])
    with pytest.raises(InputError, match="engine cone"):
        Optimiser.prepare(biased, ball(2, Fraction(1)), options).maximise(objective(1))
    maximum = Maximum(np.arange(3), np.array([0, 1, 3]), 3)
    hidden = Affine((Dense(rng.normal(size=(3, 2))),), np.zeros(3))
    # Of maxima that may be negative nothing is known about the interpolation of values at corners.
    without_relu = Network(
        (Node("input", Input(2)), Node("hidden", hidden, ("input",)), Node("output", maximum, ("hidden",))), ("output",)
    )
    with pytest.raises(InputError, match="engine cone"):
        Optimiser.prepare(without_relu, ball(2, Fraction(1)), options).maximise(objective(1))
