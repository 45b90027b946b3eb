"""Training of stacks of layers: search, enumeration or programmes, goal after goal, and an honest record."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from verinet.encode import lower_programme
from verinet.model import Network
from verinet.numeric import FloatArray
from verinet.program import Outcome, Progress, SolveOptions, Status
from verinet.solve import AUTO, choose
from verinet.train.data import Scaling, TrainingData
from verinet.train.layered.architecture import Architecture, LayerValues
from verinet.train.layered.cases import Boxes, neighbourhoods, sign_cases
from verinet.train.layered.compiled import COUNTING, SPARSE_SEARCH, kernels_of, prepare
from verinet.train.layered.demands import LayeredDemands
from verinet.train.layered.enumeration import Enumeration
from verinet.train.layered.enumerators import Enumerator, enumerator_for
from verinet.train.layered.fewest import can_count_up, count_up
from verinet.train.layered.forward import outputs_of
from verinet.train.layered.losses import CURVED, Sample
from verinet.train.layered.network import build_layers, prune
from verinet.train.layered.programme import LayeredProgramme, build_layered, in_order, samples_of
from verinet.train.layered.scoring import count, exact_goals, goals_of
from verinet.train.layered.search import Found, priced_specifications, search
from verinet.train.layered.sparse_search import can_anneal, search_sparse
from verinet.train.layered.specification import Goal, LayeredSpecification, Tightening
from verinet.train.result import Method, TrainingRecord
from verinet.train.root import ROOT_SHARE, with_root_cuts
from verinet.train.specification import TrainOptions

__all__ = [
    "GoalResult",
    "LayeredResult",
    "LayeredSolution",
    "output_scaling",
    "solve_layered",
    "solve_within",
    "train_layered",
]

SEARCH_SHARE = 0.2
"""Part of the time limit for local search."""

PRICED_SHARE = 0.5
"""Part of the local search that looks for them."""

PATIENCE = (0.5, 3.0)
"""Local search ends after so many seconds, and so many times the time that its last improvement took, without one."""

COUNTING_SHARE = 0.75
"""Part of the time that is left in which numbers of weights are ruled out one after the other."""

COUNTED = "all networks of fewer weights were ruled out"
"""What stands behind a bound by counting up."""

LONG_PATIENCE = (10.0, 3.0)
"""The same of annealing where the optimum could not be proven."""

NEIGHBOURHOOD_SHARE = 0.15
"""Part of the time limit for neighbourhoods."""

NEIGHBOURHOOD_SECONDS = 5.0
"""The longest look at one neighbourhood."""

GOAL_TOLERANCE = 1e-7
"""By how much a goal may fall back while a later one is optimised."""

OBJECTIVE_TOLERANCE = 1e-6
"""How far the exact goal may lie from the solver's before the record says so."""

MOST_TANGENT_ROUNDS = 20

LEAST: Mapping[Goal, float] = {
    Goal.OBJECTIVE: 0.0,
    Goal.ERRORS: 0.0,
    Goal.MARGIN: -np.inf,
    Goal.NONZEROS: 0.0,
    Goal.UNITS: 0.0,
    Goal.FEATURES: 0.0,
    Goal.SIZE: 0.0,
}
"""What no network is below."""


@dataclass(frozen=True)
class GoalResult:
    """What was reached of a goal.

    Parameters
    ----------
    goal : Goal
    value : Fraction
        Of the exported network, exact.
    bound : float
        No network with the values of the goals before is better; `basis` says who vouches for it.
    basis : str
    proven : bool
        Whether the gap tolerance was reached.
    """

    goal: Goal
    value: Fraction
    bound: float
    basis: str
    proven: bool


@dataclass(frozen=True, eq=False)
class LayeredResult:
    """A trained stack of layers and its record.

    Parameters
    ----------
    network : Network
        In raw units, without what is not in use.
    architecture : Architecture
        What is left of the specification's.
    values : Mapping
        The weights of all layers of the specification's architecture, in scaled features.
    goals : tuple of GoalResult
    record : TrainingRecord
        Its objective, bound and gap are those of the first goal that is not proven, or else of the last one.
    """

    network: Network
    architecture: Architecture
    values: Mapping[int, LayerValues]
    goals: tuple[GoalResult, ...]
    record: TrainingRecord


