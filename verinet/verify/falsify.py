"""The falsifier: looks for counterexamples by sampling and projected gradients; what it finds is checked exactly."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from verinet.model import Conjunction, Domain, Network, Region, Side, evaluate
from verinet.numeric import FloatArray
from verinet.verify.gradient import input_gradient
from verinet.verify.options import Deadline
from verinet.verify.witness import confirm

__all__ = ["SearchSpace", "falsify", "sample"]

MOST_CORNERS = 1024
POINTS, STEPS = 128, 40
"""Points that are improved at a time, and steps that each takes."""

MANY_INPUTS = 64
FEW_POINTS, FEW_STEPS = 32, 25
"""The same where more inputs move: gradients are all that leads anywhere there, and each step costs more."""

SAMPLES = 16384
SAMPLED_ENTRIES = 1_000_000
"""Points of a round, and most numbers that they may hold: inputs of many dimensions are sampled less."""

CONFIRMATIONS = 8
"""How many of the most promising points an exact check is spent on, each time."""

NEARLY = 1e-9
"""Relative to the outputs: a float value this near to a violation may be one."""

SHARPNESS = 3.0
MUTATION, DESCENTS, STEP_DECAY = 0.2, (0.5, 0.05), 0.92
"""First steps as shares of the box, and their shrinkage: found by trying them on control and image networks."""


@dataclass(frozen=True, eq=False)
class SearchSpace:
    """A domain in floats, with a projection that respects its types.

    Parameters
    ----------
    domain : Domain
    """

    domain: Domain

    @cached_property
    def box(self) -> tuple[FloatArray, FloatArray]:
        """The float64 box."""
        return self.domain.box()

    @cached_property
    def _conditions(self) -> tuple[FloatArray, FloatArray]:
        rows = np.zeros((len(self.domain.conditions), self.domain.size))
        offsets = np.zeros(len(rows))
        for i, atom in enumerate(self.domain.conditions):
            for symbol, coefficient in atom.expression.terms:
                rows[i, symbol.index] = float(coefficient)
            offsets[i] = float(atom.expression.constant)
        return rows, offsets

    def project(self, x: FloatArray) -> FloatArray:
        """Move points into the domain, nearly: clipped, rounded, and pushed over the conditions.

        Parameters
        ----------
        x : ndarray, shape (points, size)
        """
        lower, upper = self.box
        x = np.clip(x, lower, upper)
        rows, offsets = self._conditions
        for _ in range(10 if len(rows) or self.domain.balls else 0):
            for row, offset in zip(rows, offsets, strict=True):
                excess = np.maximum(x @ row + offset, 0.0)
                x = np.clip(x - np.outer(excess / max(row @ row, 1e-300), row), lower, upper)
            for ball in self.domain.balls:
                coordinates = list(ball.coordinates)
                centre = np.array([float(c) for c in ball.centre])
                offset_in = x[:, coordinates] - centre
                # Shrinking towards the centre is not the nearest point, but it keeps directions and is exact enough.
                norm = np.abs(offset_in).sum(axis=1, keepdims=True)
                scale = np.minimum(1.0, float(ball.radius) * (1 - 1e-12) / np.maximum(norm, 1e-300))
                x[:, coordinates] = centre + offset_in * scale
            x = np.clip(x, lower, upper)
        integral = list(self.domain.integral)
        x[:, integral] = np.round(x[:, integral])
        for group in self.domain.groups:
            members = list(group)
            winner = np.argmax(np.where(upper[members] > 0, x[:, members] + lower[members], -np.inf), axis=1)
            x[:, members] = 0.0
            x[np.arange(len(x)), np.array(members)[winner]] = 1.0
        return x

    def starts(self, rng: np.random.Generator) -> FloatArray:
        """Return the centre, corners and random points."""
        lower, upper = self.box
        moving = np.flatnonzero(upper > lower)
        if 2 ** min(len(moving), 60) <= MOST_CORNERS:
            bits = (np.arange(2 ** len(moving))[:, None] >> np.arange(len(moving))) & 1
        else:
            bits = rng.integers(0, 2, size=(POINTS, len(moving)))
        corners = np.repeat(lower[None, :], len(bits), axis=0)
        corners[:, moving] = np.where(bits == 1, upper[moving], lower[moving])
        inner = rng.uniform(lower, upper, size=(POINTS, len(lower)))
        return self.project(np.concatenate([0.5 * (lower + upper)[None, :], corners, inner]))


def sample(domain: Domain, seed: int = 0) -> tuple[Fraction, ...] | None:
    """Return some point of a domain, exactly in it, or None if none was met."""
    space = SearchSpace(domain)
    for x in space.starts(np.random.default_rng(seed)):
        point = domain.nearest(x)
        if domain.contains(point):
            return point
    return None


@dataclass(frozen=True, eq=False)
class Target:
    """A conjunction as float rows over inputs and outputs: violated where all are at most zero."""

    input_rows: FloatArray
    output_rows: FloatArray
    constants: FloatArray

    @classmethod
    def of(cls, conjunction: Conjunction, network: Network) -> "Target":
        rows = {
            Side.INPUT: np.zeros((len(conjunction), network.size_in)),
            Side.OUTPUT: np.zeros((len(conjunction), network.size_out)),
        }
        for i, atom in enumerate(conjunction):
            for symbol, coefficient in atom.expression.terms:
                rows[symbol.side][i, symbol.index] = float(coefficient)
        constants = np.array([float(atom.expression.constant) for atom in conjunction])
        return cls(rows[Side.INPUT], rows[Side.OUTPUT], constants)

    def excess(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return the value of each atom at each point, shape (points, atoms)."""
        return x @ self.input_rows.T + y @ self.output_rows.T + self.constants


