"""Records of verdicts and trainings: JSON files that say what was asked, of which bytes, and what came out."""

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

import verinet
from verinet.errors import MissingFileError
from verinet.train import DualSolution, TrainedOutputs, TrainingRecord, UniversalRecord
from verinet.verify import Answer, OpenBox, OpenPhases, Verdict

__all__ = [
    "BoxRecord",
    "DualRecord",
    "FileRecord",
    "KeptConstraintRecord",
    "NumberRecord",
    "PhasesRecord",
    "PointRecord",
    "PriceRecord",
    "ProgressRecord",
    "Record",
    "SeveralTrainingsRecord",
    "TrainingFileRecord",
    "VerdictRecord",
    "exact_number",
]


class Record(BaseModel):
    """Base of all records: frozen, and nothing else may stand in them."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NumberRecord(Record):
    """A rational number, exactly and for reading.

    Parameters
    ----------
    exact : str
        ``numerator/denominator`` or an integer.
    value : float
        The nearest float64.
    """

    exact: str
    value: float


def exact_number(value: Fraction) -> NumberRecord:
    """Record a rational number."""
    return NumberRecord(exact=str(value), value=float(value))


class FileRecord(Record):
    """A file by name and content.

    Parameters
    ----------
    name : str
        Without its folder.
    sha256 : str
        Of its bytes.
    """

    name: str
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "FileRecord":
        """Hash a file."""
        try:
            return cls(name=path.name, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        except OSError as error:
            raise MissingFileError(f"cannot read {path}: {error.strerror or error}; check the path") from error


class PointRecord(Record):
    """One input of a counterexample with its outputs.

    Parameters
    ----------
    inputs, outputs : tuple of NumberRecord
        The outputs are exact.
    onnxruntime : tuple of float or None
        What onnxruntime computes from the original file.
    """

    inputs: tuple[NumberRecord, ...]
    outputs: tuple[NumberRecord, ...]
    onnxruntime: tuple[float, ...] | None


class BoxRecord(Record):
    """A part of the question's inputs; a comparison has those of both sides.

    Parameters
    ----------
    lower, upper : tuple of float
        Rounded outward.
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]


class PhasesRecord(Record):
    """A part of the question in which some ReLUs have a known phase.

    Parameters
    ----------
    case : int
        Which of the region's conjunctions it belongs to, from 0.
    active, inactive, undecided : int
        ReLUs that were split, by their phase, and those that are left to split.
    """

    case: int
    active: int
    inactive: int
    undecided: int


class VerdictRecord(Record):
    """A verdict on a property of a network file.

    Parameters
    ----------
    property_name : str
    answer : str
        ``violated``, ``verified``, ``vacuous`` or ``unknown``.
    level : str or None
        Assurance level of ``verified``: L0 claimed by one engine, L1 cross-checked by a second one.
    sentence : str
        The property in words.
    engine : str
        What decided, and why it was chosen.
    evidence : tuple of str
    reason : str
        Why the answer is unknown.
    timed_out : bool
    bound : float or None
        The worst claimed lower bound of the violation over all that was left open.
    needed_bound : float or None
        What the bound would have to exceed; None where there is no bound.
    open_box : BoxRecord or None
        The worst part of the domain that was left open, where the engine splits it into boxes.
    open_phases : PhasesRecord or None
        The same where the engine splits it by the phases of ReLUs.
    counterexample : tuple of PointRecord or None
    seconds : float
    network, property_file : FileRecord
    references : dict of FileRecord
        Other networks that were given to compare with, by name.
    version : str
    python : str
    """

    kind: Literal["verdict"] = "verdict"
    property_name: str
    answer: str
    level: str | None
    sentence: str
    engine: str
    evidence: tuple[str, ...]
    reason: str
    timed_out: bool = False
    bound: float | None
    needed_bound: float | None = None
    open_box: BoxRecord | None = None
    open_phases: PhasesRecord | None = None
    counterexample: tuple[PointRecord, ...] | None
    seconds: float
    network: FileRecord
    property_file: FileRecord
    references: dict[str, FileRecord] = {}
    version: str = verinet.__version__
    python: str = platform.python_version()

    @classmethod
    def of(
        cls,
        name: str,
        sentence: str,
        verdict: Verdict,
        network: FileRecord,
        property_file: FileRecord,
        references: Mapping[str, FileRecord] | None = None,
    ) -> "VerdictRecord":
        """Record a verdict."""
        points = None
        if verdict.witness is not None:
            points = tuple(
                PointRecord(
                    inputs=tuple(map(exact_number, point.inputs)),
                    outputs=tuple(map(exact_number, point.outputs)),
                    onnxruntime=point.replayed,
                )
                for point in verdict.witness.points
            )
        bound = verdict.bound if verdict.answer is Answer.UNKNOWN else None
        box, phases = None, None
        if isinstance(verdict.box, OpenBox):
            box = BoxRecord(lower=verdict.box.lower, upper=verdict.box.upper)
        elif isinstance(verdict.box, OpenPhases):
            phases = PhasesRecord(**asdict(verdict.box))
        return cls(
            property_name=name,
            answer=verdict.answer.value,
            level=None if verdict.level is None else verdict.level.value,
            sentence=sentence,
            engine=verdict.engine,
            evidence=verdict.evidence,
            reason=verdict.reason,
            timed_out=verdict.timed_out,
            bound=bound,
            needed_bound=None if bound is None else 0.0,
            open_box=box,
            open_phases=phases,
            counterexample=points,
            seconds=verdict.seconds,
            network=network,
            property_file=property_file,
            references=dict(references or {}),
        )


