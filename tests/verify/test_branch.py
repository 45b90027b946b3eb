"""The branch engine against an independent oracle, on its edges, and under time limits."""

import itertools
import time
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tests.strategies import judged_query, random_query
from verinet.errors import PropertyError
from verinet.model import (
    Affine,
    Atom,
    Dense,
    Domain,
    Input,
    L1Ball,
    LinearExpression,
    Maximum,
    Network,
    Node,
    Query,
    Region,
    Relu,
    Side,
    Symbol,
    VariableType,
    dense_network,
    evaluate,
)
from verinet.verify import (
    Answer,
    Deadline,
    Finding,
    Interrupted,
    OpenBox,
    Outlook,
    VerifyOptions,
    box_search,
    verify_query,
)
from verinet.verify.box_search import BoxSearch
from verinet.verify.box_stack import BoxPile
from verinet.verify.branch import search_with_branching
from verinet.verify.memory import MemoryCeiling, peak_memory

CASES, TYPED_CASES = 160, 120
TYPED_SEEDS = 10_000

PATIENCE = 1.0
"""Seconds for one small query: it is decided in milliseconds, or its threshold is touched and it never is."""

MOST_OPEN = 0.1
"""Share of queries that may stay open: about one in twenty asks for a value that is attained but not passed."""


def y(index: int = 0) -> LinearExpression:
    return LinearExpression.from_terms([(Symbol(Side.OUTPUT, index), Fraction(1))])


def x(index: int = 0) -> LinearExpression:
    return LinearExpression.from_terms([(Symbol(Side.INPUT, index), Fraction(1))])


def constant(value: Fraction | float) -> LinearExpression:
    return LinearExpression((), Fraction(value))


def searched(
    query: Query,
    *,
    threads: int = 1,
    timeout: float = PATIENCE,
    falsify: bool = False,
    memory: float | None = None,
) -> Finding:
    """Ask the engine alone: no falsifier before it, and no Z3 after it that would correct a wrong claim."""
    (region,) = query.regions
    options = VerifyOptions(engine="branch", threads=threads, timeout=timeout, falsify=falsify, memory=memory)
    return search_with_branching(query.network, region, options, Deadline.after(timeout))


def one(network: Network, domain: Domain, *conjunctions: tuple[Atom, ...]) -> Query:
    return Query(network, (Region(domain, conjunctions),))


def identity() -> Network:
    """Return relu, the network of one neuron."""
    return dense_network([np.eye(1), np.eye(1)], [np.zeros(1), np.zeros(1)])


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    """Compile the kernels before any clock starts."""
    searched(one(identity(), Domain.from_box([-1], [1]), (Atom(constant(Fraction(1, 2)) - y()),)), timeout=600)


# ------------------------------------------------------------------------------------------------ against the oracle


def assert_right(query: Query, truth: object, finding: Finding) -> bool:
    """Check a finding against the truth; return whether it is open."""
    if finding.outlook is Outlook.OPEN:
        assert finding.reason
        return True
    assert (finding.outlook is Outlook.FOUND) == (truth is not None), finding
    if finding.point is not None:
        assert query.violated_at(finding.point)
    return False