@dataclass(frozen=True, eq=False)
class LayeredSolution:
    """What was found of a training under demands.

    Parameters
    ----------
    result : LayeredResult or None
        None if no network that meets the demands was found.
    bounds : tuple of float
        Of each goal, as far as goals before it were reached; infinite where a solver claims that no network meets the
        demands.
    reason : str
        Why the optimum is not proven; empty where it is.
    """

    result: LayeredResult | None
    bounds: tuple[float, ...]
    reason: str


@dataclass(eq=False)
class _State:
    """What is known while training runs."""

    specification: LayeredSpecification
    data: TrainingData
    samples: Sample
    options: TrainOptions
    tightening: Tightening
    started: float
    best: Found
    given: bool
    demands: LayeredDemands
    enumerator: Enumerator | None = None
    history: list[Progress] = field(default_factory=list)
    solvers: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    visited: list[Mapping[int, LayerValues]] = field(default_factory=list)
    counted: int = 0
    """No network of fewer weights has so few errors."""

    @property
    def is_met(self) -> bool:
        """Whether a network was found that meets the demands."""
        return bool(np.isfinite(self.best.goals[0]))

    @property
    def anneals(self) -> bool:
        """Whether few weights are looked for by annealing."""
        return self.tightening.warm_start and self.demands.is_empty and can_anneal(self.specification)

    @property
    def counts_up(self) -> bool:
        """Whether weights are counted up instead of being left to a programme."""
        return self.options.solver == AUTO and self.demands.is_empty and can_count_up(self.specification)

    @property
    def left(self) -> float:
        return self.started + self.options.time_limit - time.monotonic()

    def report(self, objective: float | None, bound: float) -> None:
        progress = Progress(time.monotonic() - self.started, objective, bound)
        self.history.append(progress)
        self.options.on_progress(progress)

    def offer(self, values: Mapping[int, LayerValues]) -> bool:
        """Keep weights if they meet the demands and their goals are better; tell whether they are kept."""
        if self.demands.excess(self.specification.architecture, values) > 0:
            return False
        outputs = outputs_of(self.specification.architecture, self.data.scaled_x, values)
        goals = goals_of(self.specification, self.samples, values, outputs)
        if goals < self.best.goals:
            self.best = Found(values, goals)
            return True
        return False


@dataclass(frozen=True)
class _Bound:
    """A lower bound of a goal and where it comes from."""

    value: float
    basis: str
    reason: str = ""


def train_layered(
    data: TrainingData,
    specification: LayeredSpecification,
    options: TrainOptions | None = None,
    *,
    tightening: Tightening | None = None,
    start: Mapping[int, LayerValues] | None = None,
) -> LayeredResult:
    """Train a stack of layers to the optimum of its goals, or as far as the time allows.

    Parameters
    ----------
    data : TrainingData
    specification : LayeredSpecification
    options : TrainOptions or None
        Its solver ``auto`` enumerates units where that is possible; a solver's name asks for programmes.
    tightening : Tightening or None
    start : Mapping or None
        Weights to begin with, such as those of an earlier result.

    Returns
    -------
    LayeredResult
        The best network found; Ctrl-C and the time limit keep it, with the bound that was reached.

    Raises
    ------
    InputError
        If data and specification do not fit.
    SolverError
        If no solver takes the programme.
    """
    solution = solve_layered(data, specification, options, tightening=tightening, start=start)
    assert solution.result is not None
    return solution.result


