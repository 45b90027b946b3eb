"""Pools whose windows tile the image: recognised when a network is written, so that the file has a pool for a pool."""

import numpy as np

from verinet.numeric import IntArray

__all__ = ["tiles_of"]


def tiles_of(groups: IntArray, shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Return height and width of the windows that groups of entries are; None if they are not such windows.

    Parameters
    ----------
    groups : ndarray of int, shape (groups, members)
        Places in the flattened image.
    shape : tuple of int
        Of the image: one, channels, rows, columns.

    Returns
    -------
    tuple of int or None
        Windows next to one another, that together are every channel, in the order of their rows and columns.
    """
    if len(shape) != 4 or shape[0] != 1 or not groups.size or groups.size != np.prod(shape):
        return None
    _, channels, rows, columns = shape
    width = int(np.count_nonzero(groups[0] < columns))
    if not width or columns % width or groups.shape[1] % width:
        return None
    height = groups.shape[1] // width
    if rows % height:
        return None
    places = np.arange(groups.size).reshape(channels, rows // height, height, columns // width, width)
    tiles = places.transpose(0, 1, 3, 2, 4).reshape(-1, height * width)
    return (height, width) if np.array_equal(groups, tiles) else None
