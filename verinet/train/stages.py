"""The stages of a training by programmes: a start, the bound of any width, and the programmes."""

import itertools
import time
from dataclasses import dataclass, replace

import numpy as np

from verinet.encode import lower_programme
from verinet.numeric import float_down
from verinet.program import Outcome, SolveOptions, Status
from verinet.solve import choose
from verinet.train.any_width import train_any_width
from verinet.train.any_width.generation import INTERRUPTED
from verinet.train.blocks import descend_by_blocks
from verinet.train.demand_rows import ScaledDemands
from verinet.train.dual import DualSolution
from verinet.train.programme import Parameters, TrainingProgramme, build_programme
from verinet.train.root import ROOT_SHARE, with_root_cuts
from verinet.train.run import TrainingRun
from verinet.train.specification import AnyWidthSpecification, Objective, Skip, Specification, TrainOptions
from verinet.train.subset import equivalent_points, solve_by_subsets, tangent_floors
from verinet.train.warm_start import gradient_starts, polish
from verinet.verify import Deadline

__all__ = [
    "MANY",
    "ONE",
    "Effort",
    "Solved",
    "Start",
    "bound_of_any_width",
    "find_start",
    "improve_start",
    "solve_parts",
    "solve_whole",
]

WARM_START_SHARE = 0.25
"""Part of the time limit for the warm start."""

BLOCKS_SHARE = 0.08
"""Part of the time limit for the descent unit by unit: the bound needs the rest more."""

SEEDS_APART = 1000
"""Between rounds of gradient runs, so that the seeds 0, 1, ... of several trainings share none."""

PATIENCE = 4
"""Rounds of gradient runs without a better network that end the warm start."""


@dataclass(frozen=True)
class Effort:
    """How much the bound over networks of any width is worth.

    Parameters
    ----------
    share : float
        Of the time limit.
    tolerance : float
        Relative gap of that bound.
    """

    share: float
    tolerance: float


ONE, MANY = Effort(0.2, 1e-3), Effort(0.5, 1e-2)
"""Where one programme holds all samples, and closes the gap; and where that bound is most of what is to be had: of
more samples, and of units of more features."""


@dataclass(frozen=True, eq=False)
class Start:
    """A network to start from.

    Parameters
    ----------
    objective : float
        As a solver claims it; infinite where it is not known.
    parameters : Parameters
    settled : bool
        Whether no unit can be better with all others fixed, as a solver claims.
    """

    objective: float
    parameters: Parameters
    settled: bool = False


@dataclass(frozen=True, eq=False)
class Solved:
    """What programmes come to.

    Parameters
    ----------
    proposals : list of Parameters
        Networks to be judged, the first one the solver's where it claims an objective.
    outcome : Outcome
        Its bound is one of the objective over all samples.
    why : str
        Why this solver, and how.
    """

    proposals: list[Parameters]
    outcome: Outcome
    why: str


def find_start(run: TrainingRun, training: TrainingProgramme, best: Start) -> Start:
    """Return the best network of gradient runs, each polished; the given one if nothing is better.

    Parameters
    ----------
    run : TrainingRun
    training : TrainingProgramme
        Over all samples.
    best : Start
    """
    deadline, solver = run.until(WARM_START_SHARE), run.options.solver
    since = 0
    for number in itertools.count() if run.is_large else range(1):
        before = best.objective
        seed = run.options.seed + number * SEEDS_APART
        for place, start in enumerate(gradient_starts(run.specification, run.data, seed)):
            # One start is always polished, so that a very short time limit still returns a sensible network.
            if (number or place) and deadline.passed:
                return best
            best = _polished(training, best, start, solver, max(deadline.end, time.monotonic() + 1.0))
        since = 0 if best.objective < before else since + 1
        if since == PATIENCE:
            break
    return best


def _polished(training: TrainingProgramme, best: Start, network: Parameters, solver: str, until: float) -> Start:
    """Return the best of a network and of what others become when they are polished."""
    found = [Start(objective, parameters) for objective, parameters in polish(training, network, solver, until)]
    return min([best, *found], key=lambda start: start.objective)


def improve_start(run: TrainingRun, training: TrainingProgramme, start: Start) -> Start:
    """Improve a network unit by unit.

    Parameters
    ----------
    run : TrainingRun
    training : TrainingProgramme
        Over all samples.
    start : Start
    """
    until = time.monotonic() + BLOCKS_SHARE * run.options.time_limit
    options = SolveOptions(threads=run.options.threads, seed=run.options.seed)
    found = descend_by_blocks(training, start.objective, start.parameters, options, run.options.solver, until)
    return Start(found.objective, found.parameters, found.settled)