class ProgressRecord(Record):
    """Where a training stood.

    Parameters
    ----------
    seconds : float
    objective, bound : float or None
        None where there is none yet.
    """

    seconds: float
    objective: float | None
    bound: float | None

    @classmethod
    def of(cls, seconds: float, objective: float | None, bound: float) -> "ProgressRecord":
        """Record where a training stood; there is nothing yet that is infinite."""
        return cls(seconds=seconds, objective=None if objective is None else _finite(objective), bound=_finite(bound))


class PriceRecord(Record):
    """The dual price of a sample.

    Parameters
    ----------
    row : int
        Of the sample among the distinct rows (features in the network's order, then the target), in ascending order,
        from 0.
    price : str
        Exactly, as ``numerator/denominator`` or an integer.
    """

    row: int
    price: str


class DualRecord(Record):
    """A feasible point of the dual problem of a training: what proves its bound.

    Parameters
    ----------
    prices : tuple of PriceRecord
        Of the samples whose price is not zero.
    scale : str
        The prices times the scale are feasible; exactly.
    bound : NumberRecord
        The dual objective at the scaled prices.
    worth : float
        What the best unit is worth at the prices, at most.
    claimed : bool
        Whether a solver's claim stands behind `worth`, rather than rounding-safe bounds alone.
    multipliers : tuple of str
        Of the conditions on outputs, in their order, unscaled; exactly.
    """

    prices: tuple[PriceRecord, ...]
    scale: str
    bound: NumberRecord
    worth: float
    claimed: bool
    multipliers: tuple[str, ...] = ()

    @classmethod
    def of(cls, dual: DualSolution) -> "DualRecord":
        """Record a dual solution."""
        prices = tuple(PriceRecord(row=n, price=str(price)) for n, price in enumerate(dual.prices) if price)
        return cls(
            prices=prices,
            scale=str(dual.scale),
            bound=exact_number(dual.bound),
            worth=dual.worth,
            claimed=dual.claimed,
            multipliers=tuple(map(str, dual.multipliers)),
        )


class PointConditionRecord(Record):
    """A condition ``low <= sum of weights * outputs at points <= high``; None where a side is open."""

    points: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    low: float | None
    high: float | None


class KeptConstraintRecord(Record):
    """A universal constraint that the network passed, and what decided."""

    name: str
    verdict: str
    engine: str


class ConstraintRoundRecord(Record):
    """Where the search for counterexamples stood after a round; see `verinet.train.ConstraintRound`."""

    number: int
    objective: float | None
    bound: float | None
    added: int
    counterexamples: int
    seconds_training: float
    seconds_verifying: float


class UniversalTrainingRecord(Record):
    """What universal constraints took and cost.

    Parameters
    ----------
    kept : tuple of KeptConstraintRecord
    rounds, counterexamples : int
    rows : tuple of PointConditionRecord
        Of any width, what the bound demands at counterexamples; the dual solution's multipliers come in this order,
        behind those of given conditions.
    seconds_training, seconds_verifying : float
    free_objective, free_bound : float or None
        The optimum without the constraints, enclosed.
    constructed_objective : float or None
        Of the network that keeps the constraints by construction; None where there is none, or it did not pass.
    price : tuple of (float or None)
        The optimum with the constraints minus that without, enclosed.
    history : tuple of ConstraintRoundRecord
    """

    kept: tuple[KeptConstraintRecord, ...]
    rounds: int
    counterexamples: int
    rows: tuple[PointConditionRecord, ...]
    seconds_training: float
    seconds_verifying: float
    free_objective: float | None
    free_bound: float | None
    constructed_objective: float | None
    price: tuple[float | None, float | None]
    history: tuple[ConstraintRoundRecord, ...]

    @classmethod
    def of(cls, universal: UniversalRecord) -> "UniversalTrainingRecord":
        """Record what the search for counterexamples did."""
        return cls(
            kept=tuple(KeptConstraintRecord(name=k.name, verdict=k.verdict, engine=k.engine) for k in universal.kept),
            rounds=universal.rounds,
            counterexamples=universal.counterexamples,
            rows=tuple(
                PointConditionRecord(points=r.points, weights=r.weights, low=_finite(r.low), high=_finite(r.high))
                for r in universal.rows
            ),
            seconds_training=universal.seconds_training,
            seconds_verifying=universal.seconds_verifying,
            free_objective=_finite(universal.free_objective),
            free_bound=_finite(universal.free_bound),
            constructed_objective=universal.constructed_objective,
            price=(_finite(universal.price[0]), _finite(universal.price[1])),
            history=tuple(
                ConstraintRoundRecord(**{**asdict(each), "bound": _finite(each.bound)}) for each in universal.history
            ),
        )


