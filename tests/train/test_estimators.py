"""The estimators behave as scikit-learn expects, and carry their proof obligations."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_wine, make_moons
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from verinet import ReluClassifier, ReluRegressor
from verinet.errors import InputError
from verinet.model import Convolution, evaluate
from verinet.train.result import Method

CLASSIFIER = ReluClassifier()
REGRESSOR = ReluRegressor()
"""Both reach the optimum in no time on the checks' data, so that no check depends on where a time limit cuts."""


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


def test_defaults_give_a_proven_sparse_network_on_breast_cancer() -> None:
    x, y = load_breast_cancer(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(x, y, random_state=0, stratify=y)
    model = ReluClassifier(alpha=3e-3).fit(train_x, train_y)
    assert model.score(test_x, test_y) > 0.93
    assert model.status_ == "optimal"
    assert model.bound_ <= model.objective_
    assert model.gap_ == pytest.approx((model.objective_ - model.bound_) / model.objective_)
    assert model.gap_ <= 1e-3
    assert model.record_.method is Method.ANY_WIDTH
    assert float(model.dual_.bound) == pytest.approx(model.bound_)
    assert (np.count_nonzero(hidden_weights(model), axis=1) <= 2).all()


def hidden_weights(model):
    return next(node.op.maps[0].weights for node in model.network_.nodes if node.name == "hidden")


def test_what_a_milp_fit_leaves_behind() -> None:
    x, y = make_moons(20, noise=0.2, random_state=0)
    model = ReluClassifier(method="milp", n_units=(1, 1), l1=0.01, gap_tolerance=1e-4, time_limit=30).fit(x, y)
    assert model.status_ == "optimal"
    assert model.gap_ <= 2e-4
    assert model.n_units_ <= 2
    assert model.network_.size_in == 2
    assert model.dual_ is None
    assert (np.sign(model.decision_function(x)) > 0).tolist() == (model.predict(x) == 1).tolist()


def test_no_network_of_the_milp_is_below_the_bound_of_any_width() -> None:
    x, y = make_moons(20, noise=0.2, random_state=0)
    wide = ReluClassifier(alpha=0.01, gap_tolerance=1e-6).fit(x, y)
    small = ReluClassifier(alpha=0.01, method="milp", n_units=(1, 1), time_limit=30).fit(x, y)
    assert wide.bound_ <= small.objective_ + 1e-9
    assert wide.objective_ <= small.objective_ * (1 + 1e-5)


@pytest.mark.parametrize("method", ["any-width", "milp"])
def test_monotone_takes_names_and_indices(method: str) -> None:
    pandas = pytest.importorskip("pandas", reason="feature names need pandas")
    frame = pandas.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 0.0, 1.0, 0.0]})
    y = [0, 0, 1, 1]
    named = ReluClassifier(method=method, monotone={"a": 1}, time_limit=5).fit(frame, y)
    indexed = ReluClassifier(method=method, monotone={0: 1}, time_limit=5).fit(frame, y)
    assert named.objective_ == pytest.approx(indexed.objective_)
    with pytest.raises(InputError, match="'c'"):
        ReluClassifier(monotone={"c": 1}).fit(frame, y)


def test_monotone_by_counterexamples_is_no_worse_than_by_construction() -> None:
    x = np.linspace(0, 1, 12)[:, None]
    y = (x[:, 0] > 0.5) + 0.05 * np.cos(40 * x[:, 0])
    signs = ReluRegressor(1e-3, loss="l1", monotone={0: 1}).fit(x, y)
    found = ReluRegressor(1e-3, loss="l1", monotone={0: 1}, monotone_by="counterexamples").fit(x, y)
    assert found.objective_ < 0.9 * signs.objective_
    assert (np.diff(found.predict(np.linspace(0, 1, 300)[:, None])) >= -1e-12).all()
    for wrong in ({"monotone_by": "magic"}, {"monotone_by": "counterexamples", "method": "milp"}):
        with pytest.raises(InputError, match="monotone_by"):
            ReluRegressor(1e-3, loss="l1", monotone={0: 1}, **wrong).fit(x, y)
    with pytest.raises(InputError, match="one output"):
        ReluRegressor(loss="l1", monotone={0: 1}, monotone_by="counterexamples").fit(x, np.column_stack([y, y]))


def test_regression_follows_a_kink() -> None:
    x = np.linspace(-1, 1, 21)[:, None]
    y = np.maximum(x[:, 0], 0) * 4 + 1
    small = ReluRegressor(1e-4, method="milp", n_units=(1, 0), time_limit=10).fit(x, y)
    assert small.score(x, y) > 0.999
    assert small.n_units_ == 1
    assert ReluRegressor(1e-4).fit(x, y).score(x, y) > 0.999


