"""The phase engine where nothing is left to split: a solver closes what bounds leave open."""

import itertools
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest

from tests.strategies import decide_by_enumeration
from tests.verify.asking import by_phases, constant, one, x, y
from verinet.bounds import InputSet, bound_network
from verinet.model import (
    Affine,
    Atom,
    Dense,
    Domain,
    Input,
    Maximum,
    Network,
    Node,
    Query,
    Region,
    Relu,
    dense_network,
    evaluate,
)
from verinet.verify import Answer, Deadline, Finding, Outlook, VerifyOptions, verify_query
from verinet.verify import phase as engine
from verinet.verify.branch import search_with_branching
from verinet.verify.memory import MemoryCeiling
from verinet.verify.milp import close_with_milp

pytestmark = pytest.mark.usefixtures("_phase_kernels")


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
        found = by_phases(query, timeout=3)
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
    closed = by_phases(query)
    assert closed.outlook is Outlook.REFUTED
    assert any("claim" in sentence for sentence in closed.evidence)
    verdict = verify_query(query.network, query, VerifyOptions(engine="phase", cross_check_neurons=0))
    assert verdict.answer is Answer.VERIFIED
    reached = one(query.network, query.regions[0].domain, (Atom(constant(Fraction(9, 10)) - y()),))
    assert by_phases(reached).outlook is Outlook.FOUND
    monkeypatch.setattr(engine, "close_with_milp", lambda *_: Finding(Outlook.OPEN, reason="the solver gave up"))
    assert by_phases(query).outlook is Outlook.OPEN
    assert by_phases(query, threads=2).outlook is Outlook.OPEN


def test_a_solver_is_not_asked_where_memory_is_short_of_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    query = one(larger_of(-0.5, -0.5), Domain.from_box([-1, -1], [1, 1]), (Atom(constant(Fraction(6, 5)) - y()),))
    asked: list[object] = []
    monkeypatch.setattr(engine, "close_with_milp", lambda *_: asked.append(1) or Finding(Outlook.REFUTED))
    monkeypatch.setattr(engine, "KERNEL_MEMORY", 0)
    monkeypatch.setattr(MemoryCeiling, "has_room", lambda self, size: size < engine.SOLVER_MEMORY)
    finding = by_phases(query)
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
    assert by_phases(query).outlook is Outlook.OPEN
    assert cases[-1] in asked
    monkeypatch.setattr(engine, "close_with_milp", lambda *_: Finding(Outlook.REFUTED))
    finding = by_phases(query)
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
