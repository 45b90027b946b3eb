"""Sound bounds of atoms over a network's enclosure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from verinet.bounds import NetworkBounds
from verinet.model import Atom, Conjunction, LinearExpression, Network, Region, Side, Symbol
from verinet.numeric import FloatArray, float_down
from verinet.verify.finding import Finding, Outlook

__all__ = [
    "BEYOND_FLOATS",
    "FloatAtoms",
    "are_floats_enough",
    "atom_bounds",
    "float_atoms",
    "refuted_at_once",
    "refuted_by",
]

BEYOND_FLOATS = "bounds of an output are too large for floats, and a coefficient of it is a decimal that floats round"
"""Why float rows say nothing about an atom."""

FLOAT_BITS, LARGEST_EXPONENT = 53, 1000
"""Of a float64: bits of its whole part over a power of two, and more than the exponents that are left to exact code."""


def _add_functionals(
    functionals: dict[str, FloatArray], network: Network, names: Sequence[str], rows: FloatArray
) -> None:
    """Distribute functionals of a vector over the nodes that make it up; a node may stand in it more than once."""
    ends = np.cumsum([network.by_name[name].op.size_out for name in names])
    for name, part in zip(names, np.split(rows, ends[:-1], axis=1), strict=True):
        functionals[name] = functionals[name] + part if name in functionals else part


@dataclass(frozen=True, eq=False)
class FloatAtoms:
    """Atoms as float rows: each expression is at least ``inputs . x + outputs . y + constants``.

    Parameters
    ----------
    inputs : ndarray, shape (atoms, size_in)
    outputs : ndarray, shape (atoms, size_out)
    constants : ndarray, shape (atoms,)
        Lowered by what the rounding of coefficients and constants can change over the bounds; minus infinity where
        bounds of a symbol are too large for floats.
    """

    inputs: FloatArray
    outputs: FloatArray
    constants: FloatArray


def _first_places(network: Network) -> dict[Symbol, Symbol]:
    """Map each symbol that repeats another, because its node stands in the vectors more than once, to the first."""
    seen: dict[tuple[str, int], Symbol] = {}
    repeated: dict[Symbol, Symbol] = {}
    names = (*network.inputs, *network.outputs)
    if len(set(names)) == len(names):
        return repeated
    for side, sources in ((Side.INPUT, network.inputs), (Side.OUTPUT, network.outputs)):
        entries = ((name, k) for name in sources for k in range(network.by_name[name].op.size_out))
        for index, entry in enumerate(entries):
            symbol = Symbol(side, index)
            if seen.setdefault(entry, symbol) != symbol:
                repeated[symbol] = seen[entry]
    return repeated


def _without_repetition(expression: LinearExpression, first: dict[Symbol, Symbol]) -> LinearExpression:
    """Add up coefficients that meet in one entry of one node, exactly; floats would round their sum."""
    if not first:
        return expression
    return LinearExpression.from_terms([(first.get(s, s), c) for s, c in expression.terms], expression.constant)


def _is_float(value: Fraction) -> bool:
    """Return whether a number is a float64 for sure, by its bits; very large and very small ones are not seen."""
    denominator = value.denominator
    few = value.numerator.bit_length() <= FLOAT_BITS and denominator.bit_length() <= LARGEST_EXPONENT
    return few and denominator & (denominator - 1) == 0


def float_atoms(bounds: NetworkBounds, atoms: Sequence[Atom]) -> FloatAtoms:
    """Round atoms safely over a network's enclosure.

    Parameters
    ----------
    bounds : NetworkBounds
    atoms : sequence of Atom
    """
    network = bounds.network
    rows = {
        Side.INPUT: np.zeros((len(atoms), network.size_in)),
        Side.OUTPUT: np.zeros((len(atoms), network.size_out)),
    }
    magnitude = {Side.INPUT: bounds.inputs.box.magnitude, Side.OUTPUT: bounds.output.magnitude}
    constants = np.zeros(len(atoms))
    first = _first_places(network)
    for i, atom in enumerate(atoms):
        slack, is_known = Fraction(0), True
        for symbol, coefficient in _without_repetition(atom.expression, first).terms:
            nearest = float(coefficient)
            rows[symbol.side][i, symbol.index] = nearest
            if not _is_float(coefficient):
                error, largest = abs(Fraction(nearest) - coefficient), float(magnitude[symbol.side][symbol.index])
                is_known = is_known and math.isfinite(largest)
                slack += error * Fraction(largest) if is_known else 0
        constants[i] = float_down(atom.expression.constant - slack) if is_known else -math.inf
    return FloatAtoms(rows[Side.INPUT], rows[Side.OUTPUT], constants)


def are_floats_enough(bounds: NetworkBounds, atoms: Sequence[Atom]) -> bool:
    """Return whether float rows say anything about every atom."""
    return bool(np.isfinite(float_atoms(bounds, atoms).constants).all())


def atom_bounds(bounds: NetworkBounds, atoms: Sequence[Atom]) -> FloatArray:
    """Bound each atom's expression from below over the bounds' input set.

    Parameters
    ----------
    bounds : NetworkBounds
    atoms : sequence of Atom

    Returns
    -------
    ndarray, shape (atoms,)
        Valid for the exact expression.
    """
    rounded = float_atoms(bounds, atoms)
    functionals: dict[str, FloatArray] = {}
    _add_functionals(functionals, bounds.network, bounds.network.inputs, rounded.inputs)
    _add_functionals(functionals, bounds.network, bounds.network.outputs, rounded.outputs)
    values = bounds.lower(functionals)
    return np.asarray(np.nextafter(values + rounded.constants, -np.inf))


def refuted_by(conjunction: Conjunction, lower: FloatArray) -> bool:
    """Return whether lower bounds of its atoms exclude a conjunction: one atom is positive, or zero and strict."""
    return any(low > 0 or (low >= 0 and atom.strict) for atom, low in zip(conjunction, lower, strict=True))


def refuted_at_once(bounds: NetworkBounds, region: Region) -> Finding | None:
    """Return a refutation if bounds alone exclude every conjunction of a region.

    Parameters
    ----------
    bounds : NetworkBounds
        Of the region.
    region : Region
    """
    if not all(case and refuted_by(case, atom_bounds(bounds, case)) for case in region.unsafe):
        return None
    evidence = (f"rounding-safe bounds refuted {len(region.unsafe)} case(s) at once",)
    return Finding(Outlook.REFUTED, evidence=evidence, unstable=bounds.unstable)
