"""The phase engine against an independent oracle, on its edges, and under time limits."""

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.soundness.test_traps import duplicated, permuted
from tests.strategies import Point, decide_by_enumeration, judged_query, random_query
from tests.verify.test_branch import (
    above_the_samples,
    assert_right,
    constant,
    identity,
    one,
    random_dense,
    x,
    y,
)
from verinet.bounds import InputSet, bound_network
from verinet.bounds.root import finished
from verinet.model import (
    Affine,
    Atom,
    Dense,
    Domain,
    Input,
    L1Ball,
    Maximum,
    Network,
    Node,
    Query,
    Region,
    Relu,
    VariableType,
    dense_network,
    evaluate,
)
from verinet.verify import Answer, Deadline, Finding, Interrupted, Outlook, VerifyOptions, verify_query
from verinet.verify import phase as engine
from verinet.verify.branch import search_with_branching
from verinet.verify.falsify import MANY_INPUTS, SAMPLED_ENTRIES, Falsifier
from verinet.verify.memory import MemoryCeiling
from verinet.verify.milp import close_with_milp
from verinet.verify.phase import search_with_phases
from verinet.verify.watch import Watch

CASES, TYPED_CASES = 60, 40
TYPED_SEEDS = 10_000

PATIENCE = 2.0
"""Seconds for one small query: it is decided in milliseconds."""

MOST_OPEN = 0.15
"""Share of queries that may stay open: they ask for a value that is attained but not passed."""


def searched(
    query: Query, *, threads: int = 1, timeout: float = PATIENCE, falsify: bool = False, solver: str = "auto"
) -> Finding:
    """Ask the engine alone: no falsifier before it, and no Z3 after it that would correct a wrong claim."""
    (region,) = query.regions
    options = VerifyOptions(engine="phase", threads=threads, timeout=timeout, falsify=falsify, solver=solver)
    return search_with_phases(query.network, region, options, Deadline.after(timeout))


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    """Compile the kernels before any clock starts."""
    searched(above_the_samples(random_dense(0, [3, 8, 8, 1]), 0.1), timeout=600)


@pytest.fixture
def _brief_falsifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the falsifier be brief: small networks need no more, and hundreds of queries take time."""
    for name, value in {"SAMPLES": 256, "POINTS": 16, "STEPS": 8}.items():
        monkeypatch.setattr(f"verinet.verify.falsify.{name}", value)


@pytest.fixture
def _blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody look at the points where bounds are attained: the proof alone must not go wrong."""

    def look_away(minimisers: object, workers: Sequence[object]) -> None:
        return None

    monkeypatch.setattr(engine._Minimisers, "check", look_away)


# ------------------------------------------------------------------------------------------------ against the oracle


def cases(typed: bool) -> Iterator[tuple[Query, Point | None]]:
    start, count = (TYPED_SEEDS, TYPED_CASES) if typed else (0, CASES)
    return (judged_query(seed, typed) for seed in range(start, start + count))


@pytest.mark.usefixtures("_brief_falsifier")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("falsify", [False, True])
@pytest.mark.parametrize("typed", [False, True])
def test_the_engine_alone_agrees_with_enumeration(typed: bool, falsify: bool, threads: int) -> None:
    findings = [(truth, query, searched(query, threads=threads, falsify=falsify)) for query, truth in cases(typed)]
    still_open = sum(assert_right(query, truth, finding) for truth, query, finding in findings)
    assert still_open <= MOST_OPEN * len(findings), still_open


@pytest.mark.usefixtures("_blind")
@pytest.mark.parametrize("typed", [False, True])
def test_an_engine_that_does_not_look_at_its_minimisers_proves_nothing_false(typed: bool) -> None:
    for number, (query, truth) in enumerate(cases(typed)):
        if truth is not None:
            finding = searched(query, threads=1 + number % 2)
            assert finding.outlook is not Outlook.REFUTED, (number, truth)


@pytest.mark.usefixtures("_blind")
def test_every_stage_of_the_root_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each stage begins anew with tighter bounds; quotas of a few domains send most queries through all.
    monkeypatch.setattr(engine, "STAGES", ((0, 0.0), (1, 2.0), (2, 5.0), (6, np.inf)))
    for query, truth in cases(False):
        finding = searched(query)
        if truth is not None:
            assert finding.outlook is not Outlook.REFUTED
        if finding.outlook is Outlook.OPEN:
            assert not finding.timed_out


