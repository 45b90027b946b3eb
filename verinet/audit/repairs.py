"""Records of repairs: what changed in which network, what holds now, and what that cost."""

import platform
from typing import Literal

import verinet
from verinet.audit.records import FileRecord, KeptConstraintRecord, NumberRecord, Record, exact_number
from verinet.train import UniversalRecord
from verinet.train.repair import Repaired, Score

__all__ = ["RepairRecord", "ScoreRecord"]


class ScoreRecord(Record):
    """How well the network fits data, before and after.

    Parameters
    ----------
    measure : str
    before, after : float
    samples : int
    data : FileRecord
    """

    measure: str
    before: float
    after: float
    samples: int
    data: FileRecord

    @classmethod
    def of(cls, before: Score, after: Score, data: FileRecord) -> "ScoreRecord":
        """Record two scores on the same data."""
        return cls(measure=before.measure, before=before.value, after=after.value, samples=before.samples, data=data)


class RepairRecord(Record):
    """A repaired network and what is known about it.

    Parameters
    ----------
    layer : str
    norm : str
        ``l1`` or ``count``.
    l1 : NumberRecord
        The sum of all changes of weights and biases, exactly.
    changed : int
        How many changed.
    bound : float
        No smaller change in the norm, of at most `reach` a weight, has the properties: a solver's claim.
    proven : bool
        Whether change and bound meet.
    reason : str
        Why not; empty otherwise.
    reach : float
    kept : tuple of KeptConstraintRecord
        The verdicts on the repaired network.
    rounds, counterexamples : int
    seconds_training, seconds_verifying : float
    score : ScoreRecord or None
    original, network : FileRecord
    version : str
    python : str
    """

    kind: Literal["repair"] = "repair"
    layer: str
    norm: str
    l1: NumberRecord
    changed: int
    bound: float
    proven: bool
    reason: str
    reach: float
    kept: tuple[KeptConstraintRecord, ...]
    rounds: int
    counterexamples: int
    seconds_training: float
    seconds_verifying: float
    score: ScoreRecord | None
    original: FileRecord
    network: FileRecord
    version: str = verinet.__version__
    python: str = platform.python_version()

    @classmethod
    def of(
        cls,
        repaired: Repaired,
        universal: UniversalRecord,
        original: FileRecord,
        network: FileRecord,
        score: ScoreRecord | None,
    ) -> "RepairRecord":
        """Record a repair."""
        return cls(
            layer=repaired.layer,
            norm=repaired.norm.value,
            l1=exact_number(repaired.l1),
            changed=repaired.changed,
            bound=repaired.bound,
            proven=repaired.proven,
            reason=repaired.reason,
            reach=repaired.reach,
            kept=tuple(KeptConstraintRecord(name=k.name, verdict=k.verdict, engine=k.engine) for k in universal.kept),
            rounds=universal.rounds,
            counterexamples=universal.counterexamples,
            seconds_training=universal.seconds_training,
            seconds_verifying=universal.seconds_verifying,
            score=score,
            original=original,
            network=network,
        )
