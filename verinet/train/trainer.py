"""Training: warm start, programme, solve, export, and an honest record."""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from verinet.encode import lower_programme
from verinet.errors import DataError, InputError
from verinet.model import Demand, Network
from verinet.numeric import float_down
from verinet.program import Outcome, Progress, SolveOptions, Status
from verinet.solve import AUTO, choose
from verinet.train.any_width import train_any_width
from verinet.train.any_width.generation import INTERRUPTED
from verinet.train.any_width.trainer import make_ready
from verinet.train.blocks import descend_by_blocks
from verinet.train.cells import Relaxation, prepare_cells, search_cells
from verinet.train.data import TrainingData, distinct_rows
from verinet.train.demand_rows import ScaledDemands, scaled_demands
from verinet.train.dual import DualSolution
from verinet.train.export import RawParameters, build_network, snap, to_raw, to_scaled
from verinet.train.objective import exact_objective
from verinet.train.programme import LOSSES, Parameters, TrainingProgramme, build_programme
from verinet.train.result import Earlier, TrainingRecord, TrainingResult
from verinet.train.specification import (
    AnyWidthSpecification,
    Loss,
    Objective,
    Skip,
    Specification,
    TrainOptions,
    UnitTightening,
)
from verinet.train.subset import equivalent_points, solve_by_subsets, tangent_floors
from verinet.train.warm_start import gradient_starts, polish
from verinet.verify import Deadline

__all__ = ["OBJECTIVE_TOLERANCE", "NetworkSolution", "solve_network", "train"]

LEAST_MARGIN = 1e-6
"""By how much networks overfulfil demands, in units of the scaled target: more than solvers' tolerances."""

LAST_SECONDS = 5.0
"""For a network that keeps the margin, once the optimum without one is known."""

OBJECTIVE_TOLERANCE = 1e-6
"""How far the exact objective may lie from the solver's before the record says so."""

WARM_START_SHARE = 0.25
"""Part of the time limit for the warm start."""

BLOCKS_SHARE = 0.08
"""Part of the time limit for the descent unit by unit: the bound needs the rest more."""

MOST_HELD = 250
"""ReLUs of a programme, units times different points: of more than that a solver proves next to nothing."""


@dataclass(frozen=True)
class _Effort:
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


ONE, MANY = _Effort(0.2, 1e-3), _Effort(0.5, 1e-2)
"""Where one programme holds all samples, and closes the gap; and where that bound is most of what is to be had."""

PRICED = (Loss.HINGE, Loss.L1)
"""Losses whose any-width optimum bounds that of so many units."""

MOST_PRICED = 6
"""Features up to which units are priced in a moment."""

CLAIMED, SAFE = "a solver's claim", "rounding-safe bounds"
"""What stands behind the bound of a programme, and behind that of any width."""

FEW_BINARIES = 100
"""Units at samples up to which one round of gradient runs is enough; a larger programme takes longer than many."""

SEEDS_APART = 1000
"""Between rounds of gradient runs, so that the seeds 0, 1, ... of several trainings share none."""

PATIENCE = 4
"""Rounds of gradient runs without a better network that end the warm start."""


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


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A network that could be the result, judged exactly."""

    network: Network
    raw: RawParameters
    objective: Fraction


@dataclass(eq=False)
class _Journal:
    """Objective and bound as they close."""

    started: float
    on_progress: Callable[[Progress], None]
    objective: float = np.inf
    bound: float = -np.inf
    history: list[Progress] = field(default_factory=list)

    def note(self, objective: float | None = None, bound: float = -np.inf) -> None:
        """Take a network's objective and a bound, and report where that leaves both."""
        self.objective = min(self.objective, np.inf if objective is None else objective)
        self.bound = max(self.bound, min(bound, self.objective))
        known = self.objective if np.isfinite(self.objective) else None
        self.history.append(Progress(time.monotonic() - self.started, known, self.bound))
        self.on_progress(self.history[-1])

    def hear(self, state: Progress) -> None:
        """Take a solver's report."""
        self.note(state.objective, state.bound)


