"""Any-width training from data to a network with its record: generate, assemble, export, recompute exactly."""

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from verinet.errors import DataError, InputError
from verinet.model import Network, evaluate_exact_batch
from verinet.numeric import FloatArray, float_down
from verinet.program import Progress, Status
from verinet.train.any_width.budget import counts, keep_within
from verinet.train.any_width.family import dense_family
from verinet.train.any_width.generation import Generation, Problem, Round, generate
from verinet.train.any_width.master import PointRows
from verinet.train.any_width.pricing import Pricer, Unit
from verinet.train.any_width.unit_sum import UnitSum, assemble
from verinet.train.data import TrainingData
from verinet.train.export import Exported, build_network, to_raw
from verinet.train.objective import exact_objective
from verinet.train.result import Method, TrainingRecord, TrainingResult
from verinet.train.specification import AnyWidthSpecification, Objective, PointCondition, TrainOptions
from verinet.verify import Deadline, are_kernels_ready, compile_kernels

__all__ = [
    "broken_condition",
    "check_targets",
    "conclude",
    "gap_between",
    "make_ready",
    "make_record",
    "optimise",
    "prepare_problem",
    "train_any_width",
]

COMPILING = (
    "compiling the search over weights, about half a minute, once for this installation; `verinet doctor --warm` does "
    "it ahead"
)

CONDITION_TOLERANCE = 1e-7
"""By how much, relative to their outputs, conditions may be missed: the master's solver has its own tolerance."""

GENERATION_SHARE = 0.5
"""Part of the time limit for generation where units are counted afterwards."""


def prepare_problem(
    data: TrainingData,
    specification: AnyWidthSpecification,
    found: Sequence[PointCondition] | None = None,
    margin: float = 0.0,
) -> Problem:
    """Return the problem of some data.

    Parameters
    ----------
    data : TrainingData
    specification : AnyWidthSpecification
    found : sequence of PointCondition or None
        What universal constraints demand at counterexamples that were found; None where nobody looks for any.
    margin : float
        By how much, in units of the scaled target, networks overfulfil what was found.

    Raises
    ------
    InputError
        If the specification names features that the data does not have, or more to a unit than there are; or if it has
        universal constraints, and nobody looks for counterexamples.
    DataError
        If a classification loss meets other targets than -1 and 1.
    """
    features = len(data.names)
    for feature in specification.monotone:
        if not 0 <= feature < features:
            raise InputError(f"a monotone constraint names feature {feature}, the data has {features}")
    check_targets(data, specification.objective)
    if specification.universal and found is None:
        raise InputError(
            "universal constraints need the search for counterexamples; train with train_network, without a path"
        )
    conditions = (*specification.conditions, *(found or ()))
    x, rows = _with_conditions(data, conditions)
    if rows is not None:
        rows = replace(rows, margin=np.where(np.arange(len(conditions)) < len(specification.conditions), 0.0, margin))
    family = dense_family(x, specification.max_features_per_unit)
    return Problem(x, data.scaled_y, data.weights, family, specification, rows)


def check_targets(data: TrainingData, objective: Objective) -> None:
    """Raise a DataError if a classification loss meets other targets than -1 and 1."""
    if objective.loss.classifies and not np.isin(data.y, (-1.0, 1.0)).all():
        raise DataError("a classification loss needs targets -1 and 1")


def _with_conditions(data: TrainingData, conditions: Sequence[PointCondition]) -> tuple[FloatArray, PointRows | None]:
    """Return the samples with the conditions' points behind them, scaled, and the conditions as rows."""
    samples = len(data.y)
    if not conditions:
        return data.scaled_x, None
    for condition in conditions:
        for point in condition.points:
            if len(point) != len(data.names):
                raise InputError(f"a condition's points need {len(data.names)} features, found {len(point)}")
    points = np.array([point for condition in conditions for point in condition.points])
    weights = np.zeros((len(conditions), samples + len(points)))
    place = samples
    for k, condition in enumerate(conditions):
        weights[k, place : place + len(condition.points)] = condition.weights
        place += len(condition.points)
    shift = weights.sum(axis=1) * data.scaling.target_offset
    low, high = (np.array([getattr(c, side) for c in conditions], dtype=np.float64) for side in ("low", "high"))
    width = data.scaling.target_width
    x = np.vstack([data.scaled_x, data.scaling.features(points)])
    return x, PointRows(weights, _outward((low - shift) / width, -np.inf), _outward((high - shift) / width, np.inf))


def _outward(sides: FloatArray, end: float) -> FloatArray:
    """Undo the rounding of a division: what a side demands must not become more than was asked for."""
    return np.where(sides == 0, 0.0, np.nextafter(sides, end))


