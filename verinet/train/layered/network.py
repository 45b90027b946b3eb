"""From chosen weights to a network in raw units, with everything that is not in use left out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from verinet.model import Affine, Convolution, Dense, Input, Maximum, Network, Node, Relu, Sparse
from verinet.numeric import BoolArray
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


def prune(architecture: Architecture, values: Mapping[int, LayerValues]) -> tuple[Architecture, dict[int, LayerValues]]:
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
            if not keep.all() and not _is_blank(values[position], values[following]):
                architecture, values = _reduced(architecture, values, position, following, keep, after)
                changed = True
                break
    return architecture, values


def _is_blank(own: LayerValues, after: LayerValues) -> bool:
    """Tell whether a layer is the one unit without effect that stays of an empty one."""
    return len(own.biases) == 1 and not own.weights.any() and not own.biases.any() and not after.weights.any()


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
    biases = after.biases + (columns.sum(axis=2)[:, folded] @ level[folded])
    columns = np.where(folded[:, None], 0.0, columns)
    return keep, LayerValues(columns.reshape(after.weights.shape), biases, after.gate)


def _reduced(
    architecture: Architecture,
    values: Mapping[int, LayerValues],
    position: int,
    following: int,
    keep: BoolArray,
    after: LayerValues,
) -> tuple[Architecture, dict[int, LayerValues]]:
    """Drop units and the columns that read them; of a layer without any, one unit without weights stays."""
    own, units = values[position], len(keep)
    if not keep.any():
        keep = np.arange(units) == 0
        own = LayerValues(np.zeros_like(own.weights), np.zeros_like(own.biases), own.gate)
        after = LayerValues(np.zeros_like(after.weights), after.biases, after.gate)
    layers: list[Any] = list(architecture.layers)
    layer, size = layers[position], int(keep.sum())
    number = {"filters" if isinstance(layer, ConvolutionLayer) else "units": size}
    layers[position] = replace(layer, **number)
    shape = after.weights.shape
    columns = after.weights.reshape(shape[0], units, -1)[:, keep]
    inner = (shape[0], size, *shape[2:]) if len(shape) == 4 else (shape[0], -1)
    smaller = dict(values)
    smaller[position] = LayerValues(own.weights[keep], own.biases[keep], own.gate)
    smaller[following] = LayerValues(columns.reshape(inner), after.biases, after.gate)
    return Architecture(architecture.input_shape, tuple(layers)), smaller


def build_layers(
    architecture: Architecture, values: Mapping[int, LayerValues], scaling: Scaling, *, pruned: bool = True
) -> Network:
    """Write chosen weights as a network over raw features.

    Parameters
    ----------
    architecture : Architecture
    values : Mapping
        In scaled features.
    scaling : Scaling
        Becomes a node of its own before the first layer, so that whole weights stay whole.
    pruned : bool
        Whether to leave out what has no effect.

    Notes
    -----
    Soundness: the scale ``1 / width`` is rounded, so the written network *is* the network from here on; whoever states
    its objective evaluates this one.
    """
    if pruned:
        architecture, values = prune(architecture, values)
    size = int(np.prod(architecture.input_shape))
    stack = _Stack((Node("input", Input(size), shape=architecture.input_shape),), "input", architecture.input_shape)
    begin = _first_that_matters(architecture, values) if pruned else None
    if begin is None and (np.any(scaling.width != 1) or np.any(scaling.offset != 0)):
        scale = 1.0 / scaling.width
        stack = stack.then(
            "scale", Affine((Sparse.diagonal(scale),), -scaling.offset * scale), architecture.input_shape
        )
    for position, layer in enumerate(architecture.layers):
        if begin is not None and position < begin:
            continue
        if begin == position:
            stack = _constant(stack, values[position], architecture.shapes[position + 1], position)
            continue
        stack = WRITERS[type(layer)](architecture, position, stack, values.get(position))
    if scaling.target_width != 1 or scaling.target_offset != 0:
        outputs = architecture.outputs
        unscale = Affine(
            (Sparse.diagonal(np.full(outputs, scaling.target_width)),), np.full(outputs, scaling.target_offset)
        )
        stack = stack.then("output", unscale, (outputs,))
    return Network(stack.nodes, (stack.last,))


def _first_that_matters(architecture: Architecture, values: Mapping[int, LayerValues]) -> int | None:
    """Return the last layer whose weights are all zero: nothing before it has an effect."""
    silent = [p for p in architecture.weighted if not values[p].weights.any() and values[p].gate]
    return silent[-1] if silent else None


def _constant(stack: _Stack, values: LayerValues, shape: tuple[int, ...], position: int) -> _Stack:
    """Write a layer without weights: its biases, whatever the input."""
    size, inputs = int(np.prod(shape)), stack.nodes[0].op.size_out
    nothing = Sparse.from_entries(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), size, inputs)
    biases = np.repeat(values.biases, size // len(values.biases))
    return stack.then(f"constant{position}", Affine((nothing,), biases), shape)


def _write_affine(architecture: Architecture, position: int, stack: _Stack, values: LayerValues) -> _Stack:
    linear = architecture.linear_map(position, values.weights)
    biases = np.repeat(values.biases, linear.size_out // len(values.biases))
    name = "filters" if isinstance(linear, Convolution) else "dense"
    assert isinstance(linear, Convolution | Dense)
    return stack.then(f"{name}{position}", Affine((linear,), biases), architecture.shapes[position + 1])


def _write_relu(architecture: Architecture, position: int, stack: _Stack, values: LayerValues) -> _Stack:
    return stack.then(f"relu{position}", Relu(int(np.prod(stack.shape))), stack.shape)


def _write_gated(architecture: Architecture, position: int, stack: _Stack, values: LayerValues) -> _Stack:
    if not values.gate:
        return stack
    return _write_relu(architecture, position, _write_affine(architecture, position, stack, values), values)


def _write_max_pool(architecture: Architecture, position: int, stack: _Stack, values: LayerValues) -> _Stack:
    members, offsets = architecture.windows(position)
    op = Maximum(members, offsets, int(np.prod(stack.shape)))
    return stack.then(f"pool{position}", op, architecture.shapes[position + 1])


def _write_average_pool(architecture: Architecture, position: int, stack: _Stack, values: LayerValues) -> _Stack:
    members, offsets = architecture.windows(position)
    windows = len(offsets) - 1
    share = Sparse(np.full(len(members), windows / len(members)), members, offsets, int(np.prod(stack.shape)))
    return stack.then(f"pool{position}", Affine((share,), np.zeros(windows)), architecture.shapes[position + 1])


def _write_flatten(architecture: Architecture, position: int, stack: _Stack, values: LayerValues) -> _Stack:
    shape = architecture.shapes[position + 1]
    if stack.shape == shape:
        return stack
    size = shape[0]
    return stack.then(f"flatten{position}", Affine((Sparse.identity(size),), np.zeros(size)), shape)


WRITERS: Mapping[type, Callable[[Architecture, int, _Stack, Any], _Stack]] = {
    DenseLayer: _write_affine,
    ConvolutionLayer: _write_affine,
    GatedLayer: _write_gated,
    ReluLayer: _write_relu,
    MaxPoolLayer: _write_max_pool,
    AveragePoolLayer: _write_average_pool,
    FlattenLayer: _write_flatten,
}
"""How each layer is written."""