@dataclass(frozen=True, eq=False)
class _Solved:
    """What a way of training comes to.

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
    begin = _begin(data, specification, earlier)
    started = time.monotonic()
    searched = tightening.cells and options.solver == AUTO and not demands
    relaxation = prepare_cells(data, specification) if searched else None
    if relaxation is not None:
        result = _by_cells(data, specification, options, relaxation, begin, started)
        return _solution(result, "the gap is open")
    if tightening.any_width and _is_priced(data, specification):
        make_ready(options)
        started = time.monotonic()
    return _by_programme(data, specification, options, tightening, begin, started, demands, margin)


def _solution(result: TrainingResult, reason: str) -> NetworkSolution:
    proven = result.record.status is Status.OPTIMAL
    return NetworkSolution(result, result.record.bound, "" if proven else reason)


@dataclass(frozen=True, eq=False)
class _Begin:
    """Where a training begins: with the constant network and no bound, or with what an earlier one left."""

    objective: float
    parameters: Parameters
    bound: float
    basis: str
    candidates: tuple[_Candidate, ...]


def _begin(data: TrainingData, specification: Specification, earlier: Earlier | None) -> _Begin:
    """Return where to begin; an earlier training has to be one of the same network, data and objective."""
    if earlier is None:
        return _Begin(np.inf, _constant(data, specification), -np.inf, "", ())
    raw = earlier.parameters
    if raw.weights.shape[1] != len(data.names) or len(raw.offsets) != 1:
        raise InputError(
            f"the network to resume has {raw.weights.shape[1]} inputs and {len(raw.offsets)} outputs, the training "
            f"{len(data.names)} and 1"
        )
    network = build_network(raw)
    objective = exact_objective(network, raw, specification.objective, data)
    if objective != earlier.objective:
        raise InputError(
            f"the network to resume has the objective {float(objective):.9g} here and {float(earlier.objective):.9g} "
            "in its record; resume with the specification and data that it was trained for"
        )
    parameters = to_scaled(raw, specification.signs, data.scaling)
    kept = _Candidate(network, raw, objective)
    return _Begin(float(objective), parameters, earlier.bound, earlier.basis, (kept,))


def _by_cells(
    data: TrainingData,
    specification: Specification,
    options: TrainOptions,
    relaxation: Relaxation,
    begin: _Begin,
    started: float,
) -> TrainingResult:
    """Search the cells of the units' weights."""
    history, keep = _recorder(options, started)
    found = search_cells(
        relaxation,
        begin.parameters,
        options.gap_tolerance,
        Deadline(started + options.time_limit),
        lambda objective, bound: keep(Progress(time.monotonic() - started, objective, bound)),
        begin.bound,
    )
    if not history:
        keep(Progress(time.monotonic() - started, found.objective, found.bound))
    solved = _judge(found.parameters, data, specification)
    best = min(*begin.candidates, solved, key=lambda candidate: candidate.objective) if begin.candidates else solved
    status = Status.UNKNOWN if found.reason else Status.OPTIMAL
    seconds = time.monotonic() - started
    outcome = Outcome(status, "highs", seconds, None, found.objective, found.bound, found.reason)
    why = f"search over the cells of the units' weights, {found.nodes} nodes"
    record = _record(best, solved, outcome, data, options, why, seconds)
    basis = "rounding-safe bounds" if found.bound > begin.bound else begin.basis
    record = replace(record, history=tuple(history), basis=basis)
    return TrainingResult(best.network, best.raw, record)


def _recorder(options: TrainOptions, started: float) -> tuple[list[Progress], Callable[[Progress], None]]:
    """Return a history, and what adds to it and reports."""
    history: list[Progress] = []

    def keep(state: Progress) -> None:
        history.append(Progress(time.monotonic() - started, state.objective, state.bound))
        options.on_progress(Progress(state.seconds, state.objective, state.bound))

    return history, keep


