"""Training data: checked, scaled, and with identical rows put together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from verinet.errors import DataError
from verinet.numeric import FloatArray, IntArray

__all__ = ["Scaling", "TrainingData", "distinct_rows"]


def distinct_rows(x: FloatArray) -> tuple[FloatArray, IntArray]:
    """Return the different rows of a matrix, and for each of its rows which one it is.

    Where all rows differ they keep their order.
    """
    rows, place = np.unique(x, axis=0, return_inverse=True)
    return (x, np.arange(len(x))) if len(rows) == len(x) else (rows, place.ravel())


@dataclass(frozen=True, eq=False)
class Scaling:
    """``scaled = (raw - offset) / width`` for features and target.

    Parameters
    ----------
    offset, width : ndarray of float, shape (features,)
        The smallest value and the range of each feature.
    target_offset, target_width : float
        The same of the target; 0 and 1 for classes.
    """

    offset: FloatArray
    width: FloatArray
    target_offset: float = 0.0
    target_width: float = 1.0

    def features(self, x: FloatArray) -> FloatArray:
        """Scale features to 0..1."""
        return (x - self.offset) / self.width

    def target(self, y: FloatArray) -> FloatArray:
        """Scale a target."""
        return (y - self.target_offset) / self.target_width


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Distinct samples with weights that sum to 1.

    Parameters
    ----------
    x : ndarray, shape (samples, features)
        Raw.
    y : ndarray, shape (samples,)
        Raw target, or the classes -1 and 1.
    weights : ndarray, shape (samples,)
        Positive.
    names : tuple of str
        Of the features.
    scaling : Scaling
    copies : ndarray of int, shape (samples,)
        How many rows of the table each stands for.
    """

    x: FloatArray
    y: FloatArray
    weights: FloatArray
    names: tuple[str, ...]
    scaling: Scaling
    copies: IntArray

    @classmethod
    def prepare(
        cls,
        x: FloatArray,
        y: FloatArray,
        *,
        classes: bool,
        names: Sequence[str] | None = None,
        sample_weight: FloatArray | None = None,
        allow_constant: bool = False,
        shared: bool = False,
    ) -> "TrainingData":
        """Check a table, put identical rows together and work out the scaling.

        Parameters
        ----------
        x : ndarray, shape (samples, features)
        y : ndarray, shape (samples,)
            -1 and 1 if `classes`.
        classes : bool
        names : sequence of str or None
        sample_weight : ndarray or None
        allow_constant : bool
            Accept features with one value only; they are scaled to zero and therefore never used.
        shared : bool
            Scale all features by the same offset and width, as filters over images need it; features with one value
            are then like any other.

        Raises
        ------
        DataError
            For NaN, a constant feature, a single class, a constant target, or fewer than two samples.
        """
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        weights = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        named = tuple(names) if names is not None else tuple(f"x{i}" for i in range(x.shape[1]))
        kept = weights > 0
        x, y, weights = x[kept], y[kept], weights[kept]
        _check(x, y, weights, named, classes, allow_constant or shared)
        rows, inverse = np.unique(np.column_stack([x, y]), axis=0, return_inverse=True)
        total = np.bincount(inverse.ravel(), weights=weights, minlength=len(rows))
        copies = np.bincount(inverse.ravel(), minlength=len(rows))
        x, y = rows[:, :-1], rows[:, -1]
        offset = x.min(axis=0)
        target = (0.0, 1.0) if classes else (float(y.min()), float(np.ptp(y)))
        width = x.max(axis=0) - offset
        if shared:
            offset, width = np.full(len(offset), x.min()), np.full(len(offset), np.ptp(x))
            if not 0 < width[0] < np.inf:
                raise DataError(f"all features together range over {width[0]:g}; they cannot be scaled alike")
        scaling = Scaling(offset, np.where(width > 0, width, 1.0), *target)
        return cls(x, y, total / total.sum(), named, scaling, copies)

    @property
    def scaled_x(self) -> FloatArray:
        """The features, scaled to 0..1."""
        return self.scaling.features(self.x)

    @property
    def scaled_y(self) -> FloatArray:
        """The target, scaled."""
        return self.scaling.target(self.y)


def _check(
    x: FloatArray, y: FloatArray, weights: FloatArray, names: tuple[str, ...], classes: bool, allow_constant: bool
) -> None:
    if not (np.isfinite(x).all() and np.isfinite(y).all() and np.isfinite(weights).all()):
        raise DataError("training needs finite numbers, found NaN or infinity in the data")
    if len(y) < 2:
        raise DataError(f"training needs at least two samples, found {len(y)} sample")
    with np.errstate(over="ignore"):
        width = x.max(axis=0) - x.min(axis=0)
    constant = [names[j] for j in np.flatnonzero(width == 0)]
    if constant and not allow_constant:
        raise DataError(f"feature {constant[0]!r} has one value in all rows; leave it out, it cannot matter")
    if not np.isfinite(width).all():
        raise DataError(f"the range of feature {names[int(np.argmax(~np.isfinite(width)))]!r} overflows; rescale it")
    if classes and not set(np.unique(y)) == {-1.0, 1.0}:
        raise DataError(f"classification needs two classes in the data, found {len(np.unique(y))} class")
    if not classes and np.ptp(y) == 0:
        raise DataError(f"the target has the value {y[0]:g} in all rows, there is nothing to learn")