def bound_of_any_width(run: TrainingRun, effort: Effort) -> tuple[DualSolution | None, bool]:
    """Bound the optimum by that of networks of any width, where the loss allows it; tell whether Ctrl-C ended that.

    Soundness: other penalties, budgets, monotone rows and bounds of weights are left out, so the bound is valid.

    Parameters
    ----------
    run : TrainingRun
    effort : Effort
    """
    if not (run.tightening.any_width and run.is_priced):
        return None, False
    objective = run.specification.objective
    wide = AnyWidthSpecification(
        Objective(objective.loss, objective.margin, objective.l1),
        None,
        Skip.PENALISED if run.specification.skip else Skip.NONE,
    )
    limited = replace(
        run.options,
        time_limit=effort.share * run.options.time_limit,
        gap_tolerance=effort.tolerance,
        on_progress=lambda state: run.journal.note(bound=state.bound),
    )
    record = train_any_width(run.data, wide, limited).record
    return record.dual, any(INTERRUPTED in note for note in record.notes)


def solve_whole(
    run: TrainingRun, start: Start, width: DualSolution | None, deadline: Deadline, demands: ScaledDemands
) -> Solved:
    """Solve the programme over all samples.

    Parameters
    ----------
    run : TrainingRun
    start : Start
    width : DualSolution or None
        Prices of training of any width.
    deadline : Deadline
    demands : ScaledDemands
    """
    prices = None if width is None else np.array([float(width.scale * price) for price in width.prices])
    largest = _size_bound(run.specification, start.objective) if run.tightening.cutoff else None
    training = build_programme(run.specification, run.data, largest, prices, demands, run.tightening)
    lowered = lower_programme(training.programme)
    if run.tightening.root_cuts:
        lowered = with_root_cuts(lowered, ROOT_SHARE * deadline.left)
    choice = choose(lowered.programme, run.options.solver)
    fits = run.tightening.warm_start and (np.isfinite(start.objective) or not demands.clauses)
    outcome = choice.backend.solve(
        lowered.programme,
        SolveOptions(
            time_limit=max(deadline.left, 0.1),
            threads=run.options.threads,
            gap_tolerance=run.options.gap_tolerance,
            seed=run.options.seed,
            # Without a polished network there is only a constant, which need not meet the demands.
            start=lowered.extend(training.point(start.parameters)) if fits else None,
            on_progress=run.journal.hear,
        ),
    )
    proposals = [] if outcome.values is None else [training.parameters(outcome.values)]
    return Solved(proposals, outcome, choice.reason)


def solve_parts(
    run: TrainingRun, start: Start, width: DualSolution | None, deadline: Deadline, whole: TrainingProgramme
) -> Solved:
    """Solve programmes over parts of the points, and polish what they find on all samples.

    Parameters
    ----------
    run : TrainingRun
    start : Start
    width : DualSolution or None
        Prices of training of any width.
    deadline : Deadline
    whole : TrainingProgramme
        Over all samples.
    """
    data, specification, options, journal = run.data, run.specification, run.options, run.journal
    floors = equivalent_points(data, specification.objective)
    if width is not None and width.bound > floors.total:
        floors = tangent_floors(data, specification.objective, width)
    bound, best = float_down(floors.total), start
    journal.note(bound=bound)
    if _is_closed(best.objective, bound, options):
        closed = Outcome(Status.OPTIMAL, "no programme", journal.seconds, bound=bound)
        return Solved([], closed, f"{floors.name} is enough")
    listening = replace(options, on_progress=journal.hear)
    size_bound = _size_bound(specification, start.objective)
    for found in solve_by_subsets(data, specification, floors, start.parameters, size_bound, listening, deadline):
        last = found
        proposals = [] if found.parameters is None else [found.parameters]
        for network in proposals:
            best = _polished(whole, best, network, options.solver, deadline.end)
        # A bound on the units' sizes may have left out networks that are worse than the best one.
        bound = max(bound, min(found.bound, best.objective))
        journal.note(best.objective, bound)
        if _is_closed(best.objective, bound, options):
            break
    reason = "" if _is_closed(best.objective, bound, options) else last.outcome.reason or "the gap is open"
    outcome = replace(
        last.outcome, status=Status.UNKNOWN if reason else Status.OPTIMAL, objective=None, bound=bound, reason=reason
    )
    why = f"parts of up to {last.points} of {floors.points} points, the others at {floors.name}"
    return Solved([best.parameters, *proposals], outcome, why)


def _is_closed(objective: float, bound: float, options: TrainOptions) -> bool:
    return objective - bound <= options.gap_tolerance * abs(objective)


def _size_bound(specification: Specification, objective: float) -> float | None:
    """Return a bound on every unit's size that each network at least as good as the warm start satisfies.

    Its penalty ``l1 * size`` alone must not exceed the warm start's objective. The tolerance keeps the warm start
    itself feasible.
    """
    l1 = specification.objective.l1
    return objective / l1 * (1 + 1e-6) + 1e-6 if l1 > 0 and np.isfinite(objective) else None
