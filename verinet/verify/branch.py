"""The branch engine: branch and bound on the input box, on all cores, with rounding-safe bounds.

Work goes in rounds: each thread explores its own stack up to a quota of boxes, then stacks are evened out. Rounds make
the search deterministic for a given number of threads, as long as neither clock nor memory nor the user cut it short.
"""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
from threadpoolctl import threadpool_limits

from verinet.bounds import InputSet, NetworkBounds, bound_network
from verinet.bounds.kernels import Work, make_work
from verinet.bounds.tape import Tape, make_tape
from verinet.model import Affine, Atom, Dense, Domain, LinearExpression, Network, Node, Region, Side, Symbol
from verinet.numeric import FloatArray
from verinet.verify.atoms import atom_bounds, float_atoms, refuted_by
from verinet.verify.box_kernels import Cases, Event, Stack, explore
from verinet.verify.falsify import SAMPLES, Falsifier
from verinet.verify.finding import Finding, OpenBox, Outlook
from verinet.verify.memory import MemoryCeiling
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

SMALL_STEP = 64
"""Boxes that a stack grows by where there is no memory to double it: depth first never needs many."""

MOST_SET_ASIDE = 200
"""Boxes that are too small to split, before the search gives up: around a place where a threshold is touched there are
thousands, and an exact engine decides such a question sooner."""

CHECKED_CENTRES = 16
"""How many of their centres each thread has evaluated exactly; the kernel has tried points of each box already."""


@dataclass(eq=False)
class _Thread:
    """One thread's stack and buffers."""

    work: Work
    stack: Stack
    memory: MemoryCeiling
    false_alarm: bool = False
    """Whether the box on top gave a point that turned out to be no counterexample."""
    aside: "list[_Remaining]" = field(default_factory=list)
    """Boxes too small to split and still open; the search goes on without them, and ends open if nothing is found."""

    @classmethod
    def start(cls, search: "_Search", memory: MemoryCeiling, lower: FloatArray, upper: FloatArray) -> "_Thread":
        """Make a thread that has seen the whole box."""
        tape = search.tape
        work = make_work(tape)
        work.lower[: tape.inputs], work.upper[: tape.inputs] = lower, upper
        stack = _make_stack(tape.total, len(search.cases.first) - 1, FIRST_CAPACITY)
        # Crossed bounds of the whole box show again, as a contradiction, when the search looks at it.
        explore(tape, work, search.cases, stack, 0, False, True)
        return cls(work, stack, memory)

    @property
    def boxes(self) -> int:
        return int(self.stack.state[0])

    @property
    def looked(self) -> int:
        """Boxes that were looked at."""
        return int(self.stack.state[1])

    @property
    def capacity(self) -> int:
        return len(self.stack.depth)

    def push_whole(self, lower: FloatArray, upper: FloatArray) -> None:
        """Put the whole box on the empty stack, with nothing known about it."""
        self.stack.lower[0], self.stack.upper[0], self.stack.value[0] = -np.inf, np.inf, -np.inf
        self.stack.lower[0, : len(lower)], self.stack.upper[0, : len(upper)] = lower, upper
        self.stack.state[0] = 1

    def grow(self, capacity: int) -> bool:
        """Make room for more boxes, unless memory is short; return whether there is room."""
        size = _row_bytes(self.stack) * (capacity - self.capacity)
        return self.memory.spend(size, lambda: _resize(self.stack, capacity))

    def make_room(self) -> bool:
        """Double the stack, or where that is too much let it grow by a little."""
        return self.grow(2 * self.capacity) or self.grow(self.capacity + SMALL_STEP)

    def raise_most_promising(self) -> None:
        """Swap the box with the smallest bound to the top, so that depth first does not dig in one corner only."""
        top = self.boxes - 1
        best = int(np.argmin(self.stack.value[: top + 1]))
        for array in self.stack[:5]:
            array[[best, top]] = array[[top, best]]

    def give_half(self, other: "_Thread") -> None:
        """Hand the older half of the stack, the larger boxes, to a thread without any, if that has room for them."""
        half = self.boxes // 2
        if half > other.capacity - 2 and not (other.grow(2 * half + 2) or other.grow(half + 2)):
            return
        for own, theirs in zip(self.stack[:5], other.stack[:5], strict=True):
            theirs[:half] = own[:half]
            own[: self.boxes - half] = own[half : self.boxes].copy()
        other.stack.state[0] = half
        self.stack.state[0] -= half
        self.shrink()

    def shrink(self) -> None:
        """Return memory that is not likely to be needed again soon."""
        capacity = max(2 * self.boxes, FIRST_CAPACITY)
        if 2 * capacity <= self.capacity:
            self.memory.free(_row_bytes(self.stack) * (self.capacity - capacity))
            _resize(self.stack, capacity)

    def drop(self) -> None:
        """Take the top box off the stack."""
        self.stack.state[0] -= 1

    def set_aside(self, search: "_Search") -> None:
        """Take the top box off the stack and remember it as open."""
        self.aside.append(_Remaining.at(search, self.stack, self.boxes - 1))
        self.drop()