def _by_programme(
    data: TrainingData,
    specification: Specification,
    options: TrainOptions,
    tightening: UnitTightening,
    begin: _Begin,
    started: float,
    demands: Sequence[Demand],
    margin: float,
) -> NetworkSolution:
    """Solve the mixed-integer programme, from a warm start and with the bound of any width."""
    deadline = Deadline(started + options.time_limit)
    # Demands stand in the programme over all samples only.
    held = bool(demands) or not tightening.parts or _relus(data, specification) <= MOST_HELD
    journal = _Journal(started, options.on_progress)
    loose, tight = (scaled_demands(demands, data.scaling, 1, m) for m in (0.0, margin))
    within = build_programme(specification, data, demands=tight, tightening=tightening)
    start, settled = (begin.objective, begin.parameters), False
    if tightening.warm_start:
        until = started + WARM_START_SHARE * options.time_limit
        start = _warm_start(within, data, specification, options, until, start)
    if tightening.blocks and _is_large(data, specification) and np.isfinite(start[0]):
        until = time.monotonic() + BLOCKS_SHARE * options.time_limit
        start, settled = _by_blocks(within, options, until, start)
    if not np.isfinite(start[0]) and not demands:
        start = (float(_judge(start[1], data, specification).objective), start[1])
    journal.note(start[0])
    width, interrupted = None, False
    if tightening.any_width:
        width, interrupted = _any_width(data, specification, options, ONE if held else MANY, journal)
    if interrupted:
        # Ctrl-C ends the training, not this part of it: what the warm start found is kept.
        deadline = Deadline(time.monotonic())
    if held:
        found = _optimise(data, specification, options, start, width, tightening, deadline, journal, loose)
    else:
        found = _by_subsets(data, specification, options, start, width, deadline, journal, within)
    outcome, why, basis = found.outcome, found.why, CLAIMED
    proposals = [start[1], *found.proposals]
    if demands and found.proposals:
        proposals += [p for _, p in polish(within, proposals[-1], options.solver, time.monotonic() + LAST_SECONDS)]
    candidates = [*begin.candidates, *(_judge(p, data, specification) for p in proposals)]
    allowed = [c for c in candidates if all(demand.met_by(c.network) for demand in demands)]
    if not allowed:
        reason = "" if outcome.bound == np.inf else outcome.reason or "no network that meets the demands was found"
        return NetworkSolution(None, outcome.bound, reason)
    best = min(allowed, key=lambda candidate: candidate.objective)
    if width is not None and outcome.bound <= float_down(width.bound):
        outcome = replace(outcome, bound=float_down(width.bound))
        why = f"{why}; the bound is that of any width"
        basis = CLAIMED if width.claimed else SAFE
    if settled and best is candidates[len(begin.candidates)] and outcome.status is not Status.OPTIMAL:
        why = f"{why}; with all others fixed, no unit of the network can be better"
    if outcome.bound < begin.bound:
        outcome, basis = replace(outcome, bound=begin.bound), begin.basis
    journal.note(float(best.objective), outcome.bound)
    first = len(begin.candidates)
    solved = candidates[min(first + 1, len(candidates) - 1)]
    record = _record(best, solved, outcome, data, options, why, time.monotonic() - started)
    result = TrainingResult(best.network, best.raw, replace(record, history=tuple(journal.history), basis=basis))
    return _solution(result, outcome.reason or "the gap is open")


def _relus(data: TrainingData, specification: Specification) -> int:
    """Count the ReLUs of the programme over all samples: its binaries, but for those of counting."""
    return len(specification.signs) * len(distinct_rows(data.scaled_x)[0])


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


def _warm_start(
    training: TrainingProgramme,
    data: TrainingData,
    specification: Specification,
    options: TrainOptions,
    deadline: float,
    best: tuple[float, Parameters],
) -> tuple[float, Parameters]:
    """Return the best polished network and its claimed objective; the given ones if nothing is better."""
    rounds = itertools.count() if _is_large(data, specification) else range(1)
    since = 0
    for number in rounds:
        before = best[0]
        for place, start in enumerate(gradient_starts(specification, data, options.seed + number * SEEDS_APART)):
            # One start is always polished, so that a very short time limit still returns a sensible network.
            if (number or place) and time.monotonic() > deadline:
                return best
            for found in polish(training, start, options.solver, max(deadline, time.monotonic() + 1.0)):
                best = min(best, found, key=lambda pair: pair[0])
        since = 0 if best[0] < before else since + 1
        if since == PATIENCE:
            break
    return best


def _is_large(data: TrainingData, specification: Specification) -> bool:
    return len(data.y) * len(specification.signs) > FEW_BINARIES


def _by_blocks(
    training: TrainingProgramme, options: TrainOptions, deadline: float, start: tuple[float, Parameters]
) -> tuple[tuple[float, Parameters], bool]:
    """Improve a network unit by unit; tell whether it is optimal in each of these blocks."""
    found = descend_by_blocks(
        training, *start, SolveOptions(threads=options.threads, seed=options.seed), options.solver, deadline
    )
    return (found.objective, found.parameters), found.settled


def _any_width(
    data: TrainingData, specification: Specification, options: TrainOptions, effort: _Effort, journal: _Journal
) -> tuple[DualSolution | None, bool]:
    """Bound the optimum by that of networks of any width, where the loss allows it; tell whether Ctrl-C ended that.

    Soundness: other penalties, budgets, monotone rows and bounds of weights are left out, so the bound is valid.
    """
    objective = specification.objective
    if not _is_priced(data, specification):
        return None, False
    wide = AnyWidthSpecification(
        Objective(objective.loss, objective.margin, objective.l1),
        None,
        Skip.PENALISED if specification.skip else Skip.NONE,
    )
    limited = replace(
        options,
        time_limit=effort.share * options.time_limit,
        gap_tolerance=effort.tolerance,
        on_progress=lambda state: journal.note(bound=state.bound),
    )
    record = train_any_width(data, wide, limited).record
    return record.dual, any(INTERRUPTED in note for note in record.notes)


def _is_priced(data: TrainingData, specification: Specification) -> bool:
    objective = specification.objective
    return objective.l1 > 0 and objective.loss in PRICED and len(data.names) <= MOST_PRICED


def _constant(data: TrainingData, specification: Specification) -> Parameters:
    """Return the best constant network for a median or a majority: always feasible."""
    order = np.argsort(data.scaled_y)
    middle = order[int(np.searchsorted(np.cumsum(data.weights[order]), 0.5).clip(0, len(order) - 1))]
    units, features = len(specification.signs), len(data.names)
    value = float(data.scaled_y[middle]) * (
        specification.objective.margin if specification.objective.loss.classifies else 1.0
    )
    return Parameters(np.zeros((units, features)), np.zeros(units), np.zeros(features), value)


def _optimise(
    data: TrainingData,
    specification: Specification,
    options: TrainOptions,
    start: tuple[float, Parameters],
    width: DualSolution | None,
    tightening: UnitTightening,
    deadline: Deadline,
    journal: _Journal,
    demands: ScaledDemands,
) -> _Solved:
    """Solve the programme over all samples."""
    prices = None if width is None else np.array([float(width.scale * price) for price in width.prices])
    largest = _size_bound(specification, start[0]) if tightening.cutoff else None
    training = build_programme(specification, data, largest, prices, demands, tightening)
    lowered = lower_programme(training.programme)
    choice = choose(lowered.programme, options.solver)
    fits = tightening.warm_start and (np.isfinite(start[0]) or not demands.clauses)
    outcome = choice.backend.solve(
        lowered.programme,
        SolveOptions(
            time_limit=max(deadline.left, 0.1),
            threads=options.threads,
            gap_tolerance=options.gap_tolerance,
            seed=options.seed,
            # Without a polished network there is only a constant, which need not meet the demands.
            start=lowered.extend(training.point(start[1])) if fits else None,
            on_progress=journal.hear,
        ),
    )
    proposals = [] if outcome.values is None else [training.parameters(outcome.values)]
    return _Solved(proposals, outcome, choice.reason)


