"""The branch engine: branch and bound on the input box, on all cores, with rounding-safe bounds.

Work goes in rounds: each thread explores its own stack up to a quota of boxes, then stacks are evened out. Rounds make
the search deterministic for a given number of threads, and give deadlines, memory limits and progress their turn.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from threadpoolctl import threadpool_limits

from verinet.bounds import InputSet, NetworkBounds, bound_network
from verinet.bounds.kernels import Work, bound_box, make_work
from verinet.bounds.tape import Tape, make_tape
from verinet.model import Affine, Atom, Dense, Domain, LinearExpression, Network, Node, Region, Side, Symbol
from verinet.numeric import FloatArray
from verinet.verify.atoms import atom_bounds, float_atoms, refuted_by
from verinet.verify.box_kernels import Cases, Event, Stack, explore
from verinet.verify.falsify import Falsifier
from verinet.verify.finding import Finding, Outlook
from verinet.verify.options import Deadline, VerifyOptions
from verinet.verify.witness import confirm

__all__ = ["search_with_branching"]

FIRST_QUOTA, LARGEST_QUOTA = 32, 1024
"""Boxes a thread looks at in the first round, and in later ones."""

FIRST_RATIO, LAST_RATIO, RATIO_GROWTH = 1.0, 10.0, 1.25
"""Products that boxes get for each one of the falsifier, whose products are the faster ones: most counterexamples are
found early, so the falsifier's share shrinks from turn to turn."""

FIRST_CAPACITY = 256
"""Boxes that a stack has room for at first."""


@dataclass(eq=False)
class _Thread:
    """One thread's stack and buffers."""

    work: Work
    stack: Stack
    false_alarm: bool = False
    """Whether the box on top gave a point that turned out to be no counterexample."""

    @classmethod
    def start(cls, tape: Tape, cases: int, lower: FloatArray, upper: FloatArray) -> "_Thread":
        """Make a thread that has seen the whole box."""
        work = make_work(tape)
        work.lower[: tape.inputs], work.upper[: tape.inputs] = lower, upper
        # Crossed bounds of the whole box show again, as a contradiction, when the search looks at it.
        bound_box(tape, work, len(tape.kind) - 1, True)
        return cls(work, _make_stack(tape.total, cases, FIRST_CAPACITY))

    @property
    def boxes(self) -> int:
        return int(self.stack.state[0])

    def grow(self, capacity: int) -> None:
        """Move to a larger stack."""
        larger = _make_stack(self.stack.lower.shape[1], self.stack.refuted.shape[1], capacity)
        for old, new in zip(self.stack[:5], larger[:5], strict=True):
            new[: self.boxes] = old[: self.boxes]
        larger.state[:], larger.point[:] = self.stack.state, self.stack.point
        self.stack = larger

    def raise_most_promising(self) -> None:
        """Swap the box with the smallest bound to the top, so that depth first does not dig in one corner only."""
        top = self.boxes - 1
        best = int(np.argmin(self.stack.value[: top + 1]))
        for array in self.stack[:5]:
            array[[best, top]] = array[[top, best]]

    def give_half(self, other: "_Thread") -> None:
        """Hand the older half of the stack, the larger boxes, to a thread without any."""
        half = self.boxes // 2
        if half > len(other.stack.depth) - 2:
            other.grow(2 * half + 2)
        for own, theirs in zip(self.stack[:5], other.stack[:5], strict=True):
            theirs[:half] = own[:half]
            own[: self.boxes - half] = own[half : self.boxes].copy()
        other.stack.state[0] = half
        self.stack.state[0] -= half


def _make_stack(total: int, cases: int, capacity: int) -> Stack:
    return Stack(
        np.full((capacity, total), -np.inf),
        np.full((capacity, total), np.inf),
        np.zeros((capacity, cases), dtype=np.int64),
        np.zeros(capacity, dtype=np.int64),
        np.zeros(capacity),
        np.zeros(4),
        np.zeros(total),
    )


@dataclass(frozen=True, eq=False)
class _Search:
    """A region as arrays for the kernels, and what exact code needs."""

    network: Network
    region: Region
    options: VerifyOptions
    deadline: Deadline
    tape: Tape
    cases: Cases

    def confirm(self, point: FloatArray) -> tuple[Fraction, ...] | None:
        return confirm(self.network, self.region, point)


def _symbol(index: int) -> LinearExpression:
    return LinearExpression(((Symbol(Side.INPUT, index), Fraction(1)),))


def _domain_atoms(domain: Domain) -> tuple[Atom, ...]:
    """Return the conditions of a domain and what its one-hot groups say, as atoms."""
    atoms = list(domain.conditions)
    for group in domain.groups:
        total = LinearExpression((), Fraction(-1))
        for i in group:
            total = total + _symbol(i)
        atoms += [Atom(total), Atom(-total)]
    return tuple(atoms)


