"""Linear maps between flattened tensors: dense, sparse and convolutional, each keeping its structure.

A map sends a vector of `size_in` numbers to one of `size_out`; vectors are the last axis, C order, any leading
axes are a batch. Weights may be float64 or Python integers (dtype object): the same code then computes exactly.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from verinet.errors import InputError
from verinet.numeric import IntArray, integers_over_power_of_two

__all__ = ["Convolution", "Dense", "LinearMap", "Sparse"]

Numbers = NDArray[Any]


class LinearMap(ABC):
    """A linear map ``x -> M x`` that knows its structure.

    Attributes
    ----------
    weights : ndarray
        The stored parameters, each possibly used at several places of the matrix.
    """

    weights: Numbers

    @property
    @abstractmethod
    def size_in(self) -> int:
        """Length of the vectors that the map takes."""

    @property
    @abstractmethod
    def size_out(self) -> int:
        """Length of the vectors that the map returns."""

    @property
    @abstractmethod
    def longest_row(self) -> int:
        """Largest number of products in one entry of the result."""

    @property
    @abstractmethod
    def longest_column(self) -> int:
        """Largest number of products in one entry of the transposed map's result."""

    @abstractmethod
    def apply(self, x: Numbers) -> Numbers:
        """Return ``M x`` for every vector on the last axis of `x`."""

    @abstractmethod
    def apply_transposed(self, a: Numbers) -> Numbers:
        """Return ``a M`` for every row vector on the last axis of `a`."""

    @abstractmethod
    def map_weights(self, function: Callable[[Numbers], Numbers]) -> Self:
        """Return the same structure with `function` applied to the stored weights, entry by entry.

        `function` must send zero to zero, since zeros of the matrix are not all stored.
        """

    @cached_property
    def as_integers(self) -> tuple[Self, int]:
        """The map with Python integers for weights, and their common denominator, a power of two."""
        integers, denominator = integers_over_power_of_two(self.weights)
        return self.map_weights(lambda _: integers), denominator

    @cached_property
    def absolute(self) -> Self:
        """The map with the absolute values of the weights."""
        return self.map_weights(np.abs)

    @abstractmethod
    def to_sparse(self) -> "Sparse":
        """Return the map as a sparse matrix, entry for entry equal."""


def _check_finite(weights: Numbers) -> None:
    if weights.dtype != object and not np.isfinite(weights).all():
        raise InputError("a linear map needs finite weights, found NaN or infinity")


@dataclass(frozen=True, eq=False)
class Dense(LinearMap):
    """A dense matrix.

    Parameters
    ----------
    weights : ndarray, shape (size_out, size_in)
    """

    weights: Numbers

    def __post_init__(self) -> None:
        if self.weights.ndim != 2:
            raise InputError(f"a dense map needs a matrix, found shape={self.weights.shape}")
        _check_finite(self.weights)

    @property
    def size_in(self) -> int:
        return int(self.weights.shape[1])

    @property
    def size_out(self) -> int:
        return int(self.weights.shape[0])

    @property
    def longest_row(self) -> int:
        return self.size_in

    @property
    def longest_column(self) -> int:
        return self.size_out

    def apply(self, x: Numbers) -> Numbers:
        return x @ self.weights.T

    def apply_transposed(self, a: Numbers) -> Numbers:
        return a @ self.weights

    def map_weights(self, function: Callable[[Numbers], Numbers]) -> "Dense":
        return Dense(function(self.weights))

    def to_sparse(self) -> "Sparse":
        rows, columns = np.nonzero(self.weights)
        return Sparse.from_entries(rows, columns, self.weights[rows, columns], *self.weights.shape)


