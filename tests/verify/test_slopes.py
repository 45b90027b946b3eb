"""Derivatives box by box: what they prove holds, and what they propose is a counterexample."""

from fractions import Fraction

import numpy as np
import pytest

from tests.strategies import points_in, random_network
from verinet.model import (
    Atom,
    Domain,
    LinearExpression,
    Lipschitz,
    Monotone,
    Norm,
    Side,
    Symbol,
    dense_network,
    evaluate_exact,
    reduce_property,
)
from verinet.verify import Answer, Deadline, VerifyOptions, verify_property
from verinet.verify.slopes import SlopeSearch

F = Fraction


def test_inputs_that_rise_together_may_rise_by_different_amounts() -> None:
    # The derivatives add up to a rise; the second input alone lowers the output.
    network = dense_network([np.array([[2.0, -1.0]])], [np.zeros(1)])
    domain = Domain.from_box([0, 0], [1, 1])
    prop = Monotone("m", (0, 1), 0, True)
    search = SlopeSearch(network, domain, prop)
    assert not search.holds(Deadline.after(5))
    verdict = verify_property(network, domain, prop, VerifyOptions(cross_check_neurons=-1))
    assert verdict.answer is Answer.VIOLATED


@pytest.mark.parametrize("norm", Norm)
def test_an_exact_constant_holds_and_less_does_not(norm: Norm) -> None:
    network = dense_network([np.array([[2.0, -1.0], [1.0, 1.0]]), np.array([[1.0, -3.0]])], [np.zeros(2), np.zeros(1)])
    domain = Domain.from_box([-1, -1], [1, 1])
    # The gradients are (0, 0), (2, -1), (-3, -3) and (-1, -4).
    constant = F(6) if norm is Norm.LINF else F(4)
    for value, answer in ((constant, Answer.VERIFIED), (constant - F(1, 100), Answer.VIOLATED)):
        verdict = verify_property(network, domain, Lipschitz("l", (0, 1), 0, value, norm))
        assert verdict.answer is answer
        if verdict.witness is not None:
            one, other = verdict.witness.points
            changes = [abs(a - b) for a, b in zip(one.inputs, other.inputs, strict=True)]
            distance = max(changes) if norm is Norm.LINF else sum(changes)
            assert one.outputs[0] - other.outputs[0] > value * distance


def test_halving_proves_what_one_box_cannot() -> None:
    # Two ReLUs that are never on at once: over the whole box their slopes are added up, over a half they are not.
    hidden = np.full(2, -0.2)
    network = dense_network([np.array([[1.0], [-1.0]]), np.array([[1.0, -1.0]])], [hidden, np.zeros(1)])
    search = SlopeSearch(network, Domain.from_box([-1], [1]), Lipschitz("l", (0,), 0, F(1)))
    assert search.holds(Deadline.after(5))
    assert search.boxes > 1


def test_conditions_leave_out_boxes() -> None:
    # Falls beyond 1/2 only, and the condition ends before.
    network = dense_network([np.array([[1.0], [1.0]]), np.array([[1.0, -3.0]])], [np.array([0.0, -0.5]), np.zeros(1)])
    domain = Domain.from_box([0], [1])
    limit = Atom(LinearExpression(((Symbol(Side.INPUT, 0), F(1)),), F(-2, 5)))
    assert SlopeSearch(network, domain, Monotone("m", (0,), 0, True, (limit,))).holds(Deadline.after(5))
    assert not SlopeSearch(network, domain, Monotone("m", (0,), 0, True)).holds(Deadline.after(5))


@pytest.mark.parametrize("seed", range(40))
def test_what_derivatives_prove_no_sample_contradicts(seed: int) -> None:
    network = random_network(seed)
    domain = Domain.from_box([-1] * network.size_in, [1] * network.size_in)
    rng = np.random.default_rng(seed)
    inputs = tuple(range(network.size_in))
    samples = points_in(domain, rng, 16)
    for prop in (Monotone("m", (0,), 0, True), Lipschitz("l", inputs, 0, F(int(rng.integers(0, 12))))):
        search = SlopeSearch(network, domain, prop)
        proved = search.holds(Deadline.after(0.3))
        query = reduce_property(network, domain, prop).query
        found = [p for p in search.proposals(reduce_property(network, domain, prop)) if query.violated_at(p)]
        assert not (proved and found)
        if not proved:
            continue
        for one, other in zip(samples[:8], samples[8:], strict=True):
            if isinstance(prop, Monotone):
                low, high = sorted((one[0], other[0]))
                pair = (low, *one[1:]), (high, *one[1:])
                before, after = (evaluate_exact(network, p)[0] for p in pair)
                assert before <= after
            else:
                rise = abs(evaluate_exact(network, one)[0] - evaluate_exact(network, other)[0])
                assert rise <= prop.constant * max(abs(a - b) for a, b in zip(one, other, strict=True))
