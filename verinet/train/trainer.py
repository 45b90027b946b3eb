"""Training of so many units: by the cells of their weights, or by programmes; and an honest record."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from verinet.errors import DataError, InputError
from verinet.model import Demand
from verinet.numeric import float_down
from verinet.program import Outcome, Status
from verinet.solve import AUTO
from verinet.train.any_width.trainer import make_ready
from verinet.train.candidates import Known, judge, known_before, result_of
from verinet.train.cells import Relaxation, prepare_cells, search_cells
from verinet.train.data import TrainingData
from verinet.train.demand_rows import scaled_demands
from verinet.train.dual import DualSolution
from verinet.train.programme import LOSSES, TrainingProgramme, build_programme
from verinet.train.result import Earlier, TrainingResult
from verinet.train.run import TrainingRun
from verinet.train.specification import Specification, TrainOptions, UnitTightening
from verinet.train.stages import (
    MANY,
    ONE,
    Solved,
    Start,
    bound_of_any_width,
    find_start,
    improve_start,
    solve_parts,
    solve_whole,
)
from verinet.train.warm_start import polish
from verinet.verify import Deadline

__all__ = ["NetworkSolution", "solve_network", "train"]

LEAST_MARGIN = 1e-6
"""By how much networks overfulfil demands, in units of the scaled target: more than solvers' tolerances."""

LAST_SECONDS = 5.0
"""For a network that keeps the margin, once the optimum without one is known."""

MOST_HELD = 250
"""ReLUs of a programme, units times different points: of more than that a solver proves next to nothing."""

CLAIMED, SAFE = "a solver's claim", "rounding-safe bounds"
"""What stands behind the bound of a programme, and behind those of any width and of cells."""


@dataclass(frozen=True, eq=False)
class NetworkSolution:
    """What was found of a training under demands.

    Parameters
    ----------
    result : TrainingResult or None
        None if no network that meets the demands was found.
    bound : float
        Infinite where a solver claims that no network meets the demands.
    reason : str
        Why the optimum is not proven; empty where it is.
    """

    result: TrainingResult | None
    bound: float
    reason: str


def train(
    data: TrainingData,
    specification: Specification,
    options: TrainOptions | None = None,
    *,
    tightening: UnitTightening | None = None,
    earlier: Earlier | None = None,
) -> TrainingResult:
    """Train a network to the optimum of its specification, or as far as the time allows.

    Data of more points than one programme holds are trained on by programmes over parts of them; bound and objective
    are those of all samples all the same.

    Parameters
    ----------
    data : TrainingData
    specification : Specification
    options : TrainOptions or None
    tightening : UnitTightening or None
        What to do better than the plain model; by default everything.
    earlier : Earlier or None
        What a training of the same specification and data left: it goes on from that network and bound.

    Returns
    -------
    TrainingResult
        The best network found. Its objective is exact; its bound and therefore its gap are the solver's claim, or
        rounding-safe where the units' cells were searched or the bound is that of any width.

    Raises
    ------
    InputError
        If the specification names features that the data does not have, or the earlier training was another.
    """
    solution = solve_network(data, specification, options, tightening=tightening, earlier=earlier)
    assert solution.result is not None
    return solution.result


def solve_network(
    data: TrainingData,
    specification: Specification,
    options: TrainOptions | None = None,
    demands: Sequence[Demand] = (),
    margin: float = LEAST_MARGIN,
    *,
    tightening: UnitTightening | None = None,
    earlier: Earlier | None = None,
) -> NetworkSolution:
    """Train a network that meets demands at further points; see `train`.

    Parameters
    ----------
    data : TrainingData
    specification : Specification
    options : TrainOptions or None
    demands : sequence of Demand
        The network meets them, by exact evaluation of what is exported.
    margin : float
        By how much networks overfulfil them, in units of the scaled target; the bound is that of the demands without
        a margin.
    tightening : UnitTightening or None
    earlier : Earlier or None
        Of a training without demands.
    """
    options, tightening = options or TrainOptions(), tightening or UnitTightening()
    _check(data, specification)
    known = known_before(data, specification, earlier)
    run = TrainingRun.begin(data, specification, options, tightening)
    searched = tightening.cells and options.solver == AUTO and not demands
    relaxation = prepare_cells(data, specification) if searched else None
    if relaxation is not None:
        return _solution(_by_cells(run, relaxation, known), "the gap is open")
    if tightening.any_width and run.is_priced:
        make_ready(options)
        run = TrainingRun.begin(data, specification, options, tightening)
    return _by_programmes(run, known, demands, margin)


def _solution(result: TrainingResult, reason: str) -> NetworkSolution:
    proven = result.record.status is Status.OPTIMAL
    return NetworkSolution(result, result.record.bound, "" if proven else reason)