@pytest.mark.usefixtures("_brief_falsifier")
@pytest.mark.parametrize("typed", [False, True])
def test_verdicts_agree_with_enumeration(typed: bool) -> None:
    # The whole verifier: Z3 for what is left open and as a cross-check.
    for number, (query, truth) in enumerate(itertools.islice(cases(typed), 50)):
        options = VerifyOptions(engine="phase", threads=1 + number % 2, timeout=30)
        verdict = verify_query(query.network, query, options)
        assert verdict.answer is (Answer.VERIFIED if truth is None else Answer.VIOLATED), (number, verdict)
        # Z3 must not have had to overrule a claim of the engine.
        assert not any("although" in sentence for sentence in verdict.evidence), (number, verdict)
        if verdict.witness is not None:
            assert query.violated_at(verdict.witness.point)


def test_larger_networks_agree_with_the_branch_engine() -> None:
    settled = 0
    for seed in range(24):
        query = random_query(seed, max_neurons=40, width=8, blocks=8)
        (region,) = query.regions
        options = VerifyOptions(engine="branch", timeout=1, falsify=False)
        found = searched(query, timeout=3)
        other = search_with_branching(query.network, region, options, Deadline.after(1))
        if Outlook.OPEN not in (found.outlook, other.outlook):
            assert found.outlook is other.outlook, seed
            settled += 1
    assert settled >= 15


# ------------------------------------------------------------------------------------------------- conjunctions, edges


def test_conjunctions_need_a_combination_of_their_atoms() -> None:
    # Each atom can hold alone, both never: y0 >= 1/2 and y1 >= 1/2 where y1 = 3/4 - y0.
    network = dense_network([np.array([[1.0], [-1.0]]), np.eye(2)], [np.array([0.0, 0.75]), np.zeros(2)])
    half = constant(Fraction(1, 2))
    both = (Atom(half - y(0)), Atom(half - y(1)))
    assert searched(one(network, Domain.from_box([0], [1]), both)).outlook is Outlook.REFUTED
    assert searched(one(network, Domain.from_box([0], [1]), *((a,) for a in both))).outlook is Outlook.FOUND


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("rows", [3, 5])
def test_any_but_all_of_the_atoms_can_hold(rows: int, threads: int) -> None:
    # Relus of inputs that sum to one: all outputs above 1 / rows is impossible, any fewer of them is not.
    network = dense_network([np.eye(rows), np.eye(rows)], [np.zeros(rows), np.zeros(rows)])
    total = sum((x(i) for i in range(rows)), constant(-1))
    domain = replace(Domain.from_box([-1] * rows, [1] * rows), conditions=(Atom(total), Atom(-total)))
    more = tuple(Atom(constant(Fraction(1, rows) + Fraction(1, 20)) - y(i)) for i in range(rows))
    assert searched(one(network, domain, more), threads=threads).outlook is Outlook.REFUTED
    fewer = searched(one(network, domain, more[1:]), threads=threads, timeout=10, falsify=True)
    assert fewer.outlook is not Outlook.REFUTED


def test_a_case_refuted_above_stays_refuted_below_and_no_other() -> None:
    network = dense_network([np.array([[1.0], [-1.0]]), np.array([[1.0, 1.0]])], [np.zeros(2), np.zeros(1)])
    never = (Atom(constant(2) - y()),)
    seldom = (Atom(constant(Fraction(999, 1000)) - y()), Atom(x()))
    nowhere = (Atom(constant(Fraction(3, 4)) - y()), Atom(x() - constant(Fraction(1, 2))), Atom(-x()))
    domain = Domain.from_box([-1], [1])
    for order in itertools.permutations((never, nowhere, seldom)):
        found = searched(one(network, domain, *order))
        assert found.point is not None
        assert found.point[0] < 0
    assert searched(one(network, domain, never, nowhere)).outlook is Outlook.REFUTED


def test_more_cases_than_columns_are_all_looked_at() -> None:
    # 200 windows of |x|; one of them is reached, whichever it is.
    network = dense_network([np.array([[1.0], [-1.0]]), np.array([[1.0, 1.0]])], [np.zeros(2), np.zeros(1)])
    domain = Domain.from_box([-1], [1])

    def window(centre: float) -> tuple[Atom, ...]:
        return (Atom(y() - constant(centre + 0.25)), Atom(constant(centre - 0.25) - y()), Atom(constant(centre) - x()))

    beyond = [window(2.0 + 0.01 * k) for k in range(200)]
    assert searched(one(network, domain, *beyond)).outlook is Outlook.REFUTED
    for place in (0, 63, 64, 150, 199):
        inside = [*beyond[:place], window(0.75), *beyond[place + 1 :]]
        assert searched(one(network, domain, *inside)).outlook is Outlook.FOUND


