"""What a stack of layers is trained for, and which tightenings its programme uses."""

from dataclasses import dataclass, field, fields
from enum import Enum

from verinet.errors import InputError
from verinet.train.layered.architecture import Architecture, ConvolutionLayer
from verinet.train.specification import Budget, Loss, Objective

__all__ = ["Goal", "LayeredSpecification", "Tightening"]


class Goal(Enum):
    """What is optimised; of several, one after the other, each among the optima of those before."""

    OBJECTIVE = "objective"
    """Mean loss and penalties."""
    ERRORS = "errors"
    """The share of samples that miss the margin."""
    MARGIN = "margin"
    """The smallest margin of the samples that are no errors, to be large."""
    NONZEROS = "nonzeros"
    UNITS = "units"
    FEATURES = "features"
    SIZE = "size"


@dataclass(frozen=True)
class LayeredSpecification:
    """A stack of layers, and what its weights are chosen for.

    The objective is ``mean loss + l1 * size + l2 * sum of squares + l0 * non-zeros + unit_penalty * units +
    feature_penalty * features + layer_penalty * layers``. Size and squares are those of all weights and of all biases
    but the last layer's; non-zeros are weights without biases; units are hidden units and filters with any weight or
    bias; features are inputs that the first layer reads; layers are gated layers in use.

    With one output, classes are -1 and 1. With several outputs and a classification loss, targets are the classes
    0, 1, ..., each with an output of its own; the margin is that of the right output over every other one.

    Parameters
    ----------
    architecture : Architecture
    objective : Objective
        Loss hinge, zero_one, l1, epsilon_insensitive, pinball, squared or logistic.
    budget : Budget
    l2, layer_penalty : float
        Not negative; `l2` for quantised weights.
    goals : tuple of Goal
        By default the objective alone.

    Raises
    ------
    InputError
        If goals and objective do not fit the architecture.
    """

    architecture: Architecture
    objective: Objective = field(default_factory=Objective)
    budget: Budget = field(default_factory=Budget)
    l2: float = 0.0
    layer_penalty: float = 0.0
    goals: tuple[Goal, ...] = (Goal.OBJECTIVE,)

    def __post_init__(self) -> None:
        if not (self.l2 >= 0 and self.layer_penalty >= 0):
            raise InputError(f"penalties are not negative, found l2={self.l2} and layer_penalty={self.layer_penalty}")
        if not self.goals or len(set(self.goals)) < len(self.goals):
            raise InputError("a specification needs at least one goal, each once")
        first = self.architecture.layers[self.architecture.weighted[0]]
        if self.l2 and self.architecture.has_continuous:
            raise InputError("l2 is for quantised weights; use l1 for continuous ones")
        if self.counts_features and isinstance(first, ConvolutionLayer):
            raise InputError("a convolution reads all pixels alike, so features cannot be counted; count non-zeros")
        if not self.classifies and {Goal.ERRORS, Goal.MARGIN} & set(self.goals):
            raise InputError(f"errors and margins are of classes, found the loss {self.objective.loss.value}")
        if not self.classifies and self.architecture.outputs > 1:
            raise InputError("several outputs are for classes; a target that is a number takes one output")
        if self.objective.loss is Loss.LOGISTIC and self.architecture.outputs > 1:
            raise InputError("the logistic loss is for two classes; use hinge or zero_one for several")

    @property
    def classifies(self) -> bool:
        """Whether targets are classes."""
        return self.objective.loss.classifies

    @property
    def counts_features(self) -> bool:
        """Whether features have a price, a limit, or are a goal."""
        return bool(self.objective.feature_penalty) or self.budget.features is not None or Goal.FEATURES in self.goals

    @property
    def counts_units(self) -> bool:
        """Whether units have a price, a limit, or are a goal."""
        return bool(self.objective.unit_penalty) or self.budget.units is not None or Goal.UNITS in self.goals

    @property
    def counts_nonzeros(self) -> bool:
        """Whether non-zeros have a price, a limit, or are a goal."""
        return bool(self.objective.l0) or self.budget.nonzeros is not None or Goal.NONZEROS in self.goals


@dataclass(frozen=True)
class Tightening:
    """What makes the programme tighter than plain big-M; each can be switched off, so that its worth is measured.

    Parameters
    ----------
    sample_bounds : bool
        Bounds of each activation from its own sample, instead of one big-M for all.
    merged : bool
        One variable for activations that are equal in every network, such as those of equal patches.
    fused_pools : bool
        A ReLU before a max-pool is one maximum with zero, not two.
    size_cuts : bool
        ``relu(w . x + b)`` is at most the sum of the positive parts of its terms: the ideal cut without binaries,
        which charges an activation with the weights that it needs.
    symmetry : bool
        Units that can trade places are ordered.
    signs : bool
        One programme for each choice of the last layer's weights, up to the order of units, where these are few.
    warm_start : bool
        Start from local search and neighbourhoods, and look only below their objective.
    root_cuts : bool
        Ideal cuts of ReLUs, separated at the root. Off unless it is asked for: weights of both signs cancel in the
        relaxation, so that there is next to nothing to cut; see the figures in `tests/performance/training`.
    """

    sample_bounds: bool = True
    merged: bool = True
    fused_pools: bool = True
    size_cuts: bool = True
    symmetry: bool = True
    signs: bool = True
    warm_start: bool = True
    root_cuts: bool = False

    @classmethod
    def none(cls) -> "Tightening":
        """Return the plain big-M model."""
        return cls(*[False] * len(fields(cls)))