def _check(data: TrainingData, specification: Specification) -> None:
    features = len(data.names)
    if specification.objective.loss not in LOSSES:
        raise InputError(
            f"the method milp optimises {', '.join(loss.value for loss in LOSSES)}, found the loss "
            f"{specification.objective.loss.value}; use the method any-width"
        )
    for feature in specification.monotone:
        if not 0 <= feature < features:
            raise InputError(f"a monotone constraint names feature {feature}, the data has {features}")
    if specification.objective.loss.classifies and not np.isin(data.y, (-1.0, 1.0)).all():
        raise DataError("a classification loss needs targets -1 and 1")


def _by_cells(run: TrainingRun, relaxation: Relaxation, known: Known) -> TrainingResult:
    """Search the cells of the units' weights."""
    journal = run.journal
    found = search_cells(
        relaxation, known.parameters, run.options.gap_tolerance, run.deadline, journal.note, known.bound
    )
    journal.note(found.objective, found.bound)
    solved = judge(found.parameters, run.data, run.specification)
    best = min([*known.candidates, solved], key=lambda candidate: candidate.objective)
    status = Status.UNKNOWN if found.reason else Status.OPTIMAL
    outcome = Outcome(status, "highs", journal.seconds, None, found.objective, found.bound, found.reason)
    why = f"search over the cells of the units' weights, {found.nodes} nodes"
    basis = SAFE if found.bound > known.bound else known.basis
    return result_of(run, best, solved, outcome, why, basis)


def _by_programmes(run: TrainingRun, known: Known, demands: Sequence[Demand], margin: float) -> NetworkSolution:
    """Solve mixed-integer programmes, from a warm start and with the bound of any width."""
    data, specification, deadline = run.data, run.specification, run.deadline
    # Demands stand in the programme over all samples only.
    held = bool(demands) or not run.tightening.parts or run.relus <= MOST_HELD
    loose, tight = (scaled_demands(demands, data.scaling, 1, m) for m in (0.0, margin))
    within = build_programme(specification, data, demands=tight, tightening=run.tightening)
    start = _find_start(run, within, known)
    if not np.isfinite(start.objective) and not demands:
        start = replace(start, objective=float(judge(start.parameters, data, specification).objective))
    run.journal.note(start.objective)
    width, interrupted = bound_of_any_width(run, ONE if held and run.is_priced_at_once else MANY)
    if interrupted:
        # Ctrl-C ends the training, not this part of it: what the warm start found is kept.
        deadline = Deadline(time.monotonic())
    if held:
        found = solve_whole(run, start, width, deadline, loose)
    else:
        found = solve_parts(run, start, width, deadline, within)
    proposals = [start.parameters, *found.proposals]
    if demands and found.proposals:
        last = time.monotonic() + LAST_SECONDS
        proposals += [p for _, p in polish(within, proposals[-1], run.options.solver, last)]
    judged = [judge(p, data, specification) for p in proposals]
    allowed = [c for c in [*known.candidates, *judged] if all(demand.met_by(c.network) for demand in demands)]
    outcome = found.outcome
    if not allowed:
        reason = "" if outcome.bound == np.inf else outcome.reason or "no network that meets the demands was found"
        return NetworkSolution(None, outcome.bound, reason)
    best = min(allowed, key=lambda candidate: candidate.objective)
    found, basis = _with_best_bound(found, width, known)
    if start.settled and best is judged[0] and outcome.status is not Status.OPTIMAL:
        found = replace(found, why=f"{found.why}; with all others fixed, no unit of the network can be better")
    run.journal.note(float(best.objective), found.outcome.bound)
    result = result_of(run, best, judged[min(1, len(judged) - 1)], found.outcome, found.why, basis)
    return _solution(result, outcome.reason or "the gap is open")


def _find_start(run: TrainingRun, within: TrainingProgramme, known: Known) -> Start:
    """Return what to start from: what is known, or the best network of gradient runs and of a descent by units."""
    start = Start(known.objective, known.parameters)
    if run.tightening.warm_start:
        start = find_start(run, within, start)
    if run.tightening.blocks and run.is_large and np.isfinite(start.objective):
        start = improve_start(run, within, start)
    return start


def _with_best_bound(found: Solved, width: DualSolution | None, known: Known) -> tuple[Solved, str]:
    """Return the programmes' outcome with the best of all bounds, and what stands behind that."""
    basis = CLAIMED
    if width is not None and found.outcome.bound <= float_down(width.bound):
        outcome = replace(found.outcome, bound=float_down(width.bound))
        found = replace(found, outcome=outcome, why=f"{found.why}; the bound is that of any width")
        basis = CLAIMED if width.claimed else SAFE
    if found.outcome.bound < known.bound:
        return replace(found, outcome=replace(found.outcome, bound=known.bound)), known.basis
    return found, basis
