"""A feasible point of the dual of training: a lower bound that anybody can check."""

from dataclasses import dataclass
from fractions import Fraction

__all__ = ["DualSolution"]


@dataclass(frozen=True)
class DualSolution:
    """A feasible point of the dual problem: what proves a lower bound.

    Parameters
    ----------
    prices : tuple of Fraction
        One for each distinct sample; balanced exactly.
    scale : Fraction
        The scaled prices ``scale * prices`` are feasible.
    bound : Fraction
        The dual objective at the scaled prices.
    worth : float
        What the best unit is worth at the unscaled prices, at most.
    claimed : bool
        Whether a solver's claim stands behind `worth`.
    multipliers : tuple of Fraction
        Of conditions on outputs, unscaled: a condition ``low <= weights f <= high`` adds its multiplier times its
        weights to the prices at its points, and its multiplier times the side it presses against to the bound.
    """

    prices: tuple[Fraction, ...]
    scale: Fraction
    bound: Fraction
    worth: float
    claimed: bool
    multipliers: tuple[Fraction, ...] = ()
