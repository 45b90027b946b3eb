"""The branch engine in use: repetition, threads, limits on time and memory, what is known when it is cut short."""

import time
from typing import Any

import numpy as np
import pytest

from tests.verify.asking import above_the_samples, by_branching, constant, one, random_dense, y
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
    Relu,
    dense_network,
    evaluate,
)
from verinet.verify import Answer, Finding, Interrupted, Outlook, VerifyOptions, box_search, verify_query
from verinet.verify.box_stack import BoxPile
from verinet.verify.memory import MemoryCeiling, peak_memory

pytestmark = pytest.mark.usefixtures("_branch_kernels")


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
    first = by_branching(query, threads=threads, timeout=60)
    assert first.outlook is Outlook.REFUTED
    boxes = int(next(word for word in first.evidence[0].split() if word.isdigit()))
    assert boxes > 100, "the query is too easy to show anything"
    for _ in range(2):
        again = by_branching(query, threads=threads, timeout=60)
        assert (again.outlook, again.evidence, again.point) == (first.outlook, first.evidence, first.point)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_found_point_repeats_itself(threads: int) -> None:
    query = above_the_samples(random_dense(1, [4, 32, 32, 1]), 0.02)
    first, again = (by_branching(query, threads=threads, timeout=60) for _ in range(2))
    assert first.outlook is Outlook.FOUND
    assert (first.point, first.evidence) == (again.point, again.evidence)


@pytest.mark.parametrize("threads", [1, 4])
def test_stacks_that_grow_lose_no_box(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    query = above_the_samples(random_dense(0, [4, 32, 32, 1]), 0.1)
    roomy = by_branching(query, threads=threads, timeout=60)
    monkeypatch.setattr("verinet.verify.box_stack.FIRST_CAPACITY", 3)
    tight = by_branching(query, threads=threads, timeout=60)
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
        found = by_branching(query, threads=threads, timeout=20)
        assert found.point is not None
        assert abs(found.point[0] - highest) < 1
        nothing = one(network, domain, (Atom(constant(1.3) - y()),))
        assert by_branching(nothing, threads=threads, timeout=20).outlook is Outlook.REFUTED


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
    finding = by_branching(query, threads=threads, timeout=0.5)
    assert finding.timed_out
    assert_worst_box(query, finding)
    assert f"{finding.bound:.6g}" in finding.reason
    assert str(finding.box) in finding.reason
    verdict = verify_query(query.network, query, VerifyOptions(engine="branch", timeout=0.5, falsify=False))
    assert verdict.timed_out
    assert verdict.bound is not None
    assert verdict.box is not None


def test_the_bound_of_a_longer_search_is_no_worse() -> None:
    short, long = (by_branching(endless(), timeout=seconds).bound for seconds in (0.1, 1.5))
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
    finding = by_branching(query, timeout=0.5, threads=2)
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


def ceiling(extra: float) -> float:
    """Return a limit that leaves so many MiB to the search, beyond its reserve."""
    return peak_memory() / 2**20 + 16 + extra


def test_a_ceiling_below_what_is_held_already_is_said() -> None:
    finding = by_branching(endless(), memory=1)
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
    finding = by_branching(query, threads=threads, timeout=30)
    assert finding.outlook is Outlook.OPEN
    assert finding.exhausted
    assert "memory limit" in finding.reason
    assert_worst_box(query, finding)


def test_a_machine_without_memory_ends_the_search_and_not_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(stack: object, capacity: int) -> None:
        raise MemoryError

    monkeypatch.setattr("verinet.verify.box_stack.FIRST_CAPACITY", 3)
    monkeypatch.setattr("verinet.verify.box_stack._resize", fail)
    finding = by_branching(above_the_samples(random_dense(0, [4, 32, 32, 1]), 0.1), timeout=30)
    assert finding.exhausted
    assert "all that the machine gives" in finding.reason


@pytest.mark.parametrize("threads", [1, 3])
def test_scarce_memory_changes_the_order_and_not_the_answer(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    query = above_the_samples(random_dense(0, [4, 32, 32, 1]), 0.1)
    monkeypatch.setattr(MemoryCeiling, "is_scarce", property(lambda ceiling: True))
    assert by_branching(query, threads=threads, timeout=60).outlook is Outlook.REFUTED
    monkeypatch.setattr("verinet.verify.box_stack.FIRST_CAPACITY", 3)
    # Small steps only: doubling is refused.
    grow = "verinet.verify.box_stack.BoxPile.grow"
    original = BoxPile.grow
    monkeypatch.setattr(grow, lambda t, capacity: capacity <= t.capacity + 64 and original(t, capacity))
    assert by_branching(query, threads=threads, timeout=60).outlook is Outlook.REFUTED


def test_a_ceiling_is_kept() -> None:
    limit = ceiling(2)
    finding = by_branching(endless(), memory=limit, timeout=3, threads=2)
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