def _make_stack(total: int, cases: int, capacity: int) -> Stack:
    return Stack(
        np.zeros((capacity, total)),
        np.zeros((capacity, total)),
        np.zeros((capacity, cases), dtype=np.int64),
        np.zeros(capacity, dtype=np.int64),
        np.zeros(capacity),
        np.zeros(4),
        np.zeros(total),
    )


def _row_bytes(stack: Stack) -> int:
    return sum(array.strides[0] for array in stack[:5])


def _resize(stack: Stack, capacity: int) -> None:
    """Change a stack's capacity in place, so that there are never two copies of it.

    The kernels take the capacity from `depth`: it is the last to grow and the first to shrink, lest memory run out
    between.
    """
    arrays = [stack.lower, stack.upper, stack.refuted, stack.value, stack.depth]
    for array in arrays if capacity > len(stack.depth) else reversed(arrays):
        # No view of a stack outlives the statement that takes it.
        array.resize((capacity, *array.shape[1:]), refcheck=False)


@dataclass(frozen=True, eq=False)
class _Search:
    """A region as arrays for the kernels, and what exact code needs."""

    network: Network
    region: Region
    options: VerifyOptions
    deadline: Deadline
    tape: Tape
    cases: Cases

    def confirm(self, point: FloatArray | tuple[Fraction, ...]) -> tuple[Fraction, ...] | None:
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
        np.zeros(1, dtype=np.int64),
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
        FOUND is confirmed exactly. L1 balls count by their box only. OPEN carries the worst box that is left, and the
        bound of its violation. The user's interrupt ends the search, and is a reason like any other.
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
    return replace(_Run.start(search).finding(), unstable=bounds.unstable)


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

    def look(self, search: _Search, threads: Sequence[_Thread], memory: MemoryCeiling) -> tuple[Fraction, ...] | None:
        """Sample the whole domain and the open boxes by turns, once the boxes have had their share."""
        work = sum(float(thread.work.cost[0]) for thread in threads)
        if not search.options.falsify or work < self.due:
            return None
        if not self.turns and not memory.allows(SAMPLES * search.tape.total * np.dtype(np.float64).itemsize):
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


@dataclass(frozen=True)
class _Remaining:
    """An open box, with a safe lower bound of its violation."""

    bound: float
    box: OpenBox

    @classmethod
    def at(cls, search: _Search, stack: Stack, index: int) -> "_Remaining":
        inputs = search.tape.inputs
        lower, upper = stack.lower[index, :inputs], stack.upper[index, :inputs]
        return cls(float(stack.value[index]), OpenBox(tuple(lower.tolist()), tuple(upper.tolist())))