class TrainingFileRecord(Record):
    """A training and the network file that came out.

    Parameters
    ----------
    objective : NumberRecord
        Of the exported network, recomputed exactly.
    claimed_objective : float or None
        The solver's; None where it has none.
    bound, gap : float or None
        No network of the specification has a smaller objective, as far as `basis` goes; None where there is none.
    method : str
        ``any-width`` or ``milp``.
    basis : str
        What stands behind the bound.
    status : str
    solver : str
    seconds : float
    nonzeros, units, samples : int
    features : tuple of str
    notes : tuple of str
    history : tuple of ProgressRecord
        Objective and bound as they closed.
    dual : DualRecord or None
        What proves the bound, where it comes with a proof.
    universal : UniversalTrainingRecord or None
        Where there are universal constraints.
    network : FileRecord
    version : str
    python : str
    """

    kind: Literal["training"] = "training"
    objective: NumberRecord
    claimed_objective: float | None
    bound: float | None
    gap: float | None
    method: str
    basis: str
    status: str
    solver: str
    seconds: float
    nonzeros: int
    units: int
    samples: int
    features: tuple[str, ...]
    notes: tuple[str, ...]
    history: tuple[ProgressRecord, ...]
    dual: DualRecord | None
    universal: UniversalTrainingRecord | None = None
    network: FileRecord
    version: str = verinet.__version__
    python: str = platform.python_version()

    @classmethod
    def of(cls, record: TrainingRecord, network: FileRecord) -> "TrainingFileRecord":
        """Record a training."""
        return cls(
            objective=exact_number(record.objective),
            claimed_objective=_finite(record.claimed_objective),
            bound=_finite(record.bound),
            gap=_finite(record.gap),
            method=record.method.value,
            basis=record.basis,
            status=record.status.value,
            solver=record.solver,
            seconds=record.seconds,
            nonzeros=record.nonzeros,
            units=record.units,
            samples=record.samples,
            features=record.features,
            notes=record.notes,
            history=tuple(ProgressRecord.of(s.seconds, s.objective, s.bound) for s in record.history),
            dual=None if record.dual is None else DualRecord.of(record.dual),
            universal=None if record.universal is None else UniversalTrainingRecord.of(record.universal),
            network=network,
        )


class SeveralTrainingsRecord(Record):
    """The trainings of a network's outputs, each by itself, and the network file that came out.

    Parameters
    ----------
    objective : NumberRecord
        The sum over the outputs, exactly.
    bound, gap : float or None
        Of that sum.
    status : str
        ``optimal`` if every output is.
    nonzeros, units : int
        Of the whole network: outputs share units.
    outputs : tuple of str
        Names, in the network's order.
    trainings : tuple of TrainingFileRecord
        One for each output.
    network : FileRecord
    """

    kind: Literal["trainings"] = "trainings"
    objective: NumberRecord
    bound: float | None
    gap: float | None
    status: str
    nonzeros: int
    units: int
    outputs: tuple[str, ...]
    trainings: tuple[TrainingFileRecord, ...]
    network: FileRecord

    @classmethod
    def of(cls, trained: TrainedOutputs, outputs: tuple[str, ...], network: FileRecord) -> "SeveralTrainingsRecord":
        """Record the trainings of several outputs."""
        return cls(
            objective=exact_number(trained.objective),
            bound=_finite(trained.bound),
            gap=_finite(trained.gap),
            status=trained.status.value,
            nonzeros=trained.parameters.nonzeros,
            units=trained.parameters.units,
            outputs=outputs,
            trainings=tuple(TrainingFileRecord.of(record, network) for record in trained.records),
            network=network,
        )


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None