def test_no_case_at_all_is_refuted_and_an_empty_case_is_never() -> None:
    domain = Domain.from_box([-1], [1])
    assert searched(one(identity(), domain)).outlook is Outlook.REFUTED
    assert searched(one(identity(), domain, ())).outlook is not Outlook.REFUTED


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_strict_and_non_strict_thresholds_differ_by_one_point(threads: int) -> None:
    domain = Domain.from_box([-1], [1])
    reaches = searched(one(identity(), domain, (Atom(constant(1) - y()),)), threads=threads)
    assert reaches.outlook is Outlook.FOUND
    exceeds = searched(one(identity(), domain, (Atom(constant(1) - y(), strict=True),)), threads=threads)
    assert exceeds.outlook is not Outlook.FOUND


@pytest.mark.usefixtures("_blind")
def test_thresholds_nearer_than_rounding_are_not_decided_by_rounding() -> None:
    network = dense_network([np.array([[1 / 3]]), np.eye(1)], [np.zeros(1), np.zeros(1)])
    domain, highest = Domain.from_box([-1], [1]), Fraction(1 / 3)
    below = searched(one(network, domain, (Atom(constant(highest - Fraction(1, 10**30)) - y()),)))
    assert below.outlook is not Outlook.REFUTED


def test_types_groups_and_balls_count() -> None:
    network = dense_network([np.array([[1.0, 2.0, 3.0]]), np.eye(1)], [np.full(1, -1.5), np.zeros(1)])
    binary = Domain((Fraction(0),) * 3, (Fraction(1),) * 3, (VariableType.BINARY,) * 3)
    grouped = replace(binary, groups=((0, 1, 2),))
    most = (Atom(constant(2) - y()),)
    assert searched(one(network, binary, most)).outlook is Outlook.FOUND
    assert searched(one(network, grouped, most)).outlook is Outlook.REFUTED
    assert searched(one(network, grouped, (Atom(constant(Fraction(3, 2)) - y()),))).point == (0, 0, 1)
    ball = L1Ball((0, 1, 2), (Fraction(0),) * 3, Fraction(1))
    inside = replace(Domain.from_box([-1] * 3, [1] * 3), balls=(ball,))
    assert searched(one(network, inside, (Atom(constant(Fraction(7, 5)) - y()),))).outlook is not Outlook.REFUTED
    assert searched(one(network, inside, (Atom(constant(Fraction(8, 5)) - y()),))).outlook is not Outlook.FOUND


# ------------------------------------------------------------------------------------------------- hostile magnitudes


