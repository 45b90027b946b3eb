"""What trainings of all kinds have to say for themselves, in one form for pages."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

from verinet.train import Method, TrainedOutputs, TrainingRecord

if TYPE_CHECKING:
    # Not at run time: layers bring compiled kernels, and a record of a verdict should not wait for them.
    from verinet.train.layered import LayeredResult

__all__ = ["Reached", "Trained", "reached", "training_records"]

Trained: TypeAlias = "TrainedOutputs | LayeredResult"
"""Networks that come with records of their training."""


@dataclass(frozen=True)
class Reached:
    """What was reached of a goal of a training.

    Parameters
    ----------
    goal : str
    value : Fraction
        Of the network, recomputed exactly.
    bound : float
        No network of the specification is better.
    basis : str
        Who vouches for the bound.
    state : str
        Proven optimal, or how far from it.
    """

    goal: str
    value: Fraction
    bound: float
    basis: str
    state: str

    @property
    def bound_text(self) -> str:
        """The bound in six digits."""
        return f"{self.bound:.6g}" if math.isfinite(self.bound) else "none"


def training_records(trained: Trained) -> tuple[TrainingRecord, ...]:
    """Return the record of each training that a network comes from."""
    return trained.records if isinstance(trained, TrainedOutputs) else (trained.record,)


def reached(trained: Trained, outputs: Sequence[str]) -> tuple[Reached, ...]:
    """List what was reached: of layers goal by goal, of other networks output by output.

    Parameters
    ----------
    trained : TrainedOutputs or LayeredResult
    outputs : sequence of str
        Names of the network's outputs.
    """
    if not isinstance(trained, TrainedOutputs):
        return tuple(
            Reached(g.goal.value, g.value, g.bound, g.basis, "proven optimal" if g.proven else "not proven")
            for g in trained.goals
        )
    if len(trained.records) == 1:
        return (_of_record("objective", trained.records[0]),)
    each = [_of_record(f"objective, {o}", record) for o, record in zip(outputs, trained.records, strict=True)]
    bases = "; ".join(dict.fromkeys(record.basis for record in trained.records))
    total = Reached("objective, all outputs", trained.objective, trained.bound, bases, _state(trained))
    return (*each, total)


def _of_record(goal: str, record: TrainingRecord) -> Reached:
    over = " over networks of any width" if record.method is Method.ANY_WIDTH else ""
    state = _state(record)
    return Reached(goal, record.objective, record.bound, record.basis, state + (over if state.startswith("p") else ""))


def _state(trained: TrainingRecord | TrainedOutputs) -> str:
    return (
        "proven optimal"
        if trained.status.value == "optimal"
        else f"gap {trained.gap:.2%}"
        if math.isfinite(trained.gap)
        else "no bound"
    )
