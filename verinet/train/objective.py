"""The objective of an exported network, in exact rational arithmetic."""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction

from verinet.model import Network, evaluate_exact_batch
from verinet.train.data import Scaling, TrainingData
from verinet.train.export import Exported
from verinet.train.specification import Loss, Objective

__all__ = ["exact_objective"]

LOGARITHM_ERROR = 1e-14
"""What float64 exponentials and logarithms may be off by, relative and absolute, amply."""


def _hinge(f: Fraction, y: Fraction, objective: Objective, scaling: Scaling) -> Fraction:
    return max(Fraction(0), Fraction(objective.margin) - y * f)


def _zero_one(f: Fraction, y: Fraction, objective: Objective, scaling: Scaling) -> Fraction:
    return Fraction(int(y * f < Fraction(objective.margin)))


def _l1(f: Fraction, y: Fraction, objective: Objective, scaling: Scaling) -> Fraction:
    return abs(y - f) / Fraction(scaling.target_width)


def _epsilon_insensitive(f: Fraction, y: Fraction, objective: Objective, scaling: Scaling) -> Fraction:
    return max(Fraction(0), _l1(f, y, objective, scaling) - Fraction(objective.epsilon))


def _pinball(f: Fraction, y: Fraction, objective: Objective, scaling: Scaling) -> Fraction:
    error = (y - f) / Fraction(scaling.target_width)
    quantile = Fraction(objective.quantile)
    return quantile * error if error > 0 else (quantile - 1) * error


def _squared(f: Fraction, y: Fraction, objective: Objective, scaling: Scaling) -> Fraction:
    return _l1(f, y, objective, scaling) ** 2


def _logistic(f: Fraction, y: Fraction, objective: Objective, scaling: Scaling) -> Fraction:
    """Return an upper bound: the one loss whose values are not rational."""
    margin = float(y * f)
    value = math.log1p(math.exp(-margin)) if margin > -700 else -margin
    return Fraction(value * (1 + LOGARITHM_ERROR) + LOGARITHM_ERROR * (1 + abs(margin)))


LOSSES: Mapping[Loss, Callable[[Fraction, Fraction, Objective, Scaling], Fraction]] = {
    Loss.HINGE: _hinge,
    Loss.ZERO_ONE: _zero_one,
    Loss.L1: _l1,
    Loss.EPSILON_INSENSITIVE: _epsilon_insensitive,
    Loss.PINBALL: _pinball,
    Loss.SQUARED: _squared,
    Loss.LOGISTIC: _logistic,
}
"""Each loss at one sample, in raw units."""


def exact_objective(
    network: Network,
    raw: Exported,
    objective: Objective,
    data: TrainingData,
    skip_price: float | None = None,
) -> Fraction:
    """Compute the objective of an exported network exactly.

    Parameters
    ----------
    network : Network
        Evaluated at the raw samples.
    raw : Exported
        The same network's parameters.
    objective : Objective
    data : TrainingData
    skip_price : float or None
        Of the skip's size; None for the units' price, `objective.l1`.

    Returns
    -------
    Fraction
        Mean loss and penalties; the 0/1 loss is that of the exact margin, so a solver's tolerance shows up here. Of
        the logistic loss an upper bound, near to it.
    """
    loss = LOSSES[objective.loss]
    outputs = evaluate_exact_batch(network, data.x)
    total = Fraction(0)
    for row, y, weight in zip(outputs, data.y, data.weights, strict=True):
        total += Fraction(float(weight)) * loss(row[0], Fraction(float(y)), objective, data.scaling)
    units, skip = raw.sizes(data.scaling)
    return (
        total
        + Fraction(objective.l1) * units
        + Fraction(objective.l1 if skip_price is None else skip_price) * skip
        + Fraction(objective.l0) * raw.nonzeros
        + Fraction(objective.unit_penalty) * raw.units
        + Fraction(objective.feature_penalty) * len(raw.features)
    )
