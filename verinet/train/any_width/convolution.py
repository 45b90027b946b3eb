"""Filters over images as a family of hidden units: one filter's ReLUs at all positions, pooled to one value or a grid.

A filter's values are linear in what is pooled, so the columns-and-rows loop of any-width training serves filters as
it does dense units. Patches that occur at many places are one row.
"""

from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from verinet.errors import InputError
from verinet.model import Convolution
from verinet.numeric import FloatArray, IntArray
from verinet.train.any_width.family import Family, supports_of

__all__ = ["Convolutional", "Pooling", "convolutional_family"]


class Pooling(Enum):
    """How a filter's values at the positions of a cell become one."""

    SUM = "sum"
    AVERAGE = "average"
    MAX = "max"


@dataclass(frozen=True)
class Convolutional:
    """What filters look at, and how their values are pooled.

    Parameters
    ----------
    shape : tuple of int
        Of an image: channels, height and width, or height and width of one channel.
    kernel : tuple of int
        Height and width of a filter; it sees all channels.
    stride : tuple of int
        Down and across.
    pooling : Pooling
    grid : tuple of int
        Rows and columns of cells of positions; each cell is pooled on its own. (1, 1) pools all positions.
    padding : int
        Only 0.

    Raises
    ------
    InputError
        If the filter does not fit the image, the grid not the positions, or there is padding.
    """

    shape: tuple[int, ...]
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    pooling: Pooling = Pooling.AVERAGE
    grid: tuple[int, int] = (1, 1)
    padding: int = 0

    def __post_init__(self) -> None:
        if len(self.shape) not in (2, 3) or min(self.shape) < 1:
            raise InputError(
                f"images need a shape (channels, height, width) or (height, width), found shape={self.shape}"
            )
        if self.padding != 0:
            raise InputError(f"filters are trained without padding, found padding={self.padding}; pad the images")
        if min(self.stride) < 1:
            raise InputError(f"a filter's stride is at least 1, found stride={self.stride}")
        if min(self.kernel) < 1 or any(k > n for k, n in zip(self.kernel, self.shape[-2:], strict=True)):
            raise InputError(f"a filter of kernel={self.kernel} does not fit images of shape={self.shape}")
        if min(self.grid) < 1 or any(g > n for g, n in zip(self.grid, self.positions, strict=True)):
            raise InputError(
                f"a grid of cells has between 1 and {self.positions} rows and columns, found grid={self.grid}"
            )

    @property
    def full_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels = self.shape[0] if len(self.shape) == 3 else 1
        return (channels, self.shape[-2], self.shape[-1])

    @property
    def pixels(self) -> int:
        """Number of entries of an image, all channels."""
        return int(np.prod(self.shape))

    @property
    def positions(self) -> tuple[int, int]:
        """How many places of a filter there are, down and across."""
        height, width = self.shape[-2:]
        return (
            (height - self.kernel[0]) // self.stride[0] + 1,
            (width - self.kernel[1]) // self.stride[1] + 1,
        )

    @property
    def coordinates(self) -> int:
        """Number of a filter's weights, without its bias."""
        return self.full_shape[0] * self.kernel[0] * self.kernel[1]

    def convolution(self, filters: FloatArray) -> Convolution:
        """Return the map of some filters.

        Parameters
        ----------
        filters : ndarray, shape (filters, coordinates)
        """
        weights = filters.reshape(len(filters), self.full_shape[0], *self.kernel)
        return Convolution(weights, self.full_shape, self.stride)

    @cached_property
    def patches(self) -> IntArray:
        """Which pixels a filter reads at each position, shape (positions, coordinates)."""
        return self.convolution(np.zeros((1, self.coordinates))).patches

    @cached_property
    def cells(self) -> tuple[IntArray, ...]:
        """The positions of each cell, row after row of the grid."""
        rows, columns = self.positions
        places = np.arange(rows * columns).reshape(rows, columns)
        return tuple(
            part.ravel()
            for band in np.array_split(places, self.grid[0], axis=0)
            for part in np.array_split(band, self.grid[1], axis=1)
        )


def convolutional_family(images: FloatArray, description: Convolutional, most: int | None = None) -> Family:
    """Return the pooled filters at some images.

    Parameters
    ----------
    images : ndarray, shape (points, pixels)
        Scaled, all pixels alike.
    description : Convolutional
    most : int or None
        Weights of a filter that may differ from zero, beside the bias; None for all.

    Returns
    -------
    Family
        A filter's last weight is its bias.

    Raises
    ------
    InputError
        If the images do not have the description's shape, or see `supports_of`.
    """
    if images.ndim != 2 or images.shape[1] != description.pixels:
        raise InputError(
            f"images of shape={description.shape} have {description.pixels} pixels, found data of {images.shape}"
        )
    patches = images[:, description.patches]
    patches = np.concatenate([patches, np.ones((*patches.shape[:2], 1))], axis=2)
    supports = supports_of(description.coordinates, most)
    if description.pooling is Pooling.MAX:
        return _of_maxima(patches, description.cells, supports)
    return _of_sums(patches, description.cells, supports, average=description.pooling is Pooling.AVERAGE)


def _of_sums(patches: FloatArray, cells: tuple[IntArray, ...], supports: IntArray, *, average: bool) -> Family:
    """Make each distinct patch a term, and count how often each point's cells hold it."""
    points, positions, width = patches.shape
    rows, inverse = np.unique(patches.reshape(-1, width), axis=0, return_inverse=True)
    places = inverse.reshape(points, positions)
    mixes = []
    for cell in cells:
        share = 1.0 / len(cell) if average else 1.0
        who = np.repeat(np.arange(points), len(cell))
        counts = sp.coo_array(
            (np.ones(len(who)), (who, places[:, cell].ravel())), shape=(points, len(rows)), dtype=np.float64
        )
        mixes.append(sp.csr_array(counts.tocsr() * share))
    return Family(rows, np.arange(1, len(rows) + 1), tuple(mixes), supports)


def _of_maxima(patches: FloatArray, cells: tuple[IntArray, ...], supports: IntArray) -> Family:
    """Make each point's distinct patches of each cell a term."""
    points = len(patches)
    groups = [np.unique(patches[n, cell], axis=0) for cell in cells for n in range(points)]
    mixes = tuple(
        sp.csr_array(
            (np.ones(points), (np.arange(points), np.arange(points) + c * points)), shape=(points, len(groups))
        )
        for c in range(len(cells))
    )
    return Family(np.concatenate(groups), np.cumsum([len(group) for group in groups]), mixes, supports)
