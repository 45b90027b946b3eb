"""What an ONNX value becomes while a file is interpreted, and the builder of the network's nodes.

A value is a constant array or a `Tensor`: a node of the network under construction, seen under a shape. The shape is
ONNX's own, batch axis included; the node's vector is its entries in C order. Operators that only rename axes therefore
need no node at all, and every other movement of entries is a selection, written as an array of indices.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verinet.errors import InputError
from verinet.io.onnx_file import MOST_ENTRIES
from verinet.model import Affine, LinearMap, Maximum, Node, Op, Relu, Sparse
from verinet.numeric import BoolArray, FloatArray, IntArray

__all__ = ["Constant", "GraphBuilder", "Tensor", "Term", "Value", "indices_of", "is_identity", "model_shape"]

Constant = NDArray[Any]
"""A value known when the file is read; floats are float64."""


@dataclass(frozen=True)
class Tensor:
    """A value that depends on the network's input.

    Parameters
    ----------
    node : str
        The node whose vector holds its entries, in C order.
    shape : tuple of int
        ONNX's shape, batch axis included.
    """

    node: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(np.prod(self.shape))


Value = Constant | Tensor

Term = tuple[LinearMap, Tensor]
"""A linear map and what it is applied to."""


def indices_of(value: Value) -> IntArray:
    """Return an array of the value's shape in which each entry holds its own place in the vector."""
    return np.arange(value.size, dtype=np.int64).reshape(value.shape)


def model_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape kept beside a node: without a leading batch axis of one, unless it is the only axis."""
    return shape[1:] if len(shape) > 1 and shape[0] == 1 else shape


def is_identity(linear_map: LinearMap) -> bool:
    """Decide whether a map is a sparse identity."""
    return (
        isinstance(linear_map, Sparse)
        and linear_map.size_in == linear_map.size_out == len(linear_map.columns)
        and bool((linear_map.weights == 1).all())
        and bool((linear_map.columns == np.arange(linear_map.size_in)).all())
        and bool((np.diff(linear_map.offsets) == 1).all())
    )


class GraphBuilder:
    """Collects nodes under unique names, and notes.

    Parameters
    ----------
    reserved : iterable of str
        Names of the file's values: auxiliary nodes never take them.
    """

    def __init__(self, reserved: Iterable[str]) -> None:
        self.nodes: dict[str, Node] = {}
        self.notes: list[str] = []
        self._reserved = frozenset(reserved)

    def add(self, name: str, op: Op, arguments: Sequence[Tensor], shape: tuple[int, ...]) -> Tensor:
        """Add a node and return its result under a shape."""
        node = Node(name, op, tuple(argument.node for argument in arguments), model_shape(shape))
        self.nodes[name] = node
        return Tensor(name, shape)

    def auxiliary(self, name: str) -> str:
        """Return a name for a node that the file does not have, the given one if it is free."""
        candidate, count = name, 1
        while candidate in self.nodes or candidate in self._reserved:
            count += 1
            candidate = f"{name}_{count}"
        return candidate

    def note(self, sentence: str) -> None:
        """Record what the network's reader should know, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def affine(self, name: str, terms: Sequence[Term], bias: FloatArray, shape: tuple[int, ...]) -> Tensor:
        """Add ``sum_i M_i x_i + bias``, or nothing where that is its argument unchanged."""
        if len(terms) == 1 and is_identity(terms[0][0]) and not bias.any():
            return Tensor(terms[0][1].node, shape)
        maps, arguments = zip(*terms, strict=True)
        return self.add(name, Affine(maps, bias.astype(np.float64)), arguments, shape)

    def select(self, name: str, tensor: Tensor, indices: IntArray, fill: float = 0.0) -> Tensor:
        """Add the tensor of the given entries; an index of -1 stands for the number `fill`."""
        if not 0 < indices.size <= MOST_ENTRIES:
            raise InputError(f"a tensor of shape {indices.shape} is empty or too large")
        flat = indices.ravel()
        taken = flat >= 0
        if taken.all():
            selection = Sparse.selection(flat, tensor.size)
        else:
            rows = np.flatnonzero(taken)
            selection = Sparse.from_entries(rows, flat[taken], np.ones(len(rows)), flat.size, tensor.size)
        return self.affine(name, [(selection, tensor)], np.where(taken, 0.0, fill), indices.shape)

    def relu(self, name: str, tensor: Tensor) -> Tensor:
        """Add ``max(0, x)``, entry by entry."""
        return self.add(name, Relu(tensor.size), [tensor], tensor.shape)

    def maximum(
        self, name: str, tensor: Tensor, members: IntArray, shape: tuple[int, ...], taken: BoolArray | None = None
    ) -> Tensor:
        """Add the maximum over each row of `members`, of those where `taken` holds.

        Parameters
        ----------
        name : str
        tensor : Tensor
        members : ndarray of int, shape (groups, most)
        shape : tuple of int
            Shape of the result.
        taken : ndarray of bool, shape (groups, most), optional
            All where it is absent.
        """
        mask = np.ones(members.shape, dtype=bool) if taken is None else taken
        counts = mask.sum(axis=1)
        if (counts == 1).all():
            return self.select(name, tensor, members[mask].reshape(shape))
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return self.add(name, Maximum(members[mask], offsets, tensor.size), [tensor], shape)
