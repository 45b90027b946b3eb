"""The rounds of a branch-and-bound search over the input box, on all cores, whatever is looked for.

Work goes in rounds: several piles of boxes for each thread are explored up to a quota, whichever thread is free takes
the next, then piles are evened out. Rounds make the search deterministic for a given number of threads, as long as
neither clock nor memory nor the user cut it short.
"""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from enum import Enum
from fractions import Fraction
from queue import SimpleQueue
from typing import ClassVar, Generic, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from verinet.bounds.tape import Tape
from verinet.model import Domain
from verinet.numeric import FloatArray
from verinet.verify.box_kernels import Cases, Event
from verinet.verify.box_stack import BoxPile, Buffers, Remaining, even_out
from verinet.verify.memory import MemoryCeiling
from verinet.verify.options import Deadline

__all__ = ["BoxSearch", "Stop", "thread_count"]

FIRST_QUOTA, LARGEST_QUOTA = 32, 1024
"""Boxes a thread looks at in the first round, and in later ones."""

PILES = 8
"""For each of several threads: how long a pile takes is not known before, and a thread without one waits for the rest.
One thread waits for nobody, and has one."""

CHECKED_CENTRES = 16
"""How many of their centres are evaluated exactly; the kernel has tried points of each box already."""

Result = TypeVar("Result")


class Stop(Enum):
    """What ended a search before its end."""

    TIME = "the time limit was reached"
    MEMORY = "the memory limit was reached"
    INTERRUPT = "interrupted"
    BOXES = "too many boxes are too small for floats to split"
    FAULT = "bounds contradict each other; please report this network and property"