def rows_that_cancel(count: int) -> Iterator[tuple[Fraction, ...]]:
    """Yield coefficients of three atoms that add up to zero, and whose thirds do not in floats."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        first, second = (Fraction(int(w)) for w in rng.integers(-(2**51), 2**51, 2))
        yield first, second, -first - second


@pytest.mark.usefixtures("_blind")
@pytest.mark.parametrize("of", [x, y])
def test_atoms_whose_combination_cancels_prove_nothing(of: object) -> None:
    # All atoms hold, with equality, at 3/2; what is left of their combination is rounding alone.
    wrong = 0
    for weights in rows_that_cancel(40):
        atoms = tuple(Atom((of() - constant(Fraction(3, 2))) * w) for w in weights)  # type: ignore[operator]
        query = one(identity(), Domain.from_box([1], [2]), atoms)
        assert query.violated_at((Fraction(3, 2),))
        wrong += searched(query).outlook is Outlook.REFUTED
    assert not wrong


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_atoms_over_the_inputs_whose_sum_overflows_prove_nothing() -> None:
    # 2 x 1.5e308 is infinite in floats and stays so when 3 x 1.5e308 is taken away.
    network = dense_network([np.eye(5), np.eye(5)], [np.zeros(5), np.zeros(5)])
    huge = Fraction(10**300)
    atom = Atom((x(0) + x(1)) * huge + (x(2) + x(3) + x(4)) * -huge)
    query = one(network, Domain.from_box([1.5e8] * 5, [1.6e8] * 5), (atom,))
    assert query.violated_at((Fraction(150_000_000),) * 5)
    assert searched(query).outlook is not Outlook.REFUTED


@pytest.mark.usefixtures("_blind")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("lowest", [-0.5, 0.25])
@pytest.mark.parametrize("weight", [1e9, 1e12, 1e13, 1e15, 1e18, 1e30, 1e100, 1e300])
def test_cancelling_huge_weights_prove_nothing_false(weight: float, lowest: float) -> None:
    network = dense_network(
        [np.array([[1.0], [1.0]]), np.array([[weight, -weight]]), np.eye(1)],
        [np.zeros(2), np.array([1e-3]), np.zeros(1)],
    )
    above = searched(one(network, Domain.from_box([lowest], [1.0]), (Atom(constant(Fraction(1, 2000)) - y()),)))
    assert above.outlook is not Outlook.REFUTED


@pytest.mark.usefixtures("_blind")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("lowest", [-0.5, 0.5])
def test_overflow_and_underflow_prove_nothing(lowest: float) -> None:
    network = dense_network(
        [np.array([[1e300], [1e300]]), np.array([[1e300, -1e300]]), np.eye(1)],
        [np.zeros(2), np.array([0.25]), np.zeros(1)],
    )
    query = one(network, Domain.from_box([lowest], [2.0]), (Atom(constant(Fraction(1, 8)) - y()),))
    assert searched(query).outlook is not Outlook.REFUTED
    network = dense_network([np.full((1, 1), 1e-200)] * 2, [np.array([1e100]), np.array([-1e-100])])
    query = one(network, Domain.from_box([-9e299], [9e299]), (Atom(y() + constant(Fraction(1, 10**104))),))
    assert query.violated_at((Fraction(-9e299),))
    assert searched(query).outlook is not Outlook.REFUTED


@pytest.mark.usefixtures("_blind")
def test_huge_weights_raise_no_warnings() -> None:
    network = dense_network(
        [np.array([[1.0], [1.0]]), np.array([[1e100, -1e100]]), np.eye(1)],
        [np.zeros(2), np.array([1e-3]), np.zeros(1)],
    )
    searched(one(network, Domain.from_box([-0.5], [1.0]), (Atom(constant(Fraction(1, 500)) - y()),)))


# ------------------------------------------------------------------------- domains in which nothing is left to split


def small_pools(seed: int, *, active: bool) -> Network:
    """Return a network that pools nine entries by threes, through ReLUs first if they are to be active."""
    rng = np.random.default_rng(seed)
    nodes = (
        Node("x", Input(3)),
        Node("a", Affine((Dense(rng.integers(-8, 9, (9, 3)) / 4),), rng.integers(-4, 5, 9) / 4), ("x",)),
        Node("r", Relu(9), ("a",)),
        Node("p", Maximum(np.arange(9), np.array([0, 3, 6, 9]), 9), ("r",) if active else ("a",)),
        Node("b", Affine((Dense(rng.integers(-8, 9, (3, 3)) / 4),), rng.integers(-4, 5, 3) / 4), ("p",)),
        Node("s", Relu(3), ("b",)),
        Node("y", Affine((Dense(rng.integers(-8, 9, (1, 3)) / 4),), np.zeros(1)), ("s",)),
    )
    return Network(tuple(node for node in nodes if active or node.name != "r"), ("y",))


@pytest.mark.parametrize("active", [False, True])
def test_pools_that_never_get_tight_are_closed_or_stay_open(active: bool) -> None:
    claims = 0
    for seed, share in itertools.product(range(6), (0.02, 0.3)):
        network = small_pools(seed, active=active)
        points = np.random.default_rng(0).uniform(-1, 1, (4000, 3))
        values = evaluate(network, points)[:, 0]
        threshold = Fraction(round(64 * float(values.max() + share * np.ptp(values))), 64)
        query = one(network, Domain.from_box([-1] * 3, [1] * 3), (Atom(constant(threshold) - y()),))
        (region,) = query.regions
        known = search_with_branching(network, region, VerifyOptions(falsify=False), Deadline.after(5))
        assert known.outlook is not Outlook.OPEN
        found = searched(query, timeout=3)
        assert found.outlook in (known.outlook, Outlook.OPEN), (seed, share)
        claims += any("claim" in sentence for sentence in found.evidence)
        assert found.point is None or query.violated_at(found.point)
    assert claims or active, "no domain was ever left to a solver"


def larger_of(first: float, second: float) -> Network:
    """Return ``relu(max(a, b) + first a + second b)``: a pool that no split of a ReLU makes tight."""
    nodes = (
        Node("x", Input(2)),
        Node("copy", Affine((Dense(np.eye(2)),), np.zeros(2)), ("x",)),
        Node("pool", Maximum(np.array([0, 1]), np.array([0, 2]), 2), ("copy",)),
        Node("sum", Affine((Dense(np.eye(1)), Dense(np.array([[first, second]]))), np.zeros(1)), ("pool", "copy")),
        Node("on", Relu(1), ("sum",)),
    )
    return Network(nodes, ("on",))


def test_what_cannot_be_split_is_refuted_by_a_claim_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    # max(a, b) - a/2 - b/2 is |a - b| / 2, at most 1 on the box; the pool's lines allow more.
    query = one(larger_of(-0.5, -0.5), Domain.from_box([-1, -1], [1, 1]), (Atom(constant(Fraction(6, 5)) - y()),))
    closed = searched(query)
    assert closed.outlook is Outlook.REFUTED
    assert any("claim" in sentence for sentence in closed.evidence)
    verdict = verify_query(query.network, query, VerifyOptions(engine="phase", cross_check_neurons=0))
    assert verdict.answer is Answer.VERIFIED
    reached = one(query.network, query.regions[0].domain, (Atom(constant(Fraction(9, 10)) - y()),))
    assert searched(reached).outlook is Outlook.FOUND
    monkeypatch.setattr(engine, "close_with_milp", lambda *_: Finding(Outlook.OPEN, reason="the solver gave up"))
    assert searched(query).outlook is Outlook.OPEN
    assert searched(query, threads=2).outlook is Outlook.OPEN


def test_a_solver_is_not_asked_where_memory_is_short_of_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    query = one(larger_of(-0.5, -0.5), Domain.from_box([-1, -1], [1, 1]), (Atom(constant(Fraction(6, 5)) - y()),))
    asked: list[object] = []
    monkeypatch.setattr(engine, "close_with_milp", lambda *_: asked.append(1) or Finding(Outlook.REFUTED))
    monkeypatch.setattr(engine, "KERNEL_MEMORY", 0)
    monkeypatch.setattr(MemoryCeiling, "has_room", lambda self, size: size < engine.SOLVER_MEMORY)
    finding = searched(query)
    assert finding.exhausted
    assert not asked


def test_every_domain_that_is_set_aside_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    # Many cases, of which only the last is not refuted: every one is set aside and each gets its answer.
    network = larger_of(-0.5, -0.5)
    cases = tuple((Atom(constant(Fraction(6, 5) + Fraction(k, 1000)) - y()),) for k in range(5))
    query = one(network, Domain.from_box([-1, -1], [1, 1]), *cases)
    asked: list[object] = []

    def close(network: Network, region: Region, case: object, *rest: object) -> Finding:
        asked.append(case)
        return Finding(Outlook.OPEN if case == cases[-1] else Outlook.REFUTED, reason="open")

    monkeypatch.setattr(engine, "close_with_milp", close)
    assert searched(query).outlook is Outlook.OPEN
    assert cases[-1] in asked
    monkeypatch.setattr(engine, "close_with_milp", lambda *_: Finding(Outlook.REFUTED))
    finding = searched(query)
    assert finding.outlook is Outlook.REFUTED
    assert "but for" in finding.evidence[-1]


def close_part(query: Query, phases: Sequence[int]) -> Finding:
    """Ask the solver about the part of a one-layer network's domain in which each ReLU has a phase."""
    (region,) = query.regions
    bounds = bound_network(query.network, InputSet.of(region.domain))
    intervals = {name: (v.lower, v.upper) for name, v in bounds.intervals.items()}
    sides = {query.network.nodes[1].name: np.array(phases)}
    options = VerifyOptions(timeout=10)
    return close_with_milp(query.network, region, region.unsafe[0], intervals, sides, options, Deadline.after(10))


