"""The layer whose weights change: what enters it at a point, what follows it, and the network with other weights."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from verinet.errors import InputError
from verinet.model import Affine, Convolution, Dense, Input, Network, Node, evaluate_exact
from verinet.numeric import FloatArray

__all__ = ["RepairLayer", "repair_layers"]


@dataclass(frozen=True, eq=False)
class RepairLayer:
    """An affine node of a network with its weights as one vector: those of its map, then one bias a unit or filter.

    Parameters
    ----------
    network : Network
    node : Node
        Affine, and exactly one of its maps is dense or a convolution.
    """

    network: Network
    node: Node

    @property
    def name(self) -> str:
        """Of the node."""
        return self.node.name

    @property
    def op(self) -> Affine:
        """Its operation."""
        assert isinstance(self.node.op, Affine)
        return self.node.op

    @cached_property
    def place(self) -> int:
        """Which of its maps has the weights."""
        return _weighted(self.op)[0]

    @property
    def map(self) -> Dense | Convolution:
        """The map that has the weights."""
        found = self.op.maps[self.place]
        assert isinstance(found, Dense | Convolution)
        return found

    @property
    def units(self) -> int:
        """Neurons or filters."""
        return len(self.map.weights)

    @cached_property
    def current(self) -> FloatArray:
        """All weights, then the bias of each unit, at a filter's first place."""
        return np.concatenate([self.map.weights.ravel(), self.op.bias.reshape(self.units, -1)[:, 0]])

    @cached_property
    def is_single(self) -> bool:
        """Whether all parameters of the network are float32 numbers, so that changed ones have to be too."""
        arrays = [op.bias for op in self._affine] + [m.weights for op in self._affine for m in op.maps]
        with np.errstate(over="ignore"):
            return all(bool((np.asarray(a, dtype=np.float32).astype(np.float64) == a).all()) for a in arrays)

    @property
    def _affine(self) -> list[Affine]:
        return [node.op for node in self.network.nodes if isinstance(node.op, Affine)]

    def with_parameters(self, parameters: FloatArray) -> Network:
        """Return the network with other weights and biases, rounded to float32 where all others are.

        The biases of a filter's places move together.
        """
        if self.is_single:
            with np.errstate(over="ignore"):
                parameters = np.asarray(parameters, dtype=np.float32).astype(np.float64)
        count = self.map.weights.size
        changed = replace(self.map, weights=parameters[:count].reshape(self.map.weights.shape))
        maps = tuple(changed if k == self.place else m for k, m in enumerate(self.op.maps))
        per_unit = self.op.bias.reshape(self.units, -1)
        moved = parameters[count:] != per_unit[:, 0]
        shifts = np.where(moved, parameters[count:] - per_unit[:, 0], 0.0)[:, None]
        # Where all places of a filter have one bias, it becomes the new number itself.
        bias = np.where(per_unit == per_unit[:, :1], parameters[count:][:, None], per_unit + shifts)
        node = replace(self.node, op=Affine(maps, bias.ravel()))
        return replace(self.network, nodes=tuple(node if n.name == self.name else n for n in self.network.nodes))

    @cached_property
    def dependent(self) -> frozenset[str]:
        """Names of the nodes whose values depend on the layer, itself among them."""
        found = {self.name}
        for node in self.network.nodes:
            if any(argument in found for argument in node.arguments):
                found.add(node.name)
        return frozenset(found)

    @cached_property
    def tail(self) -> Network:
        """What follows: its inputs are the layer's results, then the values of earlier nodes that matter still."""
        by_name = self.network.by_name
        later = [n for n in self.network.nodes if n.name in self.dependent and n.name != self.name]
        needed = [a for n in later for a in n.arguments] + list(self.network.outputs)
        known = [name for name in dict.fromkeys(needed) if name not in self.dependent]
        inputs = [Node(name, Input(by_name[name].op.size_out)) for name in (self.name, *known)]
        return Network((*inputs, *later), self.network.outputs)

    def entering(self, point: Sequence[Fraction]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return what enters the layer's map at a point, its results, and the other inputs of what follows.

        Exact values, each rounded once.
        """
        names = (self.node.arguments[self.place], *self.tail.inputs)
        probe = replace(self.network, outputs=names)
        values = [float(v) for v in evaluate_exact(probe, point)]
        first = self.network.by_name[names[0]].op.size_out
        second = first + self.op.size_out
        return np.array(values[:first]), np.array(values[first:second]), np.array(values[second:])

    def effect(self, entering: FloatArray) -> sp.csr_array:
        """Return how the layer's results move with each of its parameters, shape (results, parameters)."""
        units, positions = self.units, self.op.size_out // self.units
        if isinstance(self.map, Convolution):
            patches = np.append(entering, 0.0)[self.map.patches].reshape(positions, -1)
        else:
            patches = entering[None, :]
        weights = sp.kron(sp.identity(units), sp.csr_array(patches), format="csr")
        biases = sp.kron(sp.identity(units), np.ones((positions, 1)), format="csr")
        return sp.csr_array(sp.hstack([weights, biases], format="csr"))


def _weighted(op: Affine) -> list[int]:
    return [k for k, m in enumerate(op.maps) if isinstance(m, Dense) or (isinstance(m, Convolution) and m.groups == 1)]


def repair_layers(network: Network) -> tuple[RepairLayer, ...]:
    """List the layers of a network that can be repaired, in its order: dense ones and convolutions.

    Parameters
    ----------
    network : Network

    Raises
    ------
    InputError
        If there is none.
    """
    found = tuple(
        RepairLayer(network, node)
        for node in network.nodes
        if isinstance(node.op, Affine) and len(_weighted(node.op)) == 1
    )
    if not found:
        raise InputError("repair needs a dense layer or a convolution, the network has none")
    return found
