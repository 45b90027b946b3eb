"""Training under universal constraints: units from pricing, counterexamples from the verifier, in one loop.

Every master problem demands the constraints at the counterexamples found so far, so it is a relaxation, and its bound
holds for every network that keeps them everywhere. Its own network keeps a margin at them, which the bound does not
use; so the loop ends with a network that the verifier passes. The network that keeps the constraints by construction
(signs of weights; protected features left out) is there from the beginning, and bounds the optimum from above:

    optimum without constraints  <=  optimum with them  <=  optimum by construction

Properties of property files come as further constraints. Of some there is no network by construction, or only one
without units; then there may be no network at all until one passes.

Soundness: only a network that passed for its exported parameters is returned.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from verinet.errors import SolverError
from verinet.model import Fair, Network, Range, evaluate_exact_batch
from verinet.numeric import float_down
from verinet.program import Progress, Status
from verinet.train.any_width.counterexamples import Examination, MonotoneEverywhere, constraints_of
from verinet.train.any_width.generation import INTERRUPTED, Generation, Problem, generate
from verinet.train.any_width.mending import mend
from verinet.train.any_width.pricing import Pricer, Unit
from verinet.train.any_width.trainer import (
    broken_condition,
    gap_between,
    make_ready,
    make_record,
    prepare_problem,
    train_any_width,
)
from verinet.train.any_width.unit_sum import assemble
from verinet.train.data import TrainingData
from verinet.train.export import RawParameters, build_network, to_raw, worst_slope
from verinet.train.objective import exact_objective
from verinet.train.result import CertifiedResult, KeptConstraint, TrainingResult, UniversalRecord
from verinet.train.specification import (
    AnyWidthSpecification,
    ConstraintRound,
    PointCondition,
    Skip,
    TrainOptions,
    UniversalFair,
    UniversalMonotone,
    UniversalProperty,
)
from verinet.train.sufficient import Sufficient, sufficient_signs
from verinet.verify import Deadline, Verdict

__all__ = ["search_universal", "train_universal"]

MARGIN, LEAST_MARGIN = 1e-6, 1e-9
"""By how much the master's networks overfulfil what counterexamples demand, in units of the scaled target."""

OUT_OF_TIME = "the time limit was reached"

SHARE_OF_TOLERANCE = 0.3
"""Of the gap tolerance, for each master problem; the rest is for the margin and for mending."""

CONSTRUCTION_SHARE = 0.25
"""Part of the time limit for the network that keeps the constraints by construction."""

SHARE_SAFETY = 1.0 - 1e-6
"""For the rounding of mixtures."""


@dataclass(frozen=True, eq=False)
class _Passed:
    """A network that passed.

    Parameters
    ----------
    raw : RawParameters
    network : Network
    objective : Fraction
    kept : tuple of KeptConstraint
    """

    raw: RawParameters
    network: Network
    objective: Fraction
    kept: tuple[KeptConstraint, ...]


def train_universal(
    data: TrainingData, specification: AnyWidthSpecification, options: TrainOptions | None = None
) -> TrainingResult:
    """Train a one-hidden-layer network under universal constraints to proven optimality over networks of every width.

    Parameters
    ----------
    data : TrainingData
    specification : AnyWidthSpecification
        With universal constraints.
    options : TrainOptions or None

    Returns
    -------
    TrainingResult
        A network that the verifier passed. Its bound holds for every network, of any width, that keeps the
        constraints; its record says what they cost.

    Raises
    ------
    InputError, DataError
        See `prepare_problem` and `constraints_of`.
    SolverError
        If no network passed: only properties of property files can lead to that; see `search_universal`.
    """
    found = search_universal(data, specification, options)
    if found.result is None:
        raise SolverError(f"no network passed verification: {found.reason}; allow more time, or relax the properties")
    return found.result


