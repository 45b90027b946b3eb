"""What is to be trained: architecture, objective, budgets, constraints, limits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum

import numpy as np

from verinet.errors import InputError
from verinet.model import Domain, Network, Property
from verinet.program import Progress

__all__ = [
    "AnyWidthSpecification",
    "Budget",
    "ConstraintRound",
    "Loss",
    "Objective",
    "PointCondition",
    "Skip",
    "Specification",
    "TrainOptions",
    "UnitTightening",
    "UniversalConstraint",
    "UniversalFair",
    "UniversalMonotone",
    "UniversalProperty",
]


class Loss(Enum):
    """What a sample costs; the mean over all samples counts."""

    HINGE = "hinge"
    ZERO_ONE = "zero_one"
    L1 = "l1"
    EPSILON_INSENSITIVE = "epsilon_insensitive"
    PINBALL = "pinball"
    SQUARED = "squared"
    LOGISTIC = "logistic"

    @property
    def classifies(self) -> bool:
        """Whether targets are the two classes -1 and 1."""
        return self in (Loss.HINGE, Loss.ZERO_ONE, Loss.LOGISTIC)


def _check_not_negative(owner: str, **values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not value >= 0:
            raise InputError(f"{owner} needs {name} >= 0, found {name}={value}")


@dataclass(frozen=True)
class Objective:
    """``mean loss + l1 * size + l0 * non-zeros + unit_penalty * units + feature_penalty * features``.

    Size is the sum of the absolute hidden weights, hidden biases and skip weights, in scaled features. After the
    normal form moved the output weights into the hidden layer, it is the path norm.

    Parameters
    ----------
    loss : Loss
    margin : float
        For the hinge and the 0/1 loss: what ``y f(x)`` must reach.
    l1, l0, unit_penalty, feature_penalty : float
        Not negative. Non-zeros are hidden and skip weights, without biases.
    epsilon : float
        For the epsilon-insensitive loss: the error that costs nothing, as a share of the target's range.
    quantile : float
        For the pinball loss: which quantile of the target is learnt, between 0 and 1.
    """

    loss: Loss = Loss.HINGE
    margin: float = 1.0
    l1: float = 1e-3
    l0: float = 0.0
    unit_penalty: float = 0.0
    feature_penalty: float = 0.0
    epsilon: float = 0.1
    quantile: float = 0.5

    def __post_init__(self) -> None:
        _check_not_negative(
            "the objective",
            l1=self.l1,
            l0=self.l0,
            unit_penalty=self.unit_penalty,
            feature_penalty=self.feature_penalty,
            epsilon=self.epsilon,
        )
        if not self.margin > 0:
            raise InputError(f"the objective needs margin > 0, found margin={self.margin}")
        if not 0 < self.quantile < 1:
            raise InputError(f"the objective needs a quantile between 0 and 1, found quantile={self.quantile}")


@dataclass(frozen=True)
class Budget:
    """Upper limits; None means no limit.

    Parameters
    ----------
    nonzeros, units, features : int or None
    """

    nonzeros: int | None = None
    units: int | None = None
    features: int | None = None

    def __post_init__(self) -> None:
        _check_not_negative("the budget", nonzeros=self.nonzeros, units=self.units, features=self.features)


@dataclass(frozen=True)
class Specification:
    """A one-hidden-layer ReLU network in sign-normalised form, and what it is trained for.

    ``f(x) = c + p.x + sum over positive units relu(w_k.x + b_k) - sum over negative units relu(w_k.x + b_k)``

    Parameters
    ----------
    positive_units, negative_units : int
        Units that add to the output, and that subtract.
    skip : bool
        Whether there is a linear part p.
    weight_bound : float
        Largest ``sum_j |w_kj| + |b_k|`` of a unit, and largest ``|p_j|``, in scaled features.
    objective : Objective
    budget : Budget
    monotone : Mapping
        Feature index -> +1 or -1: in which direction the output must go.

    References
    ----------
    FORMULATIONS of sign-normalised ReLU training: Lee and Linderoth 2025; positive homogeneity makes output weights
    +1 and -1 without loss of generality.
    """

    positive_units: int = 1
    negative_units: int = 1
    skip: bool = True
    weight_bound: float = 10.0
    objective: Objective = field(default_factory=Objective)
    budget: Budget = field(default_factory=Budget)
    monotone: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_not_negative("the network", positive_units=self.positive_units, negative_units=self.negative_units)
        if not (self.weight_bound > 0 and np.isfinite(self.weight_bound)):
            raise InputError(f"the network needs a finite weight_bound > 0, found weight_bound={self.weight_bound}")
        _check_directions(self.monotone)

    @property
    def signs(self) -> tuple[int, ...]:
        """The output weight of each unit."""
        return (1,) * self.positive_units + (-1,) * self.negative_units


class Skip(Enum):
    """Whether inputs reach the output directly as well, and at what price."""

    NONE = "none"
    PENALISED = "penalised"
    FREE = "free"


@dataclass(frozen=True)
class PointCondition:
    """A condition on the outputs at given points: ``low <= sum of weights * f(points) <= high``, in raw units.

    A bound at one point, an order between two, or the difference of two groups' mean outputs are such conditions.

    Parameters
    ----------
    points : tuple of tuple of float
        Inputs in raw units.
    weights : tuple of float
        One for each point.
    low, high : float
        Infinite for none.
    """

    points: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    low: float = -np.inf
    high: float = np.inf

    def __post_init__(self) -> None:
        if not self.points or len(self.points) != len(self.weights):
            raise InputError(
                f"a condition needs one weight for each of its points, found {len(self.points)} points and "
                f"{len(self.weights)} weights"
            )
        if not (np.isfinite(self.weights).all() and all(np.isfinite(point).all() for point in self.points)):
            raise InputError("a condition needs finite points and weights, found NaN or infinity")
        if not self.low <= self.high:
            raise InputError(f"a condition needs low <= high, found low={self.low} and high={self.high}")


@dataclass(frozen=True)
class UniversalMonotone:
    """Raising a feature, all else equal, never lowers (or never raises) the output: at all inputs of a domain.

    Parameters
    ----------
    feature : int
    direction : int
        +1 where the output never falls, -1 where it never rises.
    domain : Domain or None
        In raw units, a box whose features may be integers; None for the range of the data.
    """

    feature: int
    direction: int
    domain: Domain | None = None

    def __post_init__(self) -> None:
        _check_directions({self.feature: self.direction})
        _check_box(self.domain)

    @property
    def features(self) -> tuple[int, ...]:
        """The features it names."""
        return (self.feature,)


@dataclass(frozen=True)
class UniversalFair:
    """Inputs that differ in protected features only have outputs that differ little: at all inputs of a domain.

    Parameters
    ----------
    features : tuple of int
        The protected ones.
    tolerance : float
        The largest difference of outputs, in raw units; above 0. A tolerance of zero is a network without them.
    domain : Domain or None
        In raw units, a box whose features may be integers; None for the range of the data.
    """

    features: tuple[int, ...]
    tolerance: float
    domain: Domain | None = None

    def __post_init__(self) -> None:
        if not self.features:
            raise InputError("fairness needs at least one protected feature, found none")
        if not (self.tolerance > 0 and np.isfinite(self.tolerance)):
            raise InputError(
                f"fairness needs a finite tolerance > 0, found tolerance={self.tolerance}; for none, leave the "
                "protected features out"
            )
        _check_box(self.domain)


@dataclass(frozen=True, eq=False)
class UniversalProperty:
    """A property of a property file: at all inputs of its domain.

    Parameters
    ----------
    prop : Property
    domain : Domain
        Of the property file, in raw units; its inputs are the features of the data.
    references : Mapping
        Other networks that it compares with, by name.
    """

    prop: Property
    domain: Domain
    references: Mapping[str, Network] = field(default_factory=dict)

    @property
    def features(self) -> tuple[int, ...]:
        """The features it names beside its domain: none."""
        return ()


UniversalConstraint = UniversalMonotone | UniversalFair | UniversalProperty
"""Every kind; a table keyed on type covers these."""


def _check_box(domain: Domain | None) -> None:
    if domain is not None and (domain.groups or domain.conditions or domain.balls):
        raise InputError("a universal constraint needs a box as its domain, found groups, conditions or balls in it")


@dataclass(frozen=True)
class AnyWidthSpecification:
    """A one-hidden-layer ReLU network of any width, and what it is trained for.

    ``f(x) = c + p.x + sum over units a_k relu(w_k.x + b_k)`` minimises
    ``mean loss + l1 * (sum over units |a_k| (||w_k||_1 + |b_k|) + ||p||_1)``, in scaled features.

    Parameters
    ----------
    objective : Objective
        Its `l1` is above 0. Prices of units and non-zero weights, and the budget, are for the choice among the units
        of the optimum without them.
    max_features_per_unit : int or None
        None for no limit.
    skip : Skip
    skip_penalty : float or None
        Of ``||p||_1`` where the skip is penalised; None for `l1`.
    budget : Budget
    monotone : Mapping
        Feature index -> +1 or -1: every unit and the skip go in that direction.
    conditions : tuple of PointCondition
        What must hold of the outputs at given points.
    universal : tuple of UniversalConstraint
        What must hold at all inputs, and is trained for by counterexamples.

    References
    ----------
    Bengio et al. 2005; Rosset et al. 2007; Bach 2017: networks of any width as a convex problem.
    """

    objective: Objective = field(default_factory=Objective)
    max_features_per_unit: int | None = 2
    skip: Skip = Skip.PENALISED
    skip_penalty: float | None = None
    budget: Budget = field(default_factory=Budget)
    monotone: Mapping[int, int] = field(default_factory=dict)
    conditions: tuple[PointCondition, ...] = ()
    universal: tuple[UniversalConstraint, ...] = ()

    def __post_init__(self) -> None:
        _check_not_negative("the network", skip_penalty=self.skip_penalty)
        if not self.objective.l1 > 0:
            raise InputError(
                f"training of any width needs l1 > 0, found l1={self.objective.l1}: without a price of the weights "
                "there is always a wider network that fits the samples better, so no optimum"
            )
        if self.objective.loss is Loss.ZERO_ONE:
            raise InputError(
                "training of any width needs a convex loss, found zero_one; use hinge or logistic, or the method milp"
            )
        if self.universal:
            self._check_universal()
        _check_directions(self.monotone)
        if self.skip is Skip.FREE and self.monotone:
            raise InputError("a free skip cannot be monotone and keep its bound; make the skip penalised or none")

    def _check_universal(self) -> None:
        prices = (self.objective.l0, self.objective.unit_penalty, self.objective.feature_penalty)
        if any(prices) or self.budget != Budget():
            raise InputError(
                "constraints by counterexamples cannot be combined with budgets or prices that count; leave these out"
            )

    @property
    def price_of_skip(self) -> float:
        """Of each unit of ``||p||_1``."""
        if self.skip is not Skip.PENALISED:
            return 0.0
        return self.objective.l1 if self.skip_penalty is None else self.skip_penalty


def _check_directions(monotone: Mapping[int, int]) -> None:
    for feature, direction in monotone.items():
        if direction not in (-1, 1):
            raise InputError(f"monotone directions are +1 or -1, found {direction} for feature {feature}")


@dataclass(frozen=True)
class ConstraintRound:
    """Where the search for counterexamples stands after a round.

    Parameters
    ----------
    number : int
        From 1.
    objective : float or None
        Of the best network that passed; None where none did.
    bound : float
        Of the networks that keep the constraints.
    added, counterexamples : int
        Of this round, and of all.
    seconds_training, seconds_verifying : float
        Of all rounds.
    """

    number: int
    objective: float | None
    bound: float
    added: int
    counterexamples: int
    seconds_training: float
    seconds_verifying: float


@dataclass(frozen=True)
class UnitTightening:
    """What makes training of so many units faster than the plain big-M model; each can be switched off.

    Parameters
    ----------
    cells : bool
        A search over the cells of the units' weights instead of a programme, where these are few and the solver is
        "auto".
    any_width : bool
        The bound of networks of any width, and its prices as rows: up to six features, and up to ten where the
        programme is large.
    one_sided : bool
        No binaries where the loss alone keeps a hidden value from being too large.
    ball_bounds : bool
        Bounds of activations from the L1 ball of a unit's weights, not from the box around it.
    symmetry : bool
        Units that can trade places are ordered by size.
    cutoff : bool
        Bounds of the units' sizes from the objective of the warm start.
    warm_start : bool
        Start from gradient runs, polished by linear programmes.
    blocks : bool
        Large programmes start from a descent unit by unit.
    parts : bool
        Programmes over parts of the points, where these are more than one programme holds.
    root_cuts : bool
        Ideal cuts of ReLUs over the weights' box and ball, separated at the root. Off unless it is asked for: the
        prices of any width make the root's bound as good without, and most programmes are solved more slowly with
        them; see the figures in `tests/performance/training`.
    """

    cells: bool = True
    any_width: bool = True
    one_sided: bool = True
    ball_bounds: bool = True
    symmetry: bool = True
    cutoff: bool = True
    warm_start: bool = True
    blocks: bool = True
    parts: bool = True
    root_cuts: bool = False

    @classmethod
    def none(cls) -> "UnitTightening":
        """Return the plain big-M model."""
        return cls(*[False] * len(fields(cls)))


@dataclass(frozen=True)
class TrainOptions:
    """How long and with what to optimise.

    Parameters
    ----------
    solver : str
        ``auto``, ``gurobi``, ``highs``, ``scip`` or ``cpsat``.
    time_limit : float
        Seconds of wall time for the whole training.
    gap_tolerance : float
        Relative gap at which the optimum counts as proven.
    threads : int
    seed : int
        For the warm start and the solver.
    most_rounds : int or None
        Of training and verifying in turn, where properties are trained for by counterexamples; None for no limit.
    on_progress : callable
        Called with `Progress` as incumbent and bound move.
    on_round : callable
        Called with `ConstraintRound` after each round of training and verifying.
    on_notice : callable
        Receives a sentence that should be seen even where progress is not shown: why this takes longer than usual.
    """

    solver: str = "auto"
    time_limit: float = 60.0
    gap_tolerance: float = 1e-4
    threads: int = 1
    seed: int = 0
    most_rounds: int | None = None
    on_progress: Callable[[Progress], None] = field(default=lambda _: None)
    on_round: Callable[[ConstraintRound], None] = field(default=lambda _: None)
    on_notice: Callable[[str], None] = field(default=lambda _: None)
