"""The greatest value of a one-hidden-layer network without biases over the unit sphere of the L1 norm.

The function is ``F(w) = sum_t weight_t max(0, greatest of row . w over the rows of term t)``. It is positively
homogeneous, and on the hull of some corners v_i each term of positive weight is at most what its values at the corners
interpolate (it is convex), each other term at most any average of its rows and zero. A point of the hull is an average
of corners, so both sums together are at most their greatest value at a corner: no linear programme, no big-M. A hull
is halved at the middle of an edge; the L1 ball is the hull of plus and minus the unit vectors, and halving the edge
between two opposite ones fixes a sign. Products with the rows are averaged with the corners, so a node costs a few
operations for each term that is not linear on it yet.

Soundness: corners are dyadic, kept as integers and halved exactly. All rounding of the search is covered by one slack,
added to the bounds: every value is a sum of at most as many products as there are terms, of numbers that averaging
keeps within the rows' largest entries, off by one rounding for each halving; an average of what bounds a corner adds
few more operations for each of its parts. How the averages are found is of no matter: any of them bounds.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from verinet.errors import InputError
from verinet.numeric import BoolArray, FloatArray, IntArray, gamma
from verinet.verify.options import Deadline

__all__ = ["ConeOptions", "ConeResult", "ConeSearch"]

PLACES = 60
"""Binary places of corners: sums of two stay within 64 bits."""

MOST_STEPS = 400
"""Steps of one ascent from vertex to vertex."""

WAITING = 0.05
"""Seconds between two looks at the clock while threads search."""

CHUNKS_PER_THREAD = 8
"""Into how many parts a thread's share is cut, since searches take very different times."""


@dataclass(frozen=True)
class ConeOptions:
    """How a search goes.

    Parameters
    ----------
    cutoff : float
        Values up to this are of no interest.
    relative_gap : float
        A support's search ends where its bound exceeds its best value, once above the cut-off, by this share of it.
    most_nodes : int
        Of one support; a search that needs more keeps the bound it has.
    rounds : int
        Of answers for each bound, at most.
    threads : int
        Zero means all cores.
    """

    cutoff: float = 0.0
    relative_gap: float = 1e-6
    most_nodes: int = 10_000_000
    rounds: int = 10
    threads: int = 1


@dataclass(frozen=True, eq=False)
class ConeResult:
    """What is known about each support.

    Parameters
    ----------
    values : ndarray, shape (supports,)
        At `points`, in float64.
    bounds : ndarray, shape (supports,)
        No point with that support has a greater value, rounding included.
    points : ndarray, shape (supports, size)
        Of L1 norm 1, by the support's coordinates: vertices of the kinks' arrangement where the value exceeds the
        cut-off.
    nodes : ndarray of int, shape (supports,)
        Hulls that were halved.
    """

    values: FloatArray
    bounds: FloatArray
    points: FloatArray
    nodes: IntArray


