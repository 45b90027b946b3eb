"""The objective of an exported network, in exact rational arithmetic."""

from collections.abc import Callable, Mapping
from fractions import Fraction

from verinet.model import Network, evaluate_exact_batch
from verinet.train.data import Scaling, TrainingData
from verinet.train.export import RawParameters
from verinet.train.specification import Loss, Specification

__all__ = ["exact_objective"]


def _hinge(f: Fraction, y: Fraction, margin: Fraction, scaling: Scaling) -> Fraction:
    return max(Fraction(0), margin - y * f)


def _zero_one(f: Fraction, y: Fraction, margin: Fraction, scaling: Scaling) -> Fraction:
    return Fraction(int(y * f < margin))


def _l1(f: Fraction, y: Fraction, margin: Fraction, scaling: Scaling) -> Fraction:
    return abs(y - f) / Fraction(scaling.target_width)


LOSSES: Mapping[Loss, Callable[[Fraction, Fraction, Fraction, Scaling], Fraction]] = {
    Loss.HINGE: _hinge,
    Loss.ZERO_ONE: _zero_one,
    Loss.L1: _l1,
}
"""Each loss at one sample, in raw units."""


def _size(raw: RawParameters, scaling: Scaling) -> Fraction:
    """Return the L1 size in scaled features, from the raw parameters."""
    width = [Fraction(float(v)) for v in scaling.width]
    offset = [Fraction(float(v)) for v in scaling.offset]
    total = Fraction(0)
    for weights, bias in zip(raw.weights, raw.biases, strict=True):
        exact = [Fraction(float(w)) for w in weights]
        total += sum((abs(w) * s for w, s in zip(exact, width, strict=True)), Fraction(0))
        total += abs(Fraction(float(bias)) + sum((w * o for w, o in zip(exact, offset, strict=True)), Fraction(0)))
    slope = sum((abs(Fraction(float(p))) * s for p, s in zip(raw.skip, width, strict=True)), Fraction(0))
    return total + slope / Fraction(scaling.target_width)


def exact_objective(network: Network, raw: RawParameters, specification: Specification, data: TrainingData) -> Fraction:
    """Compute the objective of an exported network exactly.

    Parameters
    ----------
    network : Network
        Evaluated at the raw samples.
    raw : RawParameters
        The same network's parameters.
    specification : Specification
    data : TrainingData

    Returns
    -------
    Fraction
        Mean loss and penalties; the 0/1 loss is that of the exact margin, so a solver's tolerance shows up here.
    """
    objective = specification.objective
    margin = Fraction(objective.margin)
    loss = LOSSES[objective.loss]
    outputs = evaluate_exact_batch(network, data.x)
    total = Fraction(0)
    for row, y, weight in zip(outputs, data.y, data.weights, strict=True):
        total += Fraction(float(weight)) * loss(row[0], Fraction(float(y)), margin, data.scaling)
    return (
        total
        + Fraction(objective.l1) * _size(raw, data.scaling)
        + Fraction(objective.l0) * raw.nonzeros
        + Fraction(objective.unit_penalty) * raw.units
        + Fraction(objective.feature_penalty) * len(raw.features)
    )
