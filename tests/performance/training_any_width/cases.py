"""The rows of the suite: data, loss, price of the weights, features of a unit."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_wine,
    make_classification,
    make_moons,
)

from verinet.errors import InputError
from verinet.numeric import FloatArray
from verinet.train import AnyWidthSpecification, Convolutional, ConvolutionalSpecification, Loss, Objective, Pooling

__all__ = ["FAMILIES", "Case", "all_cases", "select"]

PRICES = (0.01, 0.003, 0.001)
TRAINING_ROWS = 455
MOST_VARIABLE = 20
"""Pixels of the digits that are used."""


@dataclass(frozen=True, eq=False)
class Case:
    """One row of the table.

    Parameters
    ----------
    data : str
        Its name; cases with the same one have the same samples.
    x : ndarray, shape (rows, features)
    y : ndarray, shape (rows,)
        Classes -1 and 1, labels 0, 1, 2, ..., or a real target.
    loss : Loss
    l1 : float
    features : int or None
        Of a unit, at most.
    folds : bool
        Whether the test score is worth five more trainings.
    milp : bool
        Whether the explicit mixed-integer form is tried as well.
    layer : Convolutional or None
        Of filters, whose weights `features` then limits.
    """

    data: str
    x: FloatArray
    y: FloatArray
    loss: Loss
    l1: float
    features: int | None = 2
    folds: bool = True
    milp: bool = False
    layer: Convolutional | None = None

    @property
    def name(self) -> str:
        limit = "any" if self.features is None else str(self.features)
        return f"{self.data} {self.loss.value} s={limit} {self.l1:g}"

    @property
    def specification(self) -> AnyWidthSpecification | ConvolutionalSpecification:
        objective = Objective(self.loss, l1=self.l1)
        if self.layer is not None:
            return ConvolutionalSpecification(self.layer, objective, self.features)
        return AnyWidthSpecification(objective, max_features_per_unit=self.features)

    @property
    def labels(self) -> FloatArray:
        """The labels of one network each against the rest; empty where one network is enough."""
        return np.unique(self.y) if self.loss.classifies and len(np.unique(self.y)) > 2 else np.zeros(0)


def _moons() -> Iterator[Case]:
    for samples in (40, 100, 500, 2000):
        x, y = make_moons(samples, noise=0.2, random_state=0)
        for price in PRICES:
            yield Case(f"moons {samples}", x, 2.0 * y - 1.0, Loss.HINGE, price, milp=samples <= 40)


def _breast_cancer() -> Iterator[Case]:
    data = load_breast_cancer()
    x, y = data.data, 2.0 * data.target - 1.0
    train = np.random.default_rng(1).permutation(len(y))[:TRAINING_ROWS]
    for features in (1, 2, 3):
        for price in PRICES:
            yield Case("breast cancer 455x30", x[train], y[train], Loss.HINGE, price, features, folds=features < 3)


def _unrestricted() -> Iterator[Case]:
    data = load_breast_cancer()
    for width in (4, 6, 10, 30):
        x, y = data.data[:, :width], 2.0 * data.target - 1.0
        yield Case(f"breast cancer 569x{width}", x, y, Loss.HINGE, 0.01, None, folds=False)


def _diabetes() -> Iterator[Case]:
    x, y = load_diabetes(return_X_y=True)
    for loss, price in ((Loss.L1, 0.003), (Loss.SQUARED, 0.001)):
        yield Case("diabetes", x, y, loss, price)


def _several_classes() -> Iterator[Case]:
    x, y = load_wine(return_X_y=True)
    yield Case("wine", x, y.astype(float), Loss.HINGE, 0.003)
    x, y = load_digits(return_X_y=True)
    pixels = np.sort(np.argsort(-x.var(axis=0), kind="stable")[:MOST_VARIABLE])
    yield Case(f"digits {MOST_VARIABLE} pixels", x[:, pixels], y.astype(float), Loss.HINGE, 0.003, folds=False)


def _synthetic() -> Iterator[Case]:
    x, y = make_classification(
        20000, 10, n_informative=6, n_redundant=2, n_clusters_per_class=3, flip_y=0.05, random_state=0
    )
    yield Case("synthetic 20000x10", x, 2.0 * y - 1.0, Loss.HINGE, 0.003, folds=False)


def _filters() -> Iterator[Case]:
    x, y = load_digits(return_X_y=True)
    for pooling in (Pooling.AVERAGE, Pooling.MAX):
        layer = Convolutional((8, 8), (3, 3), pooling=pooling)
        for one, other in ((0, 1), (3, 8)):
            rows = np.isin(y, (one, other))
            classes = np.where(y[rows] == other, 1.0, -1.0)
            yield Case(f"filters {one} v {other} {pooling.value}", x[rows], classes, Loss.HINGE, 0.003, layer=layer)
        name = f"filters 10 digits {pooling.value}"
        yield Case(name, x, y.astype(float), Loss.HINGE, 0.003, folds=False, layer=layer)


FAMILIES: tuple[Callable[[], Iterator[Case]], ...] = (
    _moons,
    _breast_cancer,
    _unrestricted,
    _diabetes,
    _several_classes,
    _synthetic,
    _filters,
)
"""The groups of rows, in the order of the table."""


def all_cases() -> list[Case]:
    """Return every row."""
    return [case for family in FAMILIES for case in family()]


def select(cases: Sequence[Case], texts: Sequence[str]) -> list[Case]:
    """Keep the rows whose names, between blanks, contain one of some texts; all without any.

    Raises
    ------
    InputError
        If that leaves none.
    """
    kept = [case for case in cases if not texts or any(text in f" {case.name} " for text in texts)]
    if not kept:
        raise InputError(f"--select leaves none of {len(cases)} rows; the first is {cases[0].name!r}")
    return kept