def thread_count(requested: int) -> int:
    """Return how many threads to use; zero asks for all cores."""
    if requested:
        return requested
    # Where the system knows it, only the cores that this process may use count.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class BoxSearch(ABC, Generic[Result]):
    """The state of a search between rounds.

    Parameters
    ----------
    domain : Domain
    tape : Tape
    cases : Cases
    deadline : Deadline
    threads : int
        Zero means all cores.
    memory : float or None
        Most memory that the process may hold, in MiB.
    """

    most_set_aside: ClassVar[int] = 200
    """Boxes that are too small to split, before the search gives up: around a place where a threshold is touched there
    are thousands, and an exact engine decides such a question sooner."""

    def __init__(
        self, domain: Domain, tape: Tape, cases: Cases, deadline: Deadline, threads: int, memory: float | None
    ) -> None:
        self.domain, self.tape, self.cases, self.deadline = domain, tape, cases, deadline
        self.memory_limit, self.memory = memory, MemoryCeiling(memory)
        lower, upper = domain.box()
        self.count = thread_count(threads)
        self.stop = np.zeros(1, dtype=np.int64)
        self.free: SimpleQueue[Buffers] = SimpleQueue()
        for _ in range(self.count):
            self.free.put(Buffers.start(tape, cases, lower, upper, self.stop))
        size = self.count * PILES if self.count > 1 else 1
        self.piles = [BoxPile.start(tape, cases, self.memory) for _ in range(size)]
        self.piles[0].push_whole(lower, upper)
        self.quota = FIRST_QUOTA
        self.number = 0

    @abstractmethod
    def offered(self, point: FloatArray | tuple[Fraction, ...]) -> Result | None:
        """Let exact code look at a point; return a result if that ends the search."""

    @abstractmethod
    def between_rounds(self) -> Result | None:
        """Do what is due between rounds; return a result if that ends the search."""

    @abstractmethod
    def emptied(self) -> Result:
        """Say what it means that no box is left to look at."""

    @abstractmethod
    def stopped(self, stop: Stop) -> Result:
        """Give up."""

    def run(self) -> Result:
        """Search until nothing is left, something ends it, or a limit is reached."""
        ended = None
        try:
            # The kernels' matrix products are small, and each of our threads takes its own.
            with ThreadPoolExecutor(self.count) as pool, threadpool_limits(limits=1, user_api="blas"):
                while ended is None:
                    ended = self._round(pool)
        except KeyboardInterrupt:
            return self.stopped(Stop.INTERRUPT)
        return ended

    def _round(self, pool: Executor) -> Result | None:
        """Explore a quota of every pile; return a result if that is the end."""
        if not any(pile.boxes for pile in self.piles):
            return self.emptied()
        if self.deadline.passed:
            return self.stopped(Stop.TIME)
        if not self.memory.allows(0):
            return self.stopped(Stop.MEMORY)
        even_out(self.piles)
        self.number += 1
        if self.number % 2 == 0 and not self.memory.is_scarce:
            for pile in self.piles:
                if pile.boxes and not pile.false_alarm:
                    pile.raise_most_promising()
        busy = [pile for pile in self.piles if pile.boxes]
        for pile, event in zip(busy, self._explored(pool, busy), strict=True):
            ended = self._judge(pile, event)
            if ended is not None:
                return ended
        if len(self.aside) > self.most_set_aside:
            return self.stopped(Stop.BOXES)
        if self.deadline.passed:
            return None
        ended = self.between_rounds()
        self.quota = min(2 * self.quota, LARGEST_QUOTA)
        return ended

    def _explored(self, pool: Executor, busy: Sequence[BoxPile]) -> list[Event]:
        """Run the kernel for each pile, until the time limit at the latest; return why each one ended."""
        quota = self.quota * self.count // len(self.piles)
        futures = [pool.submit(self._explore, pile, quota) for pile in busy]
        try:
            wait(futures, timeout=min(self.deadline.left, threading.TIMEOUT_MAX))
        finally:
            # The time is up, or the user has interrupted: whatever still runs stops before its next box.
            if not all(future.done() for future in futures):
                self.stop[0] = 1
                wait(futures)
        return [future.result() for future in futures]

    def _explore(self, pile: BoxPile, quota: int) -> Event:
        """Explore a pile in the buffers of a thread that has nothing else to do."""
        buffers = self.free.get()
        try:
            return pile.explore(buffers, quota)
        finally:
            self.free.put(buffers)

    def _judge(self, pile: BoxPile, event: Event) -> Result | None:
        """Let exact code look at what a pile handed back."""
        if event is Event.FULL:
            return self.stopped(Stop.MEMORY)
        if event is Event.CONTRADICTION:
            return self.stopped(Stop.FAULT)
        if event is Event.CANDIDATE:
            pile.false_alarm = True
            return self.offered(pile.candidate)
        return self._judge_stuck(pile) if event is Event.STUCK else None

    def _judge_stuck(self, pile: BoxPile) -> Result | None:
        """Settle a box that cannot be split if it is one point, else set it aside: others may hold what is sought."""
        only, ended = pile.only_point(self.domain), None
        if only is not None or len(self.aside) < CHECKED_CENTRES:
            ended = self.offered(pile.candidate if only is None else only)
        if ended is not None:
            return ended
        if only is None:
            pile.set_aside()
        else:
            pile.settle()
        return None

    @property
    def worst(self) -> Remaining | None:
        """The open box with the smallest bound."""
        lowest = [pile.worst() for pile in self.piles if pile.boxes]
        return min([*lowest, *self.aside], key=lambda remaining: remaining.bound, default=None)

    @property
    def aside(self) -> list[Remaining]:
        """The boxes that were set aside."""
        return [remaining for pile in self.piles for remaining in pile.aside]

    @property
    def boxes(self) -> int:
        """Boxes that were looked at."""
        return sum(pile.looked for pile in self.piles)

    @property
    def products(self) -> float:
        """Products that the search has taken so far."""
        return sum(pile.products for pile in self.piles)

    def open_boxes(self) -> tuple[FloatArray, FloatArray] | None:
        """Return the ends of the boxes on all stacks; None if there are none."""
        inputs = self.tape.inputs
        lower = np.concatenate([pile.stack.lower[: pile.boxes, :inputs] for pile in self.piles])
        upper = np.concatenate([pile.stack.upper[: pile.boxes, :inputs] for pile in self.piles])
        return (lower, upper) if len(lower) else None

    def report(self) -> str:
        """Say how far the search is, in a few words."""
        left = sum(pile.boxes for pile in self.piles) + len(self.aside)
        done = sum(pile.stack.state[2] for pile in self.piles)
        deepest = int(max(pile.stack.state[3] for pile in self.piles))
        return f"{self.boxes} boxes, {left} open, depth {deepest}, {done:.2%} of the domain done"
