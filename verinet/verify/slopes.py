"""Properties that derivatives decide: monotonicity and Lipschitz constants, box by box.

Both need nothing but the derivatives of the linear pieces that meet the domain. Over a box these are enclosed in exact
arithmetic (`verify.derivative`); where the enclosure is too wide the box is halved. A box with a wrong derivative in
its middle proposes a counterexample, which exact evaluation has to confirm.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from verinet.bounds import InputSet, Interval, NetworkBounds, bound_network, open_entries
from verinet.model import Atom, Domain, Lipschitz, Monotone, Network, Norm, Reduction, Relu
from verinet.numeric import FloatArray, ObjectArray
from verinet.verify.derivative import derivative_range
from verinet.verify.gradient import input_gradient
from verinet.verify.options import Deadline

__all__ = ["FEW_UNSTABLE", "MOST_PHASES", "SLOPE_KINDS", "SlopeSearch", "Sloped", "halves", "misses", "split_phase"]

Sloped = Monotone | Lipschitz
"""Kinds that derivatives decide."""

MOST_BOXES = 20_000
"""Beyond these, other engines are the better choice."""

FINEST = 2.0**-12
"""Sides, as shares of the domain's, of a box that is no longer halved: where kinks cross, no box is small enough."""

FEW_UNSTABLE, MOST_PHASES = 8, 128
"""Open ReLUs of a box whose phases are told apart, and the most derivatives that are enclosed for it."""

STEPS = 24
"""Halvings of the first step from a point towards a counterexample."""


def _monotone_excess(prop: Monotone, lower: ObjectArray, upper: ObjectArray, denominator: int) -> Fraction:
    """Return how far the worst derivative is on the wrong side of zero; inputs may rise by different amounts."""
    moved = list(prop.inputs)
    wrong = -lower[moved] if prop.increasing else upper[moved]
    return Fraction(max(wrong, default=0), denominator)


def _lipschitz_excess(prop: Lipschitz, lower: ObjectArray, upper: ObjectArray, denominator: int) -> Fraction:
    """Return by how much the dual norm of the gradient may exceed the constant."""
    steepest = [max(-lower[i], upper[i]) for i in prop.inputs]
    norm = sum(steepest) if prop.norm is Norm.LINF else max(steepest)
    return Fraction(norm, denominator) - prop.constant


def _monotone_direction(prop: Monotone, gradient: FloatArray) -> FloatArray:
    """Return where to go from the middle of a box: up in the inputs whose derivative is wrong."""
    direction, moved = np.zeros(len(gradient)), list(prop.inputs)
    wrong = gradient[moved] < 0 if prop.increasing else gradient[moved] > 0
    direction[moved] = wrong
    return direction


def _lipschitz_direction(prop: Lipschitz, gradient: FloatArray) -> FloatArray:
    """Return where the output falls fastest, measured by the property's norm."""
    direction, moved = np.zeros(len(gradient)), list(prop.inputs)
    if prop.norm is Norm.LINF:
        direction[moved] = -np.sign(gradient[moved])
    else:
        steepest = moved[int(np.argmax(np.abs(gradient[moved])))]
        direction[steepest] = -np.sign(gradient[steepest])
    return direction


@dataclass(frozen=True)
class _Kind:
    """What a kind asks of derivatives: how far they are off, and the way to a counterexample."""

    excess: Callable[..., Fraction]
    direction: Callable[..., FloatArray]


SLOPE_KINDS: Mapping[type, _Kind] = {
    Monotone: _Kind(_monotone_excess, _monotone_direction),
    Lipschitz: _Kind(_lipschitz_excess, _lipschitz_direction),
}
"""By kind of property."""


