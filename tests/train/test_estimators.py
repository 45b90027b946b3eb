"""The estimators behave as scikit-learn expects, and carry their proof obligations."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, make_moons
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from verinet import ReluClassifier, ReluRegressor
from verinet.errors import InputError

CLASSIFIER = ReluClassifier((1, 0), l1=0.1, time_limit=60.0)
REGRESSOR = ReluRegressor((0, 0), time_limit=60.0)
"""Both are optimised in no time on the checks' data, so that no check depends on where a time limit cuts."""


def checks(estimator):
    for estimator_, check in estimator_checks_generator(estimator):
        name = getattr(check, "func", check).__name__
        yield pytest.param(estimator_, check, id=f"{type(estimator_).__name__}-{name}")


@pytest.mark.parametrize(("estimator", "check"), [*checks(CLASSIFIER), *checks(REGRESSOR)])
def test_scikit_learn_accepts_the_estimator(estimator, check) -> None:
    with warnings.catch_warnings():
        # Checks that do not apply say so by a warning.
        warnings.simplefilter("ignore")
        check(estimator)


def test_defaults_give_a_sparse_network_on_breast_cancer() -> None:
    x, y = load_breast_cancer(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(x, y, random_state=0, stratify=y)
    model = ReluClassifier(time_limit=8).fit(train_x, train_y)
    assert model.score(test_x, test_y) > 0.93
    assert model.n_nonzeros_ <= 30
    assert model.bound_ <= model.objective_
    assert model.gap_ == pytest.approx((model.objective_ - model.bound_) / model.objective_)
    assert model.status_ in ("optimal", "unknown")


def test_what_a_fit_leaves_behind() -> None:
    x, y = make_moons(20, noise=0.2, random_state=0)
    model = ReluClassifier((1, 1), l1=0.01, time_limit=30).fit(x, y)
    assert model.status_ == "optimal"
    assert model.gap_ <= 2e-4
    assert model.n_units_ <= 2
    assert model.network_.size_in == 2
    assert (np.sign(model.decision_function(x)) > 0).tolist() == (model.predict(x) == 1).tolist()


def test_monotone_takes_names_and_indices() -> None:
    pandas = pytest.importorskip("pandas", reason="feature names need pandas")
    frame = pandas.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 0.0, 1.0, 0.0]})
    y = [0, 0, 1, 1]
    named = ReluClassifier(monotone={"a": 1}, time_limit=5).fit(frame, y)
    indexed = ReluClassifier(monotone={0: 1}, time_limit=5).fit(frame, y)
    assert named.objective_ == pytest.approx(indexed.objective_)
    with pytest.raises(InputError, match="'c'"):
        ReluClassifier(monotone={"c": 1}).fit(frame, y)


def test_regression_follows_a_kink() -> None:
    x = np.linspace(-1, 1, 21)[:, None]
    y = np.maximum(x[:, 0], 0) * 4 + 1
    model = ReluRegressor((1, 0), l1=1e-4, time_limit=10).fit(x, y)
    assert model.score(x, y) > 0.999
    assert model.n_units_ == 1


def test_a_unit_limit_of_either_sign() -> None:
    x = np.linspace(-1, 1, 13)[:, None]
    y = -np.abs(x[:, 0])
    model = ReluRegressor(1, l1=1e-4, time_limit=10).fit(x, y)
    assert model.n_units_ == 1
    assert model.score(x, y) > 0.99


def test_it_works_in_a_pipeline_and_a_grid() -> None:
    x, y = make_moons(24, noise=0.2, random_state=0)
    pipeline = make_pipeline(StandardScaler(), ReluClassifier(time_limit=1))
    search = GridSearchCV(pipeline, {"reluclassifier__l1": [0.01, 0.1]}, cv=2).fit(x, y)
    assert search.best_score_ > 0.6


@pytest.mark.parametrize("estimator", [ReluClassifier(loss="l1"), ReluRegressor(loss="hinge")])
def test_a_loss_of_the_other_kind_is_refused(estimator) -> None:
    with pytest.raises(InputError, match="does not fit"):
        estimator.fit([[0.0], [1.0]], [0, 1])


def test_three_classes_are_refused_in_a_sentence() -> None:
    with pytest.raises(InputError, match="binary"):
        ReluClassifier().fit([[0.0], [1.0], [2.0]], [0, 1, 2])
