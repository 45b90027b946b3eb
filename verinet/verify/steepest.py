"""The least Lipschitz constant: how fast an output can change, enclosed from both sides.

From above, the largest dual norm of the derivatives of all linear pieces, box by box as in `verinet.verify.slopes`,
the steepest box first. From below, two inputs and the exact quotient of what the output and what the inputs differ by.
"""

import heapq
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from verinet.bounds import InputSet, Interval, NetworkBounds, bound_network
from verinet.model import Domain, Lipschitz, Network, Norm, evaluate_exact, reduce_property
from verinet.numeric import FloatArray, float_up
from verinet.verify.derivative import derivative_range
from verinet.verify.gradient import input_gradient
from verinet.verify.optimum import Basis, OptimiseOptions, Optimum, OptimumProgress, OptimumStatus, Sense
from verinet.verify.options import Deadline
from verinet.verify.slopes import FEW_UNSTABLE, MOST_PHASES, SLOPE_KINDS, SlopeSearch, halves, misses, split_phase

__all__ = ["lipschitz_constant"]

HALVINGS = 12
"""Of the step from a box's middle to the other input of a pair."""

EVERY = 64
"""Boxes between two reports."""


def lipschitz_constant(
    network: Network, domain: Domain, prop: Lipschitz, options: OptimiseOptions | None = None
) -> Optimum:
    """Find the least constant with which a Lipschitz property holds.

    Parameters
    ----------
    network : Network
    domain : Domain
    prop : Lipschitz
        Its own constant plays no part.
    options : OptimiseOptions or None
        Time limit and gaps count; the search has one engine and one thread.

    Returns
    -------
    Optimum
        A maximum, of the quotient of the differences; its point is a point of the property's reduction, two inputs
        and their distances.

    Raises
    ------
    PropertyError
        If the property does not fit the network.

    Notes
    -----
    Soundness: the value is the exact quotient at two inputs of the domain. The bound is the largest dual norm of
    enclosures of derivatives, in rational arithmetic over rounding-safe bounds of pre-activations. The straight way
    between two inputs stays in the box and the conditions, so no quotient is larger; where inputs are integers, or a
    steep piece is too small to hold two inputs, the bound may stay above.
    """
    options = options or OptimiseOptions()
    return _Search(network, domain, prop, options).run()


@dataclass(frozen=True, eq=False)
class _Box:
    """A part of the domain, and the largest dual norm of its derivatives at most."""

    lower: FloatArray
    upper: FloatArray
    norm: Fraction


