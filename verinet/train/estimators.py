"""scikit-learn estimators: small sparse ReLU networks with a proven bound on how much better any other could be."""

import os
from collections.abc import Mapping, Sequence
from itertools import starmap
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from verinet.errors import InputError
from verinet.model import evaluate
from verinet.numeric import FloatArray
from verinet.train.any_width import Convolutional, ConvolutionalSpecification, Pooling
from verinet.train.data import TrainingData
from verinet.train.outputs import AnySpecification, TrainedOutputs, train_outputs
from verinet.train.result import Method
from verinet.train.specification import (
    AnyWidthSpecification,
    Budget,
    Loss,
    Objective,
    Skip,
    Specification,
    TrainOptions,
    UniversalMonotone,
)

__all__ = ["ReluClassifier", "ReluRegressor"]

MOST_FEATURES = 2
"""Of one unit, where the caller leaves it to the estimator: units that can still be drawn."""


class _ReluEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What classifier and regressor share."""

    def __init__(
        self,
        alpha: float = 1e-2,
        *,
        method: str = "any-width",
        loss: str | None = None,
        epsilon: float = 0.1,
        quantile: float = 0.5,
        max_features_per_unit: int | str | None = "auto",
        max_units: int | None = None,
        skip: str | bool = "penalised",
        monotone: Mapping[int | str, int] | None = None,
        monotone_by: str = "construction",
        n_units: int | tuple[int, int] | None = None,
        l1: float | None = None,
        l0: float = 0.0,
        unit_penalty: float = 0.0,
        weight_bound: float | None = None,
        gap_tolerance: float = 1e-3,
        time_limit: float = 60.0,
        solver: str = "auto",
        n_jobs: int | None = None,
        random_state: int | None = None,
        image_shape: tuple[int, ...] | None = None,
        kernel: tuple[int, int] = (3, 3),
        stride: tuple[int, int] = (1, 1),
        pooling: str = "average",
        grid: tuple[int, int] = (1, 1),
    ) -> None:
        self.alpha = alpha
        self.method = method
        self.loss = loss
        self.epsilon = epsilon
        self.quantile = quantile
        self.max_features_per_unit = max_features_per_unit
        self.max_units = max_units
        self.skip = skip
        self.monotone = monotone
        self.monotone_by = monotone_by
        self.n_units = n_units
        self.l1 = l1
        self.l0 = l0
        self.unit_penalty = unit_penalty
        self.weight_bound = weight_bound
        self.gap_tolerance = gap_tolerance
        self.time_limit = time_limit
        self.solver = solver
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.image_shape = image_shape
        self.kernel = kernel
        self.stride = stride
        self.pooling = pooling
        self.grid = grid

    def _train(self, x: FloatArray, targets: Sequence[FloatArray], sample_weight: Any, usual: Loss) -> None:
        """Train one network for each target and keep them as one."""
        names = [str(n) for n in getattr(self, "feature_names_in_", [f"x{i}" for i in range(x.shape[1])])]
        specification = self._specification(self._loss(usual), names)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        tables = [
            TrainingData.prepare(
                x,
                y,
                classes=usual.classifies,
                names=names,
                sample_weight=sample_weight,
                allow_constant=True,
                shared=self.image_shape is not None,
            )
            for y in targets
        ]
        options = TrainOptions(self.solver, self.time_limit, self.gap_tolerance, _threads(self.n_jobs), seed)
        self._keep(train_outputs(tables, specification, options))

    def _loss(self, usual: Loss) -> Loss:
        known = [loss for loss in Loss if loss.classifies == usual.classifies]
        loss = usual if self.loss is None else next((loss for loss in known if loss.value == self.loss), None)
        if loss is None:
            names = ", ".join(repr(each.value) for each in known)
            raise InputError(f"loss={self.loss!r} does not fit {type(self).__name__}; use one of {names}")
        return loss

    def _specification(self, loss: Loss, names: list[str]) -> AnySpecification:
        monotone = {_column(key, names): direction for key, direction in (self.monotone or {}).items()}
        if self.method == Method.ANY_WIDTH.value:
            if self.image_shape is None:
                return self._any_width(loss, monotone, len(names))
            layer = self._layer(self.image_shape)
            dense = self._any_width(loss, monotone, layer.coordinates)
            return ConvolutionalSpecification.of(layer, dense)
        if self.image_shape is not None:
            raise InputError("image_shape is a parameter of method='any-width'; set that method, or leave it at None")
        if self.method == Method.MILP.value:
            return self._milp(loss, monotone)
        raise InputError(f"method={self.method!r} is not known; use 'any-width' or 'milp'")

    def _layer(self, shape: tuple[int, ...]) -> Convolutional:
        pooling = next((each for each in Pooling if each.value == self.pooling), None)
        if pooling is None:
            names = ", ".join(repr(each.value) for each in Pooling)
            raise InputError(f"pooling={self.pooling!r} is not known; use one of {names}")
        return Convolutional(tuple(shape), self.kernel, self.stride, pooling, self.grid)

    def _objective(self, loss: Loss, weight: float, name: str) -> Objective:
        if not weight > 0 and self.method == Method.ANY_WIDTH.value:
            raise InputError(
                f"training of any width needs {name} > 0, found {name}={weight}: without a price of the weights there "
                "is always a wider network that fits the samples better, so no optimum"
            )
        return Objective(
            loss,
            l1=weight,
            l0=self.l0,
            unit_penalty=self.unit_penalty,
            epsilon=self.epsilon,
            quantile=self.quantile,
        )

    def _any_width(self, loss: Loss, monotone: Mapping[int, int], features: int) -> AnyWidthSpecification:
        for name, instead in (("n_units", "max_units"), ("l1", "alpha"), ("weight_bound", "alpha")):
            if getattr(self, name) is not None:
                raise InputError(f"{name} is a parameter of method='milp'; set that method, or use {instead} instead")
        most = self.max_features_per_unit
        if isinstance(most, str):
            if most != "auto":
                raise InputError(f"max_features_per_unit={most!r} is not known; use 'auto', a number or None")
            most = min(MOST_FEATURES, features)
        return AnyWidthSpecification(
            self._objective(loss, self.alpha, "alpha"),
            most,
            _skip(self.skip),
            budget=Budget(units=self.max_units),
            monotone={} if self._by_counterexamples() else monotone,
            universal=tuple(starmap(UniversalMonotone, monotone.items())) if self._by_counterexamples() else (),
        )

    def _by_counterexamples(self) -> bool:
        if self.monotone_by not in ("construction", "counterexamples"):
            raise InputError(f"monotone_by={self.monotone_by!r} is not known; use 'construction' or 'counterexamples'")
        return self.monotone_by == "counterexamples"

    def _milp(self, loss: Loss, monotone: Mapping[int, int]) -> Specification:
        if self._by_counterexamples():
            raise InputError("monotone_by='counterexamples' is for method='any-width'; leave it at 'construction'")
        if self.max_features_per_unit != "auto":
            raise InputError("max_features_per_unit is a parameter of method='any-width'; leave it at 'auto'")
        skip = _skip(self.skip)
        if skip is Skip.FREE:
            raise InputError("a free skip is for method='any-width'; use skip='penalised' or 'none'")
        n_units = (1, 1) if self.n_units is None else self.n_units
        budget = self.max_units
        if not isinstance(n_units, tuple):
            budget = int(n_units) if budget is None else min(int(n_units), budget)
            n_units = (int(n_units), int(n_units))
        weight = self.alpha if self.l1 is None else self.l1
        return Specification(
            *n_units,
            skip=skip is Skip.PENALISED,
            weight_bound=Specification.weight_bound if self.weight_bound is None else self.weight_bound,
            objective=self._objective(loss, weight, "l1"),
            budget=Budget(units=budget),
            monotone=monotone,
        )

    def _keep(self, trained: TrainedOutputs) -> None:
        only = trained.records[0] if len(trained.records) == 1 else None
        self.network_ = trained.network
        self.n_nonzeros_, self.n_units_ = trained.parameters.nonzeros, trained.parameters.units
        self.records_ = trained.records
        self.record_ = only
        self.dual_ = None if only is None else only.dual
        self.objective_ = float(trained.objective)
        self.bound_ = trained.bound
        self.gap_ = trained.gap
        self.status_ = trained.status.value

    def _scores(self, x: Any) -> FloatArray:
        check_is_fitted(self, "network_")
        x = validate_data(self, x, reset=False, dtype=np.float64)
        return evaluate(self.network_, x)


def _column(key: int | str, names: list[str]) -> int:
    if isinstance(key, str):
        if key not in names:
            raise InputError(f"monotone names feature {key!r}, the data has {', '.join(names)}")
        return names.index(key)
    if not 0 <= key < len(names):
        raise InputError(f"monotone names feature {key}, the data has {len(names)}")
    return int(key)


def _skip(value: str | bool) -> Skip:
    if isinstance(value, bool):
        return Skip.PENALISED if value else Skip.NONE
    found = next((skip for skip in Skip if skip.value == value), None)
    if found is None:
        raise InputError(f"skip={value!r} is not known; use 'penalised', 'free' or 'none'")
    return found


def _threads(n_jobs: int | None) -> int:
    if n_jobs is None or n_jobs == -1:
        return os.cpu_count() or 1
    if n_jobs < 1:
        raise InputError(f"n_jobs needs to be at least 1, or -1 for all cores, found n_jobs={n_jobs}")
    return n_jobs


PARAMETERS = """
    Parameters
    ----------
    alpha : float
        Price of the absolute weights, features scaled to 0..1; above 0.
    method : str
        ``any-width``: the optimum over networks of every width. ``milp``: over networks of `n_units`, by a
        mixed-integer programme.
    loss : str or None
        {losses}
    epsilon : float
        Of ``epsilon_insensitive``: the error that costs nothing, as a share of the target's range.
    quantile : float
        Of ``pinball``: which quantile of the target is learnt, between 0 and 1.
    max_features_per_unit : int, ``auto`` or None
        Features that one hidden unit may read; ``auto`` for two, so that units can be drawn; None for all.
    max_units : int or None
        At most so many hidden units{each}.
    skip : str
        Whether features reach the output directly as well: ``penalised`` at the price of the weights, ``free`` or
        ``none``.
    monotone : mapping or None
        Feature name or index -> +1 (never falls) or -1 (never rises), guaranteed for all inputs.
    monotone_by : str
        ``construction``: by the signs of weights. ``counterexamples``: by what the verifier finds, for inputs in the
        range of the data; better networks, of one output, and slower.
    n_units : int, tuple of (int, int) or None
        Of ``milp``: at most so many hidden units of either sign; or the number of units that add to the score and
        that subtract from it, which is easier to optimise. None for one of each.
    l1 : float or None
        Of ``milp``: the price of the absolute weights; None for `alpha`.
    l0 : float
        Price of each non-zero weight.
    unit_penalty : float
        Price of each hidden unit.
    weight_bound : float or None
        Of ``milp``: largest sum of absolute weights of a unit, features scaled to 0..1; None for 10.
    gap_tolerance : float
        Relative gap between objective and bound at which the optimum counts as proven.
    time_limit : float
        Seconds. When they are over, the best network found is kept and `gap_` says what is left.
    solver : str
        ``auto``, ``gurobi``, ``highs``, ``scip`` or ``cpsat``.
    n_jobs : int or None
        Threads; None or -1 for all cores.
    random_state : int, RandomState or None
    image_shape : tuple of int or None
        Samples are images of so many (channels,) rows and columns, and hidden units are filters over them, of
        ``any-width``. Pixels are scaled alike; `max_features_per_unit` is for a filter's weights.
    kernel, stride : tuple of (int, int)
        Of filters: their rows and columns, and how far apart their places are.
    pooling : str
        What a filter's ReLUs at all places of a cell become: their ``average``, ``sum`` or ``max``.
    grid : tuple of (int, int)
        Rows and columns of the cells; (1, 1) pools over the whole image.

    Attributes
    ----------
    network_ : Network
        In raw units{outputs}.
    objective_ : float
        Of the network, recomputed in exact arithmetic{total}.
    bound_ : float
        No network of this kind has a smaller objective; the records say who vouches for it.
    gap_ : float
        Relative distance of the two.
    status_ : str
        ``optimal`` or ``unknown``.
    n_nonzeros_, n_units_ : int
    records_ : tuple of TrainingRecord
        One for each output.
    record_ : TrainingRecord or None
        Of the only output; None where there are several.
    dual_ : DualSolution or None
        Of the only output: what proves its bound, where it comes with a proof.