def closed_on_parts(query: Query, count: int) -> list[Finding]:
    return [close_part(query, phases) for phases in itertools.product((-1, 1), repeat=count)]


@pytest.mark.parametrize("seed", range(6))
def test_the_parts_of_a_region_are_closed_as_the_whole_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = dense_network(
        [rng.integers(-8, 9, (3, 2)) / 4, rng.integers(-8, 9, (1, 3)) / 4], [rng.integers(-4, 5, 3) / 4, np.zeros(1)]
    )
    values = evaluate(network, rng.uniform(-1, 1, (4000, 2)))[:, 0]
    domain = Domain.from_box([-1, -1], [1, 1])
    for share in (0.9, 1.3):
        threshold = float(np.round(values.min() + share * np.ptp(values), 4))
        query = one(network, domain, (Atom(constant(threshold) - y()),))
        truth = decide_by_enumeration(query)
        findings = closed_on_parts(query, 3)
        if truth is not None:
            assert any(f.outlook is not Outlook.REFUTED for f in findings)
        for finding in findings:
            if finding.point is not None:
                assert query.violated_at(finding.point)


def test_a_part_in_which_a_relu_is_off_is_closed() -> None:
    # x >= 1/2 lies outside the part where relu(x) is off.
    network = dense_network([np.eye(1), np.eye(1)], [np.zeros(1), np.zeros(1)])
    query = one(
        network,
        Domain.from_box([-1], [1]),
        (Atom(constant(Fraction(1, 2)) - x()), Atom(y() - constant(Fraction(1, 4)))),
    )
    assert [f.outlook for f in closed_on_parts(query, 1)] == [Outlook.REFUTED] * 2