@dataclass(frozen=True, eq=False)
class ConeSearch:
    """Rows and supports, prepared for many weightings.

    Parameters
    ----------
    rows : ndarray, shape (rows, width)
    supports : ndarray of int, shape (supports, size)
        Coordinates that may differ from zero, -1 for fewer than `size`, after the others.
    ends : ndarray of int, shape (terms,)
        Where each term's rows end; by default each row is a term.
    """

    rows: FloatArray
    supports: IntArray
    ends: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __post_init__(self) -> None:
        if not np.isfinite(self.rows).all():
            raise InputError("a cone search needs finite rows, found NaN or infinity")
        if self.supports.size and not (self.supports.min() >= -1 and self.supports.max() < self.rows.shape[1]):
            raise InputError(f"supports must name coordinates below {self.rows.shape[1]}")
        if not len(self.ends):
            object.__setattr__(self, "ends", np.arange(1, len(self.rows) + 1))

    @cached_property
    def sizes(self) -> IntArray:
        """Number of rows of each term."""
        return np.diff(self.ends, prepend=0)

    @cached_property
    def reach(self) -> FloatArray:
        """The largest entry of each term's rows: no product with a vector of the ball is larger."""
        largest = np.abs(self.rows).max(axis=1, initial=0.0)
        return np.maximum.reduceat(largest, self.ends - self.sizes) if len(self.ends) else largest

    def slack(self, weights: FloatArray, rounds: int) -> float:
        """Return what rounding may take from a bound of the function with these weights."""
        # Averages of answers: the sum of their shares, a quotient, a product and a sum for each.
        averages = 2 * rounds + 4
        operations = len(weights) + 2 * PLACES * (self.supports.shape[1] + 1) + averages
        return 4.0 * gamma(operations) * float(np.abs(weights) @ self.reach) + 1e-300

    def value(self, weights: FloatArray, point: FloatArray) -> float:
        """Evaluate the function at a point, in float64."""
        products = self.rows @ point
        heights = np.maximum.reduceat(products, self.ends - self.sizes) if len(self.ends) else products
        return float(weights @ np.maximum(heights, 0.0))

    def maximise(
        self,
        weights: FloatArray,
        options: ConeOptions,
        *,
        allowed: BoolArray | None = None,
        chosen: IntArray | None = None,
        deadline: Deadline | None = None,
    ) -> ConeResult:
        """Bound the function's greatest value on each support, and find points that come near.

        Parameters
        ----------
        weights : ndarray, shape (terms,)
        options : ConeOptions
        allowed : ndarray of bool, shape (width, 2), or None
            Whether a coordinate may be positive, and negative; by default both.
        chosen : ndarray of int or None
            Which supports; by default all. The result is theirs, in this order.
        deadline : Deadline or None
            Searches that it cuts short keep the bounds they have, which are valid but loose.

        Returns
        -------
        ConeResult

        Raises
        ------
        KeyboardInterrupt
            After the threads were told to stop.
        """
        # Imported here: the compiler takes a while to load, and most of what a process does has no need of it.
        from verinet.verify.cone_kernels import search_hulls

        prepared = self._ordered(weights, allowed)
        supports = np.ascontiguousarray(self.supports if chosen is None else self.supports[chosen])
        count, size = supports.shape
        result = ConeResult(np.zeros(count), np.zeros(count), np.zeros((count, size)), np.zeros(count, np.int64))
        stop = np.zeros(1, dtype=np.bool_)

        def search(part: slice) -> None:
            search_hulls(
                *prepared,
                supports[part],
                options.cutoff,
                options.relative_gap,
                options.most_nodes,
                options.rounds,
                1 << PLACES,
                MOST_STEPS,
                stop,
                result.values[part],
                result.bounds[part],
                result.points[part],
                result.nodes[part],
            )

        _in_threads(search, count, options.threads, stop, deadline)
        bounds = result.bounds + self.slack(weights, options.rounds)
        return ConeResult(result.values, bounds, result.points, result.nodes)

    def ascend(
        self,
        weights: FloatArray,
        starts: FloatArray,
        *,
        allowed: BoolArray | None = None,
        threads: int = 1,
        deadline: Deadline | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Climb from several points to vertices of the kinks' arrangement, over all coordinates.

        Parameters
        ----------
        weights : ndarray, shape (terms,)
        starts : ndarray, shape (points, width)
            Of L1 norm 1, with allowed signs.
        allowed : ndarray of bool, shape (width, 2), or None
        threads : int
            Zero means all cores.
        deadline : Deadline or None
            Starts that it cuts off are left where they are.

        Returns
        -------
        points : ndarray, shape (points, width)
        values : ndarray, shape (points,)
            In float64; no bounds.
        """
        # Imported here for the same reason as in `maximise`.
        from verinet.verify.cone_climb import climb

        columns, ordered, ends, _, sides = self._ordered(weights, allowed)
        points = np.array(starts, dtype=np.float64)
        stop = np.zeros(1, dtype=np.bool_)

        def search(part: slice) -> None:
            for point in points[part]:
                if not stop[0]:
                    climb(columns, ordered, ends, sides, point, MOST_STEPS)

        if len(ordered):
            _in_threads(search, len(points), threads, stop, deadline)
        return points, np.array([self.value(weights, point) for point in points])

    def _ordered(
        self, weights: FloatArray, allowed: BoolArray | None
    ) -> tuple[FloatArray, FloatArray, IntArray, int, BoolArray]:
        """Take the terms that have a weight, those of positive weight first."""
        order = np.concatenate([np.flatnonzero(weights > 0), np.flatnonzero(weights < 0)])
        convex = int(np.count_nonzero(weights > 0))
        if len(self.ends) == len(self.rows):
            rows = order
        else:
            starts = self.ends - self.sizes
            rows = np.concatenate([np.arange(starts[t], self.ends[t]) for t in order] or [np.zeros(0, np.int64)])
        columns = np.ascontiguousarray(self.rows[rows].T)
        sides = np.ones((self.rows.shape[1], 2), dtype=np.bool_) if allowed is None else allowed
        return columns, weights[order], np.cumsum(self.sizes[order]), convex, sides


def _in_threads(
    search: Callable[[slice], None], count: int, threads: int, stop: BoolArray, deadline: Deadline | None
) -> None:
    """Search parts of the supports side by side; at the deadline or on Ctrl-C tell the kernels to stop."""
    workers = min(threads or os.cpu_count() or 1, count)
    pieces = np.array_split(np.arange(count), min(count, workers * CHUNKS_PER_THREAD)) if count else []
    parts = [slice(int(p[0]), int(p[-1]) + 1) for p in pieces]
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        futures: Sequence[Future[None]] = [pool.submit(search, part) for part in parts]
        try:
            pending = set(futures)
            while pending:
                _, pending = wait(pending, timeout=WAITING)
                if deadline is not None and deadline.passed:
                    stop[0] = True
        except BaseException:
            stop[0] = True
            raise
    for future in futures:
        future.result()