@dataclass(frozen=True, eq=False)
class Sparse(LinearMap):
    """A sparse matrix in compressed rows: identity, scaling, selection, permutation, concatenation, average-pool.

    Parameters
    ----------
    weights : ndarray, shape (entries,)
    columns : ndarray of int, shape (entries,)
        Column of each entry.
    offsets : ndarray of int, shape (size_out + 1,)
        Row i holds the entries ``offsets[i]:offsets[i + 1]``.
    columns_in : int
        Number of columns.
    """

    weights: Numbers
    columns: IntArray
    offsets: IntArray
    columns_in: int

    def __post_init__(self) -> None:
        _check_finite(self.weights)
        if self.columns.size and not (self.columns.min() >= 0 and self.columns.max() < self.columns_in):
            raise InputError(f"a sparse map needs columns in 0..{self.columns_in - 1}")
        if self.offsets[0] != 0 or (np.diff(self.offsets) < 0).any() or self.offsets[-1] != len(self.columns):
            raise InputError(f"a sparse map's offsets must rise from 0 to its {len(self.columns)} entries")

    @classmethod
    def from_entries(cls, rows: IntArray, columns: IntArray, weights: Numbers, size_out: int, size_in: int) -> "Sparse":
        """Build a map from its entries; no two entries may share a place."""
        order = np.lexsort((columns, rows))
        offsets = np.zeros(size_out + 1, dtype=np.int64)
        np.cumsum(np.bincount(rows, minlength=size_out), out=offsets[1:])
        return cls(weights[order], columns[order].astype(np.int64), offsets, size_in)

    @classmethod
    def selection(cls, columns: IntArray, size_in: int) -> "Sparse":
        """Build the map that copies the named entries of its argument, in that order."""
        size = len(columns)
        return cls(np.ones(size), np.asarray(columns, dtype=np.int64), np.arange(size + 1), size_in)

    @classmethod
    def placement(cls, rows: IntArray, size_out: int) -> "Sparse":
        """Build the map that writes entry i of its argument to place ``rows[i]`` and zero elsewhere."""
        size = len(rows)
        return cls.from_entries(np.asarray(rows), np.arange(size), np.ones(size), size_out, size)

    @classmethod
    def diagonal(cls, weights: Numbers) -> "Sparse":
        """Build the map that scales entry i of its argument by ``weights[i]``."""
        size = len(weights)
        return cls(np.asarray(weights), np.arange(size), np.arange(size + 1), size)

    @classmethod
    def identity(cls, size: int) -> "Sparse":
        """Build the identity map."""
        return cls.diagonal(np.ones(size))

    @property
    def size_in(self) -> int:
        return self.columns_in

    @property
    def size_out(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def longest_row(self) -> int:
        return int(np.diff(self.offsets).max(initial=0))

    @cached_property
    def longest_column(self) -> int:
        return int(np.bincount(self.columns, minlength=1).max())

    @cached_property
    def rows(self) -> IntArray:
        """Row of each entry."""
        return np.repeat(np.arange(self.size_out), np.diff(self.offsets))

    @cached_property
    def matrix(self) -> Any:
        """The map as a `scipy.sparse.csr_array`; float64 weights only."""
        return sp.csr_array((self.weights, self.columns, self.offsets), shape=(self.size_out, self.size_in))

    def apply(self, x: Numbers) -> Numbers:
        if x.dtype == object or self.weights.dtype == object:
            return _add_at(x[..., self.columns] * self.weights, self.rows, self.size_out)
        flat = x.reshape(-1, self.size_in)
        return np.asarray((self.matrix @ flat.T).T).reshape((*x.shape[:-1], self.size_out))

    def apply_transposed(self, a: Numbers) -> Numbers:
        if a.dtype == object or self.weights.dtype == object:
            return _add_at(a[..., self.rows] * self.weights, self.columns, self.size_in)
        flat = a.reshape(-1, self.size_out)
        return np.asarray((self.matrix.T @ flat.T).T).reshape((*a.shape[:-1], self.size_in))

    def map_weights(self, function: Callable[[Numbers], Numbers]) -> "Sparse":
        return replace(self, weights=function(self.weights))

    def to_sparse(self) -> "Sparse":
        return self


def _add_at(terms: Numbers, places: IntArray, size: int) -> Numbers:
    """Sum the terms of the last axis into `size` places."""
    total = np.zeros((*terms.shape[:-1], size), dtype=object)
    np.add.at(np.moveaxis(total, -1, 0), places, np.moveaxis(terms, -1, 0))
    return total


@dataclass(frozen=True, eq=False)
class Convolution(LinearMap):
    """A two-dimensional convolution (cross-correlation, as ONNX has it) with zero padding.

    Parameters
    ----------
    weights : ndarray, shape (filters, channels / groups, height, width)
    shape_in : tuple of int
        Channels, height and width of the argument.
    strides, dilations : tuple of int
        One number each for height and width.
    pads : tuple of int
        Rows above, columns left, rows below, columns right.
    groups : int
        Channels and filters fall into this many independent groups.
    """

    weights: Numbers
    shape_in: tuple[int, int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        _check_finite(self.weights)
        if self.weights.ndim != 4:
            raise InputError(f"a convolution needs a kernel of 4 axes, found shape={self.weights.shape}")
        filters, channels = self.weights.shape[:2]
        if channels * self.groups != self.shape_in[0] or filters % self.groups:
            raise InputError(
                f"a convolution with groups={self.groups} over {self.shape_in[0]} channels cannot have "
                f"a kernel of shape {self.weights.shape}"
            )
        if min(self.shape_out) < 1:
            raise InputError(f"a convolution's kernel {self.weights.shape} exceeds its padded input {self.shape_in}")

    @cached_property
    def shape_out(self) -> tuple[int, int, int]:
        """Filters, height and width of the result."""
        sizes = []
        for axis in range(2):
            padded = self.shape_in[1 + axis] + self.pads[axis] + self.pads[2 + axis]
            reach = self.dilations[axis] * (self.weights.shape[2 + axis] - 1) + 1
            sizes.append((padded - reach) // self.strides[axis] + 1)
        return (int(self.weights.shape[0]), sizes[0], sizes[1])

    @property
    def size_in(self) -> int:
        return int(np.prod(self.shape_in))

    @property
    def size_out(self) -> int:
        return int(np.prod(self.shape_out))

    @property
    def longest_row(self) -> int:
        return int(np.prod(self.weights.shape[1:]))

    @property
    def longest_column(self) -> int:
        filters, _, height, width = self.weights.shape
        return int(filters // self.groups * height * width)

    @property
    def _padded_shape(self) -> tuple[int, int, int]:
        channels, height, width = self.shape_in
        top, left, bottom, right = self.pads
        return (channels, height + top + bottom, width + left + right)

    def _window(self, row: int, column: int) -> tuple[slice, slice]:
        """Return the slices of the padded input that kernel place (row, column) meets, position by position."""
        _, height, width = self.shape_out
        top, left = row * self.dilations[0], column * self.dilations[1]
        return (
            slice(top, top + (height - 1) * self.strides[0] + 1, self.strides[0]),
            slice(left, left + (width - 1) * self.strides[1] + 1, self.strides[1]),
        )

    def apply(self, x: Numbers) -> Numbers:
        batch = x.shape[:-1]
        top, left, _, _ = self.pads
        channels, height, width = self.shape_in
        padded = np.zeros((*batch, *self._padded_shape), dtype=np.result_type(x, self.weights))
        padded[..., top : top + height, left : left + width] = x.reshape((*batch, *self.shape_in))
        filters, rows, columns = self.shape_out
        kernel = self.weights.reshape((self.groups, filters // self.groups, *self.weights.shape[1:]))
        result = np.zeros((*batch, self.groups, filters // self.groups, rows * columns), dtype=padded.dtype)
        for i in range(kernel.shape[3]):
            for j in range(kernel.shape[4]):
                patch = padded[(..., slice(None), *self._window(i, j))]
                patch = patch.reshape((*batch, self.groups, channels // self.groups, rows * columns))
                result += kernel[..., i, j] @ patch
        return result.reshape((*batch, self.size_out))

    def apply_transposed(self, a: Numbers) -> Numbers:
        batch = a.shape[:-1]
        top, left, _, _ = self.pads
        channels, height, width = self.shape_in
        filters, rows, columns = self.shape_out
        kernel = self.weights.reshape((self.groups, filters // self.groups, *self.weights.shape[1:]))
        padded = np.zeros((*batch, *self._padded_shape), dtype=np.result_type(a, self.weights))
        grouped = a.reshape((*batch, self.groups, filters // self.groups, rows * columns))
        for i in range(kernel.shape[3]):
            for j in range(kernel.shape[4]):
                part = np.swapaxes(kernel[..., i, j], -1, -2) @ grouped
                padded[(..., slice(None), *self._window(i, j))] += part.reshape((*batch, channels, rows, columns))
        inner = padded[..., top : top + height, left : left + width]
        return inner.reshape((*batch, self.size_in))

    @cached_property
    def patches(self) -> IntArray:
        """What each position reads of the first group, shape (positions, weights of a filter); -1 for padding."""
        _, rows, columns = self.shape_out
        _, height, width = self.shape_in
        r, c, channel, i, j = np.ogrid[tuple(slice(n) for n in (rows, columns, *self.weights.shape[1:]))]
        y = r * self.strides[0] + i * self.dilations[0] - self.pads[0]
        x = c * self.strides[1] + j * self.dilations[1] - self.pads[1]
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        return np.where(inside, (channel * height + y) * width + x, -1).reshape(rows * columns, -1)

    def map_weights(self, function: Callable[[Numbers], Numbers]) -> "Convolution":
        return replace(self, weights=function(self.weights))

    def to_sparse(self) -> Sparse:
        filters, groups = self.shape_out[0], self.groups
        positions = len(self.patches)
        first = np.arange(filters) // (filters // groups) * (self.size_in // groups)
        source = first[:, None, None] + self.patches
        target = (np.arange(filters)[:, None] * positions + np.arange(positions))[:, :, None]
        weights = self.weights.reshape(filters, 1, -1)
        target, source, weights, inside = np.broadcast_arrays(target, source, weights, self.patches >= 0)
        return Sparse.from_entries(target[inside], source[inside], weights[inside], self.size_out, self.size_in)