# --------------------------------------------------------------------------------------- threads, repetition, no losses


def hard(share: float = 0.02, seed: int = 0) -> Query:
    """Return a question that takes a few hundred domains."""
    return above_the_samples(random_dense(seed, [6, 24, 24, 1]), share)


def domains_of(finding: Finding) -> int:
    return int(next(word for word in finding.evidence[0].split() if word.isdigit()))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("falsify", [False, True])
def test_a_search_repeats_itself(threads: int, falsify: bool) -> None:
    query = hard(0.15)
    first = searched(query, threads=threads, timeout=60, falsify=falsify)
    assert first.outlook is Outlook.REFUTED
    assert domains_of(first) > 100, "the query is too easy to show anything"
    again = searched(query, threads=threads, timeout=60, falsify=falsify)
    assert (again.outlook, again.evidence) == (first.outlook, first.evidence)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_found_point_repeats_itself(threads: int) -> None:
    query = hard(-0.01)
    first, again = (searched(query, threads=threads, timeout=60) for _ in range(2))
    assert first.outlook is Outlook.FOUND
    assert (first.point, first.evidence) == (again.point, again.evidence)


def bumps(size: int, highest: int) -> Network:
    """Return a bump at each integer, one of them higher."""
    centres = np.repeat(np.arange(size, dtype=float), 3)
    bias = -centres + np.tile([0.5, 0.0, -0.5], size)
    heights = np.ones(size)
    heights[highest] = 1.25
    last = (np.tile([2.0, -4.0, 2.0], size) * np.repeat(heights, 3))[None, :]
    return dense_network([np.ones((3 * size, 1)), last], [bias, np.zeros(1)])


@pytest.mark.usefixtures("_blind")
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_no_domain_is_lost(threads: int) -> None:
    # Whichever bump is the highest: nobody looks at points, so that only a lost domain could end the search early.
    for highest in (0, 3, 7):
        query = one(bumps(8, highest), Domain.from_box([-1], [8]), (Atom(constant(1.125) - y()),))
        assert searched(query, threads=threads, timeout=1).outlook is not Outlook.REFUTED


def test_a_function_of_one_input_is_decided() -> None:
    query = one(bumps(8, 3), Domain.from_box([-1], [8]), (Atom(constant(1.3) - y()),))
    assert searched(query, timeout=20).outlook is Outlook.REFUTED


def test_a_stack_keeps_its_order_and_all_of_its_domains() -> None:
    def part(*cases: int) -> engine._Domains:
        count = len(cases)
        flat = np.zeros((count, 1))
        return engine._Domains(
            flat, flat, flat, flat, np.array(cases), np.zeros(count, int), np.zeros(count), np.zeros((count, 4), int)
        )

    stack = engine._Stack()
    for k in range(0, 30, 3):
        stack.push(part(k, k + 1, k + 2))
    stack.push(part())
    assert len(stack) == 30
    taken = stack.pop(7)
    assert sorted(taken.case.tolist()) == list(range(23, 30))
    older = stack.half()
    assert sorted((*stack.pop(100).case.tolist(), *older.pop(100).case.tolist())) == list(range(23))
    assert len(stack) == len(older) == 0


# ------------------------------------------------------------------------------------------------------------ the clock


def endless(seed: int = 0) -> Query:
    """Return a question that no engine answers within seconds."""
    return above_the_samples(random_dense(seed, [20, 60, 60, 60, 1]), 1.5)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("timeout", [0.0, 1.0])
