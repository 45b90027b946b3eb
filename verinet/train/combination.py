"""Several trained outputs as one network: their hidden units side by side, equal ones once."""

from collections.abc import Sequence

import numpy as np

from verinet.errors import InputError
from verinet.numeric import FloatArray
from verinet.train.export import RawParameters

__all__ = ["combine"]

SAME_DIRECTION = 1e-12
"""Units whose weights agree so well, entry by entry and relative, are one unit with two output weights."""


def combine(parts: Sequence[RawParameters], *, multiples: bool) -> RawParameters:
    """Put networks with one output each side by side; equal hidden units become one.

    Parameters
    ----------
    parts : sequence of RawParameters
        Of the same features and of one output each.
    multiples : bool
        Whether units that are a positive multiple of one another count as equal. Their output weight takes the
        factor, rounded: a part of the result may differ from the given one by roundoff. Directions of units stay.

    Raises
    ------
    InputError
        If there are none.
    """
    if not parts:
        raise InputError("a combined network needs at least one output, found none; give the networks to combine")
    rows: list[FloatArray] = []
    entries: list[tuple[int, int, float]] = []
    for output, part in enumerate(parts):
        for row, value in zip(np.column_stack([part.weights, part.biases]), part.outputs[0], strict=True):
            unit, factor = _place(rows, row, multiples)
            entries.append((output, unit, factor * float(value)))
    table = np.array(rows).reshape(len(rows), parts[0].weights.shape[1] + 1)
    outputs = np.zeros((len(parts), len(rows)))
    for output, unit, value in entries:
        outputs[output, unit] += value
    skip, offsets = np.concatenate([p.skip for p in parts]), np.concatenate([p.offsets for p in parts])
    return RawParameters(table[:, :-1], table[:, -1], outputs, skip, offsets)


def _place(rows: list[FloatArray], row: FloatArray, multiples: bool) -> tuple[int, float]:
    """Return the place of a unit among others and the factor to it; add it where it is new."""
    others = np.array(rows).reshape(len(rows), len(row))
    factors = np.abs(row).sum() / np.abs(others).sum(axis=1)
    if multiples:
        same = np.isclose(row, factors[:, None] * others, rtol=SAME_DIRECTION, atol=0.0).all(axis=1)
    else:
        same = (row == others).all(axis=1)
    if not same.any():
        rows.append(row)
        return len(rows) - 1, 1.0
    place = int(np.argmax(same))
    return place, 1.0 if np.array_equal(row, rows[place]) else float(factors[place])