def solve_layered(
    data: TrainingData,
    specification: LayeredSpecification,
    options: TrainOptions | None = None,
    demands: LayeredDemands | None = None,
    *,
    tightening: Tightening | None = None,
    start: Mapping[int, LayerValues] | None = None,
) -> LayeredSolution:
    """Train a stack of layers whose outputs meet demands at further points; see `train_layered`.

    Parameters
    ----------
    data : TrainingData
    specification : LayeredSpecification
    options : TrainOptions or None
    demands : LayeredDemands or None
    tightening : Tightening or None
    start : Mapping or None

    Notes
    -----
    The network meets the demands in float64 arithmetic and in scaled features: whether the exported one does is for
    the caller to decide.
    """
    options, tightening = options or TrainOptions(), tightening or Tightening()
    demands = demands or LayeredDemands.none(data.x.shape[1])
    # Enumeration knows nothing of demands, and a solver may be asked for.
    can_enumerate = options.solver == AUTO and demands.is_empty
    enumerator = enumerator_for(specification, len(data.y)) if can_enumerate else None
    samples = samples_of(data, specification)
    first = search(specification, samples, data.scaled_x, options.seed, lambda: False, start, demands=demands)
    state = _State(
        specification, data, samples, options, tightening, time.monotonic(), first, start is not None, demands,
        enumerator,
    )  # fmt: skip
    _compile(state)
    if start is not None:
        state.offer(start)
    bounds = _optimise(state)
    reason = next((bound.reason for bound in bounds if bound.reason), "")
    result = _conclude(state, bounds) if state.is_met else None
    if result is not None and result.record.status is not Status.OPTIMAL:
        reason = reason or "the gap is open"
    if result is None and bounds[0].value < np.inf:
        reason = reason or "no network that meets the demands was found"
    return LayeredSolution(result, tuple(bound.value for bound in bounds), reason)


def _compile(state: _State) -> None:
    """Compile what will be needed, before the clock runs."""
    needed = [kernels_of(state.enumerator)] if state.enumerator is not None else []
    needed += [SPARSE_SEARCH] if state.anneals else []
    needed += [COUNTING] if state.counts_up else []
    prepare(needed, state.options)
    state.started = time.monotonic()


def solve_within(
    data: TrainingData, specification: LayeredSpecification, boxes: Boxes, options: TrainOptions
) -> LayeredResult | None:
    """Optimise the first goal over weights within boxes; None if no network was found there.

    Parameters
    ----------
    data : TrainingData
    specification : LayeredSpecification
    boxes : dict
        Limits of some layers' weights, by position.
    options : TrainOptions

    Notes
    -----
    The record's bound says nothing: networks outside of the boxes may be better.
    """
    tightening = Tightening(signs=False, warm_start=False)
    samples, demands = samples_of(data, specification), LayeredDemands.none(data.x.shape[1])
    blank = search(specification, samples, data.scaled_x, options.seed, lambda: False)
    unknown = Found(blank.values, (np.inf,) * len(specification.goals))
    state = _State(specification, data, samples, options, tightening, time.monotonic(), unknown, False, demands)
    layered = build_layered(specification, data, tightening, boxes)
    goal = specification.goals[0]
    _read(state, layered, _solve(state, layered, goal, {}, options.time_limit, np.inf, blank.values, False))
    bounds = [_Bound(LEAST[goal], "no network is below", "weights are restricted") for goal in specification.goals]
    return _conclude(state, bounds) if state.is_met else None


def _optimise(state: _State) -> list[_Bound]:
    """Search, then bound each goal in turn."""
    bounds: list[_Bound] = []
    limits: dict[Goal, float] = {}
    try:
        if state.tightening.warm_start:
            _search(state)
        for index, goal in enumerate(state.specification.goals):
            bounds.append(_settle(state, goal, index, limits))
            if not state.is_met:
                break
            limits[goal] = state.best.goals[index] + GOAL_TOLERANCE * max(1.0, abs(state.best.goals[index]))
    except KeyboardInterrupt:
        state.notes.append("interrupted: the best network so far")
    missing = state.specification.goals[len(bounds) :]
    reason = "interrupted" if state.is_met or not bounds else bounds[0].reason
    known = {Goal.NONZEROS: _Bound(float(state.counted), COUNTED, reason)} if state.counted else {}
    return [*bounds, *(known.get(goal, _Bound(LEAST[goal], "no network is below", reason)) for goal in missing)]


def _search(state: _State) -> None:
    """Search locally for part of the time: for the first goal, then for the first two, and so on."""
    goals = state.specification.goals
    share = SEARCH_SHARE * state.options.time_limit
    if state.enumerator is not None:
        share = min(share, 1.0)
    begin = time.monotonic()
    if state.anneals:
        _anneal(state, state.options.seed, begin + PRICED_SHARE * share, PATIENCE)
    priced = [] if state.anneals else priced_specifications(state.specification)
    for number, specification in enumerate(priced, start=1):
        _search_for(state, specification, None, begin + PRICED_SHARE * share * number / len(priced))
    left = begin + share - time.monotonic()
    begin = time.monotonic()
    for size in range(1, len(goals) + 1):
        start = state.best.values if size > 1 or state.given or priced or state.anneals else None
        _search_for(state, replace(state.specification, goals=goals[:size]), start, begin + left * size / len(goals))