def search_universal(
    data: TrainingData, specification: AnyWidthSpecification, options: TrainOptions | None = None
) -> CertifiedResult[TrainingResult]:
    """Train under universal constraints, and say what is known also where no network passed; see `train_universal`.

    Parameters
    ----------
    data : TrainingData
    specification : AnyWidthSpecification
    options : TrainOptions or None
    """
    options = options or TrainOptions()
    make_ready(options)
    loop = _Loop(data, specification, options)
    loop.run()
    return loop.result()


@dataclass
class _Best:
    """The largest bound, and what it came from."""

    problem: Problem
    generation: Generation
    bound: float


@dataclass
class _Clock:
    """Where the seconds went."""

    training: float = 0.0
    verifying: float = 0.0
    history: list[Progress] = field(default_factory=list)


class _Loop:
    """What the loop carries from round to round."""

    def __init__(self, data: TrainingData, specification: AnyWidthSpecification, options: TrainOptions) -> None:
        self.data, self.specification, self.options = data, specification, options
        self.started = time.monotonic()
        self.deadline = Deadline(self.started + options.time_limit)
        self.constraints = constraints_of(specification.universal, data, options.solver, options.threads)
        self.found: dict[PointCondition, None] = {}
        self.clock = _Clock()
        self.rounds, self.reason, self.interrupted = 0, "", False
        bands = [t.tolerance for t in self._fair] + [float(f.band) for f in self._fair_of_files if f.band]
        self.margin = min([MARGIN, *(0.1 * band / data.scaling.target_width for band in bands)])
        self.reports: list[ConstraintRound] = []
        self.constructed = self._by_construction()
        self.passed = self.constructed
        self.best: _Best | None = None
        self.free: tuple[float, float] = (np.inf, -np.inf)

    @property
    def _fair(self) -> list[UniversalFair]:
        return [each for each in self.specification.universal if isinstance(each, UniversalFair)]

    @property
    def _of_files(self) -> list[UniversalProperty]:
        return [each for each in self.specification.universal if isinstance(each, UniversalProperty)]

    @property
    def _fair_of_files(self) -> list[Fair]:
        return [each.prop for each in self._of_files if isinstance(each.prop, Fair)]

    def run(self) -> None:
        """Train and verify in turn until objective and bound meet, or a limit is reached."""
        units: list[Unit] = []
        try:
            while not self.reason:
                known = len(self.found)
                problem, generation = self._train(units)
                units = self._take(problem, generation)
                if self._is_closed():
                    return
                if generation.reason or self.deadline.passed:
                    self.reason = INTERRUPTED if self.interrupted else generation.reason or OUT_OF_TIME
                    return
                self._confront(problem, generation, units)
                self._report()
                self._report_round(len(self.found) - known)
                if self._is_closed():
                    return
                if self.options.most_rounds is not None and self.rounds >= self.options.most_rounds:
                    self.reason = self.reason or f"the limit of {self.options.most_rounds} rounds was reached"
        except KeyboardInterrupt:
            self.reason = INTERRUPTED
        except SolverError as error:
            if self.best is None:
                raise
            self.reason = str(error)

    def _train(self, units: list[Unit]) -> tuple[Problem, Generation]:
        """Solve the relaxation with what is demanded so far."""
        began = time.monotonic()
        problem = prepare_problem(self.data, self.specification, tuple(self.found), self.margin)
        options = self.options
        pricer = Pricer(problem.family, self.specification.monotone, options.solver, options.threads)
        tolerance = SHARE_OF_TOLERANCE * options.gap_tolerance
        generation = generate(problem, pricer, tolerance, self.deadline, seed=options.seed, start=units)
        self.clock.training += time.monotonic() - began
        self.rounds += 1
        return problem, generation

    def _take(self, problem: Problem, generation: Generation) -> list[Unit]:
        """Keep the bound if it is the best; return the units in use."""
        bound = float_down(generation.dual.bound)
        if self.best is None:
            self.free = (generation.fit.objective, bound)
        if self.best is None or bound > self.best.bound:
            self.best = _Best(problem, generation, bound)
        self._report()
        return list(assemble(problem, generation.units, generation.fit.values).units)

    def _confront(self, problem: Problem, generation: Generation, units: list[Unit]) -> None:
        """Verify the relaxation's network; demand more where it fails, and mend what can be mended."""
        chosen = assemble(problem, generation.units, generation.fit.values)
        signs = [unit.sign for unit in chosen.units]
        raw = to_raw(chosen.parameters(), signs, self.specification.monotone, self.data.scaling)
        known = len(self.found)
        if self._try(raw, demanding=True):
            self._narrow()
            return
        began = time.monotonic()
        monotone = [(c.prop, c.domain) for c in self.constraints if isinstance(c, MonotoneEverywhere)]
        mended = mend(self.data, problem, units, monotone, self.margin, self.deadline) if monotone else None
        self.clock.training += time.monotonic() - began
        if mended is not None:
            self._try(mended, demanding=False)
        if len(self.found) == known and not self._is_closed():
            nothing = "no counterexample is left at which floating point could demand anything"
            self.reason = OUT_OF_TIME if self.deadline.passed else nothing

    def _narrow(self) -> None:
        """Keep a smaller margin where the network passes and the gap is open still."""
        if self._is_closed():
            return
        if self.margin <= LEAST_MARGIN:
            self.reason = "the gap is open"
        self.margin = max(0.1 * self.margin, LEAST_MARGIN)

    def _try(self, raw: RawParameters, *, demanding: bool) -> bool:
        """Offer a network; where it fails, offer what a mixture with the constructed one keeps of it."""
        examined = self._offer(raw, demanding=demanding)
        if all(each.passed for each in examined):
            return True
        if self.constructed is not None:
            share = self._share(build_network(raw), examined, self.constructed.network)
            if share > 0:
                self._offer(_mixed(raw, self.constructed.raw, share), demanding=False)
        return False

    def _share(self, network: Network, examined: Sequence[Examination], anchor: Network) -> float:
        """Return how much of a network may be mixed with one that passed, as far as the rows that it breaks tell."""
        share = 1.0
        for constraint, each in zip(self.constraints, examined, strict=True):
            if each.passed:
                continue
            if not (constraint.mixes and each.rows):
                return 0.0
            share = min(share, *(_share_within(row, network, anchor) for row in each.rows))
        return share

    def _offer(self, raw: RawParameters, *, demanding: bool) -> list[Examination]:
        """Verify a network and keep it if it passed and is the best; note what it breaks."""
        network = build_network(raw)
        began, objective = time.monotonic(), self._objective(network, raw)
        examined = [c.examine(network, self.deadline) for c in self.constraints]
        self.clock.verifying += time.monotonic() - began
        if demanding:
            self.found.update(dict.fromkeys(row for each in examined for row in each.rows))
        passed = self.passed
        better = passed is None or objective < passed.objective or not self._meets(passed.network)
        if better and all(each.passed for each in examined) and self._meets(network):
            self.passed = _Passed(raw, network, objective, self._kept(examined))
        return examined

    def _meets(self, network: Network) -> bool:
        """Whether a network meets the given conditions: the constructed one need not."""
        return not broken_condition(network, self.specification)

    def _objective(self, network: Network, raw: RawParameters) -> Fraction:
        specification = self.specification
        return exact_objective(network, raw, specification.objective, self.data, specification.price_of_skip)

    def _is_closed(self) -> bool:
        if self.best is None or self.passed is None:
            return False
        gap = gap_between(self.passed.objective, self.best.bound)
        return gap <= self.options.gap_tolerance and self._meets(self.passed.network)

    def _report(self) -> None:
        assert self.best is not None
        now = time.monotonic() - self.started
        self.clock.history.append(Progress(now, self._objective_of_best, self.best.bound))
        self.options.on_progress(self.clock.history[-1])

    @property
    def _objective_of_best(self) -> float | None:
        return None if self.passed is None else float(self.passed.objective)

    def _report_round(self, added: int) -> None:
        assert self.best is not None
        report = ConstraintRound(
            self.rounds,
            self._objective_of_best,
            self.best.bound,
            added,
            len(self.found),
            self.clock.training,
            self.clock.verifying,
        )
        self.reports.append(report)
        self.options.on_round(report)

    def _by_construction(self) -> _Passed | None:
        """Return the network with signs of weights and without protected features, or else a constant one.

        Properties of property files are verified.
        """
        signs = sufficient_signs(self._of_files)
        if signs is None and len(self._of_files) == len(self.specification.universal):
            return self._verified(self._constant())
        passed = self._trained_by_construction(signs or Sufficient({}, ()))
        if not self._of_files:
            return passed
        return self._verified(passed) or self._verified(self._constant())

    def _verified(self, found: _Passed) -> _Passed | None:
        """Return a network with the verdicts on it; None if a constraint does not pass."""
        began = time.monotonic()
        within = self.deadline.within(CONSTRUCTION_SHARE * self.options.time_limit)
        examined = [constraint.examine(found.network, within) for constraint in self.constraints]
        self.clock.verifying += time.monotonic() - began
        if not all(each.passed for each in examined):
            return None
        return replace(found, kept=self._kept(examined))

    def _kept(self, examined: Sequence[Examination]) -> tuple[KeptConstraint, ...]:
        pairs = zip(self.constraints, examined, strict=True)
        return tuple(_kept(constraint.name, each.verdict) for constraint, each in pairs if each.verdict)

    def _constant(self) -> _Passed:
        """Return the best constant for an absolute error, or the nearest one in the ranges that are asked for."""
        order = np.argsort(self.data.y)
        middle = int(np.searchsorted(np.cumsum(self.data.weights[order]), 0.5).clip(0, len(order) - 1))
        value = Fraction(float(self.data.y[order[middle]]))
        ranges = [each.prop for each in self._of_files if isinstance(each.prop, Range)]
        for prop in ranges:
            value = value if prop.upper is None else min(value, prop.upper)
        for prop in ranges:
            value = value if prop.lower is None else max(value, prop.lower)
        features = len(self.data.names)
        raw = RawParameters(
            np.zeros((0, features)), np.zeros(0), np.zeros((1, 0)), np.zeros((1, features)), np.array([float(value)])
        )
        network = build_network(raw)
        return _Passed(raw, network, self._objective(network, raw), ())

    def _trained_by_construction(self, signs: Sufficient) -> _Passed:
        """Train with signs of weights, and without the protected features; check both exactly."""
        began = time.monotonic()
        wanted, specification = self.specification.universal, self.specification
        monotone = {**signs.monotone, **specification.monotone}
        monotone |= {each.feature: each.direction for each in wanted if isinstance(each, UniversalMonotone)}
        # A free skip cannot be monotone with a bound; here only the network counts.
        skip = Skip.PENALISED if monotone and specification.skip is Skip.FREE else specification.skip
        hidden = sorted({j for each in self._fair for j in each.features} | set(signs.unused))
        x = self.data.x.copy()
        x[:, hidden] = self.data.scaling.offset[hidden]
        limits = replace(
            self.options,
            time_limit=CONSTRUCTION_SHARE * self.options.time_limit,
            on_progress=lambda _: None,
        )
        result = train_any_width(
            replace(self.data, x=x), replace(specification, universal=(), monotone=monotone, skip=skip), limits
        )
        if any(INTERRUPTED in note for note in result.record.notes):
            # One round of the relaxation is left to be done, for a bound.
            self.interrupted, self.deadline = True, Deadline(began)
        raw = _without(result.parameters, hidden)
        assert not set(hidden) & set(raw.features)
        assert all(worst_slope(raw, feature, direction) >= 0 for feature, direction in monotone.items())
        network = build_network(raw)
        kept = tuple(KeptConstraint(c.name, "by construction", "its exact weights") for c in self.constraints)
        self.clock.training += time.monotonic() - began
        return _Passed(raw, network, self._objective(network, raw), kept)

    def result(self) -> CertifiedResult[TrainingResult]:
        """Return the best network that passed, with its record."""
        best, passed = self.best, self.passed
        if best is None:
            # Interrupted before the first relaxation had a bound.
            raise KeyboardInterrupt
        if passed is None:
            return CertifiedResult(None, best.bound, self._universal(best.bound, np.inf), self.reason)
        record = make_record(
            self.data, best.problem, best.generation, passed.network, passed.raw, self.options, self.started
        )
        notes = [note for note in record.notes if not note.startswith("the optimum is not proven")]
        if record.status is not Status.OPTIMAL:
            notes.insert(0, f"the optimum is not proven: {self.reason or 'the gap is open'}")
        history, universal = tuple(self.clock.history), self._universal(record.bound, float(record.objective))
        record = replace(record, notes=tuple(notes), history=history, universal=universal)
        reason = "" if record.status is Status.OPTIMAL else self.reason or "the gap is open"
        return CertifiedResult(TrainingResult(passed.network, passed.raw, record), record.bound, universal, reason)

    def _universal(self, best_bound: float, best_objective: float) -> UniversalRecord:
        assert self.best is not None
        rows = self.best.problem.rows
        given = len(self.specification.conditions)
        used = 0 if rows is None else len(rows.low) - given
        objective, bound = self.free
        return UniversalRecord(
            () if self.passed is None else self.passed.kept,
            self.rounds,
            len(self.found),
            tuple(self.found)[:used],
            self.clock.training,
            self.clock.verifying,
            objective,
            bound,
            None if self.constructed is None else float(self.constructed.objective),
            (max(0.0, best_bound - objective), max(0.0, best_objective - bound)),
            tuple(self.reports),
        )


