"""Warm starts: short gradient runs, then the best network on each run's activation pattern by linear programming."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from verinet.encode import fix_pattern, lower_programme
from verinet.numeric import FloatArray
from verinet.program import SolveOptions
from verinet.solve import choose
from verinet.train.data import TrainingData
from verinet.train.programme import Parameters, TrainingProgramme
from verinet.train.specification import Loss, Objective, Specification

__all__ = ["gradient_starts", "losses_at", "polish"]

RESTARTS = 24
STEPS = 400
POLISHED = 4
"""How many of the gradient runs are worth a linear programme."""

PATTERNS = 4
"""How often a polished network's new activation pattern is polished again."""

POLISH_SECONDS = 5.0
"""Time for one polish: with pruning binaries it is a small MILP, which need not be solved to the end."""

LEARNING_RATE = 0.05
DECAY = 0.99
"""Adam's usual first step, and its shrinkage a step."""


def _hinge_slope(y: FloatArray, f: FloatArray, margin: float) -> FloatArray:
    return np.where(y * f < margin, -y, 0.0)


def _l1_slope(y: FloatArray, f: FloatArray, margin: float) -> FloatArray:
    return np.sign(f - y)


SLOPES: Mapping[Loss, Callable[[FloatArray, FloatArray, float], FloatArray]] = {
    Loss.HINGE: _hinge_slope,
    Loss.ZERO_ONE: _hinge_slope,
    Loss.L1: _l1_slope,
}
"""Derivative of each loss; the 0/1 loss has none and borrows that of the hinge."""


@dataclass(eq=False)
class _Runs:
    """Parameters of all restarts at once: the first axis is the run."""

    weights: FloatArray
    biases: FloatArray
    skip: FloatArray
    offset: FloatArray

    def arrays(self) -> tuple[FloatArray, ...]:
        return self.weights, self.biases, self.skip, self.offset


def _initial(specification: Specification, data: TrainingData, rng: np.random.Generator) -> _Runs:
    """Draw hinges through the data: each unit is zero at some sample; units beyond the budget are zero everywhere."""
    x = data.scaled_x
    units, features = len(specification.signs), x.shape[1]
    weights = rng.normal(size=(RESTARTS, units, features)) / np.sqrt(features)
    through = x[rng.integers(0, len(x), size=(RESTARTS, units))]
    most = specification.budget.units
    if most is not None and most < units:
        # Which signs go together well is for the runs to find out; where a unit is zero, so is its gradient.
        weights *= (rng.permuted(np.tile(np.arange(units), (RESTARTS, 1)), axis=1) < most)[:, :, None]
    return _Runs(weights, -(weights * through).sum(axis=2), np.zeros((RESTARTS, features)), np.zeros(RESTARTS))


def _project(runs: _Runs, specification: Specification) -> None:
    """Keep weights within their bounds and, for monotone features, sign by sign on the right side."""
    signs = np.array(specification.signs)
    for feature, direction in specification.monotone.items():
        slope = runs.weights[:, :, feature] * signs * direction
        runs.weights[:, :, feature] = np.where(slope < 0, 0.0, runs.weights[:, :, feature])
        runs.skip[:, feature] = direction * np.maximum(direction * runs.skip[:, feature], 0.0)
    bound = specification.weight_bound
    size = np.abs(runs.weights).sum(axis=2) + np.abs(runs.biases)
    shrink = np.minimum(1.0, bound / np.maximum(size, 1e-12))
    runs.weights *= shrink[:, :, None]
    runs.biases *= shrink
    np.clip(runs.skip, -bound, bound, out=runs.skip)
    if not specification.skip:
        runs.skip[:] = 0.0


def _forward(runs: _Runs, signs: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    before = np.einsum("nj,rkj->rnk", x, runs.weights) + runs.biases[:, None, :]
    f = np.maximum(before, 0.0) @ signs + np.einsum("nj,rj->rn", x, runs.skip) + runs.offset[:, None]
    return before, f


def gradient_starts(specification: Specification, data: TrainingData, seed: int) -> list[Parameters]:
    """Run Adam from many random starts and return the best few networks, the best first.

    Parameters
    ----------
    specification : Specification
    data : TrainingData
    seed : int
    """
    rng = np.random.default_rng(seed)
    runs = _initial(specification, data, rng)
    x, y, signs = data.scaled_x, data.scaled_y, np.array(specification.signs, dtype=np.float64)
    objective = specification.objective
    first = [np.zeros_like(a) for a in runs.arrays()]
    second = [np.zeros_like(a) for a in runs.arrays()]
    for step in range(1, STEPS + 1):
        before, f = _forward(runs, signs, x)
        slope = SLOPES[objective.loss](y, f, objective.margin) * data.weights
        hidden = slope[:, :, None] * (before > 0) * signs
        gradients = (
            np.einsum("rnk,nj->rkj", hidden, x) + objective.l1 * np.sign(runs.weights),
            hidden.sum(axis=1) + objective.l1 * np.sign(runs.biases),
            slope @ x + objective.l1 * np.sign(runs.skip),
            slope.sum(axis=1),
        )
        rate = LEARNING_RATE * DECAY**step
        for value, gradient, mean, square in zip(runs.arrays(), gradients, first, second, strict=True):
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            corrected = mean / (1 - 0.9**step)
            value -= rate * corrected / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        _project(runs, specification)
    _, f = _forward(runs, signs, x)
    cost = losses_at(objective, y, f) @ data.weights
    size = np.abs(runs.weights).sum(axis=(1, 2)) + np.abs(runs.biases).sum(axis=1) + np.abs(runs.skip).sum(axis=1)
    order = np.argsort(cost + objective.l1 * size, kind="stable")[:POLISHED]
    return [_sorted_units(specification, *(a[r] for a in runs.arrays())) for r in order]


def losses_at(objective: Objective, y: FloatArray, f: FloatArray) -> FloatArray:
    """Return each sample's loss at given outputs, in float64; for the 0/1 loss the hinge, which tells near from far."""
    return np.maximum(objective.margin - y * f, 0.0) if objective.loss.classifies else np.abs(y - f)


def _sorted_units(
    specification: Specification, weights: FloatArray, biases: FloatArray, skip: FloatArray, offset: FloatArray
) -> Parameters:
    """Put the units of each sign in the programme's order, the largest first."""
    size = np.abs(weights).sum(axis=1) + np.abs(biases)
    order = np.lexsort((-size, -np.array(specification.signs))) if len(size) else np.zeros(0, dtype=np.int64)
    return Parameters(weights[order], biases[order], skip, float(offset))


def polish(
    training: TrainingProgramme, start: Parameters, solver: str, deadline: float
) -> Iterator[tuple[float, Parameters]]:
    """Optimise over the activation pattern of a network, then over the pattern that this leads to, and so on.

    Parameters
    ----------
    training : TrainingProgramme
    start : Parameters
    solver : str
    deadline : float
        On the clock of `time.monotonic`.

    Yields
    ------
    objective : float
        Claimed by the solver.
    parameters : Parameters
    """
    point, best = training.point(start), np.inf
    for _ in range(PATTERNS):
        left = min(POLISH_SECONDS, deadline - time.monotonic())
        if left <= 0:
            return
        piece = lower_programme(fix_pattern(training.programme, point))
        outcome = choose(piece.programme, solver).backend.solve(piece.programme, SolveOptions(time_limit=left))
        if outcome.values is None or outcome.objective is None or outcome.objective >= best - 1e-9:
            return
        best = outcome.objective
        point = piece.restrict(outcome.values)
        yield best, training.parameters(point)
