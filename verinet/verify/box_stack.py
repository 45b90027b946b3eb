"""The boxes that a branch-and-bound search still has to look at, in piles, and the buffers of its threads."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from verinet.bounds.columns import Columns, make_columns
from verinet.bounds.kernels import Work, make_work
from verinet.bounds.tape import Tape
from verinet.model import Domain
from verinet.numeric import BoolArray, FloatArray, IntArray
from verinet.verify.box_kernels import Cases, Event, Stack, explore
from verinet.verify.finding import OpenBox
from verinet.verify.memory import MemoryCeiling

__all__ = ["BoxPile", "Buffers", "Remaining", "even_out"]

FIRST_CAPACITY = 64
"""Boxes that a stack has room for at first."""

SMALL_STEP = 64
"""Boxes that a stack grows by where there is no memory to double it: depth first never needs many."""


@dataclass(frozen=True)
class Remaining:
    """An open box, with a safe lower bound of what is minimised: its violation, or the objective."""

    bound: float
    box: OpenBox


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
class Buffers:
    """What one thread computes in; nothing that a box leaves there changes what is found on the next.

    Parameters
    ----------
    work : Work
        Has seen the whole box.
    columns : Columns
        Room for one, over the ReLUs that are open in the whole box.
    """

    work: Work
    columns: Columns

    @classmethod
    def start(cls, tape: Tape, cases: Cases, lower: FloatArray, upper: FloatArray, stop: IntArray) -> "Buffers":
        """Make buffers that have seen the whole box; `stop` is what all threads of a search look at."""
        work = make_work(tape, stop)
        work.lower[: tape.inputs], work.upper[: tape.inputs] = lower, upper
        stack = _make_stack(tape.total, len(cases.first) - 1, 0)
        # Crossed bounds of the whole box show again, as a contradiction, when the search looks at it.
        explore(tape, work, cases, stack, 0, False, True, make_columns(tape, work, 1))
        return cls(work, make_columns(tape, work, 1))


@dataclass(eq=False)
class BoxPile:
    """A stack of boxes that one thread at a time works on, whichever.

    Parameters
    ----------
    tape : Tape
    cases : Cases
        Shared by all piles of a search.
    stack : Stack
    memory : MemoryCeiling
    """

    tape: Tape
    cases: Cases
    stack: Stack
    memory: MemoryCeiling
    products: float = 0.0
    """How many the boxes of this pile have taken."""
    false_alarm: bool = False
    """Whether the box on top gave a point that turned out to be of no use."""
    aside: list[Remaining] = field(default_factory=list)
    """Boxes too small to split and still open; the search goes on without them, and ends open if nothing is found."""

    @classmethod
    def start(cls, tape: Tape, cases: Cases, memory: MemoryCeiling) -> "BoxPile":
        """Make a pile without boxes."""
        return cls(tape, cases, _make_stack(tape.total, len(cases.first) - 1, FIRST_CAPACITY), memory)

    @property
    def boxes(self) -> int:
        """How many boxes are on the stack."""
        return int(self.stack.state[0])

    @property
    def looked(self) -> int:
        """Boxes that were looked at."""
        return int(self.stack.state[1])

    @property
    def capacity(self) -> int:
        """How many boxes the stack has room for."""
        return len(self.stack.depth)

    @property
    def candidate(self) -> FloatArray:
        """The inputs that the kernel handed back."""
        return self.stack.point[: self.tape.inputs]

    def push_whole(self, lower: FloatArray, upper: FloatArray) -> None:
        """Put the whole box on the empty stack, with nothing known about it."""
        self.stack.lower[0], self.stack.upper[0], self.stack.value[0] = -np.inf, np.inf, -np.inf
        self.stack.lower[0, : len(lower)], self.stack.upper[0, : len(upper)] = lower, upper
        self.stack.state[0] = 1

    def explore(self, buffers: Buffers, quota: int) -> Event:
        """Look at so many boxes, with a larger stack whenever one is needed; FULL if it cannot be had."""
        end, work, spent = self.looked + quota, buffers.work, buffers.work.cost[0]
        while True:
            before = self.looked
            left, exempt = end - before, self.false_alarm
            event = Event(explore(self.tape, work, self.cases, self.stack, left, exempt, False, buffers.columns))
            # The exemption is for the box on top, which may be there still.
            self.false_alarm = exempt and self.looked == before
            if event is not Event.FULL or not self.make_room():
                self.products += float(work.cost[0] - spent)
                return event

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

    def give_half(self, other: "BoxPile") -> None:
        """Hand the older half of the stack, the larger boxes, to a pile without any, if that has room for them."""
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

    def prune(self, ceiling: float) -> None:
        """Drop the boxes whose bound is at least `ceiling`."""
        self._keep(self.stack.value[: self.boxes] < ceiling)

    def clip(self, lower: FloatArray, upper: FloatArray) -> None:
        """Cut the boxes to a box, and drop those that have no point in it."""
        inside = slice(0, self.boxes), slice(0, self.tape.inputs)
        np.maximum(self.stack.lower[inside], lower, out=self.stack.lower[inside])
        np.minimum(self.stack.upper[inside], upper, out=self.stack.upper[inside])
        crossed = self.stack.lower[inside] > self.stack.upper[inside]
        self._keep(np.asarray(~crossed.any(axis=1)))

    def _keep(self, wanted: BoolArray) -> None:
        count, kept = self.boxes, np.flatnonzero(wanted)
        if len(kept) == count:
            return
        self.false_alarm = self.false_alarm and bool(wanted[-1])
        self.stack.state[2] += float((0.5 ** self.stack.depth[:count]).sum() - (0.5 ** self.stack.depth[kept]).sum())
        for array in self.stack[:5]:
            array[: len(kept)] = array[kept]
        self.stack.state[0] = len(kept)
        self.shrink()

    def drop(self) -> None:
        """Take the top box off the stack."""
        self.stack.state[0] -= 1

    def settle(self) -> None:
        """Take the top box off the stack, as done."""
        self.stack.state[2] += 0.5 ** int(self.stack.depth[self.boxes - 1])
        self.drop()

    def set_aside(self) -> None:
        """Take the top box off the stack and remember it as open."""
        self.aside.append(self._remaining(self.boxes - 1))
        self.drop()

    def worst(self) -> Remaining:
        """Return the box on the stack with the smallest bound; there must be one."""
        return self._remaining(int(np.argmin(self.stack.value[: self.boxes])))

    def _remaining(self, index: int) -> Remaining:
        lower, upper = (side[index, : self.tape.inputs].tolist() for side in (self.stack.lower, self.stack.upper))
        return Remaining(float(self.stack.value[index]), OpenBox(tuple(lower), tuple(upper)))

    def only_point(self, domain: Domain) -> tuple[Fraction, ...] | None:
        """Return the only point that the box on top has in common with the domain's box; None if there may be others.

        A box of two floats around an input that is fixed at a decimal holds one point of the domain, the decimal.
        """
        top, point = self.boxes - 1, []
        lower, upper = (side[top, : self.tape.inputs] for side in (self.stack.lower, self.stack.upper))
        nearest = domain.nearest(lower.tolist())
        for low, high, v, first, last in zip(lower, upper, nearest, *domain.exact_box(), strict=True):
            if first != last and not (low == high and Fraction(float(low)) == v):
                return None
            point.append(first if first == last else v)
        return tuple(point)


def even_out(piles: Sequence[BoxPile]) -> None:
    """Give piles without boxes half of the largest one."""
    for empty in piles:
        richest = max(piles, key=lambda pile: pile.boxes)
        if empty.boxes == 0 and richest.boxes > 1:
            richest.give_half(empty)