def _share_within(row: PointCondition, network: Network, anchor: Network) -> float:
    """Return how much of a network keeps a row together with the rest of one that keeps it by itself."""
    points = np.array(row.points)
    weights = [Fraction(w) for w in row.weights]
    value, held = (
        sum((w * f[0] for w, f in zip(weights, evaluate_exact_batch(each, points), strict=True)), Fraction(0))
        for each in (network, anchor)
    )
    if row.low <= value <= row.high:
        return 1.0
    side = Fraction(row.low if value < row.low else row.high)
    share = (side - held) / (value - held) if value != held else Fraction(0)
    return SHARE_SAFETY * float(share) if 0 < share < 1 else 0.0


def _kept(name: str, verdict: Verdict) -> KeptConstraint:
    level = f" ({verdict.level.value})" if verdict.level else ""
    return KeptConstraint(name, verdict.answer.value + level, verdict.engine)


def _mixed(raw: RawParameters, other: RawParameters, share: float) -> RawParameters:
    """Return so much of one network plus the rest of another; constraints that are convex in the output gain by it."""
    rest = 1.0 - share
    return RawParameters(
        np.vstack([share * raw.weights, rest * other.weights]),
        np.concatenate([share * raw.biases, rest * other.biases]),
        np.concatenate([raw.outputs, other.outputs], axis=1),
        share * raw.skip + rest * other.skip,
        share * raw.offsets + rest * other.offsets,
    )


def _without(raw: RawParameters, hidden: Sequence[int]) -> RawParameters:
    """Drop what reads some features, which have one value in the data that the network was trained on: none."""
    weights, skip = raw.weights.copy(), raw.skip.copy()
    weights[:, list(hidden)] = 0.0
    skip[:, list(hidden)] = 0.0
    return RawParameters(weights, raw.biases, raw.outputs, skip, raw.offsets)
