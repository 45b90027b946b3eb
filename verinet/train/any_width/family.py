"""Families of hidden units: which values a unit of given weights has at every point, linear in what is pooled.

A family is data: rows that a weight vector is multiplied with, terms that take the greatest of some rows and zero, and
mixes that add terms up to a unit's value at every point. A ReLU of ``w . x + b`` has one row (x, 1) and one term a
point; a filter whose ReLUs are summed over all positions has one row for each distinct patch, and the mix counts how
often a point holds it; a max-pooled one has one term a point, over the patches it holds. A mix for each cell of a grid
gives the filter a value, and an output weight, for each cell.
"""

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from verinet.errors import InputError
from verinet.numeric import FloatArray, IntArray, gamma
from verinet.train.data import distinct_rows

__all__ = ["Family", "dense_family", "supports_of"]

MOST_SUPPORTS = 500_000
"""More subsets of features than that are not enumerated."""


@dataclass(frozen=True, eq=False)
class Family:
    """Hidden units with weights w of L1 norm 1.

    Parameters
    ----------
    rows : ndarray, shape (rows, width)
        The last column is the bias's: ones.
    ends : ndarray of int, shape (terms,)
        Where each term's rows end.
    mixes : tuple of csr_array, shape (points, terms)
        One a cell.
    supports : ndarray of int, shape (supports, size)
        Coordinates that a unit may use.
    """

    rows: FloatArray
    ends: IntArray
    mixes: tuple[sp.csr_array, ...]
    supports: IntArray

    @property
    def points(self) -> int:
        """Number of points at which units are evaluated."""
        return int(self.mixes[0].shape[0])

    @property
    def width(self) -> int:
        """Number of weights of a unit, the bias among them."""
        return int(self.rows.shape[1])

    @cached_property
    def _transposed(self) -> tuple[sp.csr_array, ...]:
        return tuple(sp.csr_array(mix.T) for mix in self.mixes)

    @cached_property
    def reach(self) -> FloatArray:
        """The greatest value that a unit can have at each point, at most."""
        largest = np.maximum.reduceat(np.abs(self.rows).max(axis=1), np.concatenate([[0], self.ends[:-1]]))
        most: FloatArray = np.max([abs(mix) @ largest for mix in self.mixes], axis=0)
        return most * (1.0 + 1e-12)

    def values(self, weights: FloatArray, cell: int = 0) -> FloatArray:
        """Evaluate units at all points.

        Parameters
        ----------
        weights : ndarray, shape (units, width)
        cell : int

        Returns
        -------
        ndarray, shape (points, units)
        """
        products = self.rows @ weights.T
        if len(self.ends) < len(self.rows):
            products = np.maximum.reduceat(products, np.concatenate([[0], self.ends[:-1]]), axis=0)
        return np.asarray(self.mixes[cell] @ np.maximum(products, 0.0))

    def pull_back(self, prices: FloatArray, cell: int = 0) -> FloatArray:
        """Return the terms' weights for which a unit's priced values are the terms' weighted sum."""
        return np.asarray(self._transposed[cell] @ prices)

    def rounding(self, prices: FloatArray, reach: FloatArray, cell: int = 0) -> float:
        """Return what `pull_back` and the mix may take from a bound by rounding.

        Parameters
        ----------
        prices : ndarray, shape (points,)
        reach : ndarray, shape (terms,)
            The greatest value of each term, whatever the weights.
        cell : int
        """
        mix = self._transposed[cell]
        longest = int(np.diff(mix.indptr).max(initial=0))
        if longest <= 1 and (mix.data == 1.0).all():
            return 0.0
        # One rounding for each product and sum, and one for an entry of the mix, such as a share of an average.
        return 2.0 * gamma(2 * longest + 2) * float((mix @ np.abs(prices)) @ reach)


def supports_of(features: int, most: int | None) -> IntArray:
    """List the sets of coordinates of units with at most so many features, the bias as the last coordinate of each.

    Parameters
    ----------
    features : int
    most : int or None
        None for all features in one unit.

    Raises
    ------
    InputError
        If `most` is not between 1 and the number of features, or there are too many sets.
    """
    if most is None:
        return np.arange(features + 1)[None, :]
    if not 1 <= most <= features:
        raise InputError(
            f"max_features_per_unit needs to be between 1 and the number of features, {features}, found {most}"
        )
    if math.comb(features, most) > MOST_SUPPORTS:
        raise InputError(
            f"max_features_per_unit={most} of {features} features are {math.comb(features, most)} sets, more than "
            f"{MOST_SUPPORTS}; use fewer, or None for all features in one unit"
        )
    sets = np.array(list(itertools.combinations(range(features), most)), dtype=np.int64)
    return np.column_stack([sets, np.full(len(sets), features)])


def dense_family(x: FloatArray, most: int | None) -> Family:
    """Return the ReLUs of at most so many features of each point.

    Points that are equal share a row: their prices add up before units are priced, and what is left is much easier to
    bound than prices of either sign at one point.

    Parameters
    ----------
    x : ndarray, shape (points, features)
        Scaled.
    most : int or None
        Features of one unit; None for no limit.
    """
    points = len(x)
    distinct, place = distinct_rows(x)
    rows = np.column_stack([distinct, np.ones(len(distinct))])
    mix = sp.csr_array((np.ones(points), (np.arange(points), place)), shape=(points, len(rows)))
    return Family(rows, np.arange(1, len(rows) + 1), (mix,), supports_of(x.shape[1], most))