@pytest.fixture
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the falsifier be brief, and the search give up soon where a threshold is touched: hundreds take time."""
    monkeypatch.setattr(BoxSearch, "most_set_aside", 10)
    for name, value in {"SAMPLES": 256, "POINTS": 16, "STEPS": 8}.items():
        monkeypatch.setattr(f"verinet.verify.falsify.{name}", value, raising=False)


@pytest.mark.usefixtures("_brief")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("falsify", [False, True])
@pytest.mark.parametrize(("typed", "cases"), [(False, CASES), (True, TYPED_CASES)])
def test_the_engine_alone_agrees_with_enumeration(typed: bool, cases: int, falsify: bool, threads: int) -> None:
    still_open = 0
    for seed in range(TYPED_SEEDS * typed, TYPED_SEEDS * typed + cases):
        query, truth = judged_query(seed, typed)
        finding = searched(query, threads=threads, falsify=falsify)
        still_open += assert_right(query, truth, finding)
    assert still_open <= MOST_OPEN * cases, still_open


@pytest.mark.usefixtures("_brief")
@pytest.mark.parametrize(("typed", "cases"), [(False, CASES // 2), (True, TYPED_CASES // 2)])
def test_verdicts_agree_with_enumeration(typed: bool, cases: int) -> None:
    # The whole verifier: the falsifier first, Z3 for what is left open and as a cross-check.
    for seed in range(TYPED_SEEDS * typed, TYPED_SEEDS * typed + cases):
        query, truth = judged_query(seed, typed)
        options = VerifyOptions(engine="branch", threads=1 + seed % 2, timeout=30)
        verdict = verify_query(query.network, query, options)
        assert verdict.answer is (Answer.VERIFIED if truth is None else Answer.VIOLATED), (seed, verdict)
        # Z3 must not have had to overrule a claim of the engine.
        assert not any("although" in sentence for sentence in verdict.evidence), (seed, verdict)
        if verdict.witness is not None:
            assert query.violated_at(verdict.witness.point)


def test_larger_networks_agree_with_the_milp() -> None:
    # Enumeration is out of reach; what one engine proves, the other must not refute, near the threshold and far.
    settled = 0
    for seed in range(12):
        query = random_query(seed, max_neurons=40, width=8, blocks=8)
        found = searched(query, timeout=5)
        milp = verify_query(query.network, query, VerifyOptions(engine="milp", timeout=20, cross_check_neurons=0))
        decided = {Answer.VERIFIED: Outlook.REFUTED, Answer.VIOLATED: Outlook.FOUND}.get(milp.answer)
        if found.outlook is not Outlook.OPEN and decided is not None:
            assert found.outlook is decided, seed
            settled += 1
    assert settled >= 8


# --------------------------------------------------------------------------------------------------------- the edges


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_strict_and_non_strict_thresholds_differ_by_one_point(threads: int) -> None:
    domain = Domain.from_box([-1], [1])
    reaches = searched(one(identity(), domain, (Atom(constant(1) - y()),)), threads=threads)
    assert reaches.outlook is Outlook.FOUND
    exceeds = searched(one(identity(), domain, (Atom(constant(1) - y(), strict=True),)), threads=threads)
    assert exceeds.outlook is not Outlook.FOUND


def test_thresholds_nearer_than_rounding_are_not_decided_by_rounding() -> None:
    domain = Domain.from_box([0], [1])
    # 1/3 + 1e-30 and 1/3 - 1e-30 round to the same float; the output is at most 1/3 as the float stores it.
    network = dense_network([np.array([[1 / 3]]), np.eye(1)], [np.zeros(1), np.zeros(1)])
    highest = Fraction(1 / 3)
    for shift, wrong in ((Fraction(1, 10**30), Outlook.FOUND), (-Fraction(1, 10**30), Outlook.REFUTED)):
        finding = searched(one(network, domain, (Atom(constant(highest + shift) - y()),)))
        assert finding.outlook is not wrong


def test_conjunctions_need_a_combination_of_their_atoms() -> None:
    # Each atom can hold alone, both never: y0 >= 1/2 and y1 >= 1/2 where y1 = 3/4 - y0.
    network = dense_network([np.array([[1.0], [-1.0]]), np.eye(2)], [np.array([0.0, 0.75]), np.zeros(2)])
    half = constant(Fraction(1, 2))
    both = (Atom(half - y(0)), Atom(half - y(1)))
    assert searched(one(network, Domain.from_box([0], [1]), both)).outlook is Outlook.REFUTED
    assert searched(one(network, Domain.from_box([0], [1]), *((a,) for a in both))).outlook is Outlook.FOUND


def test_a_case_refuted_above_stays_refuted_below_and_no_other() -> None:
    # Three cases that fall at different depths of the tree; only the one in the middle holds, at one place.
    network = dense_network([np.array([[1.0], [-1.0]]), np.array([[1.0, 1.0]])], [np.zeros(2), np.zeros(1)])
    never = (Atom(constant(2) - y()),)
    seldom = (Atom(constant(Fraction(999, 1000)) - y()), Atom(x()))
    nowhere = (Atom(constant(Fraction(3, 4)) - y()), Atom(x() - constant(Fraction(1, 2))), Atom(-x()))
    domain = Domain.from_box([-1], [1])
    found = searched(one(network, domain, never, nowhere, seldom))
    assert found.point is not None
    assert found.point[0] < 0
    assert searched(one(network, domain, never, nowhere)).outlook is Outlook.REFUTED


def test_no_case_at_all_is_refuted_and_an_empty_case_is_never() -> None:
    domain = Domain.from_box([-1], [1])
    assert searched(one(identity(), domain)).outlook is Outlook.REFUTED
    assert searched(one(identity(), domain, ())).outlook is not Outlook.REFUTED
    with_condition = replace(domain, conditions=(Atom(x() + constant(Fraction(1, 2))),))
    assert searched(one(identity(), with_condition, ())).outlook is Outlook.FOUND
    contradiction = replace(domain, conditions=(Atom(x() + constant(2)),))
    assert searched(one(identity(), contradiction, ())).outlook is Outlook.REFUTED


def test_integers_between_fractional_ends_are_all_looked_at() -> None:
    network = dense_network([np.array([[1.0], [-1.0]]), np.array([[1.0, 1.0]])], [np.zeros(2), np.zeros(1)])
    domain = Domain((Fraction(-7, 2),), (Fraction(33, 10),), (VariableType.INTEGER,))
    for value in range(-3, 4):
        # Only x = value lies within a tenth of it, and |x| is compared too.
        near = (Atom(x() - constant(value + 0.1)), Atom(constant(value - 0.1) - x()), Atom(constant(abs(value)) - y()))
        found = searched(one(network, domain, near))
        assert found.point == (Fraction(value),)
    for value in (-3.5, -0.5, 0.5, 3.3):
        near = (Atom(x() - constant(value + 0.1)), Atom(constant(value - 0.1) - x()))
        assert searched(one(network, domain, near)).outlook is Outlook.REFUTED


@pytest.mark.parametrize("offset", range(9))
def test_integers_that_floats_cannot_store_are_not_skipped(offset: int) -> None:
    start = 2**53
    network = dense_network([np.eye(1), np.eye(1)], [np.array([-float(start)]), np.zeros(1)])
    domain = Domain((Fraction(start),), (Fraction(start + 8),), (VariableType.INTEGER,))
    near = (Atom(y() - constant(offset + 0.1)), Atom(constant(offset - 0.1) - y()))
    assert searched(one(network, domain, near)).outlook is not Outlook.REFUTED


def test_one_hot_groups_are_counted() -> None:
    network = dense_network([np.array([[1.0, 2.0, 3.0]]), np.eye(1)], [np.zeros(1), np.zeros(1)])
    binary = Domain((Fraction(0),) * 3, (Fraction(1),) * 3, (VariableType.BINARY,) * 3)
    grouped = replace(binary, groups=((0, 1, 2),))
    most = (Atom(constant(4) - y()),)
    assert searched(one(network, binary, most)).outlook is Outlook.FOUND
    assert searched(one(network, grouped, most)).outlook is Outlook.REFUTED
    exactly = (Atom(constant(3) - y()),)
    assert searched(one(network, grouped, exactly)).point == (0, 0, 1)


def test_an_input_fixed_at_a_decimal_is_judged_by_the_decimal() -> None:
    # The float box around 1/10 has two ends, one on each side of it; the output there is 1/10 exactly.
    domain = Domain((Fraction(1, 10),), (Fraction(1, 10),))
    assert searched(one(identity(), domain, (Atom(constant(Fraction(1, 10)) - y()),))).outlook is not Outlook.REFUTED
    beyond = (Atom(constant(Fraction(1, 10) + Fraction(1, 10**12)) - y()),)
    assert searched(one(identity(), domain, beyond)).outlook is Outlook.REFUTED


def test_a_ball_hides_the_corners_of_its_box() -> None:
    network = dense_network([np.array([[1.0, 1.0]]), np.eye(1)], [np.zeros(1), np.zeros(1)])
    ball = L1Ball((0, 1), (Fraction(0), Fraction(0)), Fraction(1))
    domain = replace(Domain.from_box([-1, -1], [1, 1]), balls=(ball,))
    # The engine knows the box only: it may give up beside the ball, but it must neither refute nor invent a point.
    inside = searched(one(network, domain, (Atom(constant(Fraction(9, 10)) - y()),)))
    assert inside.outlook is not Outlook.REFUTED
    corner = searched(one(network, domain, (Atom(constant(Fraction(3, 2)) - y()),)), timeout=0.3)
    assert corner.outlook is not Outlook.FOUND


@pytest.mark.parametrize("weight", [1e9, 1e13, 1e15, 1e18, 1e30])
def test_cancelling_huge_weights_prove_nothing_false(weight: float) -> None:
    network = dense_network(
        [np.array([[1.0], [1.0]]), np.array([[weight, -weight]]), np.eye(1)],
        [np.zeros(2), np.array([1e-3]), np.zeros(1)],
    )
    domain = Domain.from_box([0.25], [1.0])
    above = searched(one(network, domain, (Atom(constant(Fraction(1, 2000)) - y()),)))
    assert above.outlook is not Outlook.REFUTED


def test_overflow_proves_nothing() -> None:
    network = dense_network(
        [np.array([[1e300], [1e300]]), np.array([[1e300, -1e300]]), np.eye(1)],
        [np.zeros(2), np.array([0.25]), np.zeros(1)],
    )
    query = one(network, Domain.from_box([0.5], [2.0]), (Atom(constant(Fraction(1, 8)) - y()),))
    with np.errstate(all="ignore"):
        assert searched(query).outlook is not Outlook.REFUTED


def test_underflow_proves_nothing_false() -> None:
    network = dense_network([np.full((1, 1), 1e-200)] * 2, [np.array([1e100]), np.array([-1e-100])])
    query = one(network, Domain.from_box([-9e299], [9e299]), (Atom(y() + constant(Fraction(1, 10**104))),))
    assert query.violated_at((Fraction(-9e299),))
    assert searched(query).outlook is not Outlook.REFUTED


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
        finding = searched(an_output_that_overflows(0))
    assert finding.outlook is Outlook.OPEN
    assert "too large for floats" in finding.reason


@pytest.mark.parametrize("engine", ["auto", "branch", "phase", "milp"])
@pytest.mark.parametrize(("lower", "answer"), [(0, Answer.VIOLATED), (1, Answer.VERIFIED)])
def test_exact_code_decides_where_an_output_overflows(engine: str, lower: int, answer: Answer) -> None:
    query = an_output_that_overflows(lower)
    with np.errstate(all="ignore"):
        verdict = verify_query(query.network, query, VerifyOptions(engine=engine, falsify=False))
    assert verdict.answer is answer, verdict.reason


# ---------------------------------------------------------------------------------------- stacks, threads, the clock


def random_dense(seed: int, sizes: list[int]) -> Network:
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(after, before)) * np.sqrt(2 / before) for before, after in pairwise(sizes)]
    return dense_network(weights, [rng.normal(size=len(w)) * 0.1 for w in weights])


def above_the_samples(network: Network, share: float) -> Query:
    """Ask for outputs beyond all that sampling shows, by a share of their spread."""
    size = network.size_in
    values = evaluate(network, np.random.default_rng(0).uniform(-1, 1, size=(4000, size)))[:, 0]
    threshold = float(values.max() + share * np.ptp(values))
    return one(network, Domain.from_box([-1] * size, [1] * size), (Atom(constant(threshold) - y()),))


def pooled(seed: int, *, active: bool) -> Network:
    """Return a network that pools its first layer by threes, through ReLUs first if they are to be active."""
    rng = np.random.default_rng(seed)
    layer = ("r",) if active else ("a",)
    nodes = (
        Node("x", Input(4)),
        Node("a", Affine((Dense(rng.normal(size=(36, 4))),), rng.normal(size=36)), ("x",)),
        Node("r", Relu(36), ("a",)),
        Node("p", Maximum(np.arange(36), np.arange(0, 37, 3), 36), layer),
        Node("b", Affine((Dense(rng.normal(size=(12, 12))),), rng.normal(size=12)), ("p",)),
        Node("s", Relu(12), ("b",)),
        Node("y", Affine((Dense(rng.normal(size=(1, 12))),), np.zeros(1)), ("s",)),
    )
    return Network(tuple(node for node in nodes if active or node.name != "r"), ("y",))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(
    "network",
    [
        pytest.param(random_dense(0, [4, 32, 32, 1]), id="dense"),
        pytest.param(pooled(0, active=False), id="pooled"),
        pytest.param(pooled(0, active=True), id="pooled after ReLU"),
    ],
)
def test_a_search_repeats_itself(network: Network, threads: int) -> None:
    query = above_the_samples(network, 0.1)
    first = searched(query, threads=threads, timeout=60)
    assert first.outlook is Outlook.REFUTED
    boxes = int(next(word for word in first.evidence[0].split() if word.isdigit()))
    assert boxes > 100, "the query is too easy to show anything"
    for _ in range(2):
        again = searched(query, threads=threads, timeout=60)
        assert (again.outlook, again.evidence, again.point) == (first.outlook, first.evidence, first.point)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_found_point_repeats_itself(threads: int) -> None:
    query = above_the_samples(random_dense(1, [4, 32, 32, 1]), 0.02)
    first, again = (searched(query, threads=threads, timeout=60) for _ in range(2))
    assert first.outlook is Outlook.FOUND
    assert (first.point, first.evidence) == (again.point, again.evidence)


@pytest.mark.parametrize("threads", [1, 4])
def test_stacks_that_grow_lose_no_box(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    query = above_the_samples(random_dense(0, [4, 32, 32, 1]), 0.1)
    roomy = searched(query, threads=threads, timeout=60)
    monkeypatch.setattr("verinet.verify.box_stack.FIRST_CAPACITY", 3)
    tight = searched(query, threads=threads, timeout=60)
    assert (tight.outlook, tight.evidence) == (roomy.outlook, roomy.evidence)


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_every_box_of_a_grid_is_reached(threads: int) -> None:
    # A bump at each of 64 integers, one of them higher: whichever it is, it must be found, and its absence proved.
    size = 64
    first = np.ones((3 * size, 1))
    centres = np.repeat(np.arange(size, dtype=float), 3)
    bias = -centres + np.tile([0.5, 0.0, -0.5], size)
    domain = Domain.from_box([-1], [size])
    for highest in (0, 1, 31, 32, 62, 63):
        heights = np.ones(size)
        heights[highest] = 1.25
        last = (np.tile([2.0, -4.0, 2.0], size) * np.repeat(heights, 3))[None, :]
        network = dense_network([first, last], [bias, np.zeros(1)])
        query = one(network, domain, (Atom(constant(1.125) - y()),))
        found = searched(query, threads=threads, timeout=20)
        assert found.point is not None
        assert abs(found.point[0] - highest) < 1
        nothing = one(network, domain, (Atom(constant(1.3) - y()),))
        assert searched(nothing, threads=threads, timeout=20).outlook is Outlook.REFUTED


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("sizes", [[8, 60, 60, 60, 1], [20, 800, 1]], ids=["deep", "wide"])
def test_the_time_limit_is_kept_and_said(sizes: list[int], threads: int) -> None:
    query = above_the_samples(random_dense(0, sizes), 1.0)
    options = VerifyOptions(engine="branch", timeout=2, threads=threads, falsify=False)
    started = time.monotonic()
    verdict = verify_query(query.network, query, options)
    assert time.monotonic() - started < 3.5
    assert verdict.answer is Answer.UNKNOWN
    assert verdict.timed_out
    assert "time limit" in verdict.reason


# ---------------------------------------------------------------------------------- what is known when it is cut short


def endless() -> Query:
    """Return a question that no engine answers within seconds."""
    return above_the_samples(random_dense(0, [8, 60, 60, 60, 1]), 1.0)


def assert_worst_box(query: Query, finding: Finding) -> None:
    """Check that the bound holds at points of the box, and that the box lies in the domain."""
    assert finding.bound is not None
    assert finding.box is not None
    assert finding.bound <= 0
    (region,) = query.regions
    lower, upper = (np.array(side) for side in (finding.box.lower, finding.box.upper))
    outer = region.domain.box()
    assert (outer[0] <= lower).all()
    assert (lower <= upper).all()
    assert (upper <= outer[1]).all()
    ((atom,),) = region.unsafe
    for point in np.random.default_rng(0).uniform(lower, upper, size=(200, len(lower))):
        violation = float(atom.expression.constant) - evaluate(query.network, point)[0]
        assert violation >= finding.bound - 1e-9


@pytest.mark.parametrize("threads", [1, 2])
def test_a_time_limit_leaves_the_best_bound_and_the_worst_box(threads: int) -> None:
    query = endless()
    finding = searched(query, threads=threads, timeout=0.5)
    assert finding.timed_out
    assert_worst_box(query, finding)
    assert f"{finding.bound:.6g}" in finding.reason
    assert str(finding.box) in finding.reason
    verdict = verify_query(query.network, query, VerifyOptions(engine="branch", timeout=0.5, falsify=False))
    assert verdict.timed_out
    assert verdict.bound is not None
    assert verdict.box is not None


def test_the_bound_of_a_longer_search_is_no_worse() -> None:
    short, long = (searched(endless(), timeout=seconds).bound for seconds in (0.1, 1.5))
    assert short is not None
    assert long is not None
    assert short <= long


def test_the_clock_runs_from_when_the_caller_says() -> None:
    query = endless()
    options = VerifyOptions(engine="branch", timeout=2, started=time.monotonic() - 1.8, falsify=False)
    started = time.monotonic()
    verdict = verify_query(query.network, query, options)
    assert verdict.timed_out
    assert time.monotonic() - started < 1
    # What passed before the verifier was asked is no work of its own.
    assert verdict.seconds < 1


def test_a_round_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    # One round of very many boxes: only the flag that kernels look at can end it in time.
    monkeypatch.setattr("verinet.verify.box_search.FIRST_QUOTA", 10**9)
    query = endless()
    started = time.monotonic()
    finding = searched(query, timeout=0.5, threads=2)
    assert time.monotonic() - started < 2
    assert finding.timed_out
    assert_worst_box(query, finding)


def test_an_interrupt_ends_the_search_with_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verinet.verify.box_search.FIRST_QUOTA", 10**9)
    query = endless()
    real, calls = box_search.wait, iter(range(10))

    def interrupted(futures: Any, timeout: float | None = None) -> Any:
        # As if the key were pressed while the threads search; how the signal comes is for the command line's tests.
        if next(calls):
            return real(futures, timeout)
        real(futures, 0.5)
        raise KeyboardInterrupt

    monkeypatch.setattr(box_search, "wait", interrupted)
    started = time.monotonic()
    with pytest.raises(Interrupted) as stop:
        verify_query(query.network, query, VerifyOptions(engine="branch", timeout=60, falsify=False, threads=2))
    assert time.monotonic() - started < 2
    verdict = stop.value.verdict
    assert verdict.answer is Answer.UNKNOWN
    assert "interrupted" in verdict.reason
    assert not verdict.timed_out
    assert verdict.bound is not None
    assert verdict.box is not None


# ------------------------------------------------------------------------------------------------------------- memory


def ceiling(extra: float) -> float:
    """Return a limit that leaves so many MiB to the search, beyond its reserve."""
    return peak_memory() / 2**20 + 16 + extra


def test_a_ceiling_below_what_is_held_already_is_said() -> None:
    finding = searched(endless(), memory=1)
    assert finding.outlook is Outlook.OPEN
    assert finding.exhausted
    assert not finding.timed_out
    assert "memory limit" in finding.reason
    assert "1 MiB" in finding.reason
    assert finding.box is not None


@pytest.mark.parametrize("threads", [1, 3])
def test_a_stack_that_may_not_grow_ends_the_search_and_not_the_process(
    monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr("verinet.verify.box_stack.FIRST_CAPACITY", 3)
    monkeypatch.setattr("verinet.verify.box_stack.BoxPile.grow", lambda pile, capacity: False)
    query = above_the_samples(random_dense(0, [4, 32, 32, 1]), 0.1)
    finding = searched(query, threads=threads, timeout=30)
    assert finding.outlook is Outlook.OPEN
    assert finding.exhausted
    assert "memory limit" in finding.reason
    assert_worst_box(query, finding)


def test_a_machine_without_memory_ends_the_search_and_not_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(stack: object, capacity: int) -> None:
        raise MemoryError

    monkeypatch.setattr("verinet.verify.box_stack.FIRST_CAPACITY", 3)
    monkeypatch.setattr("verinet.verify.box_stack._resize", fail)
    finding = searched(above_the_samples(random_dense(0, [4, 32, 32, 1]), 0.1), timeout=30)
    assert finding.exhausted
    assert "all that the machine gives" in finding.reason


@pytest.mark.parametrize("threads", [1, 3])
def test_scarce_memory_changes_the_order_and_not_the_answer(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    query = above_the_samples(random_dense(0, [4, 32, 32, 1]), 0.1)
    monkeypatch.setattr(MemoryCeiling, "is_scarce", property(lambda ceiling: True))
    assert searched(query, threads=threads, timeout=60).outlook is Outlook.REFUTED
    monkeypatch.setattr("verinet.verify.box_stack.FIRST_CAPACITY", 3)
    # Small steps only: doubling is refused.
    grow = "verinet.verify.box_stack.BoxPile.grow"
    original = BoxPile.grow
    monkeypatch.setattr(grow, lambda t, capacity: capacity <= t.capacity + 64 and original(t, capacity))
    assert searched(query, threads=threads, timeout=60).outlook is Outlook.REFUTED


def test_a_ceiling_is_kept() -> None:
    limit = ceiling(2)
    finding = searched(endless(), memory=limit, timeout=3, threads=2)
    assert finding.outlook is Outlook.OPEN
    assert peak_memory() <= limit * 2**20


def test_what_was_freed_may_be_spent_again() -> None:
    memory = MemoryCeiling(ceiling(8))
    blocks: list[np.ndarray] = []
    assert memory.spend(2**20, lambda: blocks.append(np.ones(2**17)))
    assert not memory.spend(2**26, lambda: blocks.append(np.ones(2**23)))
    assert memory.is_scarce
    memory.free(2**26)
    assert memory.allows(2**26)
    assert not MemoryCeiling(None).is_scarce


# ------------------------------------------------------------------------------------------- boxes too small to split


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
    assert searched(one(network, Domain.from_box([0], [2]), touched)).outlook is Outlook.OPEN
    (found,) = {
        searched(one(network, Domain.from_box([0], [2]), *cases), timeout=10).outlook
        for cases in itertools.permutations((touched, (Atom(y(1)),)))
    }
    assert found is Outlook.FOUND
    assert places[1] == 1.3


def test_a_box_set_aside_is_named_when_all_others_are_refuted() -> None:
    # No integer lies between the thresholds, but integers beyond 2^53 are not told apart by floats.
    start = 2**53
    network = dense_network([np.eye(1), np.eye(1)], [np.array([-float(start)]), np.zeros(1)])
    domain = Domain((Fraction(start),), (Fraction(start + 8),), (VariableType.INTEGER,))
    finding = searched(one(network, domain, (Atom(y() - constant(1.5)), Atom(constant(1.25) - y()))))
    assert finding.outlook is Outlook.OPEN
    assert not finding.cut_short
    assert "1 box is too small for floats to split and still open, all others are refuted" in finding.reason
    assert finding.bound is not None
    assert finding.bound <= 0
    assert finding.box == OpenBox((float(start),), (float(start + 8),))


def test_the_worst_of_many_small_boxes_is_named() -> None:
    network, places = dented(3)
    query = one(network, Domain.from_box([0], [3]), *((Atom(y(i), strict=True),) for i in range(3)))
    finding = searched(query, timeout=20)
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
    finding = searched(query, timeout=20)
    assert finding.outlook is Outlook.OPEN
    assert "more than 1 boxes" in finding.reason


@pytest.mark.parametrize("value", [Fraction(1, 10), Fraction(1, 3), Fraction(1, 2), Fraction(-7, 10)])
def test_inputs_that_are_fixed_are_settled_by_the_exact_value(value: Fraction) -> None:
    # relu(x + 1) is known exactly where x is one number, float or not.
    network = dense_network([np.eye(1), np.eye(1)], [np.ones(1), np.zeros(1)])
    domain = Domain((value,), (value,))
    reached = Atom(constant(value + 1) - y())
    assert searched(one(network, domain, (reached,))).point == (value,)
    assert searched(one(network, domain, (replace(reached, strict=True),))).outlook is Outlook.REFUTED
    nearly = Atom(constant(value + 1 + Fraction(1, 10**30)) - y())
    assert searched(one(network, domain, (nearly,))).outlook is Outlook.REFUTED


def test_a_fixed_decimal_beside_an_integer_is_settled_for_each_integer() -> None:
    network = dense_network([np.ones((1, 2)), np.eye(1)], [np.zeros(1), np.zeros(1)])
    types = (VariableType.CONTINUOUS, VariableType.INTEGER)
    domain = Domain((Fraction(1, 10), Fraction(0)), (Fraction(1, 10), Fraction(3)), types)
    most = constant(Fraction(31, 10))
    assert searched(one(network, domain, (Atom(most - y()),))).point == (Fraction(1, 10), Fraction(3))
    assert searched(one(network, domain, (Atom(most - y(), strict=True),))).outlook is Outlook.REFUTED