@pytest.mark.parametrize("loss", ["l1", "epsilon_insensitive", "pinball", "squared"])
def test_every_loss_of_a_regression_is_proven(loss: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(40, 2))
    y = np.abs(x[:, 0] - 0.5) + 0.05 * rng.normal(size=40)
    model = ReluRegressor(1e-3, loss=loss, epsilon=0.05, quantile=0.5).fit(x, y)
    assert model.status_ == "optimal"
    assert model.score(x, y) > 0.7


def test_a_quantile_is_learnt() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(200, 1))
    y = x[:, 0] + rng.exponential(size=200)
    model = ReluRegressor(1e-3, loss="pinball", quantile=0.9).fit(x, y)
    assert np.mean(y <= model.predict(x) + 1e-9) == pytest.approx(0.9, abs=0.03)


def test_a_unit_limit_of_either_sign() -> None:
    x = np.linspace(-1, 1, 13)[:, None]
    y = -np.abs(x[:, 0])
    model = ReluRegressor(method="milp", n_units=1, l1=1e-4, time_limit=10).fit(x, y)
    assert model.n_units_ == 1
    assert model.score(x, y) > 0.99


def test_a_limit_of_units_is_kept_and_the_gap_stays_honest() -> None:
    x, y = make_moons(60, noise=0.2, random_state=0)
    free = ReluClassifier(1e-3).fit(x, y)
    model = ReluClassifier(1e-3, max_units=2).fit(x, y)
    assert free.n_units_ > 2 >= model.n_units_
    assert model.bound_ <= free.objective_ <= model.objective_
    assert model.gap_ == pytest.approx((model.objective_ - model.bound_) / model.objective_)


@pytest.mark.parametrize("skip", ["penalised", "free", "none", True, False])
def test_a_skip_is_a_choice(skip) -> None:
    x = np.linspace(0, 1, 9)[:, None]
    model = ReluRegressor(1e-2, skip=skip).fit(x, 3 * x[:, 0])
    if skip == "free":
        assert model.objective_ == pytest.approx(0.0, abs=1e-9)
    assert (model.n_units_ == 0) == (skip not in ("none", False))


def test_it_works_in_a_pipeline_and_a_grid() -> None:
    x, y = make_moons(60, noise=0.2, random_state=0)
    pipeline = make_pipeline(StandardScaler(), ReluClassifier())
    grid = {"reluclassifier__alpha": [0.001, 0.1], "reluclassifier__max_features_per_unit": [1, 2]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(x, y)
    assert search.best_score_ > 0.8
    assert search.best_params_["reluclassifier__alpha"] == 0.001


def bars(count: int) -> np.ndarray:
    """Images of 3 by 3 that hold one bright row, one bright column or one bright diagonal, in turn."""
    plain = np.zeros((count, 3, 3))
    for n in range(count):
        i = n // 3 % 3
        if n % 3 == 0:
            plain[n, i] = 1
        elif n % 3 == 1:
            plain[n, :, i] = 1
        else:
            plain[n, range(3), np.roll(range(3), i)] = 1
    return plain.reshape(count, 9)


@pytest.mark.parametrize("pooling", ["average", "max"])
def test_units_may_be_filters(pooling: str) -> None:
    x, y = bars(9), np.arange(9) % 3
    model = ReluClassifier(1e-3, image_shape=(3, 3), kernel=(2, 2), pooling=pooling, skip="none").fit(x, y)
    assert model.status_ == "optimal"
    assert model.score(x, y) == 1.0
    assert model.network_.size_out == 3
    assert model.objective_ == pytest.approx(float(sum(r.objective for r in model.records_)))
    assert model.n_units_ <= sum(r.units for r in model.records_)
    (kernels,) = (
        m.weights for n in model.network_.nodes for m in getattr(n.op, "maps", ()) if isinstance(m, Convolution)
    )
    assert len(kernels) == model.n_units_
    assert (np.count_nonzero(kernels.reshape(len(kernels), -1), axis=1) <= 2).all()


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"method": "milp"}, "any-width"),
        ({"pooling": "median"}, "'median'"),
        ({"monotone": {0: 1}}, "monotone"),
        ({"max_units": 3}, "by number"),
        ({"image_shape": (4, 4)}, "16 pixels"),
        ({"skip": "free"}, "cannot be free"),
    ],
)
def test_what_filters_cannot_do_is_said(parameters: dict, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        ReluClassifier(**{"image_shape": (3, 3), **parameters}).fit(bars(6), np.arange(6) % 2)


def test_each_class_is_trained_against_the_others() -> None:
    x, y = load_wine(return_X_y=True)
    labels = np.array(["red", "rose", "white"])[y]
    model = ReluClassifier(3e-3).fit(x, labels)
    assert model.score(x, labels) > 0.97
    assert model.network_.size_out == 3
    assert model.decision_function(x).shape == (len(x), 3)
    assert len(model.records_) == 3
    assert model.status_ == "optimal"
    assert model.record_ is None
    assert model.objective_ == pytest.approx(sum(float(record.objective) for record in model.records_))
    assert model.bound_ == pytest.approx(sum(record.bound for record in model.records_))
    assert model.gap_ <= 1e-3
    single = ReluClassifier(3e-3).fit(x, labels == "rose")
    np.testing.assert_allclose(model.decision_function(x)[:, 1], single.decision_function(x), atol=1e-6)
    assert model.records_[1].bound == pytest.approx(single.bound_)


def test_outputs_that_are_multiples_share_their_units() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(60, 2))
    y = np.abs(x[:, 0] - 0.4) + np.maximum(x[:, 1] - 0.6, 0)
    single = ReluRegressor(1e-3).fit(x, y)
    model = ReluRegressor(1e-3).fit(x, np.column_stack([y, 3 * y - 1]))
    assert model.n_units_ == single.n_units_ > 1
    np.testing.assert_allclose(model.predict(x), np.column_stack([single.predict(x), 3 * single.predict(x) - 1]))
    assert model.predict(x).shape == (60, 2)
    np.testing.assert_array_equal(model.predict(x), evaluate(model.network_, x))
    assert model.objective_ == pytest.approx(2 * single.objective_)


