"""Training under universal constraints: units from pricing, counterexamples from the verifier, in one loop.

Every master problem demands the constraints at the counterexamples found so far, so it is a relaxation, and its bound
holds for every network that keeps them everywhere. Its own network keeps a margin at them, which the bound does not
use; so the loop ends with a network that the verifier passes. The network that keeps the constraints by construction
(signs of weights; protected features left out) is there from the beginning, and bounds the optimum from above:

    optimum without constraints  <=  optimum with them  <=  optimum by construction

Soundness: only a network that passed for its exported parameters is returned.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from verinet.errors import SolverError
from verinet.model import Network
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
from verinet.train.result import KeptConstraint, TrainingRecord, TrainingResult, UniversalRecord
from verinet.train.specification import (
    AnyWidthSpecification,
    PointCondition,
    Skip,
    TrainOptions,
    UniversalFair,
    UniversalMonotone,
)
from verinet.verify import Deadline, Verdict

__all__ = ["train_universal"]

MARGIN, LEAST_MARGIN = 1e-6, 1e-9
"""By how much the master's networks overfulfil what counterexamples demand, in units of the scaled target."""

OUT_OF_TIME = "the time limit was reached"

SHARE_OF_TOLERANCE = 0.3
"""Of the gap tolerance, for each master problem; the rest is for the margin and for mending."""

CONSTRUCTION_SHARE = 0.25
"""Part of the time limit for the network that keeps the constraints by construction."""


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
        self.margin = min([MARGIN, *(0.1 * t.tolerance / data.scaling.target_width for t in self._fair)])
        self.constructed = self._by_construction()
        self.passed = self.constructed
        self.best: _Best | None = None
        self.free: tuple[float, float] = (np.inf, -np.inf)

    @property
    def _fair(self) -> list[UniversalFair]:
        return [each for each in self.specification.universal if isinstance(each, UniversalFair)]

    def run(self) -> None:
        """Train and verify in turn until objective and bound meet, or a limit is reached."""
        units: list[Unit] = []
        try:
            while not self.reason:
                problem, generation = self._train(units)
                units = self._take(problem, generation)
                if self._is_closed():
                    return
                if generation.reason or self.deadline.passed:
                    self.reason = INTERRUPTED if self.interrupted else generation.reason or OUT_OF_TIME
                    return
                self._confront(problem, generation, units)
                self._report()
                if self._is_closed():
                    return
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
        share = min(1.0 if each.passed else each.share for each in examined)
        if share > 0:
            self._offer(_mixed(raw, self.constructed.raw, share), demanding=False)
        return False

    def _offer(self, raw: RawParameters, *, demanding: bool) -> list[Examination]:
        """Verify a network and keep it if it passed and is the best; note what it breaks."""
        network = build_network(raw)
        began, objective = time.monotonic(), self._objective(network, raw)
        examined = [c.examine(network, self.deadline) for c in self.constraints]
        self.clock.verifying += time.monotonic() - began
        if demanding:
            self.found.update(dict.fromkeys(row for each in examined for row in each.rows))
        better = objective < self.passed.objective or not self._meets(self.passed.network)
        if better and all(each.passed for each in examined) and self._meets(network):
            kept = [
                _kept(c.name, each.verdict) for c, each in zip(self.constraints, examined, strict=True) if each.verdict
            ]
            self.passed = _Passed(raw, network, objective, tuple(kept))
        return examined

    def _meets(self, network: Network) -> bool:
        """Whether a network meets the given conditions: the constructed one need not."""
        return not broken_condition(network, self.specification)

    def _objective(self, network: Network, raw: RawParameters) -> Fraction:
        specification = self.specification
        return exact_objective(network, raw, specification.objective, self.data, specification.price_of_skip)

    def _is_closed(self) -> bool:
        if self.best is None:
            return False
        gap = gap_between(self.passed.objective, self.best.bound)
        return gap <= self.options.gap_tolerance and self._meets(self.passed.network)

    def _report(self) -> None:
        assert self.best is not None
        now = time.monotonic() - self.started
        self.clock.history.append(Progress(now, float(self.passed.objective), self.best.bound))
        self.options.on_progress(self.clock.history[-1])

    def _by_construction(self) -> _Passed:
        """Train with signs of weights, and without the protected features; check both exactly."""
        began = time.monotonic()
        wanted, specification = self.specification.universal, self.specification
        monotone = dict(specification.monotone)
        monotone |= {each.feature: each.direction for each in wanted if isinstance(each, UniversalMonotone)}
        # A free skip cannot be monotone with a bound; here only the network counts.
        skip = Skip.PENALISED if monotone and specification.skip is Skip.FREE else specification.skip
        hidden = sorted({j for each in self._fair for j in each.features})
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

    def result(self) -> TrainingResult:
        """Return the best network that passed, with its record."""
        best, passed = self.best, self.passed
        if best is None:
            # Interrupted before the first relaxation had a bound.
            raise KeyboardInterrupt
        record = make_record(
            self.data, best.problem, best.generation, passed.network, passed.raw, self.options, self.started
        )
        notes = [note for note in record.notes if not note.startswith("the optimum is not proven")]
        if record.status is not Status.OPTIMAL:
            notes.insert(0, f"the optimum is not proven: {self.reason or 'the gap is open'}")
        history, universal = tuple(self.clock.history), self._universal(record)
        record = replace(record, notes=tuple(notes), history=history, universal=universal)
        return TrainingResult(passed.network, passed.raw, record)

    def _universal(self, record: TrainingRecord) -> UniversalRecord:
        assert self.best is not None
        rows = self.best.problem.rows
        given = len(self.specification.conditions)
        used = 0 if rows is None else len(rows.low) - given
        objective, bound = self.free
        return UniversalRecord(
            self.passed.kept,
            self.rounds,
            tuple(self.found)[:used],
            self.clock.training,
            self.clock.verifying,
            objective,
            bound,
            float(self.constructed.objective),
            (max(0.0, record.bound - objective), max(0.0, float(record.objective) - bound)),
        )


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