def _with_atoms(network: Network, bounds: NetworkBounds, atoms: Sequence[Atom]) -> Network:
    """Append a node whose entries are the atoms' expressions, rounded so that none is larger than its atom's."""
    rounded = float_atoms(bounds, atoms)
    names, maps = [], []
    for sources, rows in ((network.inputs, rounded.inputs), (network.outputs, rounded.outputs)):
        sizes = [network.by_name[name].op.size_out for name in sources]
        for name, part in zip(sources, np.split(rows, np.cumsum(sizes)[:-1], axis=1), strict=True):
            if part.any():
                names.append(name)
                maps.append(Dense(np.ascontiguousarray(part)))
    if not maps:
        names, maps = (
            [network.inputs[0]],
            [Dense(np.zeros((len(atoms), network.by_name[network.inputs[0]].op.size_out)))],
        )
    node = Node("verinet/atoms", Affine(tuple(maps), rounded.constants), tuple(names))
    return Network((*network.nodes, node), (node.name,))


def _prepare(
    network: Network,
    region: Region,
    open_cases: Sequence[tuple[Atom, ...]],
    bounds: NetworkBounds,
    options: VerifyOptions,
    deadline: Deadline,
) -> _Search:
    shared = _domain_atoms(region.domain)
    atoms = list(dict.fromkeys(atom for case in open_cases for atom in (*case, *shared)))
    place = {atom: i for i, atom in enumerate(atoms)}
    rows = [[place[atom] for atom in dict.fromkeys((*case, *shared))] for case in open_cases]
    lower, upper = region.domain.box()
    integral = np.zeros(len(lower), dtype=np.int64)
    integral[list(region.domain.integral)] = 1
    width = upper - lower
    cases = Cases(
        np.cumsum([0, *map(len, rows)]),
        np.array([i for case in rows for i in case], dtype=np.int64),
        np.array([atom.strict for atom in atoms], dtype=np.int64),
        integral,
        np.where(width > 0, 1.0, 0.0),
    )
    return _Search(network, region, options, deadline, make_tape(_with_atoms(network, bounds, atoms)), cases)


def search_with_branching(network: Network, region: Region, options: VerifyOptions, deadline: Deadline) -> Finding:
    """Decide a region by splitting its input box.

    Parameters
    ----------
    network : Network
    region : Region
    options : VerifyOptions
    deadline : Deadline

    Returns
    -------
    Finding
        REFUTED means that rounding-safe bounds exclude every conjunction on every box of a subdivision of the domain.
        FOUND is confirmed exactly. L1 balls count by their box only.
    """
    bounds = bound_network(network, InputSet.of(region.domain))
    open_cases = [case for case in region.unsafe if not (case and refuted_by(case, atom_bounds(bounds, case)))]
    closed = len(region.unsafe) - len(open_cases)
    if not open_cases:
        evidence = (f"rounding-safe bounds refuted {closed} case(s) at once",)
        return Finding(Outlook.REFUTED, evidence=evidence, unstable=bounds.unstable)
    if any(not (*case, *_domain_atoms(region.domain)) for case in open_cases):
        return Finding(Outlook.OPEN, reason="a case without conditions holds anywhere; the falsifier finds a point")
    search = _prepare(network, region, open_cases, bounds, options, deadline)
    found = _rounds(search)
    return Finding(
        found.outlook, found.point, found.evidence, found.reason, found.timed_out, found.bound, bounds.unstable
    )


def thread_count(requested: int) -> int:
    """Return how many threads to use; zero asks for all cores."""
    if requested:
        return requested
    # Where the system knows it, only the cores that this process may use count.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(eq=False)
class _Watch:
    """Runs the falsifier beside the search, for a fixed share of the work.

    Work is counted in products, not in seconds, so that a search repeats itself exactly.
    """

    falsifier: Falsifier
    due: float = 0.0
    turns: int = 0
    ratio: float = FIRST_RATIO

    def look(self, search: _Search, threads: Sequence[_Thread]) -> tuple[Fraction, ...] | None:
        """Sample the whole domain and the open boxes by turns, once the boxes have had their share."""
        work = sum(float(thread.work.cost[0]) for thread in threads)
        if not search.options.falsify or work < self.due:
            return None
        evaluation = len(search.tape.weights)
        self.due = work + self.ratio * self.falsifier.evaluations * evaluation
        self.ratio = min(LAST_RATIO, self.ratio * RATIO_GROWTH)
        self.turns += 1
        return self.falsifier.round(search.deadline, _open_boxes(search, threads) if self.turns % 2 else None)


