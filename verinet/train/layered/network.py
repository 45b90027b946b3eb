"""From chosen weights to a network in raw units, with everything that is not in use left out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from verinet.model import Affine, Convolution, Dense, Input, Maximum, Network, Node, Relu, Sparse
from verinet.numeric import BoolArray, FloatArray
from verinet.train.data import Scaling
from verinet.train.layered.architecture import (
    Architecture,
    AveragePoolLayer,
    ConvolutionLayer,
    DenseLayer,
    FlattenLayer,
    GatedLayer,
    LayerValues,
    MaxPoolLayer,
    ReluLayer,
)

__all__ = ["build_layers", "prune"]


@dataclass(frozen=True, eq=False)
class _Stack:
    """Nodes so far, and the name and shape of the last one."""

    nodes: tuple[Node, ...]
    last: str
    shape: tuple[int, ...]

    def then(self, name: str, op: Any, shape: tuple[int, ...]) -> "_Stack":
        """Add a node."""
        return _Stack((*self.nodes, Node(name, op, (self.last,), shape)), name, shape)


def prune(
    architecture: Architecture, values: Mapping[int, LayerValues]
) -> tuple[Architecture, dict[int, LayerValues]]:
    """Leave out units that nothing reads or that are constant, and gated layers that are off; the function is the same.

    Parameters
    ----------
    architecture : Architecture
    values : Mapping

    Returns
    -------
    Architecture
        Smaller; its positions are those of the returned weights.
    dict

    Notes
    -----
    A unit without weights is the constant relu(b): it goes where b <= 0, or where the next layer is dense and takes
    the constant into its biases. The last unit of a layer stays, so that the layer has a result.
    """
    architecture, values = _without_gates(architecture, values)
    changed = True
    while changed:
        changed = False
        for position, following in zip(architecture.weighted, architecture.weighted[1:], strict=False):
            if any(isinstance(architecture.layers[p], GatedLayer) for p in (position, following)):
                continue
            keep, after = _kept(architecture, values, position, following)
            if not keep.all():
                architecture, values = _reduced(architecture, values, position, following, keep, after)
                changed = True
                break
    return architecture, values


def _without_gates(
    architecture: Architecture, values: Mapping[int, LayerValues]
) -> tuple[Architecture, dict[int, LayerValues]]:
    layers: list[Any] = []
    kept: dict[int, LayerValues] = {}
    for position, layer in enumerate(architecture.layers):
        if isinstance(layer, GatedLayer) and not values[position].gate:
            continue
        if position in values:
            kept[len(layers)] = values[position]
        layers.append(layer)
    return Architecture(architecture.input_shape, tuple(layers)), kept


def _kept(
    architecture: Architecture, values: Mapping[int, LayerValues], position: int, following: int
) -> tuple[BoolArray, LayerValues]:
    """Tell which units stay, and what the next layer becomes before its columns go."""
    own, after = values[position], values[following]
    units = len(own.biases)
    columns = after.weights.reshape(len(after.weights), units, -1)
    read = (columns != 0).any(axis=(0, 2))
    constant = ~(own.weights.reshape(units, -1) != 0).any(axis=1)
    between = architecture.layers[position + 1 : following]
    rectified = any(isinstance(layer, ReluLayer) for layer in between)
    level = np.maximum(own.biases, 0.0) if rectified else own.biases
    silent = constant & (level == 0)
    folded = constant & ~silent & read & isinstance(architecture.layers[following], DenseLayer)
    keep = read & ~silent & ~folded
    if not keep.any() and not folded.all():
        keep[0] = not (silent[0] or folded[0] or not read[0]) or len(keep) == 1
    biases = after.biases + (columns.sum(axis=2)[:, folded] @ level[folded])
    return keep, LayerValues(after.weights, biases, after.gate)


def _reduced(
    architecture: Architecture,
    values: Mapping[int, LayerValues],
    position: int,
    following: int,
    keep: BoolArray,
    after: LayerValues,
) -> tuple[Architecture, dict[int, LayerValues]]:
    """Drop units and the columns that read them."""
    own, units = values[position], len(keep)
    if not keep.any():
        # A layer keeps one unit without effect: shapes need it, and it is gone when the network is written.
        keep = np.arange(units) == 0
    layers: list[Any] = list(architecture.layers)
    size = int(keep.sum())
    layer = layers[position]
    from dataclasses import replace

    layers[position] = (
        replace(layer, filters=size) if isinstance(layer, ConvolutionLayer) else replace(layer, units=size)
    )
    shape = after.weights.shape
    columns = after.weights.reshape(shape[0], units, -1)[:, keep]
    inner = (shape[0], size, *shape[2:]) if len(shape) == 4 else (shape[0], -1)
    smaller = dict(values)
    smaller[position] = LayerValues(own.weights[keep], own.biases[keep], own.gate)
    smaller[following] = LayerValues(columns.reshape(inner), after.biases, after.gate)
    return Architecture(architecture.input_shape, tuple(layers)), smaller