def _by_subsets(
    data: TrainingData,
    specification: Specification,
    options: TrainOptions,
    start: tuple[float, Parameters],
    width: DualSolution | None,
    deadline: Deadline,
    journal: _Journal,
    whole: TrainingProgramme,
) -> _Solved:
    """Solve programmes over parts of the points, and polish what they find on all samples."""
    floors = equivalent_points(data, specification.objective)
    if width is not None and width.bound > floors.total:
        floors = tangent_floors(data, specification.objective, width)
    bound, best = float_down(floors.total), start
    journal.note(bound=bound)
    if _is_closed(best[0], bound, options):
        closed = Outcome(Status.OPTIMAL, "no programme", time.monotonic() - journal.started, bound=bound)
        return _Solved([], closed, f"{floors.name} is enough")
    listening = replace(options, on_progress=journal.hear)
    size_bound = _size_bound(specification, start[0])
    for found in solve_by_subsets(data, specification, floors, start[1], size_bound, listening, deadline):
        last = found
        proposals = [] if found.parameters is None else [found.parameters]
        for network in proposals:
            polished = polish(whole, network, options.solver, deadline.end)
            best = min([best, *polished], key=lambda candidate: candidate[0])
        # A bound on the units' sizes may have left out networks that are worse than the best one.
        bound = max(bound, min(found.bound, best[0]))
        journal.note(best[0], bound)
        if _is_closed(best[0], bound, options):
            break
    reason = "" if _is_closed(best[0], bound, options) else last.outcome.reason or "the gap is open"
    outcome = replace(
        last.outcome, status=Status.UNKNOWN if reason else Status.OPTIMAL, objective=None, bound=bound, reason=reason
    )
    why = f"parts of up to {last.points} of {floors.points} points, the others at {floors.name}"
    return _Solved([best[1], *proposals], outcome, why)


def _is_closed(objective: float, bound: float, options: TrainOptions) -> bool:
    return objective - bound <= options.gap_tolerance * abs(objective)


def _size_bound(specification: Specification, objective: float) -> float | None:
    """Return a bound on every unit's size that each network at least as good as the warm start satisfies.

    Its penalty ``l1 * size`` alone must not exceed the warm start's objective. The tolerance keeps the warm start
    itself feasible.
    """
    l1 = specification.objective.l1
    return objective / l1 * (1 + 1e-6) + 1e-6 if l1 > 0 and np.isfinite(objective) else None


def _judge(parameters: Parameters, data: TrainingData, specification: Specification) -> _Candidate:
    raw = to_raw(snap(parameters), specification.signs, specification.monotone, data.scaling)
    network = build_network(raw)
    return _Candidate(network, raw, exact_objective(network, raw, specification.objective, data))


def _record(
    best: _Candidate,
    solved: _Candidate,
    outcome: Outcome,
    data: TrainingData,
    options: TrainOptions,
    why: str,
    seconds: float,
) -> TrainingRecord:
    objective = float(best.objective)
    gap = max(0.0, objective - outcome.bound) / max(abs(objective), 1e-10) if np.isfinite(outcome.bound) else np.inf
    notes = []
    if outcome.status is not Status.OPTIMAL:
        notes.append(f"the optimum is not proven: {outcome.reason or outcome.status.value}")
    elif gap > options.gap_tolerance + OBJECTIVE_TOLERANCE:
        notes.append("the solver claims optimality, but the exact objective lies further from its bound")
    if outcome.objective is not None:
        difference = float(solved.objective) - outcome.objective
        if abs(difference) > OBJECTIVE_TOLERANCE * max(1.0, abs(outcome.objective)):
            notes.append(f"the exact objective differs from the solver's by {difference:+.3g}")
    proven = outcome.status is Status.OPTIMAL and gap <= options.gap_tolerance + OBJECTIVE_TOLERANCE
    return TrainingRecord(
        best.objective,
        np.nan if outcome.objective is None else outcome.objective,
        outcome.bound,
        gap,
        Status.OPTIMAL if proven else Status.UNKNOWN,
        f"{outcome.solver} ({why})",
        seconds,
        best.raw.nonzeros,
        best.raw.units,
        tuple(data.names[j] for j in best.raw.features),
        len(data.y),
        tuple(notes),
    )
