"""Branch and bound over the cones of the units' weights.

A node fixes for some units on which side of some samples' hyperplanes their weights lie. Its relaxation lets each
unit be a mixture of rays of its cone; where rays of one unit disagree about a sample at which the loss gains from
that, the sides of this sample make new nodes. Units that nothing tells apart yet are told apart in one order only.

Every mixture also gives a network, of the sums of its rays; the piece of the objective on which the best network lies
is optimised at once.
"""

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from verinet.errors import SolverError
from verinet.numeric import IntArray
from verinet.train.cells.relaxation import Mixture, Relaxation
from verinet.train.programme import Parameters, predict
from verinet.verify import Deadline

__all__ = ["Found", "search_cells"]

Cones = tuple[IntArray, ...]

IMPROVEMENT = 1e-9
"""Relative: networks that are better by less are not worth another piece."""

SETTLED = 1e-10
"""What rays of one unit may disagree by at a sample, times its price, without being told apart there."""

LEAST_SHARE = 0.1
"""Of a sample's weight in the loss: what its price counts at least where samples are compared."""

PIECES = 10
"""That are followed from one network, at most."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found.

    Parameters
    ----------
    objective : float
        Of the parameters, in float64.
    parameters : Parameters
    bound : float
        No network has a smaller objective.
    nodes : int
    reason : str
        Why it ended before the gap was closed; empty otherwise.
    """

    objective: float
    parameters: Parameters
    bound: float
    nodes: int
    reason: str


def search_cells(
    relaxation: Relaxation,
    start: Parameters,
    gap_tolerance: float,
    deadline: Deadline,
    on_progress: Callable[[float, float], None] = lambda objective, bound: None,
    known_bound: float = -np.inf,
) -> Found:
    """Minimise the objective over all networks of so many units.

    Parameters
    ----------
    relaxation : Relaxation
    start : Parameters
        Some network.
    gap_tolerance : float
        Relative.
    deadline : Deadline
    on_progress : callable
        Called with the best objective and bound.
    known_bound : float
        What no network falls below, as is known already.

    Returns
    -------
    Found
        Ctrl-C and the deadline keep what there is.
    """
    state = _Search(relaxation, start, gap_tolerance, deadline, known_bound)
    reason = ""
    try:
        for _ in state.steps():
            on_progress(state.best, state.bound)
        # Without open nodes, what is left of a gap is rounding: how much that is, the caller sees.
        if deadline.passed and state.bound < state.enough:
            reason = "the time limit was reached"
    except KeyboardInterrupt:
        reason = "interrupted"
    except SolverError as error:
        reason = str(error)
    return Found(state.best, state.parameters, state.bound, state.nodes, reason)


class _Search:
    def __init__(
        self, relaxation: Relaxation, start: Parameters, gap_tolerance: float, deadline: Deadline, bound: float
    ) -> None:
        self.relaxation, self.tolerance, self.deadline = relaxation, gap_tolerance, deadline
        self.samples = len(relaxation.x)
        self.exact = [relaxation.needs_exact(k) for k in range(len(relaxation.signs))]
        self.parameters, self.best = start, self.objective(start)
        self.nodes = 0
        self.closed = np.inf
        self.numbers = itertools.count()
        root = tuple(np.zeros(self.samples, dtype=np.int64) for _ in relaxation.signs)
        self.open: list[tuple[float, int, Cones]] = [(bound, next(self.numbers), root)]

    @property
    def enough(self) -> float:
        """A bound that closes the gap."""
        return self.best - self.tolerance * abs(self.best)

    @property
    def bound(self) -> float:
        """No network is better than the worst bound of all leaves, open or closed."""
        return min([self.closed, self.best, *(node[0] for node in self.open[:1])])

    def objective(self, parameters: Parameters) -> float:
        """Evaluate a network in float64."""
        relaxation = self.relaxation
        f = predict(parameters, relaxation.specification.signs, relaxation.x)
        parts = (parameters.weights, parameters.biases, parameters.skip)
        return relaxation.bands.loss(f) + relaxation.price * sum(float(np.abs(part).sum()) for part in parts)

    def steps(self) -> Iterator[None]:
        """Take the open node of the least bound, again and again."""
        while self.open and self.open[0][0] < self.enough:
            inherited, _, cones = self.open[0]
            mixture = self.relaxation.solve(cones, self.enough, self.deadline)
            if mixture is None:
                return
            self.nodes += 1
            self.offer(mixture.parameters)
            children = self.children(cones, mixture)
            bound = max(inherited, mixture.bound)
            # Only now: an interrupt before this leaves the node where it was.
            heapq.heappop(self.open)
            if bound >= self.enough or not children:
                self.closed = min(self.closed, bound)
            else:
                for child in children:
                    heapq.heappush(self.open, (bound, next(self.numbers), child))
            yield

    def offer(self, parameters: Parameters) -> None:
        """Keep a network that is better than the best, and follow its pieces."""
        for _ in range(PIECES):
            value = self.objective(parameters)
            if not value < self.best - IMPROVEMENT * abs(self.best):
                return
            self.best, self.parameters = value, parameters
            piece = self.relaxation.solve(self.piece(parameters), np.inf, self.deadline)
            if piece is None:
                return
            parameters = piece.parameters

    def piece(self, parameters: Parameters) -> Cones:
        """Return the cones of the units' cells, as far as the loss has to know them."""
        products = self.relaxation.x @ parameters.weights.T + parameters.biases
        return tuple(np.where(exact, np.where(products[:, k] > 0, 1, -1), 0) for k, exact in enumerate(self.exact))

    def children(self, cones: Cones, mixture: Mixture) -> list[Cones]:
        """Return smaller cones that cover a node's, by the sample about which a unit's rays disagree most."""
        bands = self.relaxation.bands
        # A price of zero says nothing of what the loss would be where the output moves by more than a little.
        weights = np.maximum(np.abs(mixture.prices), LEAST_SHARE * np.maximum(bands.under, bands.over))
        scores = weights * np.minimum(mixture.above, mixture.below)
        for k, (exact, cone) in enumerate(zip(self.exact, cones, strict=True)):
            scores[k, ~exact | (cone != 0)] = 0.0
        unit, sample = np.unravel_index(int(np.argmax(scores)), scores.shape)
        if scores[unit, sample] <= SETTLED:
            return []
        signs = self.relaxation.signs
        alike = [k for k, cone in enumerate(cones) if signs[k] == signs[unit] and np.array_equal(cone, cones[unit])]
        return [_fixed(cones, int(sample), alike, positive) for positive in range(len(alike) + 1)]


def _fixed(cones: Cones, sample: int, units: list[int], positive: int) -> Cones:
    """Put the first of some units on the positive side of a sample's hyperplane and the others on its negative side."""
    changed = list(cones)
    for place, unit in enumerate(units):
        cone = cones[unit].copy()
        cone[sample] = 1 if place < positive else -1
        changed[unit] = cone
    return tuple(changed)
