"""Losses that are linear outside of a band: hinge, absolute, epsilon-insensitive and pinball loss are one thing.

``loss(f) = under * max(0, low - f) + over * max(0, f - high)``; the hinge loss of a positive sample has the band
``[margin, infinity]``, the absolute loss one of no width.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from verinet.numeric import FloatArray
from verinet.train.specification import Loss, Objective

__all__ = ["Bands", "bands_of"]


@dataclass(frozen=True, eq=False)
class Bands:
    """A band and two prices for each sample; infinite prices make the band a constraint.

    Parameters
    ----------
    low, high, under, over : ndarray, shape (samples,)
        Prices include the samples' weights.
    """

    low: FloatArray
    high: FloatArray
    under: FloatArray
    over: FloatArray

    def loss(self, f: FloatArray) -> float:
        """Return the total loss at given outputs, in float64."""
        short, excess = np.maximum(self.low - f, 0.0), np.maximum(f - self.high, 0.0)
        return float(
            np.where(short > 0, self.under * short, 0.0).sum() + np.where(excess > 0, self.over * excess, 0.0).sum()
        )

    def state(self, f: FloatArray) -> FloatArray:
        """Return where outputs lie: -1 below the band, 0 in it, 1 above it."""
        return np.where(f < self.low, -1.0, np.where(f > self.high, 1.0, 0.0))

    def slope(self, state: FloatArray) -> FloatArray:
        """Return what a rise of the output saves at each sample, by where it lies."""
        return np.where(state < 0, self.under, np.where(state > 0, -self.over, 0.0))

    def clip(self, prices: FloatArray) -> FloatArray:
        """Return the nearest dual prices: between minus `over` and `under`."""
        return np.clip(prices, -self.over, self.under)


def _hinge(y: FloatArray, objective: Objective) -> tuple[FloatArray, FloatArray, float, float]:
    margin = objective.margin
    return np.where(y > 0, margin, -np.inf), np.where(y > 0, np.inf, -margin), 1.0, 1.0


def _absolute(y: FloatArray, objective: Objective) -> tuple[FloatArray, FloatArray, float, float]:
    return y, y, 1.0, 1.0


def _insensitive(y: FloatArray, objective: Objective) -> tuple[FloatArray, FloatArray, float, float]:
    return y - objective.epsilon, y + objective.epsilon, 1.0, 1.0


def _pinball(y: FloatArray, objective: Objective) -> tuple[FloatArray, FloatArray, float, float]:
    return y, y, objective.quantile, 1.0 - objective.quantile


BANDS: Mapping[Loss, Callable[[FloatArray, Objective], tuple[FloatArray, FloatArray, float, float]]] = {
    Loss.HINGE: _hinge,
    Loss.L1: _absolute,
    Loss.EPSILON_INSENSITIVE: _insensitive,
    Loss.PINBALL: _pinball,
}
"""The band and the two prices of each loss that has one."""


def bands_of(y: FloatArray, weights: FloatArray, objective: Objective) -> Bands:
    """Write a loss as bands.

    Parameters
    ----------
    y : ndarray, shape (samples,)
        Scaled targets, or classes -1 and 1.
    weights : ndarray, shape (samples,)
    objective : Objective
        Its loss stands in `BANDS`.
    """
    low, high, under, over = BANDS[objective.loss](y, objective)
    zeros = np.zeros(len(y))
    return Bands(
        low,
        high,
        np.where(np.isfinite(low), under * weights, zeros),
        np.where(np.isfinite(high), over * weights, zeros),
    )
