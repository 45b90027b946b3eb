"""Prices of samples: a bound for all networks of some units, and what each unit and each read adds to it.

A column is a unit with the weights that read it: what it adds to the output at every sample. A linear programme over
all columns, at most K of them in sum, bounds every network of K units. Its dual prices make a column's reduced cost
that of its unit plus those of its reads, each by itself, so that the best of very many columns is found unit by unit.

Soundness: a bound is weak duality at the given prices, whatever solver found them, evaluated in float64 and lowered by
more than its rounding. Nothing is a solver's claim.

References
----------
Dantzig-Wolfe reformulation; reduced-cost fixing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from verinet.numeric import FloatArray
from verinet.train.layered.specification import LayeredSpecification
from verinet.train.layered.units import Units
from verinet.train.specification import Loss

__all__ = ["PIECES", "ROUNDING", "Pieces", "Priced", "Pricing"]

ROUNDING = 1e-11
"""Relative to the terms that are added: more than sums of some hundred float64 numbers can be off by."""

FRESH = (4, 20)
"""A round of the programme adds so many columns for each sample, and so many more."""

WORTH = 1e-9
"""Columns whose reduced cost is above minus this do not enter."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """Losses as maxima of lines of the output: ``loss_n >= slopes[n, j] * f_n + levels[n, j]``, and at least zero."""

    slopes: FloatArray
    levels: FloatArray


def _hinge(specification: LayeredSpecification, y: FloatArray) -> Pieces:
    return Pieces(-y[:, None], np.full((len(y), 1), specification.objective.margin))


def _two_sided(y: FloatArray, below: float, above: float, free: float) -> Pieces:
    slopes = np.tile([above, -below], (len(y), 1))
    return Pieces(slopes, np.column_stack([-above * (y + free), below * (y - free)]))


PIECES: Mapping[Loss, Callable[[LayeredSpecification, FloatArray], Pieces]] = {
    Loss.HINGE: _hinge,
    Loss.L1: lambda s, y: _two_sided(y, 1.0, 1.0, 0.0),
    Loss.EPSILON_INSENSITIVE: lambda s, y: _two_sided(y, 1.0, 1.0, s.objective.epsilon),
    Loss.PINBALL: lambda s, y: _two_sided(y, s.objective.quantile, 1 - s.objective.quantile, 0.0),
}
"""Losses that are maxima of lines."""


@dataclass(frozen=True, eq=False)
class Priced:
    """A bound and what each choice adds to it.

    Parameters
    ----------
    bound : float
        No network of the units is better.
    slacks : ndarray, shape (units,)
        By how much the bound rises with a unit, read at its best.
    options : ndarray, shape (units, cells, values)
        By how much it rises with a weight behind a cell; zero for the best one.
    idle : float
        By how much it rises with a place that no unit takes.
    prices : ndarray, shape (samples,)
        What an output costs at each sample.
    strength : float
        At least the sum of their magnitudes, even where they nearly cancelled.
    level : float
        The bound of the network without units.
    """

    bound: float
    slacks: FloatArray
    options: FloatArray
    idle: float
    prices: FloatArray
    strength: float
    level: float


class Pricing:
    """The linear programme over the columns of some units, for one constant of the output after another.

    Parameters
    ----------
    units : Units
    places : int
        The most units of a network.
    pieces : Pieces
    weights : ndarray, shape (samples,)
        Of the samples in the mean loss.
    """

    def __init__(self, units: Units, places: int, pieces: Pieces, weights: FloatArray) -> None:
        self.units, self.places, self.pieces, self.weights = units, places, pieces, weights
        # Columns that were worth something for one constant are a good begin for the next one.
        self.effects = np.zeros((0, len(weights)))
        self.costs = np.zeros(0)
        self.largest = np.abs(units.features).max(axis=2, initial=0.0)

    def price(self, constant: float, running: Callable[[], bool]) -> Priced:
        """Solve the programme of a constant, and return the best bound of its rounds."""
        best: Priced | None = None
        while True:
            multipliers, rent = self._dual(constant)
            priced, reduced = self._priced(constant, multipliers)
            if best is None or priced.bound > best.bound:
                best = priced
            if not self._add(priced, reduced, -rent - WORTH) or not running():
                return best

    def _dual(self, constant: float) -> tuple[FloatArray, float]:
        """Return multipliers of the pieces, shape (samples, pieces), and of the places, over the columns so far."""
        from scipy.optimize import linprog

        slopes, levels = self.pieces.slopes, self.pieces.levels + self.pieces.slopes * constant
        count, lines = slopes.shape
        chosen = len(self.costs)
        rows = [sp.hstack([sp.csr_array((slopes[:, j] * self.effects).T), -sp.eye_array(count)]) for j in range(lines)]
        taken = sp.csr_array(np.concatenate([np.ones(chosen), np.zeros(count)])[None])
        answer = linprog(
            np.concatenate([self.costs, self.weights]),
            A_ub=sp.vstack([*rows, taken], format="csr"),
            b_ub=np.append(-levels.T.ravel(), float(self.places)),
            bounds=(0, None),
            method="highs",
        )
        if answer.status != 0:
            return np.zeros((count, lines)), 0.0
        multipliers = np.maximum(-answer.ineqlin.marginals[:-1].reshape(lines, count).T, 0.0)
        # Sums above a sample's weight would not be dual feasible; scaling them down is.
        total = multipliers.sum(axis=1)
        scale = np.where(total > self.weights, self.weights / np.maximum(total, 1e-300), 1.0)
        return multipliers * scale[:, None] * (1 - 1e-14), max(0.0, -float(answer.ineqlin.marginals[-1]))

    def _priced(self, constant: float, multipliers: FloatArray) -> tuple[Priced, FloatArray]:
        """Evaluate weak duality at any multipliers that are feasible, and return the units' reduced costs as well."""
        units, slopes, levels = self.units, self.pieces.slopes, self.pieces.levels
        prices, strength = (multipliers * slopes).sum(axis=1), float((multipliers * np.abs(slopes)).sum())
        options = units.read_costs + units.reads * (units.features @ prices)[:, :, None]
        options -= ROUNDING * (units.read_costs + np.abs(units.reads) * (self.largest * strength)[:, :, None])
        best = options.min(axis=2)
        reduced = units.costs * (1 - ROUNDING) + best.sum(axis=1)
        least = min(0.0, float(reduced.min(initial=0.0)))
        level = float((multipliers * (levels + slopes * constant)).sum())
        level -= ROUNDING * float((multipliers * (np.abs(levels) + np.abs(slopes * constant))).sum())
        bound = level + self.places * least
        slacks, options = reduced - least, options - best[:, :, None]
        return Priced(bound, slacks, options, -least, prices, strength, level), reduced

    def _add(self, priced: Priced, reduced: FloatArray, limit: float) -> bool:
        """Add the best columns of the units that are worth most; tell whether there are any that are new."""
        units = self.units
        most = min(FRESH[0] * len(self.weights) + FRESH[1], len(reduced) - 1)
        candidates = np.argpartition(reduced, most)[: most + 1] if most > 0 else np.arange(len(reduced))
        candidates = candidates[reduced[candidates] < limit]
        reads = priced.options[candidates].argmin(axis=2)
        effects = np.einsum("uc,ucn->un", units.reads[reads], units.features[candidates])
        known = {row.tobytes() for row in self.effects}
        fresh = [k for k, row in enumerate(effects) if row.tobytes() not in known]
        costs = units.costs[candidates] + units.read_costs[reads].sum(axis=1)
        self.effects = np.concatenate([self.effects, effects[fresh]])
        self.costs = np.concatenate([self.costs, costs[fresh]])
        return bool(fresh)