def test_all_cores_and_one_find_the_same() -> None:
    x, y = make_moons(60, noise=0.2, random_state=0)
    one, all_cores = (ReluClassifier(1e-3, n_jobs=n).fit(x, y) for n in (1, -1))
    assert one.objective_ == pytest.approx(all_cores.objective_, rel=2e-3)


def test_features_that_are_constant_are_never_used() -> None:
    x, y = make_moons(40, noise=0.2, random_state=0)
    model = ReluClassifier(1e-3).fit(np.column_stack([x, np.full(40, 7.0)]), y)
    assert model.record_.features == ("x0", "x1")
    assert model.status_ == "optimal"


X, Y = [[0.0, 1.0], [1.0, 0.0], [2.0, 1.0]], [0, 1, 1]


@pytest.mark.parametrize(
    ("estimator", "x", "y", "message"),
    [
        (ReluClassifier(loss="l1"), X, Y, "does not fit ReluClassifier; use one of 'hinge'"),
        (ReluRegressor(loss="hinge"), X, Y, "does not fit ReluRegressor; use one of"),
        (ReluClassifier(loss="zero_one"), X, Y, "convex loss, found zero_one; .* or the method milp"),
        (ReluClassifier(loss="logistic", method="milp"), X, Y, "use the method any-width"),
        (ReluClassifier(alpha=0), X, Y, "needs alpha > 0, found alpha=0: without a price .* always a wider network"),
        (ReluRegressor(alpha=-1.0), X, Y, "needs alpha > 0, found alpha=-1"),
        (ReluClassifier(alpha=float("nan")), X, Y, "needs alpha > 0"),
        (ReluClassifier(method="sgd"), X, Y, "method='sgd' is not known; use 'any-width' or 'milp'"),
        (ReluClassifier(n_units=2), X, Y, "n_units is a parameter of method='milp'; .* max_units"),
        (ReluClassifier(l1=0.1), X, Y, "l1 is a parameter of method='milp'; .* alpha"),
        (ReluClassifier(method="milp", max_features_per_unit=1), X, Y, "leave it at 'auto'"),
        (ReluClassifier(method="milp", skip="free"), X, Y, "free skip"),
        (ReluClassifier(max_features_per_unit=3), X, Y, "between 1 and the number of features, 2, found 3"),
        (ReluClassifier(max_features_per_unit=0), X, Y, "between 1 and the number of features, 2, found 0"),
        (ReluClassifier(max_features_per_unit="all"), X, Y, "use 'auto', a number or None"),
        (ReluClassifier(max_units=-1), X, Y, "units >= 0"),
        (ReluClassifier(skip="maybe"), X, Y, "'penalised', 'free' or 'none'"),
        (ReluClassifier(n_jobs=0), X, Y, "n_jobs"),
        (ReluRegressor(loss="pinball", quantile=1.0), X, Y, "quantile between 0 and 1"),
        (ReluRegressor(loss="epsilon_insensitive", epsilon=-1), X, Y, "epsilon >= 0"),
        (ReluClassifier(), X, [1, 1, 1], "needs two classes in the data, found 1 class"),
        (ReluClassifier(), X[:1], Y[:1], "needs two classes"),
        (ReluRegressor(), X[:1], Y[:1], "at least two samples, found 1 sample"),
        (ReluRegressor(), X, [2.0, 2.0, 2.0], "the value 2 in all rows"),
        (ReluClassifier(), [[float("nan"), 0.0], *X[1:]], Y, "NaN"),
        (ReluRegressor(), X, [0.0, float("nan"), 1.0], "NaN"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(estimator, x, y, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        estimator.fit(x, y)