def train_any_width(
    data: TrainingData,
    specification: AnyWidthSpecification,
    options: TrainOptions | None = None,
    *,
    start: list[Unit] | None = None,
) -> TrainingResult:
    """Train a one-hidden-layer network to proven optimality over networks of every width.

    Parameters
    ----------
    data : TrainingData
    specification : AnyWidthSpecification
    options : TrainOptions or None
    start : list of Unit or None
        Units to begin with.

    Returns
    -------
    TrainingResult
        Its objective is exact; its bound is recomputed in rational arithmetic from the dual solution in the record.

    Raises
    ------
    InputError, DataError
        See `prepare_problem`. Universal constraints are for `train_universal`.
    """
    options = options or TrainOptions()
    make_ready(options)
    started = time.monotonic()
    problem = prepare_problem(data, specification)
    pricer = Pricer(problem.family, specification.monotone, options.solver, options.threads)
    generation, chosen = optimise(problem, pricer, options, start)
    return conclude(data, problem, generation, chosen, options, started)


def optimise(
    problem: Problem, pricer: Pricer, options: TrainOptions, start: list[Unit] | None = None
) -> tuple[Generation, UnitSum]:
    """Generate units within the limits, and read the network off the last master."""

    def report(state: Round) -> None:
        options.on_progress(Progress(state.seconds, state.objective, state.bound))

    deadline = Deadline(time.monotonic() + options.time_limit)
    counting = counts(problem.specification)
    generation = generate(
        problem,
        pricer,
        options.gap_tolerance,
        deadline.within(GENERATION_SHARE * options.time_limit) if counting else deadline,
        seed=options.seed,
        start=start,
        on_round=report,
    )
    chosen = assemble(problem, generation.units, generation.fit.values)
    if counting:
        kept = keep_within(problem, pricer, generation, options.solver, options.threads, deadline)
        chosen = assemble(problem, kept.units, kept.values())
    return generation, chosen


def make_ready(options: TrainOptions) -> None:
    """Compile the search over weights where that was never done: the time limit is for the training."""
    if not are_kernels_ready("cones"):
        options.on_notice(COMPILING)
        compile_kernels("cones")


def conclude(
    data: TrainingData,
    problem: Problem,
    generation: Generation,
    chosen: UnitSum,
    options: TrainOptions,
    started: float,
) -> TrainingResult:
    """Export a network and say what is known about it."""
    specification = problem.specification
    signs = [unit.sign for unit in chosen.units]
    raw = to_raw(chosen.parameters(), signs, specification.monotone, data.scaling)
    network = build_network(raw)
    return TrainingResult(network, raw, make_record(data, problem, generation, network, raw, options, started))


def make_record(
    data: TrainingData,
    problem: Problem,
    generation: Generation,
    network: Network,
    exported: Exported,
    options: TrainOptions,
    started: float,
) -> TrainingRecord:
    """Say what is known about an exported network, whatever family its units come from."""
    specification = problem.specification
    objective = exact_objective(network, exported, specification.objective, data, specification.price_of_skip)
    bound = float_down(generation.dual.bound)
    gap = gap_between(objective, bound)
    broken = broken_condition(network, specification)
    proven = gap <= options.gap_tolerance and not broken
    missing = "units are counted, and the bound is that of any number" if counts(specification) else "the gap is open"
    notes = [] if proven else [f"the optimum is not proven: {generation.reason or missing}"]
    if broken:
        notes.append(broken)
    return TrainingRecord(
        objective,
        generation.fit.objective,
        bound,
        gap,
        Status.OPTIMAL if proven else Status.UNKNOWN,
        "highs and cone search" if not generation.dual.claimed else "highs and a mixed-integer programme",
        time.monotonic() - started,
        exported.nonzeros,
        exported.units,
        tuple(data.names[j] for j in exported.features),
        len(data.y),
        tuple(notes),
        Method.ANY_WIDTH,
        "a solver's claim" if generation.dual.claimed else "rounding-safe bounds",
        tuple(Progress(r.seconds, r.objective, r.bound) for r in generation.rounds),
        generation.dual,
    )


def broken_condition(network: Network, specification: AnyWidthSpecification) -> str:
    """Say which condition the exported network breaks, by more than the master's tolerance; empty for none."""
    for k, condition in enumerate(specification.conditions):
        outputs = evaluate_exact_batch(network, np.array(condition.points, dtype=np.float64))
        terms = [Fraction(w) * row[0] for w, row in zip(condition.weights, outputs, strict=True)]
        value, size = float(sum(terms, Fraction(0))), max(1.0, *(abs(float(t)) for t in terms))
        if not condition.low - CONDITION_TOLERANCE * size <= value <= condition.high + CONDITION_TOLERANCE * size:
            return f"condition {k + 1} is not met: its value is {value:.6g}"
    return ""


def gap_between(objective: Fraction, bound: float) -> float:
    """Return the relative gap; below zero only by rounding, which reads as zero.

    Parameters
    ----------
    objective : Fraction
    bound : float
        Minus infinity where there is none.
    """
    value = float(objective)
    return max(0.0, value - bound) / max(abs(value), 1e-10) if math.isfinite(bound) else math.inf