@dataclass(eq=False)
class _Run:
    """The state of a search between rounds."""

    search: _Search
    memory: MemoryCeiling
    threads: list[_Thread]
    watch: _Watch
    quota: int = FIRST_QUOTA
    number: int = 0

    @classmethod
    def start(cls, search: _Search) -> "_Run":
        """Give the whole box to the first thread."""
        memory = MemoryCeiling(search.options.memory)
        lower, upper = search.region.domain.box()
        threads = [_Thread.start(search, memory, lower, upper) for _ in range(thread_count(search.options.threads))]
        threads[0].push_whole(lower, upper)
        return cls(search, memory, threads, _Watch(Falsifier(search.network, search.region, search.options.seed + 1)))

    def finding(self) -> Finding:
        """Search until everything is refuted, something is found, or a limit is reached."""
        ended = None
        try:
            # The kernels' matrix products are small, and each of our threads takes its own.
            with ThreadPoolExecutor(len(self.threads)) as pool, threadpool_limits(limits=1, user_api="blas"):
                while ended is None:
                    ended = self.round(pool)
        except KeyboardInterrupt:
            return replace(self.open("interrupted"), interrupted=True)
        return ended

    def round(self, pool: Executor) -> Finding | None:
        """Let every thread explore its quota; return a finding if that is the end."""
        if not any(thread.boxes for thread in self.threads):
            return self.emptied()
        if self.search.deadline.passed:
            return replace(self.open("the time limit was reached"), timed_out=True)
        if not self.memory.allows(0):
            return self.without_memory()
        _even_out(self.threads)
        self.number += 1
        if self.number % 2 == 0 and not self.memory.is_scarce:
            for thread in self.threads:
                if thread.boxes and not thread.false_alarm:
                    thread.raise_most_promising()
        busy = [thread for thread in self.threads if thread.boxes]
        for thread, event in zip(busy, self.explored(pool, busy), strict=True):
            ended = self.judge(thread, event)
            if ended is not None:
                return ended
        if len(self.aside) > MOST_SET_ASIDE:
            return self.open(f"more than {MOST_SET_ASIDE} boxes are too small for floats to split and still open")
        if self.search.deadline.passed:
            return None
        point = self.watch.look(self.search, self.threads, self.memory)
        if point is not None:
            return Finding(Outlook.FOUND, point, (f"the falsifier found it beside {self.boxes} boxes",))
        self.quota = min(2 * self.quota, LARGEST_QUOTA)
        self.search.options.on_progress(self.report())
        return None

    def explored(self, pool: Executor, busy: Sequence[_Thread]) -> list[Event]:
        """Run the kernel for each thread, until the time limit at the latest; return why each one ended."""
        futures = [pool.submit(_explore, self.search, thread, self.quota) for thread in busy]
        try:
            wait(futures, timeout=min(self.search.deadline.left, threading.TIMEOUT_MAX))
        finally:
            # The time is up, or the user has interrupted: whatever still runs stops before its next box.
            if not all(future.done() for future in futures):
                self.search.cases.stop[0] = 1
                wait(futures)
        return [future.result() for future in futures]

    def judge(self, thread: _Thread, event: Event) -> Finding | None:
        """Let exact code look at what a thread handed back."""
        if event is Event.FULL:
            return self.without_memory()
        if event is Event.CONTRADICTION:
            return self.open("bounds contradict each other; please report this network and property")
        if event is Event.CANDIDATE:
            point = self.search.confirm(thread.stack.point[: self.search.tape.inputs])
            thread.false_alarm = True
            return None if point is None else self.found(point)
        return self.judge_stuck(thread) if event is Event.STUCK else None

    def judge_stuck(self, thread: _Thread) -> Finding | None:
        """Settle a box that cannot be split if it is one point, else set it aside: others may hold a counterexample."""
        only, point = _only_point(self.search, thread), None
        if only is not None or len(thread.aside) < CHECKED_CENTRES:
            point = self.search.confirm(thread.stack.point[: self.search.tape.inputs] if only is None else only)
        if point is not None:
            return self.found(point)
        if only is None:
            thread.set_aside(self.search)
        else:
            thread.stack.state[2] += 0.5 ** int(thread.stack.depth[thread.boxes - 1])
            thread.drop()
        return None

    def emptied(self) -> Finding:
        """Say what it means that no box is left to look at."""
        if self.aside:
            count = f"{len(self.aside)} box is" if len(self.aside) == 1 else f"{len(self.aside)} boxes are"
            return self.open(f"{count} too small for floats to split and still open, all others are refuted")
        evidence = (f"rounding-safe bounds refuted every case on {self.boxes} boxes of the input domain",)
        return Finding(Outlook.REFUTED, evidence=evidence)

    def found(self, point: tuple[Fraction, ...]) -> Finding:
        return Finding(Outlook.FOUND, point, (f"found among {self.boxes} boxes",))

    def without_memory(self) -> Finding:
        return replace(self.open(f"the memory limit was reached ({_limit(self.search.options)})"), exhausted=True)

    def open(self, reason: str) -> Finding:
        """Give up, naming the worst box that is left."""
        worst = self.worst()
        if worst is None:
            return Finding(Outlook.OPEN, reason=f"{reason} ({self.report()})")
        known = np.isfinite(worst.bound)
        bound = f"the best bound is {worst.bound:.6g}, above 0 is needed" if known else "there is no bound yet"
        reason = f"{reason} ({self.report()}; {bound}; the worst box left is {worst.box})"
        return Finding(Outlook.OPEN, reason=reason, bound=worst.bound if known else None, box=worst.box)

    def worst(self) -> _Remaining | None:
        """Return the open box with the smallest bound."""
        left = [thread.stack for thread in self.threads if thread.boxes]
        lowest = [_Remaining.at(self.search, s, int(np.argmin(s.value[: int(s.state[0])]))) for s in left]
        return min([*lowest, *self.aside], key=lambda remaining: remaining.bound, default=None)

    @property
    def aside(self) -> list[_Remaining]:
        """The boxes that all threads have set aside."""
        return [remaining for thread in self.threads for remaining in thread.aside]

    @property
    def boxes(self) -> int:
        """Boxes that were looked at."""
        return sum(thread.looked for thread in self.threads)

    def report(self) -> str:
        left = sum(thread.boxes for thread in self.threads) + len(self.aside)
        done = sum(thread.stack.state[2] for thread in self.threads)
        deepest = int(max(thread.stack.state[3] for thread in self.threads))
        return f"{self.boxes} boxes, {left} open, depth {deepest}, {done:.2%} of the domain done"


