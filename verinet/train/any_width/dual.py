"""From prices to a lower bound that holds for networks of every width.

Prices g of the samples' outputs are dual feasible when no column of the problem is worth more than its cost: the
constant (free), the linear skip, and every unit of L1 norm 1, however many there are. Then

    sum_n omega_n loss(f_n) + lambda sum_k |a_k| + mu ||p||_1  >=  D(g)

for every network f, where D adds up minus the conjugates of the samples' losses at -g. Prices that balance the free
columns stay so when they are scaled down, and a scale of lambda over the worth of the best unit makes them feasible.

Soundness: balance, conjugates and scale are computed in rational arithmetic (the logistic conjugate in float64,
rounded down). What is trusted is the worth of the best unit: rounding-safe, or a solver's claim, as the record says.

References
----------
Fenchel duality; FORMULATIONS of convex networks: Bengio et al. 2005, Bach 2017, Pilanci and Ergen 2020.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import scipy.linalg as sla
from scipy.special import xlog1py, xlogy

from verinet.numeric import BoolArray, FloatArray, float_down
from verinet.train.any_width.band import BANDS, bands_of
from verinet.train.any_width.master import PointRows
from verinet.train.dual import DualSolution
from verinet.train.specification import Loss, Objective

__all__ = ["ExactConditions", "balance", "balance_exactly", "dual_value", "estimate", "largest_scale", "make_dual"]

SHARES = (1.0, 0.999, 0.99, 0.95, 0.9, 0.8)
"""Of the largest feasible scale: where a loss is curved, a smaller one may give the better bound."""


@dataclass(frozen=True)
class ExactConditions:
    """Conditions on outputs with their multipliers, in rational arithmetic.

    Parameters
    ----------
    multipliers : tuple of Fraction
    prices : tuple of Fraction
        What they add to the price of each point.
    value : Fraction
        What they add to the dual objective.
    """

    multipliers: tuple[Fraction, ...] = ()
    prices: tuple[Fraction, ...] = ()
    value: Fraction = Fraction(0)

    @classmethod
    def of(cls, rows: PointRows | None, multipliers: FloatArray, points: int) -> "ExactConditions":
        """Compute them from a master's multipliers."""
        prices = [Fraction(0)] * points
        value = Fraction(0)
        exact = tuple(Fraction(float(m)) for m in multipliers)
        for k, multiplier in enumerate(exact):
            assert rows is not None
            if multiplier:
                value += multiplier * Fraction(float(rows.low[k] if multiplier > 0 else rows.high[k]))
            for n in np.flatnonzero(rows.weights[k]):
                prices[n] += multiplier * Fraction(float(rows.weights[k, n]))
        return cls(exact, tuple(prices), value)


def balance(prices: FloatArray, free: FloatArray, samples: int) -> FloatArray:
    """Change samples' prices a little so that all prices balance the free columns, up to rounding.

    Parameters
    ----------
    prices : ndarray, shape (points,)
    free : ndarray, shape (points, columns)
    samples : int
        The points behind them keep their prices.
    """
    loose = np.flatnonzero(prices[:samples])
    if not len(loose):
        return prices
    # Prices at a limit of their band would leave it; a change in proportion to the price keeps zeros and signs.
    weights = np.abs(prices[loose])
    block = free[loose] * weights[:, None]
    change, *_ = np.linalg.lstsq(block.T @ free[loose], -(prices @ free), rcond=None)
    balanced = prices.copy()
    balanced[loose] += weights * (free[loose] @ change)
    return balanced