def _anneal(state: _State, seed: int, until: float, patience: tuple[float, float]) -> None:
    """Look for few weights at few errors."""
    begin = improved = time.monotonic()
    goals = state.specification.goals

    def running() -> bool:
        now = time.monotonic()
        is_least = all(value <= LEAST[goal] for goal, value in zip(goals, state.best.goals, strict=True))
        return not is_least and now < min(until, improved + patience[0] + patience[1] * (improved - begin))

    def keep(values: Mapping[int, LayerValues]) -> None:
        nonlocal improved
        if state.offer(values):
            improved = time.monotonic()
            state.report(state.best.goals[0], LEAST[goals[0]])

    search_sparse(
        state.specification, state.samples, state.data.scaled_x, seed, running, lambda: state.best.goals[0], keep
    )


def _search_for(
    state: _State, specification: LayeredSpecification, start: Mapping[int, LayerValues] | None, until: float
) -> None:
    """Search for the first goals; keep what is better in all of them."""
    begin = improved = time.monotonic()

    def running() -> bool:
        now = time.monotonic()
        return now < min(until, improved + PATIENCE[0] + PATIENCE[1] * (improved - begin))

    def keep(found: Found) -> None:
        nonlocal improved
        improved = time.monotonic()
        if state.offer(found.values):
            state.report(found.goals[0], LEAST[specification.goals[0]])

    search(
        specification,
        state.samples,
        state.data.scaled_x,
        state.options.seed,
        running,
        start,
        lambda reached: all(v <= LEAST[g] for g, v in zip(specification.goals, reached, strict=True)),
        keep,
        demands=state.demands,
    )


def _settle(state: _State, goal: Goal, index: int, limits: Mapping[Goal, float]) -> _Bound:
    """Improve a goal and bound it."""
    if state.best.goals[index] <= LEAST[goal]:
        return _Bound(LEAST[goal], "no network is below")
    if state.enumerator is not None:
        return _enumerate(state, state.enumerator)
    if goal is Goal.NONZEROS and state.counts_up:
        counted = _count_up(state, index, limits)
        if counted.value < state.best.goals[index] and state.anneals:
            until = time.monotonic() + NEIGHBOURHOOD_SHARE * state.options.time_limit
            _anneal(state, state.options.seed + 1, until, LONG_PATIENCE)
        if counted.value >= state.best.goals[index]:
            return counted
        claimed = _settle_by_programmes(state, goal, index, limits)
        return counted if counted.value >= claimed.value else claimed
    return _settle_by_programmes(state, goal, index, limits)


def _settle_by_programmes(state: _State, goal: Goal, index: int, limits: Mapping[Goal, float]) -> _Bound:
    """Improve a goal and bound it by what a solver claims."""
    if state.tightening.warm_start and state.is_met:
        _improve(state, goal, index, limits)
    if state.specification.objective.loss in CURVED and goal is Goal.OBJECTIVE:
        return _by_tangents(state, goal, index, limits)
    return _by_cases(state, goal, index, limits, (), state.left)


def _enumerate(state: _State, enumerator: Enumerator) -> _Bound:
    x, best = state.data.scaled_x, state.best.goals[0]
    task = Enumeration(state.specification, state.samples, x, best, lambda: state.left > 0, state.report)
    found = enumerator.enumerate(task)
    if found.values is not None:
        state.offer(found.values)
    state.solvers["enumeration of units"] = "their number is small"
    # The best is judged in float64 along two paths: their difference is no gap.
    bound = min(found.bound, state.best.goals[0])
    return _Bound(
        bound, "enumeration with rounding-safe bounds", "" if found.complete else "the time limit was reached"
    )


