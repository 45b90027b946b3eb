"""More samples than a programme holds: small programmes whose bounds hold for all samples, and that meet their score.

A programme over some points, with all their samples at their weights, bounds the objective over all samples once the
others are counted at a floor that no network goes below:

- *equivalent points*: samples with equal features share one output, so together they cost at least what the best value
  for them costs. ``objective >= optimum over the part + sum of floors``;
- *tangents* at prices that are feasible in the dual of training of any width, `verinet.train.programme.Tangents`: the
  floors of all points add up to the bound of any width, and every part's optimum is at least zero, so the bound of a
  part is that of any width or better.

The part's network, scored on all samples, bounds the optimum from above. Points at which it costs most above their
floor enter next, until the bounds meet, all points are in, or time ends.

Soundness: floors are rational numbers, rounded down once they are added up. The optimum over the part is a solver's
claim, and so is a bound made with it. A bound on the units' sizes may leave out networks that are worse than the best
one known: what is bounded is the smaller of both.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from verinet.encode import lower_programme
from verinet.numeric import BoolArray, FloatArray, IntArray, float_down
from verinet.program import Outcome, Progress, SolveOptions, Status
from verinet.solve import choose
from verinet.train.any_width.dual import dual_value
from verinet.train.data import TrainingData, distinct_rows
from verinet.train.dual import DualSolution
from verinet.train.objective import LOSSES
from verinet.train.programme import Parameters, Tangents, TrainingProgramme, build_programme, predict
from verinet.train.specification import Objective, Specification, TrainOptions
from verinet.train.warm_start import losses_at
from verinet.verify import Deadline

__all__ = ["Floors", "Round", "equivalent_points", "solve_by_subsets", "tangent_floors"]

FIRST = 12
"""Points of the first part: a programme of so many closes at once."""

FEWEST_NEW, GROWTH = 4, 0.3
"""Points that enter, at least, and for each one in the part: few rounds, and none much harder than the last."""

PART_TOLERANCE = 1e-3
"""Relative gap at which a part's programme has done its work, unless it holds all points."""


@dataclass(frozen=True, eq=False)
class Floors:
    """What the samples of each point cost at least, less what prices make of their outputs.

    Parameters
    ----------
    place : ndarray of int, shape (samples,)
        The point of each sample.
    values : tuple of Fraction
        Of each point.
    name : str
        What they are made of.
    prices : ndarray, shape (samples,), or None
        Of outputs; None for none.
    """

    place: IntArray
    values: tuple[Fraction, ...]
    name: str
    prices: FloatArray | None = None

    @property
    def points(self) -> int:
        """Number of different points."""
        return len(self.values)

    @property
    def total(self) -> Fraction:
        """A lower bound of the objective by itself."""
        return sum(self.values, Fraction(0))

    def outside(self, part: BoolArray) -> Fraction:
        """Add up the floors of the points that are not in a part."""
        return sum((value for value, inside in zip(self.values, part, strict=True) if not inside), Fraction(0))


@dataclass(frozen=True, eq=False)
class Round:
    """What one part came to.

    Parameters
    ----------
    points : int
        In the part.
    bound : float
        No network has a smaller objective over all samples, unless it is worse than the best one known.
    outcome : Outcome
        Of the part's programme.
    parameters : Parameters or None
        The part's network.
    """

    points: int
    bound: float
    outcome: Outcome
    parameters: Parameters | None


def equivalent_points(data: TrainingData, objective: Objective) -> Floors:
    """Return what the samples of each point cost at the best output for them.

    Their loss is least at the best output of one of them: between those it is linear, or constant. Of the losses in
    `verinet.train.programme.LOSSES`, which all are so.
    """
    points, place = distinct_rows(data.scaled_x)
    loss, scale = LOSSES[objective.loss], Fraction(objective.margin) if objective.loss.classifies else Fraction(1)
    members: list[list[tuple[Fraction, Fraction]]] = [[] for _ in points]
    for point, y, weight in zip(place, data.y, data.weights, strict=True):
        members[point].append((Fraction(float(y)), Fraction(float(weight))))
    floors = [
        min(sum((w * loss(scale * f, y, objective, data.scaling) for y, w in here), Fraction(0)) for f, _ in here)
        for here in members
    ]
    return Floors(place, tuple(floors), "the best output of each point")


