"""The relaxation of training where each unit's weights lie in a cone: every unit may be a mixture of the cone's rays.

``minimise  loss(f) + l1 (sizes of rays + |p|_1)  with  f = c + p . x + sum_k sign_k sum of sizes * heights of rays``,
where unit k takes rays of its own cone and of total size at most the weight bound. It is the convex hull of what
each unit can be. A mixture of rays of one cell is a single unit; on a smaller cone the relaxation is tighter.

Soundness: bounds come from prices by weak duality, in a closed form that no solver has to be trusted for. Every ray
of the cones enters it, with an allowance for the rays' own error and for rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from verinet.numeric import BoolArray, FloatArray, IntArray, gamma
from verinet.solve import GrowingProgramme
from verinet.train.any_width.band import bands_of
from verinet.train.cells.rays import RAY_ERROR, Rays
from verinet.train.data import TrainingData
from verinet.train.programme import Parameters
from verinet.train.specification import Specification
from verinet.verify import Deadline

__all__ = ["Mixture", "Relaxation"]

MOST_COLUMNS = 8
"""Rays of one unit that enter the linear programme in one round."""

WORTHWHILE = 0.3
"""Of what the best ray saves: rays that save less do not enter with it."""

NEGLIGIBLE = 1e-9
"""Relative to the objective: what further rays can save is not looked for, and smaller sizes are residues."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """An optimum of the relaxation, or what a bound above the cut-off left of it.

    Parameters
    ----------
    bound : float
        No network with its units in the cones has a smaller objective.
    prices : ndarray, shape (samples,)
        What a small rise of each output saves.
    parameters : Parameters
        Each unit is the sum of its rays.
    above, below : ndarray, shape (units, samples)
        The sums of what each unit's rays have above and below zero at each sample.
    """

    bound: float
    prices: FloatArray
    parameters: Parameters
    above: FloatArray
    below: FloatArray


class Relaxation:
    """A linear programme over rays that grows, for one set of cones after another.

    Parameters
    ----------
    data : TrainingData
    specification : Specification
        With a loss that has bands, a price of size or none, and nothing that counts or is monotone.
    rays : Rays
        Of the samples, with a 1 for the bias.
    """

    def __init__(self, data: TrainingData, specification: Specification, rays: Rays) -> None:
        self.x, self.specification, self.rays = data.scaled_x, specification, rays
        self.price, self.most = specification.objective.l1, specification.weight_bound
        self.signs = np.array(specification.signs)
        self.bands = bands_of(data.scaled_y, data.weights, specification.objective)
        self._unit, self._ray = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        features = self.x.shape[1] if specification.skip else 0
        # Beyond this constant, all outputs are beyond all bands.
        self._reach = (len(self.signs) + features + 1) * self.most + specification.objective.margin + 1.0
        self._programme = GrowingProgramme()
        # HiGHS's tolerances are absolute: costs in units of the price, or of a sample's weight.
        self._scale = 1.0 / (self.price or float(data.weights.min()))
        self._base = self._add_base(features)

    def _add_base(self, features: int) -> int:
        """Add the constant, both parts of the skip, what lies outside of the bands, and all rows."""
        samples, units, bands = len(self.x), len(self.signs), self.bands
        costs = np.concatenate(
            [np.zeros(1), np.full(2 * features, self.price), np.minimum(bands.under, 1e9), np.minimum(bands.over, 1e9)]
        )
        lower = np.concatenate([[-self._reach], np.zeros(2 * features + 2 * samples)])
        upper = np.concatenate(
            [
                [self._reach],
                np.full(2 * features, self.most),
                np.where(bands.under > 0, np.inf, 0.0),
                np.where(bands.over > 0, np.inf, 0.0),
            ]
        )
        self._programme.add_columns(self._scale * costs, lower, upper, np.zeros((0, len(costs))))
        skip = self.x[:, :features]
        outside = sp.eye_array(samples)
        block = sp.hstack([sp.csr_array(np.column_stack([np.ones(samples), skip, -skip])), outside, -outside])
        self._programme.add_rows(bands.low, bands.high, sp.csr_array(block))
        self._programme.add_rows(np.full(units, -np.inf), np.full(units, self.most), sp.csr_array((units, len(costs))))
        return len(costs)

    def needs_exact(self, unit: int) -> BoolArray:
        """Return at which samples the loss gains where a unit seems larger than it is."""
        return np.asarray((self.bands.under if self.signs[unit] > 0 else self.bands.over) > 0)

    def solve(self, cones: Sequence[IntArray], cutoff: float, deadline: Deadline) -> Mixture | None:
        """Optimise over mixtures of the cones' rays.

        Parameters
        ----------
        cones : sequence of ndarray of int, shape (samples,)
            For each unit: 1 and -1 demand that side of a sample's hyperplane, 0 leaves both.
        cutoff : float
            A bound that reaches it ends the search for better rays.
        deadline : Deadline

        Returns
        -------
        Mixture or None
            None where the deadline passed first.
        """
        allowed = [self.rays.within(cone) for cone in cones]
        known = np.array([allowed[k][ray] for k, ray in zip(self._unit, self._ray, strict=True)], dtype=np.bool_)
        self._programme.set_upper(self._base + np.arange(len(known)), np.where(known, np.inf, 0.0))
        bound = -np.inf
        while not deadline.passed:
            solved = self._programme.solve(max(deadline.left, 0.1))
            if solved is None:
                return None
            values, duals = solved[0], solved[1] / self._scale
            prices = self.bands.clip(duals[: len(self.x)])
            scarcity = np.maximum(-duals[len(self.x) :], 0.0)
            savings = self._savings(prices, scarcity, allowed)
            bound = max(bound, self._bound(prices, scarcity, savings))
            if bound >= cutoff or not self._enter(savings, NEGLIGIBLE * max(abs(bound), 1e-3) / self.most):
                return self._mixture(bound, prices, values)
        return None

    def _savings(self, prices: FloatArray, scarcity: FloatArray, allowed: list[BoolArray]) -> list[FloatArray]:
        """Return for each unit what a piece of size 1 of each ray saves; minus infinity outside of its cone."""
        worths = self.rays.heights @ prices
        costs = self.price + scarcity
        return [
            np.where(inside, sign * worths, -np.inf) - cost
            for sign, inside, cost in zip(self.signs, allowed, costs, strict=True)
        ]

    def _bound(self, prices: FloatArray, scarcity: FloatArray, savings: list[FloatArray]) -> float:
        """Return the bound of weak duality at given prices; all that they miss is charged at its largest size."""
        positive, negative = prices > 0, prices < 0
        ends = np.where(positive, self.bands.low, np.where(negative, self.bands.high, 0.0))
        size = float(np.abs(prices).sum())
        total = float(prices @ ends) - self.most * float(scarcity.sum()) - self._reach * abs(float(prices.sum()))
        largest = max(1.0, float(np.abs(self.x).max(initial=0.0)))
        if self.specification.skip:
            total -= self.most * float(np.maximum(np.abs(prices @ self.x) - self.price, 0.0).sum())
        for saving in savings:
            total -= self.most * max(0.0, float(saving.max(initial=-np.inf)) + RAY_ERROR * size * largest)
        operations = 4 * (len(prices) + len(self.signs) + self.x.shape[1])
        everything = size * largest * (self._reach + self.most * (len(self.signs) + self.x.shape[1]))
        everything += float(np.abs(prices) @ np.abs(ends)) + self.most * float(scarcity.sum() + self.price)
        return float(total - gamma(operations) * everything)

    def _enter(self, savings: list[FloatArray], least: float) -> bool:
        """Give the programme the rays that save most; return whether there were new ones."""
        before = len(self._ray)
        best = max((float(saving.max(initial=-np.inf)) for saving in savings), default=0.0)
        for unit, saving in enumerate(savings):
            most = min(MOST_COLUMNS, len(saving))
            top = np.argpartition(-saving, most - 1)[:most] if most else np.zeros(0, dtype=np.int64)
            top = top[saving[top] > max(least, WORTHWHILE * best)]
            new = np.setdiff1d(top, self._ray[self._unit == unit])
            if len(new):
                self._add(unit, new)
        return len(self._ray) > before

    def _add(self, unit: int, new: IntArray) -> None:
        share = np.zeros((len(self.signs), len(new)))
        share[unit] = 1.0
        block = np.vstack([self.signs[unit] * self.rays.heights[new].T, share])
        count = len(new)
        self._programme.add_columns(
            np.full(count, self._scale * self.price), np.zeros(count), np.full(count, np.inf), sp.csc_array(block)
        )
        self._unit = np.concatenate([self._unit, np.full(count, unit)])
        self._ray = np.concatenate([self._ray, new])

    def _mixture(self, bound: float, prices: FloatArray, values: FloatArray) -> Mixture:
        features, units = self.x.shape[1], len(self.signs)
        skip = np.zeros(features)
        if self.specification.skip:
            skip = values[1 : 1 + features] - values[1 + features : 1 + 2 * features]
        # Rays that entered after the last solve have no size yet.
        sizes = values[self._base :]
        weights = np.zeros((units, features + 1))
        above, below = np.zeros((units, len(self.x))), np.zeros((units, len(self.x)))
        for place in np.flatnonzero(sizes > NEGLIGIBLE * sizes.max(initial=0.0)):
            unit, ray = self._unit[place], self._ray[place]
            weights[unit] += sizes[place] * self.rays.points[ray]
            heights = self.rays.heights[ray]
            above[unit] += sizes[place] * heights
            # Heights below zero are those of the opposite ray.
            products = self.x @ self.rays.points[ray, :-1] + self.rays.points[ray, -1]
            below[unit] += sizes[place] * np.maximum(-products, 0.0)
        parameters = Parameters(weights[:, :-1], weights[:, -1], skip, float(values[0]))
        return Mixture(bound, prices, parameters, above, below)