def _open_boxes(search: _Search, threads: Sequence[_Thread]) -> tuple[FloatArray, FloatArray] | None:
    inputs = search.tape.inputs
    lower = np.concatenate([thread.stack.lower[: thread.boxes, :inputs] for thread in threads])
    upper = np.concatenate([thread.stack.upper[: thread.boxes, :inputs] for thread in threads])
    return (lower, upper) if len(lower) else None


def _rounds(search: _Search) -> Finding:
    count = thread_count(search.options.threads)
    lower, upper = search.region.domain.box()
    threads = [_Thread.start(search.tape, len(search.cases.first) - 1, lower, upper) for _ in range(count)]
    root = threads[0].stack
    root.lower[0, : search.tape.inputs], root.upper[0, : search.tape.inputs] = lower, upper
    root.state[0] = 1
    quota, number = FIRST_QUOTA, 0
    watch = _Watch(Falsifier(search.network, search.region, search.options.seed + 1))
    # The kernels' matrix products are small, and each of our threads takes its own.
    with ThreadPoolExecutor(count) as pool, threadpool_limits(limits=1, user_api="blas"):
        while any(thread.boxes for thread in threads):
            if search.deadline.passed:
                return _open(threads, "the time limit was reached", timed_out=True)
            _even_out(threads)
            number += 1
            if number % 2 == 0:
                for thread in threads:
                    if thread.boxes and not thread.false_alarm:
                        thread.raise_most_promising()
            busy = [thread for thread in threads if thread.boxes]
            events = list(pool.map(lambda thread, most=quota: _explore(search, thread, most), busy))
            for thread, event in zip(busy, events, strict=True):
                if event in (Event.CANDIDATE, Event.STUCK):
                    point = search.confirm(thread.stack.point[: search.tape.inputs])
                    if point is not None:
                        return Finding(Outlook.FOUND, point, (f"found among {_total(threads)} boxes",))
                    thread.false_alarm = event is Event.CANDIDATE
                    if event is Event.STUCK and not _settled(search, thread):
                        return _open(threads, "a box is too small for floats to split and still open")
                if event is Event.CONTRADICTION:
                    return _open(threads, "bounds contradict each other; please report this network and property")
            point = watch.look(search, threads)
            if point is not None:
                return Finding(Outlook.FOUND, point, (f"the falsifier found it beside {_total(threads)} boxes",))
            quota = min(2 * quota, LARGEST_QUOTA)
            search.options.on_progress(_report(threads))
    evidence = (f"rounding-safe bounds refuted every case on {_total(threads)} boxes of the input domain",)
    return Finding(Outlook.REFUTED, evidence=evidence)


def _explore(search: _Search, thread: _Thread, quota: int) -> Event:
    """Let one thread work, and give it a larger stack whenever it needs one."""
    while True:
        event = Event(explore(search.tape, thread.work, search.cases, thread.stack, quota, thread.false_alarm))
        thread.false_alarm = False
        if event is not Event.FULL:
            return event
        thread.grow(2 * len(thread.stack.depth))


def _settled(search: _Search, thread: _Thread) -> bool:
    """Drop the box on top if it is one single point, which exact evaluation has just found to be no counterexample."""
    top, inputs = thread.boxes - 1, search.tape.inputs
    lower, upper = thread.stack.lower[top, :inputs], thread.stack.upper[top, :inputs]
    exact = all(
        Fraction(float(v)) == w for v, w in zip(lower, search.region.domain.nearest(lower.tolist()), strict=True)
    )
    if not (lower == upper).all() or not exact:
        return False
    thread.stack.state[0] = top
    thread.stack.state[2] += 0.5 ** int(thread.stack.depth[top])
    return True


def _even_out(threads: Sequence[_Thread]) -> None:
    for idle in threads:
        richest = max(threads, key=lambda thread: thread.boxes)
        if idle.boxes == 0 and richest.boxes > 1:
            richest.give_half(idle)


def _total(threads: Sequence[_Thread]) -> int:
    return int(sum(thread.stack.state[1] for thread in threads))


def _report(threads: Sequence[_Thread]) -> str:
    left = sum(thread.boxes for thread in threads)
    done = sum(thread.stack.state[2] for thread in threads)
    deepest = int(max(thread.stack.state[3] for thread in threads))
    return f"{_total(threads)} boxes, {left} open, depth {deepest}, {done:.2%} of the domain done"


def _open(threads: Sequence[_Thread], reason: str, *, timed_out: bool = False) -> Finding:
    return Finding(Outlook.OPEN, reason=f"{reason} ({_report(threads)})", timed_out=timed_out)
