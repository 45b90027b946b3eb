"""The operations a network is made of.

Four suffice: `Input`, `Affine` (any number of arguments: residual additions and concatenations are affine maps of
several inputs), `Relu` and `Maximum`. Leaky ReLU, clipping, average-pooling and batch normalisation are written with
these when a file is read. All tensors are flat vectors; a node's shape is kept beside it for reading and export.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from verinet.errors import InputError
from verinet.model.linear_map import LinearMap
from verinet.numeric import FloatArray, IntArray

__all__ = ["Affine", "Input", "Maximum", "Op", "Relu"]


@dataclass(frozen=True, eq=False)
class Input:
    """A part of the network's input vector.

    Parameters
    ----------
    size : int
        Number of its entries.
    """

    size: int

    @property
    def sizes_in(self) -> tuple[int, ...]:
        """Length of each argument: none."""
        return ()

    @property
    def size_out(self) -> int:
        """Length of the result."""
        return self.size


@dataclass(frozen=True, eq=False)
class Affine:
    """``y = sum_i M_i x_i + bias`` over the arguments x_i.

    Parameters
    ----------
    maps : tuple of LinearMap
        One for each argument, all of one `size_out`.
    bias : ndarray of float, shape (size_out,)
    """

    maps: tuple[LinearMap, ...]
    bias: FloatArray

    def __post_init__(self) -> None:
        if not self.maps:
            raise InputError("an affine operation needs at least one argument")
        if any(m.size_out != len(self.bias) for m in self.maps):
            raise InputError(
                f"an affine operation with {len(self.bias)} biases cannot hold maps with "
                f"{[m.size_out for m in self.maps]} results"
            )
        if not np.isfinite(self.bias).all():
            raise InputError("an affine operation needs finite biases, found NaN or infinity")

    @property
    def sizes_in(self) -> tuple[int, ...]:
        """Length of each argument."""
        return tuple(m.size_in for m in self.maps)

    @property
    def size_out(self) -> int:
        """Length of the result."""
        return len(self.bias)

    @cached_property
    def longest_row(self) -> int:
        """Largest number of products in one entry of the result."""
        return sum(m.longest_row for m in self.maps)


@dataclass(frozen=True, eq=False)
class Relu:
    """``y = max(0, x)``, entry by entry.

    Parameters
    ----------
    size : int
        Number of entries.
    """

    size: int

    @property
    def sizes_in(self) -> tuple[int, ...]:
        """Length of each argument."""
        return (self.size,)

    @property
    def size_out(self) -> int:
        """Length of the result."""
        return self.size


@dataclass(frozen=True, eq=False)
class Maximum:
    """``y_j = max of x_i over i in group j``: max-pool, or the maximum of several tensors once concatenated.

    Parameters
    ----------
    members : ndarray of int
        Indices of the argument's entries, group after group.
    offsets : ndarray of int, shape (size_out + 1,)
        Group j is ``members[offsets[j]:offsets[j + 1]]``, never empty.
    size : int
        Length of the argument.
    """

    members: IntArray
    offsets: IntArray
    size: int

    def __post_init__(self) -> None:
        if (np.diff(self.offsets) < 1).any():
            raise InputError("a maximum needs at least one member in each of its groups")
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.members):
            raise InputError(f"a maximum's offsets must run from 0 to its {len(self.members)} members")
        if len(self.members) and not (self.members.min() >= 0 and self.members.max() < self.size):
            raise InputError(f"a maximum's members must lie in 0..{self.size - 1}")

    @property
    def sizes_in(self) -> tuple[int, ...]:
        """Length of each argument."""
        return (self.size,)

    @property
    def size_out(self) -> int:
        """Length of the result."""
        return len(self.offsets) - 1

    @cached_property
    def groups(self) -> tuple[IntArray, ...]:
        """The members of each group."""
        return tuple(np.split(self.members, self.offsets[1:-1]))


Op = Input | Affine | Relu | Maximum
"""Every operation; a table keyed on type covers these four."""
