"""What the outputs of a network are to learn, from a column of a table."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from verinet.errors import DataError
from verinet.io import Dataset
from verinet.numeric import FloatArray
from verinet.train import Loss

__all__ = ["Targets", "class_targets", "targets_of"]

MOST_CLASSES = 100
"""More values of a target that are taken for classes are a mistake rather than a wish."""


@dataclass(frozen=True, eq=False)
class Targets:
    """What each output is to learn.

    Parameters
    ----------
    of_output : Mapping of str to ndarray, shape (rows,)
        Under the output's name.
    classes : tuple of str
        The names of the classes -1 and 1, of one output; empty for numbers, and for several outputs.
    """

    of_output: Mapping[str, FloatArray]
    classes: tuple[str, ...] = ()


def targets_of(table: Dataset, loss: Loss) -> Targets:
    """Return what a loss needs of a table: numbers, or classes as `class_targets` returns them.

    Raises
    ------
    DataError
        If it needs numbers and the target is text; or see `class_targets`.
    """
    if loss.classifies:
        return class_targets(table)
    if table.y.dtype.kind != "f":
        raise DataError(f"regression needs numbers in column {table.target_name!r}, found text")
    return Targets({table.target_name: np.asarray(table.y, dtype=np.float64)})


def class_targets(table: Dataset) -> Targets:
    """Return classes as -1 and 1.

    Of two classes the later name (or larger number) is 1, the other -1; of more, each has an output, with 1 for it and
    -1 for the others.

    Raises
    ------
    DataError
        If there are fewer than two classes, or so many that they hardly are classes.
    """
    classes = np.unique(table.y)
    if len(classes) < 2:
        raise DataError(
            f"classification needs two classes in column {table.target_name!r} or more, found {len(classes)} "
            f"({', '.join(map(str, classes))})"
        )
    if len(classes) > MOST_CLASSES:
        raise DataError(
            f"column {table.target_name!r} has {len(classes)} values, more than the {MOST_CLASSES} classes that one "
            "network may tell apart; for real targets use a loss of regressions, such as 'squared'"
        )
    names = tuple(label if isinstance(label, str) else f"{label:.12g}" for label in classes.tolist())
    signs = [np.where(table.y == label, 1.0, -1.0) for label in classes]
    if len(classes) == 2:
        return Targets({table.target_name: signs[1]}, names)
    return Targets({f"{table.target_name}[{name}]": y for name, y in zip(names, signs, strict=True)})