@pytest.mark.parametrize("sizes", [[20, 60, 60, 60, 1], [50, 500, 500, 500, 1]], ids=["search", "root"])
def test_the_time_limit_is_kept_and_said(sizes: list[int], timeout: float, threads: int) -> None:
    # The larger network is still at its root by then.
    query = above_the_samples(random_dense(0, sizes), 1.0)
    options = VerifyOptions(engine="phase", timeout=timeout, threads=threads, falsify=False)
    started = time.monotonic()
    verdict = verify_query(query.network, query, options)
    assert time.monotonic() - started < timeout + 1.5
    assert verdict.answer is Answer.UNKNOWN
    assert verdict.timed_out
    assert "time limit" in verdict.reason


@pytest.mark.parametrize("threads", [1, 2])
def test_the_bound_of_what_is_left_open_holds(threads: int) -> None:
    query = endless()
    finding = searched(query, threads=threads, timeout=1.5)
    assert finding.timed_out
    assert finding.bound is not None
    assert np.isfinite(finding.bound)
    ((atom,),) = query.regions[0].unsafe
    points = np.random.default_rng(1).uniform(-1, 1, (5000, 20))
    violation = float(atom.expression.constant) - evaluate(query.network, points)[:, 0]
    assert finding.bound <= violation.min()