def tangent_floors(data: TrainingData, objective: Objective, dual: DualSolution) -> Floors:
    """Return each point's part of the bound of any width, and the prices that it holds at."""
    points, place = distinct_rows(data.scaled_x)
    prices = [dual.scale * price for price in dual.prices]
    floors = [Fraction(0)] * len(points)
    for n, (point, price) in enumerate(zip(place, prices, strict=True)):
        one = slice(n, n + 1)
        floors[point] += dual_value([price], data.scaled_y[one], data.weights[one], objective)
    rounded = np.array([float(price) for price in prices])
    return Floors(place, tuple(floors), "the dual of any width", rounded)


def solve_by_subsets(
    data: TrainingData,
    specification: Specification,
    floors: Floors,
    start: Parameters,
    size_bound: float | None,
    options: TrainOptions,
    deadline: Deadline,
) -> Iterator[Round]:
    """Solve programmes over more and more points.

    Parameters
    ----------
    data : TrainingData
    specification : Specification
    floors : Floors
        Of the same data.
    start : Parameters
        Of a network; the first part holds the points at which it costs most above their floor.
    size_bound : float or None
        Of the units' sizes, from a known network; see `verinet.train.programme.build_programme`.
    options : TrainOptions
        Its progress is told about bounds over all samples.
    deadline : Deadline

    Yields
    ------
    Round
        The last one holds all points, or was cut short by the deadline.
    """
    part = np.zeros(floors.points, dtype=np.bool_)
    network = start
    while True:
        part |= _worst(data, specification, floors, part, network)
        found = _solve_part(data, specification, floors, part, network, size_bound, options, deadline)
        yield found
        if part.all() or found.outcome.status is not Status.OPTIMAL or deadline.passed:
            return
        network = found.parameters or network


def _worst(
    data: TrainingData, specification: Specification, floors: Floors, part: BoolArray, network: Parameters
) -> BoolArray:
    """Choose the points that enter: those where a network costs most above the floor."""
    f = predict(network, specification.signs, data.scaled_x)
    costs = data.weights * losses_at(specification.objective, data.scaled_y, f)
    if floors.prices is not None:
        costs = costs + floors.prices * f
    excess = np.bincount(floors.place, costs, floors.points) - np.array([float(value) for value in floors.values])
    excess[part] = -np.inf
    inside = int(part.sum())
    new = np.argsort(-excess, kind="stable")[: max(FEWEST_NEW, int(GROWTH * inside)) if inside else FIRST]
    chosen = np.zeros(len(part), dtype=np.bool_)
    chosen[new] = True
    return chosen


def _solve_part(
    data: TrainingData,
    specification: Specification,
    floors: Floors,
    part: BoolArray,
    network: Parameters,
    size_bound: float | None,
    options: TrainOptions,
    deadline: Deadline,
) -> Round:
    training = _programme(data, specification, floors, part, size_bound)
    rest = floors.outside(part)

    def bound(claimed: float) -> float:
        return float_down(rest + Fraction(claimed)) if np.isfinite(claimed) else claimed

    def report(state: Progress) -> None:
        options.on_progress(Progress(state.seconds, None, bound(state.bound)))

    lowered = lower_programme(training.programme)
    outcome = choose(lowered.programme, options.solver).backend.solve(
        lowered.programme,
        SolveOptions(
            time_limit=max(deadline.left, 0.1),
            threads=options.threads,
            gap_tolerance=options.gap_tolerance if part.all() else PART_TOLERANCE,
            seed=options.seed,
            start=lowered.extend(training.point(network)),
            on_progress=report,
        ),
    )
    parameters = None if outcome.values is None else training.parameters(outcome.values)
    return Round(int(part.sum()), bound(outcome.bound), outcome, parameters)


def _programme(
    data: TrainingData, specification: Specification, floors: Floors, part: BoolArray, size_bound: float | None
) -> TrainingProgramme:
    """Write the programme of a part of the points, with all their samples."""
    if part.all():
        # Nothing is left out: the programme itself, with the rows that make its relaxation as good as the floors.
        return build_programme(specification, data, size_bound, floors.prices)
    inside = part[floors.place]
    some = replace(data, x=data.x[inside], y=data.y[inside], weights=data.weights[inside], copies=data.copies[inside])
    if floors.prices is None:
        return build_programme(specification, some, size_bound)
    tangents = Tangents(floors.prices[inside], floors.prices @ data.scaled_x)
    return build_programme(specification, some, size_bound, tangents=tangents)