def balance_exactly(
    prices: FloatArray, conditions: Sequence[Fraction], free: FloatArray, samples: int
) -> list[Fraction]:
    """Return rational prices of the samples, next to the given ones, that balance the free columns exactly.

    Only as many prices change as there are columns; those whose columns are most independent.

    Parameters
    ----------
    prices : ndarray, shape (points,)
    conditions : sequence of Fraction
        The prices of all points by conditions, which are zero at the samples.
    free : ndarray, shape (points, columns)
    samples : int

    Raises
    ------
    ZeroDivisionError
        If no change of the chosen prices balances the free columns.
    """
    exact = [Fraction(float(v)) for v in prices[:samples]]
    loose = np.flatnonzero(prices[:samples])
    columns = free.shape[1]
    known = [(n, exact[n]) for n in loose] + [(n, price) for n, price in enumerate(conditions) if price]
    residue = [-sum((price * Fraction(float(free[n, j])) for n, price in known), Fraction(0)) for j in range(columns)]
    if not any(residue):
        return exact
    weighted = free[loose] * np.abs(prices[loose])[:, None]
    _, order = sla.qr(weighted.T, mode="r", pivoting=True)
    chosen = [int(n) for n in loose[order[:columns]]]
    matrix = [[Fraction(float(free[n, j])) for n in chosen] for j in range(columns)]
    for n, change in zip(chosen, _solve_exactly(matrix, residue, len(chosen)), strict=True):
        exact[n] += change
    return exact


