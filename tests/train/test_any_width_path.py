"""A regularisation path goes from large to small prices, is proven at each, and chooses on rows it did not train on."""

from fractions import Fraction

import numpy as np
import pytest
from sklearn.datasets import make_moons

from verinet.errors import InputError
from verinet.program import Progress
from verinet.train import (
    AnyWidthSpecification,
    Loss,
    Objective,
    PathRule,
    Score,
    TrainingData,
    TrainOptions,
    Validation,
    cross_validate,
    regularisation_path,
    train_any_width,
)
from verinet.train.any_width.path import _part, _rows, choose, divide

PRICES = (0.003, 0.1, 0.02)
OPTIONS = TrainOptions(gap_tolerance=1e-3, seed=3)


def moons(samples: int = 40) -> TrainingData:
    x, y = make_moons(samples, noise=0.2, random_state=0)
    return TrainingData.prepare(x, 2.0 * y - 1.0, classes=True)


def curve(samples: int = 30) -> TrainingData:
    x = np.random.default_rng(0).uniform(-1, 1, (samples, 2))
    return TrainingData.prepare(x, 10 * np.abs(x[:, 0]) + x[:, 1], classes=False)


def test_a_path_of_classes_is_proven_and_validated() -> None:
    path = regularisation_path(moons(), AnyWidthSpecification(), PRICES, OPTIONS, folds=4)
    assert [point.l1 for point in path.points] == sorted(PRICES, reverse=True)
    for point in path.points:
        assert point.bound <= point.objective
        assert isinstance(point.objective, Fraction)
        assert point.gap <= OPTIONS.gap_tolerance
        assert point.train.accuracy is not None
        assert point.train.rmse is point.train.r2 is None
        assert len(point.validation.folds) == 4
        assert (point.units, point.nonzeros) == (point.result.parameters.units, point.result.parameters.nonzeros)
    objectives = [point.objective for point in path.points]
    assert objectives == sorted(objectives, reverse=True)
    errors = [point.validation.error for point in path.points]
    assert path.chosen == int(np.argmin(errors))
    assert path.best is path.points[path.chosen]


def test_warm_starts_reach_the_optimum_of_cold_ones() -> None:
    path = regularisation_path(moons(), AnyWidthSpecification(), PRICES, OPTIONS, folds=2)
    for point in path.points:
        cold = train_any_width(moons(), AnyWidthSpecification(Objective(l1=point.l1)), OPTIONS).record
        assert cold.bound <= point.objective
        assert point.bound <= cold.objective


@pytest.mark.parametrize("loss", [Loss.L1, Loss.SQUARED])
def test_a_path_of_a_real_target_has_its_errors_in_raw_units(loss: Loss) -> None:
    specification = AnyWidthSpecification(Objective(loss))
    path = regularisation_path(curve(), specification, [0.05, 1e-4], OPTIONS, folds=3)
    flat, fine = path.points
    assert fine.train.rmse is not None
    assert fine.train.rmse < 0.5 < 1.0 < flat.train.error < 10.0
    assert path.chosen == 1
    assert fine.train.r2 is not None
    assert fine.train.r2 > 0.95
    assert fine.validation.mean.r2 is not None
    assert fine.validation.mean.accuracy is None


def test_the_squared_loss_is_fitted_to_classes_too() -> None:
    (only,) = cross_validate(moons(), AnyWidthSpecification(Objective(Loss.SQUARED)), [0.001], OPTIONS, folds=2)
    assert only.mean.accuracy is not None
    assert only.mean.rmse is not None
    assert only.error == pytest.approx(1 - only.mean.accuracy)


def test_folds_are_seeded_and_hold_their_share_of_each_class() -> None:
    data = moons(43)
    members = divide(data, 5, True, 1)
    assert (members == divide(data, 5, True, 1)).all()
    assert (members != divide(data, 5, True, 2)).any()
    for label in (-1.0, 1.0):
        counts = np.bincount(members[data.y[_rows(data)] == label], minlength=5)
        assert np.ptp(counts) <= 1


def test_identical_rows_may_fall_in_different_folds() -> None:
    x = np.repeat(np.array([[0.0], [1.0], [2.0]]), [6, 1, 5], axis=0)
    data = TrainingData.prepare(x, np.sin(x[:, 0]), classes=False)
    assert data.copies.tolist() == [6, 1, 5]
    members = divide(data, 3, False, 0)
    assert len(set(members[:6])) > 1
    part = _part(data, np.array([4, 0, 2]))
    assert part.weights.tolist() == pytest.approx([2 / 3, 1 / 3])
    assert part.copies.tolist() == [4, 2]
    assert part.scaling is data.scaling


def validation(price: float, *accuracies: float) -> Validation:
    return Validation(price, tuple(Score(accuracy=value) for value in accuracies))


def test_rules_choose_the_best_or_the_simplest_within_a_standard_error() -> None:
    rows = [validation(0.1, 0.5, 0.5), validation(0.01, 0.8, 0.9), validation(0.001, 0.8, 1.0)]
    assert rows[2].error_spread == pytest.approx(0.1)
    assert rows[2].standard_error.accuracy == pytest.approx(0.1)
    assert choose(rows, PathRule.BEST) == 2
    assert choose(rows, PathRule.ONE_STANDARD_ERROR) == 1


def test_what_cannot_be_validated_is_named() -> None:
    with pytest.raises(InputError, match="at least one price"):
        cross_validate(moons(), AnyWidthSpecification(), [])
    with pytest.raises(InputError, match="folds=1"):
        cross_validate(moons(), AnyWidthSpecification(), PRICES, folds=1)
    with pytest.raises(InputError, match="l1 > 0"):
        cross_validate(moons(), AnyWidthSpecification(), [0.0])
    with pytest.raises(ValueError, match="median"):
        regularisation_path(moons(), AnyWidthSpecification(), PRICES, rule="median")


def test_an_interrupted_path_ends() -> None:
    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    options = TrainOptions(on_progress=interrupt)
    with pytest.raises(KeyboardInterrupt):
        regularisation_path(moons(), AnyWidthSpecification(), PRICES, options, folds=2)
