"""What is compared: any-width networks, one for each label where there are several, and scikit-learn's models."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from tests.performance.training_any_width.cases import Case
from verinet.model import evaluate
from verinet.numeric import FloatArray
from verinet.train import (
    Specification,
    TrainedOutputs,
    TrainingData,
    TrainingRecord,
    TrainOptions,
    train,
    train_outputs,
)

__all__ = ["Fitted", "boosted", "fit_any_width", "fold_score", "linear", "milp_gap", "perceptron", "score"]

MANY_ROWS = 5000
"""More are boosted with histograms."""

Predict = Callable[[FloatArray], FloatArray]
Fit = Callable[[FloatArray, FloatArray], Predict]


@dataclass(frozen=True, eq=False)
class Fitted:
    """Any-width networks of a case.

    Parameters
    ----------
    trained : TrainedOutputs
        Of one output, or one a label.
    labels : ndarray
        Empty where there is one.
    classes : bool
    """

    trained: TrainedOutputs
    labels: FloatArray
    classes: bool

    def predict(self, x: FloatArray) -> FloatArray:
        outputs = evaluate(self.trained.network, x)
        if len(self.labels):
            return self.labels[np.argmax(outputs, axis=1)]
        return np.where(outputs[:, 0] > 0, 1.0, -1.0) if self.classes else outputs[:, 0]

    @property
    def units(self) -> int:
        return self.trained.parameters.units

    @property
    def nonzeros(self) -> int:
        return self.trained.parameters.nonzeros

    @property
    def gap(self) -> float:
        """The largest."""
        return max(record.gap for record in self.trained.records)

    def seconds_to(self, gap: float) -> float | None:
        """Return the seconds until every network's gap was as small, added up; None if one never was."""
        times = [_seconds_to(record, gap) for record in self.trained.records]
        return None if None in times else sum(time for time in times if time is not None)


def _seconds_to(record: TrainingRecord, gap: float) -> float | None:
    for step in record.history:
        if step.objective is not None and step.objective - step.bound <= gap * abs(step.objective):
            return step.seconds
    return None


def fit_any_width(case: Case, x: FloatArray, y: FloatArray, options: TrainOptions) -> Fitted:
    """Train the networks of a case on some samples."""
    targets = [np.where(y == label, 1.0, -1.0) for label in case.labels] if len(case.labels) else [y]
    shared = case.layer is not None
    tables = [
        TrainingData.prepare(x, target, classes=case.loss.classifies, allow_constant=True, shared=shared)
        for target in targets
    ]
    # The limit is for each output.
    together = replace(options, time_limit=options.time_limit * len(tables))
    return Fitted(train_outputs(tables, case.specification, together), case.labels, case.loss.classifies)


def score(case: Case, y: FloatArray, predicted: FloatArray) -> float:
    """Return the accuracy, or R2 for a real target."""
    return float(accuracy_score(y, predicted) if case.loss.classifies else r2_score(y, predicted))


def fold_score(case: Case, fit: Fit) -> float:
    """Return the mean score on five folds that the fits do not see."""
    kind = StratifiedKFold if case.loss.classifies else KFold
    scores = []
    for train_rows, test_rows in kind(5, shuffle=True, random_state=0).split(case.x, case.y):
        predict = fit(case.x[train_rows], case.y[train_rows])
        scores.append(score(case, case.y[test_rows], predict(case.x[test_rows])))
    return float(np.mean(scores))


def linear(case: Case) -> Fit:
    """Logistic or linear regression."""
    return _fit_of(lambda: LogisticRegression(max_iter=5000) if case.loss.classifies else LinearRegression())


def boosted(case: Case) -> Fit:
    """Gradient-boosted trees; with histograms where there are many rows."""
    kind = GradientBoostingClassifier if case.loss.classifies else GradientBoostingRegressor
    if len(case.y) > MANY_ROWS:
        kind = HistGradientBoostingClassifier
    return _fit_of(lambda: kind(random_state=0))


def perceptron(case: Case, units: int) -> Fit:
    """A network of as many hidden units, by gradient descent."""
    kind = MLPClassifier if case.loss.classifies else MLPRegressor
    return _fit_of(lambda: kind(hidden_layer_sizes=(max(units, 1),), max_iter=2000, random_state=0))


def _fit_of(make: Callable[[], object]) -> Fit:
    def fit(x: FloatArray, y: FloatArray) -> Predict:
        model = make_pipeline(MinMaxScaler(), make())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, y)
        return model.predict

    return fit


def milp_gap(case: Case, fitted: Fitted, options: TrainOptions) -> float:
    """Return the gap that the mixed-integer form with the same units has when its time is over."""
    outputs = fitted.trained.parameters.outputs[0]
    specification = Specification(
        max(int((outputs > 0).sum()), 1), max(int((outputs < 0).sum()), 1), objective=case.specification.objective
    )
    return train(TrainingData.prepare(case.x, case.y, classes=True), specification, options).record.gap