@pytest.mark.parametrize("place", ["verinet.verify.phase", "verinet.bounds.root"])
def test_an_interrupt_ends_the_search(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    # As if the key were pressed while threads work; how the signal comes is for the command line's tests.
    query = above_the_samples(random_dense(0, [20, 60, 60, 60, 1]), 1.0)
    calls = itertools.count()

    def interrupted(*arguments: Any) -> bool:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return finished(*arguments)

    monkeypatch.setattr(f"{place}.finished", interrupted)
    with pytest.raises(Interrupted) as stop:
        verify_query(query.network, query, VerifyOptions(engine="phase", timeout=60, falsify=False, threads=2))
    assert stop.value.verdict.answer is Answer.UNKNOWN
    assert "interrupted" in stop.value.verdict.reason


# --------------------------------------------------------------------------------------------------------- many regions


def test_several_regions_are_each_decided() -> None:
    network = random_dense(3, [4, 10, 10, 1])
    values = evaluate(network, np.random.default_rng(0).uniform(-1, 1, (4000, 4)))[:, 0]
    above = (Atom(constant(float(values.max() + np.ptp(values))) - y()),)
    below = (Atom(constant(float(np.median(values))) - y()),)
    box = Domain.from_box([-1] * 4, [1] * 4)
    left, right = (Domain.from_box([a, -1, -1, -1], [a + 1, 1, 1, 1]) for a in (-1, 0))
    options = VerifyOptions(engine="phase", falsify=False, timeout=20, cross_check_neurons=0)
    safe = Query(network, (Region(left, (above,)), Region(right, (above,))))
    assert verify_query(network, safe, options).answer is Answer.VERIFIED
    for regions in itertools.permutations((Region(left, (above,)), Region(box, (below,)), Region(right, (above,)))):
        verdict = verify_query(network, Query(network, regions), options)
        assert verdict.answer is Answer.VIOLATED
    hard_one = endless()
    small = Domain.from_box([-0.01] * 20, [0.01] * 20)
    for regions in itertools.permutations((hard_one.regions[0], Region(small, hard_one.regions[0].unsafe))):
        verdict = verify_query(hard_one.network, Query(hard_one.network, regions), replace(options, timeout=1.0))
        assert verdict.answer is Answer.UNKNOWN


# ------------------------------------------------------------------------------------ what does not change the question


def rescaled(network: Network, factors: np.ndarray) -> Network:
    """Return a network that takes its inputs multiplied by powers of two."""
    first = next(node for node in network.nodes if isinstance(node.op, Affine))
    weights = first.op.maps[0].weights / factors  # type: ignore[union-attr]
    nodes = (
        replace(node, op=Affine((Dense(weights),), node.op.bias)) if node is first else node  # type: ignore[union-attr]
        for node in network.nodes
    )
    return Network(tuple(nodes), network.outputs)


@pytest.mark.usefixtures("_brief_falsifier")
@pytest.mark.parametrize("seed", range(5))
def test_what_does_not_change_the_function_does_not_change_the_verdict(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layers = [rng.integers(-8, 9, size=s) / 4.0 for s in ((6, 4), (6, 6), (1, 6))]
    network = dense_network(layers, [rng.integers(-4, 5, size=len(w)) / 4.0 for w in layers])
    factors = 2.0 ** rng.integers(-20, 20, size=4)
    box = Domain.from_box([-1] * 4, [1] * 4)
    scaled = Domain.from_box(-factors, factors)
    values = evaluate(network, rng.uniform(-1, 1, size=(4000, 4)))[:, 0]
    for share, expected in ((0.9, Outlook.FOUND), (1.3, Outlook.REFUTED)):
        threshold = Fraction(round(float(values.min() + share * np.ptp(values)) * 64), 64)
        atoms = (Atom(constant(threshold) - y()), Atom(constant(threshold - 1) - y()))
        asked = [
            one(n, domain, *cases)
            for n, domain in (
                (network, box),
                (permuted(network, rng), box),
                (duplicated(network), box),
                (rescaled(network, factors), scaled),
            )
            for cases in (
                (atoms,),
                (atoms[::-1],),
                (atoms, atoms[::-1]),
                (tuple(Atom(a.expression * 1024) for a in atoms),),
            )
        ]
        found = {searched(q, timeout=5, threads=1 + seed % 2, falsify=True).outlook for q in asked}
        assert found == {expected}


# --------------------------------------------------------------------------------------------- the falsifier beside it


def wide_query(inputs: int, moving: int) -> Query:
    """Ask for a corner of a box in which only some inputs move."""
    network = dense_network([np.ones((1, inputs)), np.eye(1)], [np.zeros(1), np.zeros(1)])
    upper = np.where(np.arange(inputs) < moving, 1.0, 0.0)
    return one(network, Domain.from_box(np.zeros(inputs), upper), (Atom(constant(moving - 0.5) - y()),))


@pytest.mark.parametrize("moving", [MANY_INPUTS, MANY_INPUTS + 1, 300])
def test_the_falsifier_takes_fewer_points_where_many_inputs_move(moving: int) -> None:
    query = wide_query(400, moving)
    falsifier = Falsifier(query.network, query.regions[0])
    assert falsifier.is_wide is (moving > MANY_INPUTS)
    assert falsifier.samples * query.network.size_in <= SAMPLED_ENTRIES
    assert falsifier.evaluations >= falsifier.samples
    point = falsifier.start(Deadline.after(20))
    assert point is not None
    assert query.violated_at(point)


def test_a_round_samples_the_boxes_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    query = wide_query(100, 100)
    falsifier = Falsifier(query.network, query.regions[0])
    seen: list[np.ndarray] = []
    monkeypatch.setattr(Falsifier, "_improve", lambda self, points, deadline: seen.append(points))
    lower = np.stack([np.zeros(100), np.full(100, 0.75)])
    falsifier.round(Deadline.after(10), (lower, lower + 0.25))
    (points,) = seen
    assert len(points) == falsifier.samples
    inside = [((points >= low) & (points <= low + 0.25)).all(axis=1) for low in lower]
    assert np.logical_or(*inside).all()
    assert all(part.any() for part in inside)


def test_the_watch_gives_the_falsifier_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    query = wide_query(10, 10)
    falsifier = Falsifier(query.network, query.regions[0])
    rounds: list[object] = []
    monkeypatch.setattr(Falsifier, "round", lambda self, deadline, boxes=None: rounds.append(boxes))
    monkeypatch.setattr(Falsifier, "start", lambda self, deadline: rounds.append(None))
    boxes = (np.zeros((1, 10)), np.ones((1, 10)))
    off = Watch(falsifier, 20, False)
    assert off.look(1e12, Deadline.after(1), lambda: boxes) is None
    assert not rounds
    watch = Watch(falsifier, 20, True)
    for work in (0.0, 1.0, 0.9 * falsifier.evaluations * 20, 1e9, 1e9 + 1, 1e12):
        watch.look(work, Deadline.after(1), lambda: boxes)
    # At once, then as soon as the search has done as much as the falsifier; the whole domain and boxes by turns.
    assert [item is boxes for item in rounds] == [False, True, False]


def test_the_falsifier_finds_what_the_bounds_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    query = hard(-0.05)
    monkeypatch.setattr(engine._Minimisers, "check", lambda *_: None)
    finding = searched(query, falsify=True, timeout=20)
    assert finding.outlook is Outlook.FOUND
    assert "falsifier" in finding.evidence[0]
