"""The rounds of a branch-and-bound search over the input box, on all cores, whatever is looked for.

Work goes in rounds: each thread explores its own stack up to a quota of boxes, then stacks are evened out. Rounds make
the search deterministic for a given number of threads, as long as neither clock nor memory nor the user cut it short.
"""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from enum import Enum
from fractions import Fraction
from typing import ClassVar, Generic, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from verinet.bounds.tape import Tape
from verinet.model import Domain
from verinet.numeric import FloatArray
from verinet.verify.box_kernels import Cases, Event
from verinet.verify.box_stack import BoxThread, Remaining, even_out
from verinet.verify.memory import MemoryCeiling
from verinet.verify.options import Deadline

__all__ = ["BoxSearch", "Stop", "thread_count"]

FIRST_QUOTA, LARGEST_QUOTA = 32, 1024
"""Boxes a thread looks at in the first round, and in later ones."""

CHECKED_CENTRES = 16
"""How many of their centres each thread has evaluated exactly; the kernel has tried points of each box already."""

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
        self.threads = [BoxThread.start(tape, cases, self.memory, lower, upper) for _ in range(thread_count(threads))]
        self.threads[0].push_whole(lower, upper)
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
            with ThreadPoolExecutor(len(self.threads)) as pool, threadpool_limits(limits=1, user_api="blas"):
                while ended is None:
                    ended = self._round(pool)
        except KeyboardInterrupt:
            return self.stopped(Stop.INTERRUPT)
        return ended

    def _round(self, pool: Executor) -> Result | None:
        """Let every thread explore its quota; return a result if that is the end."""
        if not any(thread.boxes for thread in self.threads):
            return self.emptied()
        if self.deadline.passed:
            return self.stopped(Stop.TIME)
        if not self.memory.allows(0):
            return self.stopped(Stop.MEMORY)
        even_out(self.threads)
        self.number += 1
        if self.number % 2 == 0 and not self.memory.is_scarce:
            for thread in self.threads:
                if thread.boxes and not thread.false_alarm:
                    thread.raise_most_promising()
        busy = [thread for thread in self.threads if thread.boxes]
        for thread, event in zip(busy, self._explored(pool, busy), strict=True):
            ended = self._judge(thread, event)
            if ended is not None:
                return ended
        if len(self.aside) > self.most_set_aside:
            return self.stopped(Stop.BOXES)
        if self.deadline.passed:
            return None
        ended = self.between_rounds()
        self.quota = min(2 * self.quota, LARGEST_QUOTA)
        return ended

    def _explored(self, pool: Executor, busy: Sequence[BoxThread]) -> list[Event]:
        """Run the kernel for each thread, until the time limit at the latest; return why each one ended."""
        futures = [pool.submit(thread.explore, self.quota) for thread in busy]
        try:
            wait(futures, timeout=min(self.deadline.left, threading.TIMEOUT_MAX))
        finally:
            # The time is up, or the user has interrupted: whatever still runs stops before its next box.
            if not all(future.done() for future in futures):
                self.cases.stop[0] = 1
                wait(futures)
        return [future.result() for future in futures]

    def _judge(self, thread: BoxThread, event: Event) -> Result | None:
        """Let exact code look at what a thread handed back."""
        if event is Event.FULL:
            return self.stopped(Stop.MEMORY)
        if event is Event.CONTRADICTION:
            return self.stopped(Stop.FAULT)
        if event is Event.CANDIDATE:
            thread.false_alarm = True
            return self.offered(thread.candidate)
        return self._judge_stuck(thread) if event is Event.STUCK else None

    def _judge_stuck(self, thread: BoxThread) -> Result | None:
        """Settle a box that cannot be split if it is one point, else set it aside: others may hold what is sought."""
        only, ended = thread.only_point(self.domain), None
        if only is not None or len(thread.aside) < CHECKED_CENTRES:
            ended = self.offered(thread.candidate if only is None else only)
        if ended is not None:
            return ended
        if only is None:
            thread.set_aside()
        else:
            thread.settle()
        return None

    @property
    def worst(self) -> Remaining | None:
        """The open box with the smallest bound."""
        lowest = [thread.worst() for thread in self.threads if thread.boxes]
        return min([*lowest, *self.aside], key=lambda remaining: remaining.bound, default=None)

    @property
    def aside(self) -> list[Remaining]:
        """The boxes that all threads have set aside."""
        return [remaining for thread in self.threads for remaining in thread.aside]

    @property
    def boxes(self) -> int:
        """Boxes that were looked at."""
        return sum(thread.looked for thread in self.threads)

    @property
    def products(self) -> float:
        """Products that the search has taken so far."""
        return sum(float(thread.work.cost[0]) for thread in self.threads)

    def open_boxes(self) -> tuple[FloatArray, FloatArray] | None:
        """Return the ends of the boxes on all stacks; None if there are none."""
        inputs = self.tape.inputs
        lower = np.concatenate([thread.stack.lower[: thread.boxes, :inputs] for thread in self.threads])
        upper = np.concatenate([thread.stack.upper[: thread.boxes, :inputs] for thread in self.threads])
        return (lower, upper) if len(lower) else None

    def report(self) -> str:
        """Say how far the search is, in a few words."""
        left = sum(thread.boxes for thread in self.threads) + len(self.aside)
        done = sum(thread.stack.state[2] for thread in self.threads)
        deepest = int(max(thread.stack.state[3] for thread in self.threads))
        return f"{self.boxes} boxes, {left} open, depth {deepest}, {done:.2%} of the domain done"
