"""What comes out of a training: a network, and what is claimed and known about it."""

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Generic, TypeVar

from verinet.model import Network
from verinet.program import Progress, Status
from verinet.train.dual import DualSolution
from verinet.train.export import RawParameters
from verinet.train.specification import ConstraintRound, PointCondition

__all__ = [
    "CertifiedResult",
    "Earlier",
    "KeptConstraint",
    "Method",
    "TrainingRecord",
    "TrainingResult",
    "UniversalRecord",
]


R = TypeVar("R")


class Method(Enum):
    """How a network was trained."""

    ANY_WIDTH = "any-width"
    MILP = "milp"


@dataclass(frozen=True)
class KeptConstraint:
    """A universal constraint that a network passed.

    Parameters
    ----------
    name : str
    verdict : str
        With its level, if it has one.
    engine : str
        What decided.
    """

    name: str
    verdict: str
    engine: str


@dataclass(frozen=True)
class UniversalRecord:
    """What universal constraints took and cost.

    Parameters
    ----------
    kept : tuple of KeptConstraint
        Of the exported network.
    rounds : int
        Master problems solved to their optimum.
    counterexamples : int
        At which something was demanded.
    rows : tuple of PointCondition
        Of any width, what was demanded for the bound: its multipliers come behind those of given conditions.
    seconds_training, seconds_verifying : float
    free_objective, free_bound : float
        The optimum without the constraints, enclosed.
    constructed_objective : float or None
        Of the network that keeps the constraints by construction; None where there is none, or it did not pass.
    price : tuple of float
        What the constraints cost, enclosed: the optimum with them minus the optimum without.
    history : tuple of ConstraintRound
    """

    kept: tuple[KeptConstraint, ...]
    rounds: int
    counterexamples: int
    rows: tuple[PointCondition, ...]
    seconds_training: float
    seconds_verifying: float
    free_objective: float
    free_bound: float
    constructed_objective: float | None
    price: tuple[float, float]
    history: tuple[ConstraintRound, ...] = ()


@dataclass(frozen=True)
class TrainingRecord:
    """What is claimed and what is known about a trained network.

    Parameters
    ----------
    objective : Fraction
        Of the exported network, recomputed exactly.
    claimed_objective : float
        The solver's.
    bound : float
        A lower bound over all networks of the specification; `basis` says who vouches for it.
    gap : float
        Relative gap between the exact objective and the bound.
    status : Status
        OPTIMAL if the gap tolerance was reached.
    solver : str
        Which, and why it was chosen.
    seconds : float
    nonzeros, units : int
    features : tuple of str
        Those that the network reads.
    samples : int
        Distinct rows.
    notes : tuple of str
        What a reader must know: limits that were hit, differences that were found.
    method : Method
    basis : str
        What stands behind the bound.
    history : tuple of Progress
        Objective and bound as they closed.
    dual : DualSolution or None
        What proves the bound, where it comes with a proof.
    universal : UniversalRecord or None
        Where there are universal constraints.
    """

    objective: Fraction
    claimed_objective: float
    bound: float
    gap: float
    status: Status
    solver: str
    seconds: float
    nonzeros: int
    units: int
    features: tuple[str, ...]
    samples: int
    notes: tuple[str, ...] = ()
    method: Method = Method.MILP
    basis: str = "a solver's claim"
    history: tuple[Progress, ...] = ()
    dual: DualSolution | None = None
    universal: UniversalRecord | None = None


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """A trained network and its record.

    Parameters
    ----------
    network : Network
        In raw units.
    parameters : RawParameters
        The same, as arrays.
    record : TrainingRecord
    """

    network: Network
    parameters: RawParameters
    record: TrainingRecord


@dataclass(frozen=True, eq=False)
class CertifiedResult(Generic[R]):
    """What training under properties led to.

    Parameters
    ----------
    result : result or None
        The best network that passed verification; None if none did.
    bound : float
        Of the first goal, for every network with the properties; infinite if there is none, as `reason` says.
    universal : UniversalRecord
    reason : str
        Why the optimum is not proven; empty where it is.
    counterexample : tuple of tuple of Fraction
        The inputs of the last one; empty where there is none, or it is in the record's rows.
    """

    result: R | None
    bound: float
    universal: UniversalRecord
    reason: str
    counterexample: tuple[tuple[Fraction, ...], ...] = ()


@dataclass(frozen=True, eq=False)
class Earlier:
    """What an earlier training of the same specification and data left, to go on from.

    Parameters
    ----------
    parameters : RawParameters
    objective : Fraction
        Of these, exactly.
    bound : float
        What no network falls below; minus infinity for none.
    basis : str
        What stands behind the bound.
    """

    parameters: RawParameters
    objective: Fraction
    bound: float
    basis: str

    @classmethod
    def of(cls, result: TrainingResult) -> "Earlier":
        """Take it from a result."""
        record = result.record
        return cls(result.parameters, record.objective, record.bound, record.basis)
