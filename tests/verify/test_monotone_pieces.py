"""Slopes piece by piece: what is proved is what exact search says, and wrong proofs are not believed."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verinet.model import Domain, Monotone, dense_network, evaluate_exact
from verinet.verify import Answer, Deadline, VerifyOptions, falling_pieces, verify_property
from verinet.verify.monotone_pieces import _layer_of, _Search
from verinet.verify.slopes import SlopeSearch

UP = Monotone("rises", (0,), 0, increasing=True)
DOWN = Monotone("falls", (0,), 0, increasing=False)


def network(weights, biases, outputs):
    return dense_network([np.array(weights, float), np.array([outputs], float)], [np.array(biases, float), np.zeros(1)])


def box(size: int) -> Domain:
    return Domain.from_box([0] * size, [1] * size)


def report(net, prop=UP):
    found = falling_pieces(net, box(net.size_in), prop, Deadline.after(30))
    assert found is not None
    return found


def test_a_step_between_two_kinks_is_proved() -> None:
    assert report(network([[1.0], [1.0]], [-0.25, -0.5], [1.0, -1.0])).proves


def test_kinks_that_meet_are_told_apart_where_no_box_is_small_enough() -> None:
    # A box that holds both kinks cannot know that one unit is on only if the other one is.
    flat = network([[1.0], [1.0]], [-0.3, -0.3], [1.0, -1.0])
    assert not SlopeSearch(flat, box(1), UP).holds(Deadline.after(5))
    verdict = verify_property(flat, box(1), UP, VerifyOptions(cross_check_neurons=0))
    assert verdict.answer is Answer.VERIFIED
    assert verdict.engine.startswith("slopes")


def test_the_falling_stretch_goes_from_kink_to_kink() -> None:
    dip = network([[1.0], [1.0], [1.0]], [0.0, -0.25, -0.75], [1.0, -2.0, 2.0])
    found = report(dip)
    assert found.complete
    assert not found.proves
    piece = found.pieces[0]
    assert piece.stretch == pytest.approx((0.25, 0.75))
    assert piece.slope == -1.0
    assert verify_property(dip, box(1), UP).answer is Answer.VIOLATED
    assert not report(dip, DOWN).proves


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_proofs_agree_with_exact_search(data) -> None:
    inputs, units = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 4))
    small = st.integers(-2, 2).map(float)
    weights = data.draw(st.lists(st.lists(small, min_size=inputs, max_size=inputs), min_size=units, max_size=units))
    biases = data.draw(st.lists(small.map(lambda v: v / 2), min_size=units, max_size=units))
    net = network(weights, biases, data.draw(st.lists(small, min_size=units, max_size=units)))
    found = report(net)
    exact = verify_property(net, box(inputs), UP, VerifyOptions(engine="smt")).answer
    if found.proves:
        assert exact is Answer.VERIFIED
    if any(piece.depth > 1e-6 for piece in found.pieces):
        assert exact is Answer.VIOLATED
    for piece in found.pieces:
        first, second = ([Fraction(float(v)) for v in point] for point in piece.pair)
        if piece.depth > 1e-6:
            assert evaluate_exact(net, first)[0] > evaluate_exact(net, second)[0]


def test_a_piece_with_an_inside_is_not_excluded_whatever_the_multipliers() -> None:
    net = network([[1.0, 0.5], [-1.0, 1.0]], [-0.25, 0.0], [1.0, 1.0])
    layer = _layer_of(net, box(2), 0)
    assert layer is not None
    search = _Search(layer, 0, 1)
    rng = np.random.default_rng(0)
    for first in (True, False):
        for second in (True, False):
            for multipliers in rng.random((20, 2)):
                assert not search._excludes({0: first, 1: second}, dict(enumerate(map(float, multipliers))))
    # No input of the box has x0 + 3 <= 0.
    far = _layer_of(network([[1.0, 0.0]], [3.0], [1.0]), box(2), 0)
    assert far is not None
    assert _Search(far, 0, 1)._excludes({0: False}, {0: 1.0})


def test_another_kind_of_network_is_left_to_others() -> None:
    one = np.ones((1, 1))
    deep = dense_network([one] * 3, [np.zeros(1)] * 3)
    assert falling_pieces(deep, box(1), UP, Deadline.after(5)) is None


def test_ranges_at_the_ends_of_floats_are_no_proof_and_no_error() -> None:
    falls = dense_network([np.array([[-1.0]])], [np.zeros(1)])
    tiny = Domain.from_box([0], [Fraction(1, 10**400)])
    found = falling_pieces(falls, tiny, UP, Deadline.after(5))
    assert found is not None
    assert not found.proves
    assert falling_pieces(falls, Domain.from_box([0], [10**200]), UP, Deadline.after(5)) is None


def test_no_time_proves_nothing() -> None:
    step = network([[1.0], [1.0]], [-0.25, -0.5], [1.0, -1.0])
    found = falling_pieces(step, box(1), UP, Deadline.after(-1))
    assert found is not None
    assert not found.proves


def test_of_several_inputs_each_needs_the_slope_by_itself() -> None:
    # Units beyond what Z3 would look at: nobody else would notice.
    weights = np.vstack([np.ones((20, 2)), [[1.0, 1.0]]])
    net = dense_network([weights, np.ones((1, 21))], [np.linspace(-1.5, -0.5, 21), np.zeros(1)])
    tilted = dense_network([np.array([[-1.0, 3.0]])], [np.zeros(1)])
    both = Monotone("both", (0, 1), 0, increasing=True)
    assert verify_property(net, box(2), both, VerifyOptions(cross_check_neurons=0)).answer is Answer.VERIFIED
    assert verify_property(tilted, box(2), both, VerifyOptions(cross_check_neurons=0)).answer is Answer.VIOLATED


def test_slopes_and_boxes_too_small_for_floats_are_not_taken_for_nothing() -> None:
    # From 3/4 on the output falls with a slope of -1e-400.
    tiny = network([[1e-200]], [-0.75e-200], [-1e-200])
    assert not report(tiny).proves
    thin = Domain((Fraction(0),), (Fraction(1, 10**400),), box(1).types)
    found = falling_pieces(network([[1.0]], [0.0], [-1.0]), thin, UP, Deadline.after(30))
    assert found is not None
    assert not found.proves