def _solve_exactly(matrix: list[list[Fraction]], right: list[Fraction], size: int) -> list[Fraction]:
    """Solve a small system in rational arithmetic; unknowns that dependent equations leave free are zero."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    pivots: list[int] = []
    for column in range(size):
        rank = len(pivots)
        found = next((k for k in range(rank, len(rows)) if rows[k][column]), None)
        if found is None:
            continue
        rows[rank], rows[found] = rows[found], rows[rank]
        rows[rank] = [v / rows[rank][column] for v in rows[rank]]
        for k in range(len(rows)):
            if k != rank and rows[k][column]:
                factor = rows[k][column]
                rows[k] = [a - factor * b for a, b in zip(rows[k], rows[rank], strict=True)]
        pivots.append(column)
    if any(row[size] for row in rows[len(pivots) :]):
        raise ZeroDivisionError("the free columns contradict each other on the priced samples")
    solution = [Fraction(0)] * size
    for row, column in zip(rows, pivots, strict=False):
        solution[column] = row[size]
    return solution


def _band_value(prices: Sequence[Fraction], y: FloatArray, weights: FloatArray, objective: Objective) -> Fraction:
    """Return ``sum of price * low where positive, price * high where negative``.

    Raises
    ------
    ValueError
        If a price lies outside of the band's limits: no finite value of the conjugate.
    """
    bands = bands_of(y, weights, objective)
    total = Fraction(0)
    for n, price in enumerate(prices):
        if not price:
            continue
        if not -Fraction(float(bands.over[n])) <= price <= Fraction(float(bands.under[n])):
            raise ValueError(f"the price of sample {n} is outside of its limits")
        total += price * Fraction(float(bands.low[n] if price > 0 else bands.high[n]))
    return total


def _squared_value(prices: Sequence[Fraction], y: FloatArray, weights: FloatArray, objective: Objective) -> Fraction:
    """Return ``sum of price * y - price^2 / (4 omega)``."""
    total = Fraction(0)
    for price, target, weight in zip(prices, y, weights, strict=True):
        if price:
            total += price * Fraction(float(target)) - price * price / (4 * Fraction(float(weight)))
    return total


def _logistic_value(prices: Sequence[Fraction], y: FloatArray, weights: FloatArray, objective: Objective) -> Fraction:
    """Return a lower bound of ``sum of omega * entropy(y price / omega)``."""
    share = np.array([float(p) for p in prices]) * y / weights
    if (share < -1e-15).any() or (share > 1 + 1e-15).any():
        raise ValueError("a price is outside of its limits")
    share = np.clip(share, 0.0, 1.0)
    entropy = xlogy(-share, share) - xlog1py(1.0 - share, -share)
    # Shares are off by a few units of roundoff, where the entropy's slope is at most the logarithm of the share;
    # logarithms are off by a few units too. A relative and an absolute part of 1e-12 cover both amply.
    return Fraction(float_down(Fraction(math.fsum(weights * (entropy * (1 - 1e-12) - 1e-12)))))


VALUES: Mapping[Loss, Callable[[Sequence[Fraction], FloatArray, FloatArray, Objective], Fraction]] = {
    **dict.fromkeys(BANDS, _band_value),
    Loss.SQUARED: _squared_value,
    Loss.LOGISTIC: _logistic_value,
}
"""The dual objective of each loss."""


def _band_estimate(prices: FloatArray, y: FloatArray, weights: FloatArray, objective: Objective) -> float:
    bands = bands_of(y, weights, objective)
    positive, negative = prices > 0, prices < 0
    return float(prices[positive] @ bands.low[positive] + prices[negative] @ bands.high[negative])


def _squared_estimate(prices: FloatArray, y: FloatArray, weights: FloatArray, objective: Objective) -> float:
    return float(prices @ y - (prices * prices / (4.0 * weights)).sum())


def _logistic_estimate(prices: FloatArray, y: FloatArray, weights: FloatArray, objective: Objective) -> float:
    share = np.clip(prices * y / weights, 0.0, 1.0)
    return float(weights @ (xlogy(-share, share) - xlog1py(1.0 - share, -share)))


ESTIMATES: Mapping[Loss, Callable[[FloatArray, FloatArray, FloatArray, Objective], float]] = {
    **dict.fromkeys(BANDS, _band_estimate),
    Loss.SQUARED: _squared_estimate,
    Loss.LOGISTIC: _logistic_estimate,
}
"""The same in float64, for the rounds."""


def estimate(
    prices: FloatArray, scale: float, y: FloatArray, weights: FloatArray, objective: Objective, conditions: float = 0.0
) -> float:
    """Return the dual objective at scaled prices, or at the best of some smaller scales, in float64.

    `conditions` is the part of conditions on outputs, which scales with the prices.
    """
    factors = [scale * share for share in ((1.0,) if objective.loss in BANDS else SHARES)]
    losses = ESTIMATES[objective.loss]
    return max(losses(factor * prices, y, weights, objective) + factor * conditions for factor in factors)


def dual_value(prices: Sequence[Fraction], y: FloatArray, weights: FloatArray, objective: Objective) -> Fraction:
    """Return the dual objective at prices that are feasible; a lower bound of it for the logistic loss.

    Raises
    ------
    ValueError
        If a price is outside of what its sample's loss can have as a slope.
    """
    return VALUES[objective.loss](prices, y, weights, objective)


def largest_scale(
    prices: FloatArray, worth: float, cost: float, skip: FloatArray, skip_cost: float, sides: BoolArray
) -> float:
    """Return the largest scale up to 1 that makes prices feasible, rounded down.

    Parameters
    ----------
    prices : ndarray, shape (samples,)
    worth : float
        Of the best unit, at most.
    cost : float
        Of a unit.
    skip : ndarray, shape (samples, features)
        Penalised linear parts; none where there is no skip or a free one.
    skip_cost : float
    sides : ndarray of bool, shape (features, 2)
        Which signs each may have.
    """
    scale = 1.0 if worth <= cost else cost / worth * (1 - 4e-16)
    if skip.shape[1]:
        gains = prices @ skip
        error = 1e-15 * (len(prices) + 2) * (np.abs(prices) @ np.abs(skip))
        most = np.max(np.where(sides[:, 0], gains + error, 0.0), initial=0.0)
        most = max(most, np.max(np.where(sides[:, 1], error - gains, 0.0), initial=0.0))
        if most > skip_cost:
            scale = min(scale, float(skip_cost / most * (1 - 4e-16)))
    return scale


def make_dual(
    prices: Sequence[Fraction],
    scale: float,
    worth: float,
    claimed: bool,
    y: FloatArray,
    weights: FloatArray,
    objective: Objective,
    conditions: ExactConditions | None = None,
) -> DualSolution:
    """Compute the bound of feasible prices; any smaller scale is feasible too, and a curved loss may prefer one."""
    conditions = conditions or ExactConditions()
    best = None
    # The balance may have pushed a price over its limit by a little: the next scale takes it back.
    for share in (1.0, 1 - 1e-13, 1 - 1e-10, 1 - 1e-7, 1 - 1e-5) if objective.loss in BANDS else SHARES:
        factor = Fraction(scale * share)
        try:
            value = dual_value([factor * p for p in prices], y, weights, objective) + factor * conditions.value
        except ValueError:
            continue
        if best is None or value > best.bound:
            best = DualSolution(tuple(prices), factor, value, worth, claimed, conditions.multipliers)
        if objective.loss in BANDS:
            break
    if best is None:
        # Zero prices are always feasible, and the losses are not negative.
        return DualSolution((Fraction(0),) * len(prices), Fraction(1), Fraction(0), 0.0, False)
    return best
