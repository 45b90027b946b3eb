"""The phase engine: branch and bound on the phases of ReLUs, for networks with many inputs.

Each domain is one conjunction together with the ReLUs that were split, active or inactive. Its bound comes from one
backward relaxation with optimised slopes, multipliers for the splits, and multipliers for the conjunction's atoms;
domains are bounded in batches (see `verinet.bounds.columns`). Effort grows by stages: plain bounds, bounds with
optimised slopes for the conjunctions, for every neuron, then splitting. The falsifier and the minimisers of the bounds
look for a counterexample on the way.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction

import numpy as np
from threadpoolctl import threadpool_limits

from verinet.bounds import InputSet, NetworkBounds, bound_network
from verinet.bounds.columns import Columns, improve_columns, make_columns, prepare_columns
from verinet.bounds.kernels import BLOCK, Work, bound_node, make_work
from verinet.bounds.root import copy_work, finished, improve_bounds
from verinet.bounds.tape import Tape
from verinet.model import Input, Network, Region, evaluate
from verinet.numeric import FloatArray, IntArray
from verinet.verify.atoms import BEYOND_FLOATS, are_floats_enough, atom_bounds, refuted_by
from verinet.verify.box_search import thread_count
from verinet.verify.falsify import Falsifier, Target
from verinet.verify.finding import Finding, Outlook
from verinet.verify.memory import MemoryCeiling
from verinet.verify.milp import close_with_milp
from verinet.verify.options import Deadline, VerifyOptions
from verinet.verify.region_tape import RegionTape as _Search
from verinet.verify.region_tape import prepare as _prepare
from verinet.verify.standing import Standing
from verinet.verify.watch import Watch

__all__ = ["search_with_phases"]

CASE_STEPS, STEPS = 40, 10
"""Backward passes for each conjunction at the root, and for each domain behind it."""

STAGES = ((0, 0.0), (4, 400.0), (20, np.inf))
"""Backward passes for each open neuron at the root, and how many domains are looked at before the next stage."""

CASE_RATE, RATE = 0.3, 0.2
"""First steps of the slopes, as shares of their range."""

CANDIDATES = 4
"""ReLUs whose splits are tried by one backward pass before one is chosen."""

BALANCE = 0.1
"""How much the better half of a split counts, beside the worse."""

LARGEST_MULTIPLIER = float(np.finfo(np.float32).max)
"""Multipliers are kept in single precision: a warm start need not be exact."""

LITTLE = 1e-3
"""What a ReLU counts for whose lower line is in use, beside one whose upper line is."""

REPORT_SECONDS = 0.1
"""How often progress is reported."""

KERNEL_MEMORY = 24 * 2**20
"""Bytes that kernels take when they are first called."""

SOLVER_MEMORY, SOLVER_MEMORY_A_WEIGHT = 24 * 2**20, 128
"""Bytes that a solver takes when it closes a domain, and those for each weight: its model in some copies."""

MOST_ASIDE = 16
"""Domains with nothing left to split and still open, beyond which bounds are no match for a solver: such are integer
inputs, and inputs of very different widths."""

MOST_CONFIRMED = 4
"""Minimisers of one round that exact evaluation is spent on."""


@dataclass(frozen=True, eq=False)
class _Domains:
    """Domains as arrays, one row each.

    Attributes
    ----------
    phase : ndarray of int8, shape (domains, open)
        1 and -1 for ReLUs that were split, 0 for the others.
    slope, multiplier : ndarray of float32, shape (domains, open)
        Where the parent's bound ended: a warm start.
    weight : ndarray of float, shape (domains, rows)
        Multipliers of the atoms.
    case, depth : ndarray of int, shape (domains,)
    bound : ndarray of float, shape (domains,)
    choice : ndarray of int, shape (domains, CANDIDATES)
        The most promising ReLUs to split, best first; -1 for none.
    """

    phase: IntArray
    slope: FloatArray
    multiplier: FloatArray
    weight: FloatArray
    case: IntArray
    depth: IntArray
    bound: FloatArray
    choice: IntArray

    def __len__(self) -> int:
        return len(self.case)

    def take(self, index: object) -> "_Domains":
        """Return some of them."""
        return _Domains(*(getattr(self, f.name)[index] for f in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence["_Domains"]) -> "_Domains":
        """Return all of some parts, in order."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))


