"""Verdicts: what is claimed or proved, how strongly, and the evidence."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from verinet.numeric import FloatArray
from verinet.verify.finding import OpenBox, OpenPhases

__all__ = ["Answer", "Interrupted", "Level", "Replay", "ReplayedPoint", "Verdict", "Witness"]

Replay = Callable[[Sequence[Fraction]], FloatArray]
"""Runs the original model file, in its own precision, at one input vector."""


class Answer(Enum):
    """What is said about a property or a query."""

    VIOLATED = "violated"
    VERIFIED = "verified"
    VACUOUS = "vacuous"
    UNKNOWN = "unknown"


class Level(Enum):
    """How strongly ``verified`` is meant; see the README for the whole scale."""

    CLAIMED = "L0"
    CROSS_CHECKED = "L1"


@dataclass(frozen=True, eq=False)
class ReplayedPoint:
    """One of the user's inputs, evaluated exactly and in the model's own runtime.

    Parameters
    ----------
    inputs : tuple of Fraction
    outputs : tuple of Fraction
        Exact.
    replayed : tuple of float or None
        What onnxruntime computes from the original file at the nearest input of its own precision.
    """

    inputs: tuple[Fraction, ...]
    outputs: tuple[Fraction, ...]
    replayed: tuple[float, ...] | None


@dataclass(frozen=True, eq=False)
class Witness:
    """A counterexample that exact evaluation confirms.

    Parameters
    ----------
    point : tuple of Fraction
        Of the query's domain.
    points : tuple of ReplayedPoint
        The user's inputs that it stands for: one, or the compared pair.
    exact_in_float32 : bool
        Whether every coordinate is a float32 number, so that the runtime sees the very same inputs.
    """

    point: tuple[Fraction, ...]
    points: tuple[ReplayedPoint, ...]
    exact_in_float32: bool


@dataclass(frozen=True, eq=False)
class Verdict:
    """The answer to one query.

    Parameters
    ----------
    answer : Answer
    level : Level or None
        For VERIFIED only.
    witness : Witness or None
        For VIOLATED only, always.
    engine : str
        What decided, and why it was chosen.
    evidence : tuple of str
        What was done and what is claimed, one sentence each.
    reason : str
        Why the answer is UNKNOWN; empty otherwise.
    timed_out : bool
        Whether the time limit is the reason.
    bound : float or None
        The worst claimed lower bound of the distance to violation over all that is left open; positive would refute.
    box : OpenBox or OpenPhases or None
        The worst part of the query's domain that is left open, where the engine splits it: a box, or phases of ReLUs.
    seconds : float
    """

    answer: Answer
    level: Level | None = None
    witness: Witness | None = None
    engine: str = ""
    evidence: tuple[str, ...] = ()
    reason: str = ""
    timed_out: bool = False
    bound: float | None = None
    box: OpenBox | OpenPhases | None = None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        # The promise of the project, kept by construction.
        if (self.answer is Answer.VIOLATED) != (self.witness is not None):
            raise AssertionError("a violated verdict has a witness, and no other has")
        if (self.answer is Answer.VERIFIED) != (self.level is not None):
            raise AssertionError("a verified verdict has a level, and no other has")
        if self.answer is Answer.UNKNOWN and not self.reason:
            raise AssertionError("an unknown verdict has a reason")


class Interrupted(KeyboardInterrupt):
    """The user interrupted a verification; the verdict says what was known by then.

    Parameters
    ----------
    verdict : Verdict
        UNKNOWN.
    """

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict
