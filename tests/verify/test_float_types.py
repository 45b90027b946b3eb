"""A float type's rounding decides nothing by itself: what it may change is unknown."""

from fractions import Fraction

import numpy as np
import pytest

from verinet.bounds import FLOAT_FORMATS
from verinet.model import (
    Arithmetic,
    Atom,
    Domain,
    LinearExpression,
    Query,
    Region,
    Side,
    Symbol,
    dense_network,
)
from verinet.verify import Answer, FloatQuestion, VerifyOptions, verify_float_query

THIRD = float(np.float32(1 / 3))
NETWORK = dense_network([np.array([[THIRD, THIRD, THIRD]])], [np.zeros(1)])
"""Its largest value on the unit cube is 3 * THIRD, a little more than 1, which float32 rounds to 1 or not, by order."""


def single(point):
    """Sum in float32 from left to right."""
    total = np.float32(0)
    for v in point:
        total = np.float32(total + np.float32(THIRD) * np.float32(float(v)))
    return np.array([total], dtype=np.float64)


def at_least(threshold: Fraction, *, strict: bool = False) -> Atom:
    return Atom(LinearExpression(((Symbol(Side.OUTPUT, 0), Fraction(-1)),), threshold), strict)


def ask(atom: Atom, *, spelled_out=NETWORK, arithmetic=Arithmetic.DIRECT, upper=1, replay=single):
    domain = Domain((Fraction(0),) * 3, (Fraction(upper),) * 3)
    query = Query(NETWORK, (Region(domain, ((atom,),)),))
    question = FloatQuestion(query, spelled_out, FLOAT_FORMATS["float32"], arithmetic)
    return verify_float_query(question, VerifyOptions(replay=replay, timeout=20))


LARGEST = 3 * Fraction(THIRD)


def test_a_threshold_within_rounding_is_left_open():
    verdict = ask(at_least(LARGEST + Fraction(1, 10**9)))
    assert verdict.answer is Answer.UNKNOWN
    assert "rounding" in verdict.reason


def test_a_threshold_beyond_rounding_is_verified():
    verdict = ask(at_least(LARGEST + Fraction(1, 10**5)))
    assert verdict.answer is Answer.VERIFIED
    assert any("float32" in sentence for sentence in verdict.evidence)


def test_a_counterexample_is_one_of_the_float_type():
    verdict = ask(at_least(Fraction(99, 100)))
    assert verdict.answer is Answer.VIOLATED
    (point,) = verdict.witness.points
    assert all(Fraction(float(np.float32(float(v)))) == v for v in point.inputs)
    assert point.outputs[0] >= Fraction(99, 100)
    assert Fraction(point.replayed[0]) >= Fraction(99, 100)


def test_a_counterexample_that_evaluation_does_not_confirm_is_none():
    verdict = ask(at_least(Fraction(99, 100)), replay=lambda point: np.zeros(1))
    assert verdict.answer is Answer.UNKNOWN
    assert "confirms" in verdict.reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"spelled_out": None}, "operators"),
        ({"arithmetic": Arithmetic.OTHER}, "arithmetic"),
        ({"upper": 2**128}, "overflow"),
    ],
)
def test_without_a_bound_on_rounding_nothing_is_verified(changes, reason):
    verdict = ask(at_least(Fraction(2**130)) if "upper" in changes else at_least(LARGEST + 1), **changes)
    assert verdict.answer is Answer.UNKNOWN
    assert reason in verdict.reason


def test_a_literal_is_read_both_ways():
    # 0.1 is no float32: the nearest one is larger, so an input of a float32 network may reach beyond the decimal.
    tenth = Fraction(1, 10)
    above = Fraction(float(np.float32(0.1)))
    domain = Domain((Fraction(0),), (tenth,))
    identity = dense_network([np.array([[1.0]])], [np.zeros(1)])

    def verdict(threshold: Fraction) -> Answer:
        query = Query(identity, (Region(domain, ((at_least(threshold, strict=True),),)),))
        question = FloatQuestion(query, identity, FLOAT_FORMATS["float32"], Arithmetic.DIRECT)
        replay = lambda point: np.array([float(point[0])])  # noqa: E731
        return verify_float_query(question, VerifyOptions(replay=replay, timeout=20)).answer

    assert verdict(tenth) is Answer.UNKNOWN
    assert verdict(above) is Answer.VERIFIED
    assert verdict(tenth - Fraction(1, 10**6)) is Answer.VIOLATED
