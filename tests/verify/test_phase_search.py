"""The search of the phase engine: repetition, threads, the clock, and the falsifier beside it."""

import itertools
import time
from typing import Any

import numpy as np
import pytest

from tests.verify.asking import above_the_samples, by_phases, constant, endless, one, random_dense, y
from verinet.bounds.root import finished
from verinet.model import Atom, Domain, Network, Query, dense_network, evaluate
from verinet.verify import Answer, Deadline, Finding, Interrupted, Outlook, VerifyOptions, verify_query
from verinet.verify import phase as engine
from verinet.verify.falsify import MANY_INPUTS, SAMPLED_ENTRIES, Falsifier
from verinet.verify.watch import Watch

pytestmark = pytest.mark.usefixtures("_phase_kernels")


def hard(share: float = 0.02, seed: int = 0) -> Query:
    """Return a question that takes a few hundred domains."""
    return above_the_samples(random_dense(seed, [6, 24, 24, 1]), share)


def domains_of(finding: Finding) -> int:
    return int(next(word for word in finding.evidence[0].split() if word.isdigit()))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("falsify", [False, True])
def test_a_search_repeats_itself(threads: int, falsify: bool) -> None:
    query = hard(0.15)
    first = by_phases(query, threads=threads, timeout=60, falsify=falsify)
    assert first.outlook is Outlook.REFUTED
    assert domains_of(first) > 100, "the query is too easy to show anything"
    again = by_phases(query, threads=threads, timeout=60, falsify=falsify)
    assert (again.outlook, again.evidence) == (first.outlook, first.evidence)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_found_point_repeats_itself(threads: int) -> None:
    query = hard(-0.01)
    first, again = (by_phases(query, threads=threads, timeout=60) for _ in range(2))
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
        assert by_phases(query, threads=threads, timeout=1).outlook is not Outlook.REFUTED


def test_a_function_of_one_input_is_decided() -> None:
    query = one(bumps(8, 3), Domain.from_box([-1], [8]), (Atom(constant(1.3) - y()),))
    assert by_phases(query, timeout=20).outlook is Outlook.REFUTED


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
    finding = by_phases(query, threads=threads, timeout=1.5)
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
    finding = by_phases(query, falsify=True, timeout=20)
    assert finding.outlook is Outlook.FOUND
    assert "falsifier" in finding.evidence[0]