def _count_up(state: _State, index: int, limits: Mapping[Goal, float]) -> _Bound:
    """Rule out one number of weights after the other, and keep the network that is found."""
    until = time.monotonic() + COUNTING_SHARE * state.left
    known = state.best.goals[index]

    def keep(bound: int) -> None:
        state.counted = bound
        state.report(known, bound)

    found = count_up(
        state.specification,
        state.samples,
        state.data.scaled_x,
        limits[Goal.ERRORS],
        int(known),
        lambda: time.monotonic() < until,
        keep,
    )
    if found.values is not None:
        state.offer(found.values)
    state.solvers["counting up"] = "one hidden layer"
    state.counted = found.bound
    reason = "" if found.bound >= state.best.goals[index] else "the gap is open"
    return _Bound(float(found.bound), COUNTED, reason)


def _improve(state: _State, goal: Goal, index: int, limits: Mapping[Goal, float]) -> None:
    """Optimise within neighbourhoods of the best network: a few units free, the others fixed."""
    architecture = state.specification.architecture
    until = time.monotonic() + NEIGHBOURHOOD_SHARE * state.options.time_limit
    rng = np.random.default_rng(state.options.seed)
    failures = 0
    while time.monotonic() < until and failures < 6:
        share = float(rng.choice([0.34, 0.5]))
        boxes = next(neighbourhoods(architecture, state.best.values, rng, share))
        limit = min(NEIGHBOURHOOD_SECONDS, until - time.monotonic())
        plain = replace(state.tightening, symmetry=False)
        layered = build_layered(state.specification, state.data, plain, boxes, demands=state.demands)
        outcome = _solve(state, layered, goal, limits, limit, state.best.goals[index], state.best.values, False)
        failures = 0 if _read(state, layered, outcome) else failures + 1


def _by_cases(
    state: _State,
    goal: Goal,
    index: int,
    limits: Mapping[Goal, float],
    tangents: tuple[FloatArray, ...],
    seconds: float,
) -> _Bound:
    """Solve the programme, or one for each case of signs, and return the least of their bounds."""
    architecture = state.specification.architecture
    cases: list[Boxes] = sign_cases(architecture) if state.tightening.signs else [{}]
    until = time.monotonic() + seconds
    bounds, reasons = [], []
    for number, boxes in enumerate(cases):
        share = max((until - time.monotonic()) / (len(cases) - number), 0.2)
        layered = build_layered(state.specification, state.data, state.tightening, boxes, tangents, state.demands)
        ordered = in_order(architecture, state.best.values, by_outputs=len(cases) > 1)
        known = state.best.goals[index]
        outcome = _solve(state, layered, goal, limits, share, known, ordered, len(cases) == 1)
        _read(state, layered, outcome)
        bounds.append(outcome.bound)
        if outcome.reason and outcome.status is not Status.INFEASIBLE:
            reasons.append(outcome.reason)
    # What was known when a case was solved bounds it from below at most up to that value.
    return _Bound(max(min(bounds), LEAST[goal]), "a solver's claim", reasons[0] if reasons else "")


def _by_tangents(state: _State, goal: Goal, index: int, limits: Mapping[Goal, float]) -> _Bound:
    """Add tangents where a curved loss is underestimated, until bound and objective meet."""
    tangents: tuple[FloatArray, ...] = ()
    best = _Bound(LEAST[goal], "a solver's claim", "the time limit was reached")
    for _ in range(MOST_TANGENT_ROUNDS):
        state.visited.clear()
        bound = _by_cases(state, goal, index, limits, tangents, max(state.left, 0.2))
        best = bound if bound.value >= best.value else best
        if (
            best.value == np.inf
            or _gap(state.best.goals[index], best.value) <= state.options.gap_tolerance
            or state.left <= 0
        ):
            return best
        # Where a programme found its optimum its loss was too low, be that point a better network or not.
        points = state.visited or [state.best.values]
        architecture, x = state.specification.architecture, state.data.scaled_x
        tangents = (*tangents, *(outputs_of(architecture, x, values)[:, 0] for values in points))
    return replace(best, reason=best.reason or "the tangents did not close the gap")