@dataclass(eq=False)
class _Search:
    """Boxes by their norms, the best pair so far, and what is no longer halved."""

    network: Network
    domain: Domain
    prop: Lipschitz
    options: OptimiseOptions
    value: Fraction | None = None
    point: tuple[Fraction, ...] | None = None
    left_over: Fraction = Fraction(0)
    boxes: int = 0
    heap: list[tuple[Fraction, int, _Box]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begun = self.options.started if self.options.started is not None else time.monotonic()
        self.deadline = Deadline(self.begun + self.options.timeout)
        self.whole = InputSet.of(self.domain)
        self.any = replace(self.prop, constant=Fraction(0))
        self.reduction = reduce_property(self.network, self.domain, self.any)
        self.slopes = SlopeSearch(self.network, self.domain, self.any)
        self.number = itertools.count()
        self.integral = np.zeros(self.domain.size, dtype=np.bool_)
        self.integral[list(self.domain.integral)] = True

    def run(self) -> Optimum:
        """Halve the steepest box until bound and value meet."""
        box = self.whole.box
        scale = np.nextafter(0.5 * box.upper - 0.5 * box.lower, np.inf)
        self._add(box.lower, box.upper)
        while self.heap and not self._is_near and not self.deadline.passed:
            _, _, steepest = heapq.heappop(self.heap)
            # Between two neighbouring integers no smaller box tells more about them.
            whole = self.integral & (steepest.upper - steepest.lower <= 1.0)
            parts = halves(steepest.lower, steepest.upper, np.where(whole, np.inf, scale))
            if not parts:
                self.left_over = max(self.left_over, steepest.norm)
            for lower, upper in parts:
                self._add(lower, upper)
        return self._optimum()

    @property
    def bound(self) -> Fraction:
        """No quotient is larger."""
        return max(self.left_over, -self.heap[0][0] if self.heap else Fraction(0), self.value or Fraction(0))

    @property
    def _is_near(self) -> bool:
        value = self.value
        wanted = max(self.options.absolute_gap, self.options.relative_gap * float(value or 0))
        return value is not None and self.bound - value <= Fraction(wanted)

    def _optimum(self) -> Optimum:
        status, reason = OptimumStatus.OPTIMAL, ""
        if self.value is None and not self.heap and not self.left_over:
            # No box is left that meets the conditions, or there is but one input.
            self.value, self.point = self._pair_at(0.5 * self.whole.box.lower + 0.5 * self.whole.box.upper)
        if not self._is_near:
            status = OptimumStatus.LIMIT
            reason = (
                "the time limit was reached"
                if self.deadline.passed
                else "where kinks cross, or between integers, boxes of derivatives tell no more"
            )
        sentence = f"derivatives of all linear pieces are enclosed in rational arithmetic on {self.boxes} box(es)"
        return Optimum(
            status, Sense.MAXIMISE, self.value, self.point, float_up(self.bound), Basis.ROUNDING_SAFE, reason,
            "derivative (box by box)", (sentence,), time.monotonic() - self.begun,
        )  # fmt: skip

    def _add(self, lower: FloatArray, upper: FloatArray) -> None:
        """Bound a box, and look for a steep pair near its middle."""
        self.boxes += 1
        if self.boxes % EVERY == 0:
            seconds = time.monotonic() - self.begun
            self.options.on_progress(OptimumProgress(seconds, self.value, float_up(self.bound)))
        if any(misses(atom, lower, upper) for atom in (*self.domain.conditions, *self.prop.where)):
            return
        norm = self._norm(bound_network(self.network, InputSet(Interval(lower, upper), self.whole.balls)))
        if norm <= (self.value or 0):
            return
        self._offer(0.5 * lower + 0.5 * upper)
        heapq.heappush(self.heap, (-norm, next(self.number), _Box(lower, upper, norm)))

    def _norm(self, bounds: NetworkBounds) -> Fraction:
        """Bound the dual norm of all derivatives of a box, whatever the phases of open ReLUs."""
        pending, largest = [bounds], Fraction(0)
        for count in itertools.count():
            if not pending:
                break
            part = pending.pop()
            norm = SLOPE_KINDS[Lipschitz].excess(self.any, *derivative_range(part, self.prop.output))
            if norm <= max(largest, self.value or Fraction(0)):
                continue
            phases = split_phase(part) if part.unstable <= FEW_UNSTABLE and count < MOST_PHASES else ()
            if phases:
                pending += phases
            else:
                largest = max(largest, norm)
        return largest

    def _offer(self, middle: FloatArray) -> None:
        """Take the pair at a point if its quotient is larger."""
        value, point = self._pair_at(middle)
        if value is not None and (self.value is None or value > self.value):
            self.value, self.point = value, point

    def _pair_at(self, middle: FloatArray) -> tuple[Fraction | None, tuple[Fraction, ...] | None]:
        """Go from a point where the output falls fastest, and return the largest exact quotient on that way."""
        rows = np.zeros((1, self.network.size_out))
        rows[0, self.prop.output] = 1.0
        gradient = input_gradient(self.network, middle[None, :], rows)[0]
        if not np.isfinite(gradient).all():
            return None, None
        exact = np.array([Fraction(v) for v in gradient.tolist()], dtype=object)
        if self.value is not None and SLOPE_KINDS[Lipschitz].excess(self.any, exact, exact, 1) <= self.value:
            return None, None
        direction = SLOPE_KINDS[Lipschitz].direction(self.prop, gradient)
        if not direction.any():
            direction[list(self.prop.inputs)] = 1.0
        start = self.domain.nearest(middle.tolist())
        lower, upper = self.domain.exact_box()
        moved = [i for i in self.prop.inputs if direction[i]]
        best: tuple[Fraction | None, tuple[Fraction, ...] | None] = (None, None)
        first = max((upper[i] - lower[i] for i in moved), default=Fraction(0))
        for way, halving in itertools.product((1, -1), range(HALVINGS + 1)):
            if way < 0 and best[0] is not None:
                break
            step = way * first / 2**halving
            end = self.domain.nearest([v + step * int(d) for v, d in zip(start, direction, strict=True)])
            quotient, point = self._quotient(start, end)
            if quotient is not None and (best[0] is None or quotient > best[0]):
                best = quotient, point
        return best

    def _quotient(
        self, one: Sequence[Fraction], other: Sequence[Fraction]
    ) -> tuple[Fraction | None, tuple[Fraction, ...] | None]:
        """Return the quotient of two inputs, and the pair; None where the property is not about them."""
        changes = [abs(one[i] - other[i]) for i in self.prop.inputs]
        distance = max(changes) if self.prop.norm is Norm.LINF else sum(changes, Fraction(0))
        (region,) = self.reduction.query.regions
        point = self.slopes.joined(self.reduction, one, other)[0]
        if not distance or not region.domain.contains(point):
            return None, None
        values = [evaluate_exact(self.network, x)[self.prop.output] for x in (one, other)]
        return abs(values[0] - values[1]) / distance, point
