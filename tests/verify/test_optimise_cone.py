"""The cone engine of the optimiser answers what the other engines answer, on the networks that price units."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

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
    Symbol,
    dense_network,
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


@pytest.mark.parametrize("seed", range(6))
def test_it_agrees_with_the_milp(seed) -> None:
    net, domain = network(seed, 9, 3), ball(3, Fraction(7, 10))
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


def pooled(seed: int, size: int, relu_first: bool) -> Network:
    """A layer whose ReLUs are max-pooled in groups that overlap, and two outputs."""
    rng = np.random.default_rng(seed)
    maximum = Maximum(np.array([0, 1, 2, 2, 3, 4, 5, 5]), np.array([0, 3, 5, 7, 8]), 6)
    inner = (
        (Node("relu", Relu(6), ("hidden",)), Node("pool", maximum, ("relu",)))
        if relu_first
        else (Node("pool", maximum, ("hidden",)), Node("relu", Relu(4), ("pool",)))
    )
    nodes = (
        Node("input", Input(size)),
        Node("hidden", Affine((Dense(rng.normal(size=(6, size))),), np.zeros(6)), ("input",)),
        *inner,
        Node("output", Affine((Dense(rng.normal(size=(2, 4))),), rng.normal(size=2)), (inner[1].name,)),
    )
    return Network(nodes, ("output",))


@pytest.mark.parametrize("relu_first", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_max_pools_agree_with_the_milp(seed: int, relu_first: bool) -> None:
    net, domain = pooled(seed, 3, relu_first), ball(3, Fraction(7, 10))
    expression = objective(Fraction(2, 3), -1)
    for sense in ("minimise", "maximise"):
        optimisers = (Optimiser.prepare(net, domain, OptimiseOptions(engine=engine)) for engine in ("cone", "milp"))
        cone, milp = (getattr(optimiser, sense)(expression) for optimiser in optimisers)
        assert cone.basis is Basis.ROUNDING_SAFE
        assert float(cone.value) == pytest.approx(float(milp.value), rel=1e-3, abs=1e-5)
        sign = 1 if sense == "minimise" else -1
        assert sign * cone.bound <= sign * float(cone.value)
        assert sign * cone.bound <= sign * float(milp.value) + 1e-6
        assert float(cone.bound) == pytest.approx(float(milp.value), rel=1e-3, abs=1e-5)
        assert domain.contains(cone.point)


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