def _limit(options: VerifyOptions) -> str:
    return "all that the machine gives" if options.memory is None else f"{options.memory:g} MiB"


def _explore(search: _Search, thread: _Thread, quota: int) -> Event:
    """Let one thread work, and give it a larger stack whenever it needs one; FULL if it cannot have it."""
    end = thread.looked + quota
    while True:
        before = thread.looked
        left, exempt = end - before, thread.false_alarm
        event = Event(explore(search.tape, thread.work, search.cases, thread.stack, left, exempt, False))
        # The exemption is for the box on top, which may be there still.
        thread.false_alarm = exempt and thread.looked == before
        if event is not Event.FULL or not thread.make_room():
            return event


def _only_point(search: _Search, thread: _Thread) -> tuple[Fraction, ...] | None:
    """Return the only point that the box on top has in common with the domain's box, or None if there may be others.

    A box of two floats around an input that is fixed at a decimal holds one point of the domain, the decimal.
    """
    domain, top, point = search.region.domain, thread.boxes - 1, []
    lower, upper = (side[top, : search.tape.inputs] for side in (thread.stack.lower, thread.stack.upper))
    nearest = domain.nearest(lower.tolist())
    for low, high, v, first, last in zip(lower, upper, nearest, *domain.exact_box(), strict=True):
        if first != last and not (low == high and Fraction(float(low)) == v):
            return None
        point.append(first if first == last else v)
    return tuple(point)


def _even_out(threads: Sequence[_Thread]) -> None:
    for idle in threads:
        richest = max(threads, key=lambda thread: thread.boxes)
        if idle.boxes == 0 and richest.boxes > 1:
            richest.give_half(idle)