@dataclass(eq=False)
class _Stack:
    """Open domains, the next ones last."""

    parts: list[_Domains] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def push(self, domains: _Domains) -> None:
        if len(domains):
            self.parts.append(domains)

    def pop(self, most: int) -> _Domains:
        """Take the last ones, as many as there are up to a limit; there must be one."""
        taken = []
        while most > 0 and self.parts:
            part = self.parts.pop()
            if len(part) > most:
                self.parts.append(part.take(slice(0, len(part) - most)))
                part = part.take(slice(len(part) - most, None))
            taken.append(part)
            most -= len(part)
        return _Domains.joined(taken)

    def half(self) -> "_Stack":
        """Split off the older half."""
        everything = _Domains.joined(self.parts)
        middle = len(everything) // 2
        self.parts = [everything.take(slice(middle, None))]
        return _Stack([everything.take(slice(0, middle))] if middle else [])


@dataclass(eq=False)
class _Worker:
    """One thread's stack and buffers."""

    tape: Tape
    work: Work
    columns: Columns
    stack: _Stack = field(default_factory=_Stack)
    aside: list[_Domains] = field(default_factory=list)
    points: list[FloatArray] = field(default_factory=list)
    """Minimisers of the last bounds, where counterexamples are likely."""
    looked: int = 0
    done: float = 0.0
    deepest: int = 0

    @property
    def last(self) -> int:
        return len(self.tape.kind) - 1

    def load(self, domains: _Domains) -> None:
        """Write domains into the columns."""
        columns, count = self.columns, len(domains)
        phase = domains.phase.T
        lower, upper = self.work.lower[columns.source][:, None], self.work.upper[columns.source][:, None]
        columns.phase[:, :count] = phase
        columns.lower[:, :count] = np.where(phase > 0, np.maximum(lower, 0.0), lower)
        columns.upper[:, :count] = np.where(phase < 0, np.minimum(upper, 0.0), upper)
        columns.slope[:, :count] = domains.slope.T
        columns.multiplier[:, :count] = domains.multiplier.T
        columns.weight[: domains.weight.shape[1], :count] = domains.weight.T
        columns.free[: domains.weight.shape[1], :count] = domains.weight.T > 0.0
        prepare_columns(columns, count, False)

    def bound(self, domains: _Domains, steps: int, rate: float) -> _Domains:
        """Bound domains, drop those that are refuted, and say what to split in the others; best first."""
        left = [
            self._bound_batch(domains.take(slice(i, i + BLOCK)), steps, rate) for i in range(0, len(domains), BLOCK)
        ]
        open_ones = _Domains.joined(left)
        return open_ones.take(np.argsort(open_ones.bound, kind="stable"))

    def _bound_batch(self, domains: _Domains, steps: int, rate: float) -> _Domains:
        columns, count = self.columns, len(domains)
        self.load(domains)
        self.looked += count
        left = improve_columns(self.tape, self.work, columns, self.last, count, steps, rate, 0.0, True, False)
        bound = columns.bound[:count]
        self.done += float((0.5 ** domains.depth[bound > 0.0]).sum())
        # Refuted columns may stand among those of the last pass.
        column = np.array([r for r in range(left) if bound[columns.owner[r]] <= 0.0], dtype=np.int64)
        if len(column):
            self.points.append(columns.value[: self.tape.inputs, column].T.copy())
        owner = columns.owner[column]
        rows = domains.weight.shape[1]
        return replace(
            domains.take(owner),
            slope=columns.slope[:, column].T.astype(np.float32),
            multiplier=np.minimum(columns.multiplier[:, column].T, LARGEST_MULTIPLIER).astype(np.float32),
            weight=columns.weight[:rows, column].T.copy(),
            bound=bound[owner].copy(),
            choice=self._choices(column),
        )

    def _choices(self, column: IntArray) -> IntArray:
        """Rank ReLUs by what the intercepts of their upper lines cost the bound.

        Source: Bunel et al., Branch and bound for piecewise linear neural network verification (JMLR 2020).
        """
        columns = self.columns
        v = columns.coefficient[columns.entry][:, column]
        undecided = (columns.lower[:, column] < 0.0) & (columns.upper[:, column] > 0.0)
        # Weights so large that products overflow are ranked first, whatever they are.
        with np.errstate(all="ignore"):
            worth = columns.intercept[:, column] * np.maximum(-v, LITTLE * v)
        score = np.where(undecided, np.nan_to_num(worth, nan=np.inf, posinf=np.inf), -1.0)
        best = np.argsort(-score, axis=0, kind="stable")[:CANDIDATES]
        chosen = np.where(np.take_along_axis(score, best, axis=0) >= 0.0, best, -1)
        padded = np.full((CANDIDATES, len(column)), -1, dtype=np.int64)
        padded[: len(chosen)] = chosen
        return padded.T

    def branch(self) -> None:
        """Split the next domains and bound their halves."""
        parents = self.stack.pop(BLOCK // 2)
        stuck = parents.choice[:, 0] < 0
        if stuck.any():
            self.aside.append(parents.take(stuck))
            parents = parents.take(~stuck)
        if not len(parents):
            return
        halves = _halves(parents, self._best_choice(parents))
        self.deepest = max(self.deepest, int(halves.depth.max()))
        self.stack.push(self.bound(halves, STEPS, RATE))

    def _best_choice(self, parents: _Domains) -> IntArray:
        """Return the candidate whose halves one backward pass bounds best."""
        options = parents.choice.shape[1]
        tried = parents.take(np.repeat(np.arange(len(parents)), options))
        choice = parents.choice.ravel()
        halves = _halves(tried, np.where(choice < 0, np.repeat(parents.choice[:, 0], options), choice))
        value = np.zeros(len(halves))
        for i in range(0, len(halves), BLOCK):
            part = halves.take(slice(i, i + BLOCK))
            self.load(part)
            improve_columns(self.tape, self.work, self.columns, self.last, len(part), 1, RATE, 0.0, False, False)
            value[i : i + BLOCK] = self.columns.bound[: len(part)]
        pairs = np.minimum(value.reshape(len(parents), options, 2), 0.0)
        worth = pairs.min(axis=2) + BALANCE * pairs.max(axis=2)
        chosen: IntArray = parents.choice[np.arange(len(parents)), np.argmax(worth, axis=1)]
        return chosen


def _halves(parents: _Domains, chosen: IntArray) -> _Domains:
    """Split each domain at its chosen ReLU; halves stand side by side, the inactive one first."""
    index = np.repeat(np.arange(len(parents)), 2)
    children = parents.take(index)
    phase = children.phase.copy()
    phase[np.arange(len(index)), np.repeat(chosen, 2)] = np.tile(np.array([-1, 1], dtype=np.int8), len(parents))
    return replace(children, phase=phase, depth=children.depth + 1)


@dataclass(frozen=True, eq=False)
class _Minimisers:
    """Checks the points at which bounds were attained."""

    search: _Search
    targets: list[Target]

    @classmethod
    def over(cls, search: _Search) -> "_Minimisers":
        """Check for the region of a search."""
        return cls(search, [Target.of(case, search.network) for case in search.region.unsafe])

    def check(self, workers: Sequence[_Worker]) -> tuple[Fraction, ...] | None:
        """Return a confirmed counterexample among the points of the last bounds."""
        points = [x for worker in workers for x in worker.points]
        for worker in workers:
            worker.points.clear()
        if not points:
            return None
        x = np.concatenate(points)
        y = evaluate(self.search.network, x)
        excess = np.min([target.excess(x, y).max(axis=1) for target in self.targets], axis=0)
        for i in np.flatnonzero(excess <= 0.0)[:MOST_CONFIRMED]:
            point = self.search.confirm(x[i])
            if point is not None:
                return point
        return None


def _seeded(search: _Search, bounds: NetworkBounds, stop: IntArray) -> Work:
    """Make buffers that hold known bounds of every node, with the reach and the lines that they give."""
    tape = search.tape
    work = make_work(tape, stop)
    for name, start, size in zip(_tape_order(search.network), tape.start, tape.size, strict=False):
        interval = bounds.intervals[name]
        # What overflowed to NaN is not known.
        work.lower[start : start + size] = np.nan_to_num(interval.lower, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        work.upper[start : start + size] = np.nan_to_num(interval.upper, nan=np.inf, posinf=np.inf, neginf=-np.inf)
    # The atoms' own node too: its reach says what rounding may change when atoms are combined.
    for j in range(len(tape.kind)):
        bound_node(tape, work, j, True)
    return work


@dataclass(eq=False)
class _Run:
    """A search between rounds: what limits and reports are about."""

    search: _Search
    memory: MemoryCeiling
    standing: Standing
    numbers: Sequence[int]
    """Which conjunctions of the question are searched."""
    workers: Sequence[_Worker] = ()
    next_report: float = 0.0
    stop: IntArray = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    """What the kernels of all threads look at between passes."""

    def note(self) -> None:
        """Look at what is open, while no thread is at work, and now and then say it."""
        parts = [part for worker in self.workers for part in (*worker.stack.parts, *worker.aside) if len(part)]
        self.standing = replace(self.standing, parts=parts)
        if time.monotonic() >= self.next_report:
            self.search.options.on_progress(f"{self.report()}, bound {self.standing.bound:.4g}")
            self.next_report = time.monotonic() + REPORT_SECONDS

    def report(self) -> str:
        """Say how far the search was at the last look."""
        deepest = max((worker.deepest for worker in self.workers), default=0)
        return self.standing.report(_looked(self.workers), deepest)

    def open(self, reason: str) -> Finding:
        """Give up, naming the worst domain that is left."""
        bound, worst = self.standing.bound, self.standing.worst()
        known = np.isfinite(bound)
        words = [self.report(), f"the best bound is {bound:.6g}, above 0 is needed" if known else "no bound yet"]
        if worst is not None:
            worst = replace(worst, case=self.numbers[worst.case])
            words.append(f"the worst domain left is {worst}")
        return Finding(
            Outlook.OPEN, reason=f"{reason} ({'; '.join(words)})", bound=float(bound) if known else None, box=worst
        )

    def out_of_time(self) -> Finding:
        return replace(self.open("the time limit was reached"), timed_out=True)

    def out_of_memory(self) -> Finding:
        limit = self.search.options.memory
        words = "all that the machine gives" if limit is None else f"{limit:g} MiB"
        return replace(self.open(f"the memory limit was reached ({words})"), exhausted=True)

    def is_late(self) -> bool:
        return self.search.deadline.passed

    def has_room(self, threads: int, sets: int, more: int = 0) -> bool:
        """Return whether there is memory for so many sets of columns in each thread, a round's domains, and more."""
        tape = self.search.tape
        numbers = np.dtype(np.float64).itemsize * BLOCK
        # Bounds, slopes, lines, multipliers and moments of each ReLU, values and coefficients of each entry.
        columns = numbers * (13 * _relus(tape) + 2 * tape.total + 2 * int(tape.size.max()))
        # Halves of all candidates in some copies, and what ranks them.
        domains = 2 * numbers * CANDIDATES * _relus(tape)
        return self.memory.has_room(threads * (sets * columns + domains) + more)


def _relus(tape: Tape) -> int:
    """Return how many ReLUs there are."""
    return int(tape.size[tape.floor == 0.0].sum())


def search_with_phases(
    network: Network,
    region: Region,
    options: VerifyOptions,
    deadline: Deadline,
    bounds: NetworkBounds | None = None,
) -> Finding:
    """Decide a region by splitting ReLUs.

    Parameters
    ----------
    network : Network
    region : Region
    options : VerifyOptions
    deadline : Deadline
    bounds : NetworkBounds or None
        Of the region, where somebody has them; otherwise the search begins with intervals and tightens them itself.

    Returns
    -------
    Finding
        REFUTED means that rounding-safe bounds exclude every conjunction on every domain of a subdivision by the
        phases of ReLUs. FOUND is confirmed exactly. Types and L1 balls count by their box, conditions as atoms. OPEN
        carries the worst domain that is left, and the bound of its violation. The user's interrupt ends the search,
        and is a reason like any other.
    """
    first_steps = 0
    if bounds is None:
        # Intervals of the inputs' box know nothing of L1 balls.
        relaxed = bool(region.domain.balls)
        first_steps = 0 if relaxed else 1
        bounds = bound_network(network, InputSet.of(region.domain), relaxed=relaxed)
    known = [atom_bounds(bounds, case) if case else np.full(1, -np.inf) for case in region.unsafe]
    remain = [not (case and refuted_by(case, lower)) for case, lower in zip(region.unsafe, known, strict=True)]
    open_cases = [case for case, remains in zip(region.unsafe, remain, strict=True) if remains]
    if not open_cases:
        evidence = (f"rounding-safe bounds refuted {len(region.unsafe)} case(s) at once",)
        return Finding(Outlook.REFUTED, evidence=evidence, unstable=bounds.unstable)
    if not all(open_cases):
        return Finding(Outlook.OPEN, reason="a case without conditions holds anywhere; the falsifier finds a point")
    if not all(are_floats_enough(bounds, case) for case in open_cases):
        return Finding(Outlook.OPEN, reason=BEYOND_FLOATS, unstable=bounds.unstable)
    region = replace(region, unsafe=tuple(open_cases))
    search = _prepare(network, region, open_cases, bounds, options, deadline)
    numbers = np.flatnonzero(remain).tolist()
    best = min(float(known[k].max()) for k in numbers)
    run = _Run(search, MemoryCeiling(options.memory), Standing(cases=len(open_cases), known=best), numbers)
    count = thread_count(options.threads)
    pool = ThreadPoolExecutor(count)
    try:
        with threadpool_limits(limits=1, user_api="blas"):
            found = _stages(run, bounds, pool, count, first_steps)
    except KeyboardInterrupt:
        found = replace(run.open("interrupted"), interrupted=True)
    except MemoryError:
        found = run.out_of_memory()
    finally:
        # Nobody waits for the passes that kernels are in when time is up.
        run.stop[0] = 1
        pool.shutdown(wait=False, cancel_futures=True)
    return replace(found, unstable=bounds.unstable)


def _stages(run: _Run, bounds: NetworkBounds, pool: Executor, count: int, first_steps: int) -> Finding:
    search = run.search
    tape, options = search.tape, search.options
    # Columns stand there twice while the root's are tightened; the buffers of passes are no larger than one set.
    if not run.has_room(count, 3, KERNEL_MEMORY):
        return run.out_of_memory()
    first = _seeded(search, bounds, run.stop)
    works = [first, *(copy_work(tape, first) for _ in range(count - 1))]
    minimisers = _Minimisers.over(search)
    falsifier = Falsifier(search.network, search.region, options.seed + 1)
    samples = np.dtype(np.float64).itemsize * falsifier.samples * tape.total
    watch = Watch(falsifier, len(tape.weights), options.falsify and run.memory.has_room(samples))
    for number, (steps, quota) in enumerate(STAGES):
        steps = steps if number else max(steps, first_steps)
        if steps and not improve_bounds(tape, works, steps, pool, run.is_late, options.on_progress):
            return run.out_of_time()
        if not run.has_room(count, 1):
            return run.out_of_memory()
        workers = [_Worker(tape, work, make_columns(tape, work)) for work in works]
        roots = _roots(search, workers[0])
        bounded = pool.submit(lambda: workers[0].stack.push(workers[0].bound(roots, CASE_STEPS, CASE_RATE)))  # noqa: B023
        if not finished([bounded], run.is_late):
            return run.out_of_time()
        run.workers = workers
        found = _rounds(run, minimisers, watch, pool, quota)
        if found is not None:
            return found
    raise AssertionError("the last stage has no quota")


def _roots(search: _Search, worker: _Worker) -> _Domains:
    """Return one domain for each conjunction, unsplit."""
    cases, columns, work = search.cases, worker.columns, worker.work
    count, size = len(cases.first) - 1, len(columns.entry)
    weight = np.zeros((count, int(search.tape.size[-1])))
    for case in range(count):
        rows = cases.rows[cases.first[case] : cases.first[case + 1]]
        weight[case, rows] = 1.0 / len(rows)
    steep = work.upper[columns.source] > -work.lower[columns.source]
    return _Domains(
        np.zeros((count, size), dtype=np.int8),
        np.tile(steep.astype(np.float32), (count, 1)),
        np.zeros((count, size), dtype=np.float32),
        weight,
        np.arange(count),
        np.zeros(count, dtype=np.int64),
        np.full(count, -np.inf),
        np.full((count, CANDIDATES), -1, dtype=np.int64),
    )


def _rounds(run: _Run, minimisers: _Minimisers, watch: Watch, pool: Executor, quota: float) -> Finding | None:
    """Branch until all is refuted, a point is found or a limit is met; None if the quota of domains is used up."""
    search, workers = run.search, run.workers
    while True:
        run.note()
        point = minimisers.check(workers)
        if point is not None:
            return Finding(Outlook.FOUND, point, (f"found among {_looked(workers)} domains",))
        if not any(len(worker.stack) for worker in workers) or _aside(workers) > MOST_ASIDE:
            break
        work = sum(float(worker.work.cost[0]) for worker in workers)
        point = watch.look(work, search.deadline, lambda: None)
        if point is not None:
            return Finding(Outlook.FOUND, point, (f"the falsifier found it beside {_looked(workers)} domains",))
        if run.is_late():
            return run.out_of_time()
        if not run.has_room(len(workers), 0):
            return run.out_of_memory()
        if _looked(workers) > quota:
            return None
        _even_out(workers)
        busy = [worker for worker in workers if len(worker.stack)]
        if not finished([pool.submit(worker.branch) for worker in busy], run.is_late):
            return run.out_of_time()
    evidence = (f"rounding-safe bounds refuted every case on {_looked(workers)} domains of ReLU phases",)
    return _closed(run, evidence)


def _closed(run: _Run, evidence: tuple[str, ...]) -> Finding:
    """Ask a solver about the domains in which nothing is left to split: linear programmes, but for max-pools."""
    search, closed, left_open = run.search, 0, None
    for case, worker, phase in _to_close(run):
        if run.is_late():
            return run.out_of_time()
        if not run.memory.has_room(SOLVER_MEMORY + SOLVER_MEMORY_A_WEIGHT * len(search.tape.weights)):
            return run.out_of_memory()
        intervals = _by_node(search, worker.work.lower, worker.work.upper)
        phases = {} if phase is None else _phases(search, worker, phase)
        conjunction = search.region.unsafe[case]
        found = close_with_milp(
            search.network, search.region, conjunction, intervals, phases, search.options, search.deadline
        )
        if found.outlook is Outlook.FOUND:
            return found
        left_open = found if found.outlook is Outlook.OPEN else left_open
        closed += 1
    if left_open is not None:
        # Its bound would be that of one domain; ours holds for all that is left.
        ours = run.open(f"{left_open.reason}, in a domain with nothing left to split")
        return replace(ours, timed_out=left_open.timed_out)
    if closed:
        evidence = (*evidence, f"but for {closed} domain(s), which a solver's claim closed")
    return Finding(Outlook.REFUTED, evidence=evidence)


def _to_close(run: _Run) -> Iterator[tuple[int, _Worker, IntArray | None]]:
    """Yield what bounds could not refute: fully split domains, or whole cases where there are too many of those."""
    if _aside(run.workers) <= MOST_ASIDE:
        for worker in run.workers:
            for part in worker.aside:
                for k in range(len(part)):
                    yield int(part.case[k]), worker, part.phase[k]
        return
    parts = [part for worker in run.workers for part in (*worker.aside, *worker.stack.parts)]
    for case in np.unique(np.concatenate([part.case for part in parts])):
        yield int(case), run.workers[0], None


def _aside(workers: Sequence[_Worker]) -> int:
    return sum(len(part) for worker in workers for part in worker.aside)


def _by_node(search: _Search, lower: FloatArray, upper: FloatArray) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Return the bounds of every node of the network."""
    slices = zip(_tape_order(search.network), search.tape.start, search.tape.size, strict=False)
    return {name: (lower[a : a + n], upper[a : a + n]) for name, a, n in slices}


def _phases(search: _Search, worker: _Worker, phase: IntArray) -> dict[str, IntArray]:
    """Return the split sides of every node that a ReLU reads."""
    side = np.zeros(search.tape.total, dtype=np.int64)
    side[worker.columns.source] = phase
    slices = zip(_tape_order(search.network), search.tape.start, search.tape.size, strict=False)
    return {name: side[a : a + n] for name, a, n in slices if side[a : a + n].any()}


def _tape_order(network: Network) -> list[str]:
    """Return the names of a network's nodes in the order of its tape, inputs first."""
    return [node.name for node in sorted(network.nodes, key=lambda node: not isinstance(node.op, Input))]


def _even_out(workers: Sequence[_Worker]) -> None:
    for idle in workers:
        richest = max(workers, key=lambda worker: len(worker.stack))
        if len(idle.stack) == 0 and len(richest.stack) > 1:
            idle.stack = richest.stack.half()


def _looked(workers: Sequence[_Worker]) -> int:
    return sum(worker.looked for worker in workers)