@dataclass(eq=False)
class SlopeSearch:
    """A search over boxes of the user's domain.

    Parameters
    ----------
    network : Network
        The user's.
    domain : Domain
    prop : Monotone or Lipschitz

    Notes
    -----
    Soundness: the straight way between two inputs stays in the box that holds them, and in the conditions, which are
    convex. If every piece that meets a box of a subdivision has the right derivatives, the function has them all along
    that way, whether inputs are integers or not. Boxes are halved without a gap. One that misses a condition, in exact
    arithmetic, holds no part of a way.
    """

    network: Network
    domain: Domain
    prop: Sloped
    boxes: int = 0
    suspects: list[FloatArray] = field(default_factory=list)
    """Middles of boxes where the derivative is wrong, in floats."""

    def holds(self, deadline: Deadline) -> bool:
        """Return whether derivatives prove the property; False says nothing.

        Parameters
        ----------
        deadline : Deadline
        """
        whole = InputSet.of(self.domain)
        # A range may be wider than the largest float.
        scale = np.nextafter(0.5 * whole.box.upper - 0.5 * whole.box.lower, np.inf)
        heap: list[tuple[float, int, FloatArray, FloatArray]] = []
        waiting = [(whole.box.lower, whole.box.upper)]
        while waiting or heap:
            for lower, upper in waiting:
                excess = self._excess(lower, upper, whole, deadline)
                if excess > 0:
                    heapq.heappush(heap, (-excess, self.boxes, lower, upper))
            if not heap:
                return True
            if self.suspects or deadline.passed or self.boxes >= MOST_BOXES:
                return False
            _, _, lower, upper = heapq.heappop(heap)
            waiting = halves(lower, upper, scale)
            if not waiting:
                return False
        return True

    def _excess(self, lower: FloatArray, upper: FloatArray, whole: InputSet, deadline: Deadline) -> float:
        """Return a positive number if some derivative over a box may be wrong, the larger the worse; else zero."""
        self.boxes += 1
        if any(misses(atom, lower, upper) for atom in (*self.domain.conditions, *self.prop.where)):
            return 0.0
        bounds = bound_network(self.network, InputSet(Interval(lower, upper), whole.balls))
        found = self._worst_phase(bounds, deadline)
        if found <= 0:
            return 0.0
        self._suspect(0.5 * lower + 0.5 * upper)
        # Beyond floats it is large enough; below the smallest it is still positive.
        return min(max(float(min(found, Fraction(10**300))), 1e-300), 1e300)

    def _worst_phase(self, bounds: NetworkBounds, deadline: Deadline) -> Fraction:
        """Return zero if derivatives are right whatever the phases of open ReLUs, else an excess that was met.

        Each piece has one phase of each ReLU; some phases belong to no piece, so that an excess may be none.
        """
        pending, found = [bounds], Fraction(0)
        for _ in range(MOST_PHASES):
            if not pending:
                return Fraction(0)
            part = pending.pop()
            found = SLOPE_KINDS[type(self.prop)].excess(self.prop, *derivative_range(part, self.prop.output))
            if found <= 0:
                continue
            parts = split_phase(part) if part.unstable <= FEW_UNSTABLE else ()
            if not parts or deadline.passed:
                return found
            pending += parts
        return found if found > 0 else Fraction(1)

    def _gradient(self, point: FloatArray) -> FloatArray:
        rows = np.zeros((1, self.network.size_out))
        rows[0, self.prop.output] = 1.0
        return np.asarray(input_gradient(self.network, point[None, :], rows)[0])

    def _suspect(self, point: FloatArray) -> None:
        gradient = self._gradient(point)
        if not np.isfinite(gradient).all():
            return
        exact = np.array([Fraction(v) for v in gradient.tolist()], dtype=object)
        if SLOPE_KINDS[type(self.prop)].excess(self.prop, exact, exact, 1) > 0:
            self.suspects.append(point)

    def proposals(self, reduction: Reduction) -> Iterator[tuple[Fraction, ...]]:
        """Yield points of the compared pair that may be counterexamples, for exact code to look at.

        Parameters
        ----------
        reduction : Reduction
            Of the property.
        """
        lower, upper = self.domain.exact_box()
        for middle in self.suspects:
            direction = SLOPE_KINDS[type(self.prop)].direction(self.prop, self._gradient(middle))
            start = self.domain.nearest(middle.tolist())
            first = max((h - low for low, h, d in zip(lower, upper, direction, strict=True) if d), default=Fraction(0))
            for halvings in range(STEPS):
                step = first / 2 ** (halvings + 1)
                moved = [v + step * int(d) for v, d in zip(start, direction, strict=True)]
                end = self.domain.nearest(moved)
                yield from self.joined(reduction, start, end)

    def joined(
        self, reduction: Reduction, one: Sequence[Fraction], other: Sequence[Fraction]
    ) -> tuple[tuple[Fraction, ...], ...]:
        """Write two inputs, either of which may be the first, as points of the compared pair."""
        return self._joined(reduction, (one, other)), self._joined(reduction, (other, one))

    def _joined(
        self, reduction: Reduction, pair: tuple[Sequence[Fraction], Sequence[Fraction]]
    ) -> tuple[Fraction, ...]:
        """Write two inputs, and the distances between them, as the reduction has them."""
        size = reduction.query.network.size_in
        point = [Fraction(0)] * size
        for copy, values in zip(reduction.copies, pair, strict=True):
            for place, value in zip(copy, values, strict=True):
                point[place] = value
        changes = [abs(pair[0][i] - pair[1][i]) for i in self.prop.inputs]
        extra = size - 1 - max(max(copy) for copy in reduction.copies)
        if extra:
            point[-extra:] = changes if extra == len(changes) > 1 else [max(changes)]
        return tuple(point)


def halves(lower: FloatArray, upper: FloatArray, scale: FloatArray) -> list[tuple[FloatArray, FloatArray]]:
    """Halve the side of a box that is longest beside the domain's; nothing if it is as short as sides become."""
    sides = (0.5 * upper - 0.5 * lower) / scale
    widest = int(np.argmax(sides))
    middle = 0.5 * lower[widest] + 0.5 * upper[widest]
    if sides[widest] < FINEST or not lower[widest] < middle < upper[widest]:
        return []
    left, right = upper.copy(), lower.copy()
    left[widest] = right[widest] = middle
    return [(lower, left), (right, upper)]


def split_phase(bounds: NetworkBounds) -> list[NetworkBounds]:
    """Split the first open ReLU into its phases; none if there is no open ReLU."""
    for node in bounds.network.nodes:
        if isinstance(node.op, Relu):
            name = node.arguments[0]
            argument = bounds.intervals[name]
            places = np.flatnonzero(open_entries(node.op, argument))
            if len(places):
                lower, upper = argument.lower.copy(), argument.upper.copy()
                lower[places[0]] = upper[places[0]] = 0.0
                halves = Interval(lower, argument.upper), Interval(argument.lower, upper)
                return [replace(bounds, intervals={**bounds.intervals, name: half}) for half in halves]
    return []


def misses(atom: Atom, lower: FloatArray, upper: FloatArray) -> bool:
    """Return whether no point of a box meets a condition, exactly."""
    least = atom.expression.constant
    for symbol, weight in atom.expression.terms:
        least += weight * Fraction(float((lower if weight > 0 else upper)[symbol.index]))
    return least > 0 or (least >= 0 and atom.strict)
