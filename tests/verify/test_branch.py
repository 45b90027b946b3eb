"""The branch engine against an independent oracle, and on its edges."""

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from tests.strategies import judged_query, random_query
from tests.verify.asking import (
    TYPED_SEEDS,
    assert_right,
    assert_verdict_right,
    by_branching,
    constant,
    identity,
    one,
    x,
    y,
)
from verinet.errors import PropertyError
from verinet.model import (
    Affine,
    Atom,
    Dense,
    Domain,
    Input,
    L1Ball,
    Network,
    Node,
    Query,
    Relu,
    VariableType,
    dense_network,
)
from verinet.verify import Answer, OpenBox, Outlook, VerifyOptions, verify_query
from verinet.verify.box_search import BoxSearch

CASES, TYPED_CASES = 160, 120

MOST_OPEN = 0.1
"""Share of queries that may stay open: about one in twenty asks for a value that is attained but not passed."""

pytestmark = pytest.mark.usefixtures("_branch_kernels")


@pytest.fixture
def _few_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the search give up soon where a threshold is touched: it would halve boxes for seconds, query after query."""
    monkeypatch.setattr(BoxSearch, "most_set_aside", 10)


@pytest.mark.usefixtures("_brief_falsifier", "_few_set_aside")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("falsify", [False, True])
@pytest.mark.parametrize(("typed", "cases"), [(False, CASES), (True, TYPED_CASES)])
def test_the_engine_alone_agrees_with_enumeration(typed: bool, cases: int, falsify: bool, threads: int) -> None:
    still_open = 0
    for seed in range(TYPED_SEEDS * typed, TYPED_SEEDS * typed + cases):
        query, truth = judged_query(seed, typed)
        finding = by_branching(query, threads=threads, falsify=falsify)
        still_open += assert_right(query, truth, finding)
    assert still_open <= MOST_OPEN * cases, still_open


@pytest.mark.usefixtures("_brief_falsifier", "_few_set_aside")
@pytest.mark.parametrize(("typed", "cases"), [(False, CASES // 2), (True, TYPED_CASES // 2)])
def test_verdicts_agree_with_enumeration(typed: bool, cases: int) -> None:
    # The whole verifier: the falsifier first, Z3 for what is left open and as a cross-check.
    for seed in range(TYPED_SEEDS * typed, TYPED_SEEDS * typed + cases):
        query, truth = judged_query(seed, typed)
        options = VerifyOptions(engine="branch", threads=1 + seed % 2, timeout=30)
        assert_verdict_right(query, truth, options)


def test_larger_networks_agree_with_the_milp() -> None:
    # Enumeration is out of reach; what one engine proves, the other must not refute, near the threshold and far.
    settled = 0
    for seed in range(12):
        query = random_query(seed, max_neurons=40, width=8, blocks=8)
        found = by_branching(query, timeout=5)
        milp = verify_query(query.network, query, VerifyOptions(engine="milp", timeout=20, cross_check_neurons=0))
        decided = {Answer.VERIFIED: Outlook.REFUTED, Answer.VIOLATED: Outlook.FOUND}.get(milp.answer)
        if found.outlook is not Outlook.OPEN and decided is not None:
            assert found.outlook is decided, seed
            settled += 1
    assert settled >= 8


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_strict_and_non_strict_thresholds_differ_by_one_point(threads: int) -> None:
    domain = Domain.from_box([-1], [1])
    reaches = by_branching(one(identity(), domain, (Atom(constant(1) - y()),)), threads=threads)
    assert reaches.outlook is Outlook.FOUND
    exceeds = by_branching(one(identity(), domain, (Atom(constant(1) - y(), strict=True),)), threads=threads)
    assert exceeds.outlook is not Outlook.FOUND


def test_thresholds_nearer_than_rounding_are_not_decided_by_rounding() -> None:
    domain = Domain.from_box([0], [1])
    # 1/3 + 1e-30 and 1/3 - 1e-30 round to the same float; the output is at most 1/3 as the float stores it.
    network = dense_network([np.array([[1 / 3]]), np.eye(1)], [np.zeros(1), np.zeros(1)])
    highest = Fraction(1 / 3)
    for shift, wrong in ((Fraction(1, 10**30), Outlook.FOUND), (-Fraction(1, 10**30), Outlook.REFUTED)):
        finding = by_branching(one(network, domain, (Atom(constant(highest + shift) - y()),)))
        assert finding.outlook is not wrong


def test_conjunctions_need_a_combination_of_their_atoms() -> None:
    # Each atom can hold alone, both never: y0 >= 1/2 and y1 >= 1/2 where y1 = 3/4 - y0.
    network = dense_network([np.array([[1.0], [-1.0]]), np.eye(2)], [np.array([0.0, 0.75]), np.zeros(2)])
    half = constant(Fraction(1, 2))
    both = (Atom(half - y(0)), Atom(half - y(1)))
    assert by_branching(one(network, Domain.from_box([0], [1]), both)).outlook is Outlook.REFUTED
    assert by_branching(one(network, Domain.from_box([0], [1]), *((a,) for a in both))).outlook is Outlook.FOUND


def test_a_case_refuted_above_stays_refuted_below_and_no_other() -> None:
    # Three cases that fall at different depths of the tree; only the one in the middle holds, at one place.
    network = dense_network([np.array([[1.0], [-1.0]]), np.array([[1.0, 1.0]])], [np.zeros(2), np.zeros(1)])
    never = (Atom(constant(2) - y()),)
    seldom = (Atom(constant(Fraction(999, 1000)) - y()), Atom(x()))
    nowhere = (Atom(constant(Fraction(3, 4)) - y()), Atom(x() - constant(Fraction(1, 2))), Atom(-x()))
    domain = Domain.from_box([-1], [1])
    found = by_branching(one(network, domain, never, nowhere, seldom))
    assert found.point is not None
    assert found.point[0] < 0
    assert by_branching(one(network, domain, never, nowhere)).outlook is Outlook.REFUTED


def test_no_case_at_all_is_refuted_and_an_empty_case_is_never() -> None:
    domain = Domain.from_box([-1], [1])
    assert by_branching(one(identity(), domain)).outlook is Outlook.REFUTED
    assert by_branching(one(identity(), domain, ())).outlook is not Outlook.REFUTED
    with_condition = replace(domain, conditions=(Atom(x() + constant(Fraction(1, 2))),))
    assert by_branching(one(identity(), with_condition, ())).outlook is Outlook.FOUND
    contradiction = replace(domain, conditions=(Atom(x() + constant(2)),))
    assert by_branching(one(identity(), contradiction, ())).outlook is Outlook.REFUTED


def test_integers_between_fractional_ends_are_all_looked_at() -> None:
    network = dense_network([np.array([[1.0], [-1.0]]), np.array([[1.0, 1.0]])], [np.zeros(2), np.zeros(1)])
    domain = Domain((Fraction(-7, 2),), (Fraction(33, 10),), (VariableType.INTEGER,))
    for value in range(-3, 4):
        # Only x = value lies within a tenth of it, and |x| is compared too.
        near = (Atom(x() - constant(value + 0.1)), Atom(constant(value - 0.1) - x()), Atom(constant(abs(value)) - y()))
        found = by_branching(one(network, domain, near))
        assert found.point == (Fraction(value),)
    for value in (-3.5, -0.5, 0.5, 3.3):
        near = (Atom(x() - constant(value + 0.1)), Atom(constant(value - 0.1) - x()))
        assert by_branching(one(network, domain, near)).outlook is Outlook.REFUTED


@pytest.mark.parametrize("offset", range(9))
def test_integers_that_floats_cannot_store_are_not_skipped(offset: int) -> None:
    start = 2**53
    network = dense_network([np.eye(1), np.eye(1)], [np.array([-float(start)]), np.zeros(1)])
    domain = Domain((Fraction(start),), (Fraction(start + 8),), (VariableType.INTEGER,))
    near = (Atom(y() - constant(offset + 0.1)), Atom(constant(offset - 0.1) - y()))
    assert by_branching(one(network, domain, near)).outlook is not Outlook.REFUTED


def test_one_hot_groups_are_counted() -> None:
    network = dense_network([np.array([[1.0, 2.0, 3.0]]), np.eye(1)], [np.zeros(1), np.zeros(1)])
    binary = Domain((Fraction(0),) * 3, (Fraction(1),) * 3, (VariableType.BINARY,) * 3)
    grouped = replace(binary, groups=((0, 1, 2),))
    most = (Atom(constant(4) - y()),)
    assert by_branching(one(network, binary, most)).outlook is Outlook.FOUND
    assert by_branching(one(network, grouped, most)).outlook is Outlook.REFUTED
    exactly = (Atom(constant(3) - y()),)
    assert by_branching(one(network, grouped, exactly)).point == (0, 0, 1)


def test_an_input_fixed_at_a_decimal_is_judged_by_the_decimal() -> None:
    # The float box around 1/10 has two ends, one on each side of it; the output there is 1/10 exactly.
    domain = Domain((Fraction(1, 10),), (Fraction(1, 10),))
    reached = (Atom(constant(Fraction(1, 10)) - y()),)
    assert by_branching(one(identity(), domain, reached)).outlook is not Outlook.REFUTED
    beyond = (Atom(constant(Fraction(1, 10) + Fraction(1, 10**12)) - y()),)
    assert by_branching(one(identity(), domain, beyond)).outlook is Outlook.REFUTED


def test_a_ball_hides_the_corners_of_its_box() -> None:
    network = dense_network([np.array([[1.0, 1.0]]), np.eye(1)], [np.zeros(1), np.zeros(1)])
    ball = L1Ball((0, 1), (Fraction(0), Fraction(0)), Fraction(1))
    domain = replace(Domain.from_box([-1, -1], [1, 1]), balls=(ball,))
    # The engine knows the box only: it may give up beside the ball, but it must neither refute nor invent a point.
    inside = by_branching(one(network, domain, (Atom(constant(Fraction(9, 10)) - y()),)))
    assert inside.outlook is not Outlook.REFUTED
    corner = by_branching(one(network, domain, (Atom(constant(Fraction(3, 2)) - y()),)), timeout=0.3)
    assert corner.outlook is not Outlook.FOUND


@pytest.mark.parametrize("weight", [1e9, 1e13, 1e15, 1e18, 1e30])
def test_cancelling_huge_weights_prove_nothing_false(weight: float) -> None:
    network = dense_network(
        [np.array([[1.0], [1.0]]), np.array([[weight, -weight]]), np.eye(1)],
        [np.zeros(2), np.array([1e-3]), np.zeros(1)],
    )
    domain = Domain.from_box([0.25], [1.0])
    above = by_branching(one(network, domain, (Atom(constant(Fraction(1, 2000)) - y()),)))
    assert above.outlook is not Outlook.REFUTED


def test_overflow_proves_nothing() -> None:
    network = dense_network(
        [np.array([[1e300], [1e300]]), np.array([[1e300, -1e300]]), np.eye(1)],
        [np.zeros(2), np.array([0.25]), np.zeros(1)],
    )
    query = one(network, Domain.from_box([0.5], [2.0]), (Atom(constant(Fraction(1, 8)) - y()),))
    with np.errstate(all="ignore"):
        assert by_branching(query).outlook is not Outlook.REFUTED


def test_underflow_proves_nothing_false() -> None:
    network = dense_network([np.full((1, 1), 1e-200)] * 2, [np.array([1e100]), np.array([-1e-100])])
    query = one(network, Domain.from_box([-9e299], [9e299]), (Atom(y() + constant(Fraction(1, 10**104))),))
    assert query.violated_at((Fraction(-9e299),))
    assert by_branching(query).outlook is not Outlook.REFUTED


@pytest.mark.parametrize("engine", ["branch", "milp"])
def test_an_input_that_is_an_output_counts_on_both_sides(engine: str) -> None:
    nodes = (
        Node("x", Input(1)),
        Node("sum", Affine((Dense(np.eye(1)),), np.array([-0.5])), ("x",)),
        Node("relu", Relu(1), ("sum",)),
    )
    network = Network(nodes, ("relu", "x"))
    # -2 X_0 + Y_1 + 1/2 is 1/2 - x: negative at x = 1.
    atom = Atom(x() * Fraction(-2) + y(1) + constant(Fraction(1, 2)))
    query = one(network, Domain.from_box([0], [1]), (atom,))
    assert query.violated_at((Fraction(1),))
    options = VerifyOptions(engine=engine, falsify=False, timeout=10, cross_check_neurons=0)
    assert verify_query(network, query, options).answer is not Answer.VERIFIED


HUGE = 10**400


def test_what_floats_cannot_hold_is_refused_in_a_sentence() -> None:
    with pytest.raises(PropertyError, match="range of input 0"):
        Domain((Fraction(-HUGE),), (Fraction(HUGE),))
    with pytest.raises(PropertyError, match="coefficients"):
        one(identity(), Domain.from_box([0], [1]), (Atom(y() * Fraction(HUGE) + constant(1)),))
    with pytest.raises(PropertyError, match="one-hot group"):
        Domain((Fraction(0),), (Fraction(1),), (VariableType.BINARY,), ((),))


def an_output_that_overflows(lower: int) -> Query:
    """Ask for outputs up to 10 where bounds overflow, by a coefficient that is no float: there are some from zero."""
    network = dense_network([np.full((1, 1), 1e200)] * 2, [np.zeros(1), np.zeros(1)])
    return one(network, Domain.from_box([lower], [2]), (Atom(y() * Fraction(1, 10) - constant(1)),))


def test_a_decimal_coefficient_of_an_output_that_overflows_is_no_error() -> None:
    with np.errstate(all="ignore"):
        finding = by_branching(an_output_that_overflows(0))
    assert finding.outlook is Outlook.OPEN
    assert "too large for floats" in finding.reason


@pytest.mark.parametrize("engine", ["auto", "branch", "phase", "milp"])
@pytest.mark.parametrize(("lower", "answer"), [(0, Answer.VIOLATED), (1, Answer.VERIFIED)])
def test_exact_code_decides_where_an_output_overflows(engine: str, lower: int, answer: Answer) -> None:
    query = an_output_that_overflows(lower)
    with np.errstate(all="ignore"):
        verdict = verify_query(query.network, query, VerifyOptions(engine=engine, falsify=False))
    assert verdict.answer is answer, verdict.reason


def dented(count: int) -> tuple[Network, list[float]]:
    """Return |x - c| summed at several places as one network: zero nowhere but touched at each place."""
    places = [i + 0.3 for i in range(count)]
    first = np.ones((2 * count, 1))
    bias = np.concatenate([np.array([-c, c]) for c in places])
    first[1::2] = -1
    return dense_network([first, np.kron(np.eye(count), np.ones((1, 2)))], [bias, np.zeros(count)]), places


def test_a_box_that_cannot_be_split_does_not_hide_a_counterexample_elsewhere() -> None:
    # |x - 0.3| < 0 holds nowhere, but nearly at 0.3; |x - 1.3| <= 0 holds at the float itself.
    network, places = dented(2)
    touched = (Atom(y(0), strict=True),)
    assert by_branching(one(network, Domain.from_box([0], [2]), touched)).outlook is Outlook.OPEN
    (found,) = {
        by_branching(one(network, Domain.from_box([0], [2]), *cases), timeout=10).outlook
        for cases in itertools.permutations((touched, (Atom(y(1)),)))
    }
    assert found is Outlook.FOUND
    assert places[1] == 1.3


def test_a_box_set_aside_is_named_when_all_others_are_refuted() -> None:
    # No integer lies between the thresholds, but integers beyond 2^53 are not told apart by floats.
    start = 2**53
    network = dense_network([np.eye(1), np.eye(1)], [np.array([-float(start)]), np.zeros(1)])
    domain = Domain((Fraction(start),), (Fraction(start + 8),), (VariableType.INTEGER,))
    finding = by_branching(one(network, domain, (Atom(y() - constant(1.5)), Atom(constant(1.25) - y()))))
    assert finding.outlook is Outlook.OPEN
    assert not finding.cut_short
    assert "1 box is too small for floats to split and still open, all others are refuted" in finding.reason
    assert finding.bound is not None
    assert finding.bound <= 0
    assert finding.box == OpenBox((float(start),), (float(start + 8),))


def test_the_worst_of_many_small_boxes_is_named() -> None:
    network, places = dented(3)
    query = one(network, Domain.from_box([0], [3]), *((Atom(y(i), strict=True),) for i in range(3)))
    finding = by_branching(query, timeout=20)
    assert finding.outlook is Outlook.OPEN
    assert not finding.timed_out
    assert "more than 200 boxes" in finding.reason
    assert finding.bound is not None
    assert -1e-9 < finding.bound <= 0
    assert finding.box is not None
    assert finding.box.lower[0] < finding.box.upper[0]
    assert any(abs(finding.box.lower[0] - place) < 1e-6 for place in places)


def test_the_search_gives_up_on_very_many_small_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoxSearch, "most_set_aside", 1)
    network, _ = dented(3)
    query = one(network, Domain.from_box([0], [3]), *((Atom(y(i), strict=True),) for i in range(3)))
    finding = by_branching(query, timeout=20)
    assert finding.outlook is Outlook.OPEN
    assert "more than 1 boxes" in finding.reason


@pytest.mark.parametrize("value", [Fraction(1, 10), Fraction(1, 3), Fraction(1, 2), Fraction(-7, 10)])
def test_inputs_that_are_fixed_are_settled_by_the_exact_value(value: Fraction) -> None:
    # relu(x + 1) is known exactly where x is one number, float or not.
    network = dense_network([np.eye(1), np.eye(1)], [np.ones(1), np.zeros(1)])
    domain = Domain((value,), (value,))
    reached = Atom(constant(value + 1) - y())
    assert by_branching(one(network, domain, (reached,))).point == (value,)
    assert by_branching(one(network, domain, (replace(reached, strict=True),))).outlook is Outlook.REFUTED
    nearly = Atom(constant(value + 1 + Fraction(1, 10**30)) - y())
    assert by_branching(one(network, domain, (nearly,))).outlook is Outlook.REFUTED


def test_a_fixed_decimal_beside_an_integer_is_settled_for_each_integer() -> None:
    network = dense_network([np.ones((1, 2)), np.eye(1)], [np.zeros(1), np.zeros(1)])
    types = (VariableType.CONTINUOUS, VariableType.INTEGER)
    domain = Domain((Fraction(1, 10), Fraction(0)), (Fraction(1, 10), Fraction(3)), types)
    most = constant(Fraction(31, 10))
    assert by_branching(one(network, domain, (Atom(most - y()),))).point == (Fraction(1, 10), Fraction(3))
    assert by_branching(one(network, domain, (Atom(most - y(), strict=True),))).outlook is Outlook.REFUTED
