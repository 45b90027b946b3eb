"""The derivative test is sufficient, and exact where nothing cancels."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import boxes, networks, points_in
from verinet.bounds import InputSet, bound_network
from verinet.model import (
    Atom,
    Domain,
    LinearExpression,
    Monotone,
    Op,
    Query,
    Region,
    Relu,
    Side,
    Symbol,
    dense_network,
    evaluate_exact,
    product_network,
)
from verinet.model.ops import Input
from verinet.verify import Answer, Copies, VerifyOptions, derivative, verify_property, verify_query
from verinet.verify.gradient import PULLBACKS


@given(data=st.data())
def test_difference_quotients_have_the_enclosed_sign(data: st.DataObject) -> None:
    network = data.draw(networks())
    domain = data.draw(boxes(network))
    output = data.draw(st.integers(0, network.size_out - 1))
    lower, upper, _ = derivative.derivative_range(bound_network(network, InputSet.of(domain)), output)
    high = domain.exact_box()[1]
    for point in points_in(domain, np.random.default_rng(0), 5):
        before = evaluate_exact(network, point)[output]
        for j in range(network.size_in):
            raised = (*point[:j], high[j], *point[j + 1 :])
            change = evaluate_exact(network, raised)[output] - before
            if lower[j] >= 0:
                assert change >= 0
            if upper[j] <= 0:
                assert change <= 0


def test_a_zero_derivative_is_zero_without_rounding() -> None:
    weights = [np.array([[0.1], [0.3]]), np.array([[0.7, 0.1]])]
    network = dense_network(weights, [np.array([0.1, -0.2]), np.zeros(1)])
    bounds = bound_network(network, InputSet.of(Domain.from_box([-1], [1])))
    lower, upper, _ = derivative.derivative_range(bounds, 0)
    assert lower[0] == 0
    assert upper[0] > 0


def test_stable_neurons_sharpen_the_range() -> None:
    network = dense_network([np.array([[1.0], [1.0]]), np.array([[1.0, -2.0]])], [np.array([5.0, -5.0]), np.zeros(1)])
    for width, sign in ((1, 1), (9, -1)):
        bounds = bound_network(network, InputSet.of(Domain.from_box([-width], [width])))
        lower, _, _ = derivative.derivative_range(bounds, 0)
        assert (lower[0] > 0) == (sign > 0)
    assert evaluate_exact(network, [Fraction(9)])[0] < evaluate_exact(network, [Fraction(5)])[0]


def test_every_operation_has_its_pullbacks() -> None:
    operations = set(Op.__args__) - {Input}
    assert set(derivative.PULLBACKS) == operations
    assert set(PULLBACKS) == operations
    assert Relu in operations


def test_inputs_that_rise_each_by_their_own_amount_do_not_make_up_for_each_other() -> None:
    # The sum of the derivatives is positive; raising the second input alone lowers the output.
    network = dense_network([np.array([[2.0, -1.0]])], [np.zeros(1)])
    domain = Domain.from_box([0, 0], [1, 1])
    for prop, answer in (
        (Monotone("both", (0, 1), 0, True), Answer.VIOLATED),
        (Monotone("first", (0,), 0, True), Answer.VERIFIED),
        (Monotone("second", (1,), 0, False), Answer.VERIFIED),
    ):
        assert verify_property(network, domain, prop, VerifyOptions(cross_check_neurons=-1)).answer is answer


def copies(*, falls: int, strict: bool = True, ordered: bool = True, moved: int = 1) -> Region:
    """Two copies of a network of two inputs; `moved` of them have an entry of their own in the second copy."""
    size = 2 + moved

    def difference(side: Side, i: int, j: int) -> LinearExpression:
        return LinearExpression.from_terms([(Symbol(side, i), Fraction(1)), (Symbol(side, j), Fraction(-1))])

    conditions = tuple(Atom(difference(Side.INPUT, i, 2 + i)) for i in range(moved)) if ordered else ()
    domain = Domain((Fraction(0),) * size, (Fraction(1),) * size, conditions=conditions)
    unsafe = difference(Side.OUTPUT, 1, 0) if falls else difference(Side.OUTPUT, 0, 1)
    return Region(domain, ((Atom(unsafe, strict),),))


def test_a_query_about_copies_needs_every_sign() -> None:
    network = dense_network([np.array([[2.0, -1.0]])], [np.zeros(1)])

    def is_verified(region: Region, moved: int = 1) -> bool:
        own = Copies(network, (0, 1), (2, 3) if moved == 2 else (2, 1))
        whole = product_network(network, (own.first, own.second))
        options = VerifyOptions(cross_check_neurons=-1)
        verdict = verify_query(whole, Query(whole, (region,)), options, copies=own)
        return verdict.answer is Answer.VERIFIED

    assert is_verified(copies(falls=1))
    assert not is_verified(copies(falls=0))
    assert not is_verified(copies(falls=1, strict=False))
    assert not is_verified(copies(falls=1, ordered=False))
    assert not is_verified(copies(falls=1, moved=2), moved=2)


@pytest.mark.parametrize("is_second_high", [True, False])
@pytest.mark.parametrize("less", range(4))
def test_copies_ask_for_the_direction_that_excludes_what_is_demanded(less, is_second_high) -> None:
    network = dense_network([np.eye(2)], [np.zeros(2)])
    own, more = Copies(network, (0, 1), (2, 1)), (less + 2) % 4

    def at_most(side: Side, i: int, j: int, factor: int = 3, slack: int = 0) -> LinearExpression:
        terms = [(Symbol(side, i), Fraction(factor)), (Symbol(side, j), Fraction(-factor))]
        return LinearExpression.from_terms(terms, Fraction(slack))

    rise = at_most(Side.INPUT, 0, 2) if is_second_high else at_most(Side.INPUT, 2, 0, slack=1)
    shared = Atom(LinearExpression.from_terms([(Symbol(Side.INPUT, 1), Fraction(1))], Fraction(-1, 2)))
    domain = Domain((Fraction(0),) * 3, (Fraction(1), Fraction(1), Fraction(2)), conditions=(Atom(rise), shared))
    strict = Atom(at_most(Side.OUTPUT, less, more), strict=True)
    ((found, prop),) = own.questions((Region(domain, ((strict,),)),))
    is_fall = (less >= 2) is is_second_high
    assert (prop.inputs, prop.output, prop.increasing) == ((0,), less % 2, is_fall)
    assert (found.lower, found.upper, found.conditions) == ((0, 0), (2, 1), (shared,))
    # Two outputs of one copy, an atom that equal inputs meet, and a case without such an atom say nothing.
    other = Atom(at_most(Side.OUTPUT, less, less ^ 1), strict=True)
    touching = Atom(at_most(Side.OUTPUT, less, more))
    for unsafe in (((other,),), ((touching,),), ((strict,), (other,))):
        assert own.questions((Region(domain, unsafe),)) == ()
    assert own.questions((Region(domain, ((Atom(at_most(Side.OUTPUT, less, more, slack=1)), other),)),)) == (
        (found, prop),
    )