def _solve(
    state: _State,
    layered: LayeredProgramme,
    goal: Goal,
    limits: Mapping[Goal, float],
    seconds: float,
    known: float,
    start: Mapping[int, LayerValues],
    by_start: bool,
) -> Outcome:
    """Solve towards a goal, from a start or below what is known."""
    lowered = lower_programme(layered.towards(goal, limits))
    until = time.monotonic() + min(seconds, state.left + 1.0)
    if state.tightening.root_cuts:
        lowered = with_root_cuts(lowered, ROOT_SHARE * (until - time.monotonic()))
    choice = choose(lowered.programme, state.options.solver)
    state.solvers[choice.backend.label] = choice.reason
    warm = state.tightening.warm_start
    fits = warm and by_start and state.is_met and layered.contains(start)

    def relay(progress: Progress) -> None:
        objective = known if progress.objective is None else min(known, progress.objective)
        shown = objective if np.isfinite(objective) else None
        state.report(shown, max(min(progress.bound, objective), LEAST[goal]))

    return choice.backend.solve(
        lowered.programme,
        SolveOptions(
            time_limit=max(until - time.monotonic(), 0.1),
            threads=state.options.threads,
            gap_tolerance=state.options.gap_tolerance,
            seed=state.options.seed,
            start=lowered.extend(layered.point(start)) if fits else None,
            cutoff=known if warm and not by_start else np.inf,
            on_progress=relay,
        ),
    )


def _read(state: _State, layered: LayeredProgramme, outcome: Outcome) -> bool:
    """Offer the weights of a solver's point; tell whether they are better."""
    if outcome.values is None:
        return False
    values = layered.values(outcome.values)
    rounded = {
        position: LayerValues(
            _nearest(state.specification, position, own.weights),
            _nearest(state.specification, position, own.biases),
            own.gate,
        )
        for position, own in values.items()
    }
    state.visited.append(rounded)
    return state.offer(rounded)


def output_scaling(data: TrainingData, specification: LayeredSpecification) -> Scaling:
    """Return the scaling of features and outputs: classes are no numbers to be scaled.

    Parameters
    ----------
    data : TrainingData
    specification : LayeredSpecification
    """
    return replace(data.scaling, target_offset=0.0, target_width=1.0) if specification.classifies else data.scaling


def _nearest(specification: LayeredSpecification, position: int, values: FloatArray) -> FloatArray:
    return np.where(values == 0, 0.0, specification.architecture.weights_of(position).nearest(values))


def _gap(value: float, bound: float) -> float:
    return max(0.0, value - bound) / max(abs(value), 1e-10) if np.isfinite((value, bound)).all() else np.inf


def _conclude(state: _State, bounds: list[_Bound]) -> LayeredResult:
    """Export, evaluate exactly and say what is known."""
    specification, data, values = state.specification, state.data, state.best.values
    network = build_layers(specification.architecture, values, output_scaling(data, specification))
    exact = exact_goals(specification, data, state.samples, network, values)
    tolerance = state.options.gap_tolerance + OBJECTIVE_TOLERANCE
    results: list[GoalResult] = []
    for goal, value, bound in zip(specification.goals, exact, bounds, strict=True):
        proven = _gap(float(value), bound.value) <= tolerance and all(r.proven for r in results)
        results.append(GoalResult(goal, value, min(bound.value, float(value)), bound.basis, proven))
        if not proven:
            reason = bound.reason or "the gap is open"
            state.notes.append(f"the optimum of {goal.value} is not proven: {reason}")
    for goal, value, claimed in zip(specification.goals, exact, state.best.goals, strict=True):
        if abs(float(value) - claimed) > OBJECTIVE_TOLERANCE * max(1.0, abs(claimed)):
            state.notes.append(f"{goal.value} of the exported network differs by {float(value) - claimed:+.3g}")
    shown = next((r for r in results if not r.proven), results[-1])
    smaller, kept = prune(specification.architecture, values)
    used = count(smaller, kept)
    record = TrainingRecord(
        shown.value,
        state.best.goals[results.index(shown)],
        shown.bound,
        _gap(float(shown.value), shown.bound),
        Status.OPTIMAL if all(r.proven for r in results) else Status.UNKNOWN,
        "; ".join(f"{name} ({reason})" if reason else name for name, reason in state.solvers.items()) or "local search",
        time.monotonic() - state.started,
        used.nonzeros,
        used.units,
        tuple(data.names[j] for j in used.features) if kept[smaller.weighted[0]].weights.ndim == 2 else data.names,
        len(data.y),
        tuple(state.notes),
        Method.MILP,
        shown.basis,
        tuple(state.history),
    )
    return LayeredResult(network, smaller, values, tuple(results), record)
