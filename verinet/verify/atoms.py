"""Sound bounds of atoms over a network's enclosure."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from verinet.bounds import NetworkBounds
from verinet.model import Atom, Conjunction, Side
from verinet.numeric import FloatArray, float_down

__all__ = ["atom_bounds", "refuted_by"]


def _split(bounds: NetworkBounds, side: Side, rows: FloatArray) -> dict[str, FloatArray]:
    """Distribute functionals of the whole input or output vector over the nodes that make it up."""
    network = bounds.network
    names = network.inputs if side is Side.INPUT else network.outputs
    ends = np.cumsum([network.by_name[name].op.size_out for name in names])
    parts: dict[str, FloatArray] = {}
    for name, part in zip(names, np.split(rows, ends[:-1], axis=1), strict=True):
        parts[name] = parts[name] + part if name in parts else part
    return parts


def atom_bounds(bounds: NetworkBounds, atoms: Sequence[Atom]) -> FloatArray:
    """Bound each atom's expression from below over the bounds' input set.

    Parameters
    ----------
    bounds : NetworkBounds
    atoms : sequence of Atom

    Returns
    -------
    ndarray, shape (atoms,)
        Valid for the exact expression: coefficients that are no float64 numbers are rounded and the error, times the
        symbol's magnitude, is subtracted.
    """
    network = bounds.network
    rows = {
        Side.INPUT: np.zeros((len(atoms), network.size_in)),
        Side.OUTPUT: np.zeros((len(atoms), network.size_out)),
    }
    magnitude = {Side.INPUT: bounds.inputs.box.magnitude, Side.OUTPUT: bounds.output.magnitude}
    slack = [Fraction(0)] * len(atoms)
    for i, atom in enumerate(atoms):
        for symbol, coefficient in atom.expression.terms:
            nearest = float(coefficient)
            rows[symbol.side][i, symbol.index] = nearest
            error = abs(Fraction(nearest) - coefficient)
            if error:
                slack[i] += error * Fraction(float(magnitude[symbol.side][symbol.index]))
    functionals: dict[str, FloatArray] = {}
    for side in Side:
        if rows[side].any():
            functionals |= _split(bounds, side, rows[side])
    values = bounds.lower(functionals) if functionals else np.zeros(len(atoms))
    constants = [atom.expression.constant for atom in atoms]
    shifted = values + np.array([float_down(c - s) for c, s in zip(constants, slack, strict=True)])
    return np.asarray(np.nextafter(shifted, -np.inf))


def refuted_by(conjunction: Conjunction, lower: FloatArray) -> bool:
    """Return whether lower bounds of its atoms exclude a conjunction: one atom is positive, or zero and strict."""
    return any(low > 0 or (low >= 0 and atom.strict) for atom, low in zip(conjunction, lower, strict=True))