"""


class ReluClassifier(ClassifierMixin, _ReluEstimator):  # type: ignore[misc]
    """A sparse ReLU network for two or more classes."""

    __doc__ = (
        "A sparse ReLU network for two or more classes, trained to the proven optimum.\n\n"
        "    Of more than two classes, each is trained against the others, and the largest score decides.\n"
    ) + PARAMETERS.format(
        losses="``hinge`` (default) or ``logistic``; ``zero_one``, training errors with a margin, of ``milp`` only.",
        each=" for each class",
        outputs=", with one output for each class, in their order; one output in all for two classes",
        total=", the sum over the classes",
    )

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on samples X, shape (samples, features), and labels y."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        weights = _weights(sample_weight, X)
        self.classes_ = np.unique(y if weights is None else y[weights > 0])
        if len(self.classes_) < 2:
            raise InputError(f"{type(self).__name__} needs two classes in the data, found 1 class; add another")
        positive = self.classes_ if len(self.classes_) > 2 else self.classes_[1:]
        self._train(X, [np.where(y == label, 1.0, -1.0) for label in positive], weights, Loss.HINGE)
        return self

    def decision_function(self, X: Any) -> FloatArray:
        """Return the network's score of each sample.

        Of two classes one score, shape (samples,): positive means the second class. Of more, one score for each
        class, shape (samples, classes).
        """
        scores = self._scores(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> Any:
        """Return the class of each sample."""
        scores = self.decision_function(X)
        return self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)]


class ReluRegressor(RegressorMixin, _ReluEstimator):  # type: ignore[misc]
    """A sparse ReLU network for real targets."""

    __doc__ = (
        "A sparse ReLU network for one or more real targets, trained to the proven optimum.\n"
    ) + PARAMETERS.format(
        losses=(
            "``squared`` (default), ``l1``, ``epsilon_insensitive`` or ``pinball``, of errors in units of the\n"
            "        target's range; ``l1`` is the default and the only one of ``milp``."
        ),
        each=" for each target",
        outputs=", with one output for each target",
        total=", the sum over the targets",
    )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on samples X, shape (samples, features), and real targets y, shape (samples,) or (samples, targets)."""
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, multi_output=True)
        y = np.asarray(y, dtype=np.float64)
        usual = Loss.L1 if self.method == Method.MILP.value else Loss.SQUARED
        self._flat = y.ndim == 1
        self._train(X, list(y.reshape(len(y), -1).T), _weights(sample_weight, X), usual)
        return self

    def predict(self, X: Any) -> FloatArray:
        """Return the network's value at each sample, in the shape of the targets it was fitted to."""
        values = self._scores(X)
        return values[:, 0] if self._flat else values


def _weights(sample_weight: Any, x: FloatArray) -> FloatArray | None:
    if sample_weight is None:
        return None
    weights: FloatArray = _check_sample_weight(sample_weight, x, ensure_non_negative=True)
    return weights