def _soft_worst(excess: FloatArray) -> FloatArray:
    """Weigh the atoms of each point: the worse, the heavier; equal ones share, where the worst alone would zigzag."""
    spread = np.abs(excess).mean(axis=1, keepdims=True) + np.finfo(np.float64).tiny
    weights = np.exp(SHARPNESS * (excess - excess.max(axis=1, keepdims=True)) / spread)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


@dataclass(eq=False)
class Falsifier:
    """A search for counterexamples in one region that can be continued, round by round.

    Each round samples points, mutates the best of them at random and follows their gradients with shrinking steps. All
    in floats; whatever looks like a counterexample is confirmed exactly.

    Parameters
    ----------
    network : Network
    region : Region
    seed : int
    """

    network: Network
    region: Region
    seed: int = 0

    def __post_init__(self) -> None:
        self.space = SearchSpace(self.region.domain)
        self.targets = [Target.of(case, self.network) for case in self.region.unsafe if case]
        self.rng = np.random.default_rng(self.seed)
        lower, upper = self.space.box
        self.is_wide = bool(np.count_nonzero(upper > lower) > MANY_INPUTS)
        self.points, self.steps = (FEW_POINTS, FEW_STEPS) if self.is_wide else (POINTS, STEPS)

    @property
    def samples(self) -> int:
        """Points that a round starts from."""
        return max(self.points, min(SAMPLES, SAMPLED_ENTRIES // max(self.network.size_in, 1)))

    @property
    def evaluations(self) -> int:
        """About how many evaluations of the network a round costs; a gradient counts as three."""
        return self.samples + (4 if self.is_wide else 5) * self.steps * self.points * len(self.targets)

    def start(self, deadline: Deadline) -> tuple[Fraction, ...] | None:
        """Try the centre, corners and some random points, each followed downhill."""
        return self._improve(self.space.starts(self.rng), deadline)

    def round(
        self, deadline: Deadline, boxes: tuple[FloatArray, FloatArray] | None = None
    ) -> tuple[Fraction, ...] | None:
        """Sample anew and improve.

        Parameters
        ----------
        deadline : Deadline
        boxes : tuple of ndarray, shape (boxes, size_in), or None
            Lower and upper ends of boxes to sample from; None means the whole domain.

        Returns
        -------
        tuple of Fraction or None
            Confirmed.
        """
        lower, upper = self.space.box
        if boxes is not None:
            chosen = self.rng.integers(len(boxes[0]), size=self.samples)
            lower, upper = boxes[0][chosen], boxes[1][chosen]
        points = self.rng.uniform(lower, upper, size=(self.samples, self.network.size_in))
        return self._improve(self.space.project(points), deadline)

    def _improve(self, points: FloatArray, deadline: Deadline) -> tuple[Fraction, ...] | None:
        y = evaluate(self.network, points)
        ways = (self._confirm_only, *(() if self.is_wide else (self._mutate,)), self._descend)
        for target in self.targets:
            value = target.excess(points, y).max(axis=1)
            order = np.argsort(value, kind="stable")[: self.points]
            best, best_value = points[order], value[order]
            for improve in ways:
                best, best_value = improve(target, best, best_value, deadline)
                found = self._first_confirmed(best, target)
                if found is not None or deadline.passed:
                    return found
        return None

    def _confirm_only(
        self, target: Target, points: FloatArray, values: FloatArray, deadline: Deadline
    ) -> tuple[FloatArray, FloatArray]:
        return points, values

    def _mutate(
        self, target: Target, points: FloatArray, values: FloatArray, deadline: Deadline
    ) -> tuple[FloatArray, FloatArray]:
        """Change about half of the coordinates of each point at random, by less and less, and keep what is better."""
        width = self.space.box[1] - self.space.box[0]
        for step in range(self.steps):
            if deadline.passed or values.min() < 0:
                break
            change = self.rng.normal(size=points.shape) * width * (MUTATION * STEP_DECAY**step)
            change[self.rng.random(points.shape) < 0.5] = 0.0
            moved = self.space.project(points + change)
            value = target.excess(moved, evaluate(self.network, moved)).max(axis=1)
            better = value < values
            points, values = np.where(better[:, None], moved, points), np.where(better, value, values)
        return points, values

    def _descend(
        self, target: Target, points: FloatArray, values: FloatArray, deadline: Deadline
    ) -> tuple[FloatArray, FloatArray]:
        """Follow the gradient of the worst atoms; half of the points by its signs, half along it."""
        width = self.space.box[1] - self.space.box[0]
        x = points
        by_sign = (np.arange(len(x)) % 2 == 0)[:, None]
        for step in range(self.steps):
            excess = target.excess(x, evaluate(self.network, x))
            value = excess.max(axis=1)
            better = value < values
            points, values = np.where(better[:, None], x, points), np.where(better, value, values)
            if step == self.steps - 1 or deadline.passed or values.min() < 0:
                break
            weights = _soft_worst(excess)
            gradient = input_gradient(self.network, x, weights @ target.output_rows) + weights @ target.input_rows
            scaled = gradient * width
            length = np.linalg.norm(scaled, axis=1, keepdims=True)
            along = scaled / np.where(length > 0, length, 1.0)
            # Two lengths of steps, for wide domains and for narrow valleys.
            reach = np.where(np.arange(len(x)) % 4 < 2, *DESCENTS)[:, None] * STEP_DECAY**step
            x = self.space.project(x - np.where(by_sign, np.sign(gradient), along) * width * reach)
        return points, values

    def _first_confirmed(self, points: FloatArray, target: Target) -> tuple[Fraction, ...] | None:
        """Spend exact checks on the points whose float values are within rounding of a violation."""
        y = evaluate(self.network, points)
        value = target.excess(points, y).max(axis=1)
        scale = np.abs(y).max(initial=1.0) * np.abs(target.output_rows).sum(axis=1).max(initial=1.0) + 1.0
        order = np.argsort(value, kind="stable")[:CONFIRMATIONS]
        for point in points[order[value[order] <= NEARLY * scale]]:
            found = confirm(self.network, self.region, point)
            if found is not None:
                return found
        return None


def falsify(
    network: Network, region: Region, deadline: Deadline, seed: int = 0, rounds: int = 1
) -> tuple[Fraction, ...] | None:
    """Look for a counterexample in a region.

    Parameters
    ----------
    network : Network
    region : Region
    deadline : Deadline
    seed : int
    rounds : int
        Rounds of random sampling after the first look.

    Returns
    -------
    tuple of Fraction or None
        A point that exact evaluation confirms; None says nothing.
    """
    if () in region.unsafe:
        return sample(region.domain, seed)
    falsifier = Falsifier(network, region, seed)
    found = falsifier.start(deadline)
    for _ in range(rounds):
        if found is not None or deadline.passed:
            return found
        found = falsifier.round(deadline)
    return found
