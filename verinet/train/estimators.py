"""scikit-learn estimators: small sparse ReLU networks with a proven bound on how much better any other could be."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from verinet.errors import InputError
from verinet.model import evaluate
from verinet.numeric import FloatArray
from verinet.train.data import TrainingData
from verinet.train.result import TrainingResult
from verinet.train.specification import Budget, Loss, Objective, Specification, TrainOptions
from verinet.train.trainer import train

__all__ = ["ReluClassifier", "ReluRegressor"]


class _ReluEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What classifier and regressor share."""

    def __init__(
        self,
        n_units: int | tuple[int, int] = (1, 1),
        *,
        loss: str | None = None,
        l1: float = 1e-2,
        l0: float = 0.0,
        unit_penalty: float = 0.0,
        monotone: Mapping[int | str, int] | None = None,
        weight_bound: float = 10.0,
        solver: str = "auto",
        time_limit: float = 10.0,
        random_state: int | None = None,
    ) -> None:
        self.n_units = n_units
        self.loss = loss
        self.l1 = l1
        self.l0 = l0
        self.unit_penalty = unit_penalty
        self.monotone = monotone
        self.weight_bound = weight_bound
        self.solver = solver
        self.time_limit = time_limit
        self.random_state = random_state

    def _train(self, x: FloatArray, y: FloatArray, sample_weight: Any, usual: Loss) -> None:
        names = [str(n) for n in getattr(self, "feature_names_in_", [f"x{i}" for i in range(x.shape[1])])]
        loss = usual if self.loss is None else Loss(self.loss)
        if loss.classifies != usual.classifies:
            raise InputError(f"loss={self.loss!r} does not fit {type(self).__name__}; use {usual.value!r}")
        data = TrainingData.prepare(
            x, y, classes=loss.classifies, names=names, sample_weight=sample_weight, allow_constant=True
        )
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        options = TrainOptions(solver=self.solver, time_limit=self.time_limit, seed=seed)
        self._keep(train(data, self._specification(loss, names), options))

    def _specification(self, loss: Loss, names: list[str]) -> Specification:
        budget = None if isinstance(self.n_units, tuple) else int(self.n_units)
        positive, negative = self.n_units if isinstance(self.n_units, tuple) else (self.n_units, self.n_units)
        return Specification(
            positive,
            negative,
            weight_bound=self.weight_bound,
            objective=Objective(loss, l1=self.l1, l0=self.l0, unit_penalty=self.unit_penalty),
            budget=Budget(units=budget),
            monotone={_column(key, names): direction for key, direction in (self.monotone or {}).items()},
        )

    def _keep(self, result: TrainingResult) -> None:
        self.network_ = result.network
        self.record_ = result.record
        self.objective_ = float(result.record.objective)
        self.bound_ = result.record.bound
        self.gap_ = result.record.gap
        self.status_ = result.record.status.value
        self.n_nonzeros_ = result.record.nonzeros
        self.n_units_ = result.record.units

    def _scores(self, x: Any) -> FloatArray:
        check_is_fitted(self, "network_")
        x = validate_data(self, x, reset=False, dtype=np.float64)
        return evaluate(self.network_, x)[:, 0]


def _column(key: int | str, names: list[str]) -> int:
    if isinstance(key, str):
        if key not in names:
            raise InputError(f"monotone names feature {key!r}, the data has {', '.join(names)}")
        return names.index(key)
    if not 0 <= key < len(names):
        raise InputError(f"monotone names feature {key}, the data has {len(names)}")
    return int(key)


PARAMETERS = """
    Parameters
    ----------
    n_units : int or tuple of (int, int)
        At most so many hidden units of either sign; or the number of units that add to the score and that subtract
        from it, which is easier to optimise.
    loss : str or None
        {losses}
    l1 : float
        Price of the absolute weights (features scaled to 0..1).
    l0 : float
        Price of each non-zero weight.
    unit_penalty : float
        Price of each hidden unit.
    monotone : mapping or None
        Feature name or index -> +1 (never falls) or -1 (never rises), guaranteed for all inputs.
    weight_bound : float
        Largest sum of absolute weights of a unit (features scaled to 0..1).
    solver : str
        ``auto``, ``gurobi`` or ``highs``.
    time_limit : float
        Seconds. When they are over, the best network found is kept and `gap_` says what is left.
    random_state : int, RandomState or None

    Attributes
    ----------
    network_ : Network
        In raw units.
    objective_ : float
        Of the network, recomputed in exact arithmetic.
    bound_ : float
        No network of this architecture has a smaller objective, as the solver claims.
    gap_ : float
        Relative distance of the two.
    status_ : str
        ``optimal`` or ``unknown``.
    n_nonzeros_, n_units_ : int
    record_ : TrainingRecord
"""


class ReluClassifier(ClassifierMixin, _ReluEstimator):  # type: ignore[misc]
    """A sparse ReLU network for two classes."""

    __doc__ = "A sparse ReLU network for two classes.\n" + PARAMETERS.format(
        losses="``hinge`` (default) or ``zero_one``: training errors with a margin."
    )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on samples X, shape (samples, features), and labels y of two classes."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        weights = _weights(sample_weight, X)
        self.classes_ = np.unique(y if weights is None else y[weights > 0])
        if len(self.classes_) > 2:
            kind = type_of_target(y, input_name="y")
            raise InputError(f"Only binary classification is supported. The type of the target is {kind}.")
        if len(self.classes_) < 2:
            raise InputError(f"{type(self).__name__} needs two classes in the data, found 1 class")
        targets = np.where(y == self.classes_[1], 1.0, -1.0)
        self._train(X, targets, weights, Loss.HINGE)
        return self

    def decision_function(self, X: Any) -> FloatArray:
        """Return the network's score of each sample: positive means the second class."""
        return self._scores(X)

    def predict(self, X: Any) -> Any:
        """Return the class of each sample."""
        positive = self._scores(X) > 0
        return self.classes_[positive.astype(int)]


class ReluRegressor(RegressorMixin, _ReluEstimator):  # type: ignore[misc]
    """A sparse ReLU network for a real target."""

    __doc__ = "A sparse ReLU network for a real target.\n" + PARAMETERS.format(
        losses="``l1``: the mean absolute error, in units of the target's range."
    )

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on samples X, shape (samples, features), and real targets y."""
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        self._train(X, np.asarray(y, dtype=np.float64), _weights(sample_weight, X), Loss.L1)
        return self

    def predict(self, X: Any) -> FloatArray:
        """Return the network's value at each sample."""
        return self._scores(X)


def _weights(sample_weight: Any, x: FloatArray) -> FloatArray | None:
    if sample_weight is None:
        return None
    weights: FloatArray = _check_sample_weight(sample_weight, x, ensure_non_negative=True)
    return weights
