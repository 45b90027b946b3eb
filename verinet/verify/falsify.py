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
POINTS = 64
STEPS = 40
CONFIRMATIONS = 8
"""How many of the most promising points an exact check is spent on, each time."""


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
class _Target:
    """A conjunction as float rows over inputs and outputs: violated where all are at most zero."""

    input_rows: FloatArray
    output_rows: FloatArray
    constants: FloatArray

    @classmethod
    def of(cls, conjunction: Conjunction, network: Network) -> "_Target":
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


def _descend(network: Network, space: SearchSpace, target: _Target, x: FloatArray, deadline: Deadline) -> FloatArray:
    """Follow the sign of the gradient of the worst atom, with shrinking steps; return each point's best place."""
    lower, upper = space.box
    best, best_value = x, np.full(len(x), np.inf)
    for step in range(STEPS):
        y = evaluate(network, x)
        excess = target.excess(x, y)
        value = excess.max(axis=1)
        better = value < best_value
        best = np.where(better[:, None], x, best)
        best_value = np.where(better, value, best_value)
        if step == STEPS - 1 or deadline.passed or best_value.min() < 0:
            break
        worst = np.argmax(excess, axis=1)
        gradient = input_gradient(network, x, target.output_rows[worst]) + target.input_rows[worst]
        length = 0.5 * (upper - lower) * 0.85**step
        x = space.project(x - np.sign(gradient) * length)
    return best[np.argsort(best_value, kind="stable")]


def falsify(network: Network, region: Region, deadline: Deadline, seed: int = 0) -> tuple[Fraction, ...] | None:
    """Look for a counterexample in a region.

    Parameters
    ----------
    network : Network
    region : Region
    deadline : Deadline
    seed : int

    Returns
    -------
    tuple of Fraction or None
        A point that exact evaluation confirms; None says nothing.
    """
    space = SearchSpace(region.domain)
    starts = space.starts(np.random.default_rng(seed))
    y = evaluate(network, starts)
    for conjunction in region.unsafe:
        if deadline.passed:
            return None
        if not conjunction:
            continue
        target = _Target.of(conjunction, network)
        order = np.argsort(target.excess(starts, y).max(axis=1), kind="stable")
        found = _first_confirmed(network, region, starts[order[:CONFIRMATIONS]], target)
        if found is None:
            polished = _descend(network, space, target, starts[order[:POINTS]], deadline)
            found = _first_confirmed(network, region, polished[:CONFIRMATIONS], target)
        if found is not None:
            return found
    return None


def _first_confirmed(
    network: Network, region: Region, points: FloatArray, target: _Target
) -> tuple[Fraction, ...] | None:
    """Spend exact checks on the points whose float values are within rounding of a violation."""
    y = evaluate(network, points)
    scale = np.abs(y).max(initial=1.0) * np.abs(target.output_rows).sum(axis=1).max(initial=1.0) + 1.0
    promising = target.excess(points, y).max(axis=1) <= 1e-9 * scale
    for point in points[promising]:
        found = confirm(network, region, point)
        if found is not None:
            return found
    return None
