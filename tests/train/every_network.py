"""The optimum of a stack of layers by brute force: every network of quantised weights, all of them at once.

It shares nothing with the trainer but the specification: forward passes, losses and prices are written out here.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from verinet.train import Loss, Objective, TrainingData
from verinet.train.layered import (
    Architecture,
    ConvolutionLayer,
    DenseLayer,
    FlattenLayer,
    GatedLayer,
    Goal,
    LayeredSpecification,
    MaxPoolLayer,
    ReluLayer,
)
from verinet.train.layered.losses import MARGIN_TOLERANCE

__all__ = ["brute_force"]

DIGITS = 12
"""Goals are compared one after the other: two networks with one value must not differ by how their sums are rounded."""


@dataclass(frozen=True)
class Weights:
    """What one layer has in every network: kernels, biases, and whether its gate is open."""

    kernels: np.ndarray
    biases: np.ndarray
    gates: np.ndarray


def brute_force(specification: LayeredSpecification, data: TrainingData) -> tuple[float, ...]:
    """Return the goals of the best network, in the order of the specification."""
    weights = every_network(specification.architecture)
    outputs = outputs_of_all(specification.architecture, weights, data.scaled_x)
    goals = [GOALS[goal](specification, data, weights, outputs) for goal in specification.goals]
    rounded = [np.round(values, DIGITS) for values in goals]
    best = np.lexsort(rounded[::-1])[0]
    return tuple(float(values[best]) for values in goals)


def every_network(architecture: Architecture) -> dict[int, Weights]:
    """Return all weights of a small architecture of quantised layers, but none behind a gate that is closed."""
    choices: list[tuple[float, ...]] = []
    for position in architecture.weighted:
        layer: Any = architecture.layers[position]
        shape = architecture.kernel_shape(position)
        choices += [layer.weights.values] * int(np.prod(shape))
        choices += [layer.weights.values if layer.bias else (0.0,)] * shape[0]
        choices.append((0.0, 1.0) if isinstance(layer, GatedLayer) else (1.0,))
    table = np.array(list(itertools.product(*choices)))
    result, place, allowed = {}, 0, np.ones(len(table), dtype=bool)
    for position in architecture.weighted:
        shape = architecture.kernel_shape(position)
        size = int(np.prod(shape))
        kernels, biases, gate = np.split(table[:, place : place + size + shape[0] + 1], [size, size + shape[0]], axis=1)
        allowed &= gate[:, 0].astype(bool) | ~(kernels.any(axis=1) | biases.any(axis=1))
        result[position] = Weights(kernels.reshape(-1, *shape), biases, gate[:, 0].astype(bool))
        place += size + shape[0] + 1
    return {p: Weights(w.kernels[allowed], w.biases[allowed], w.gates[allowed]) for p, w in result.items()}


# ------------------------------------------------------------------------------------------------------------ outputs


def outputs_of_all(architecture: Architecture, weights: Mapping[int, Weights], x: np.ndarray) -> np.ndarray:
    """Return the outputs, shape (networks, samples, outputs)."""
    count = len(weights[architecture.weighted[0]].gates)
    values = np.broadcast_to(x, (count, *x.shape))
    for position, layer in enumerate(architecture.layers):
        values = FORWARD[type(layer)](layer, architecture.shapes[position], values, weights.get(position))
    return values


def dense(layer: Any, shape: tuple[int, ...], values: np.ndarray, own: Weights | None) -> np.ndarray:
    assert own is not None
    return np.einsum("nui,nsi->nsu", own.kernels, values) + own.biases[:, None, :]


def gated(layer: Any, shape: tuple[int, ...], values: np.ndarray, own: Weights | None) -> np.ndarray:
    assert own is not None
    return np.where(own.gates[:, None, None], np.maximum(dense(layer, shape, values, own), 0.0), values)


def convolution(layer: ConvolutionLayer, shape: tuple[int, ...], values: np.ndarray, own: Weights | None) -> np.ndarray:
    assert own is not None
    assert layer.padding == 0
    windows = windows_of(values, shape, layer.kernel, layer.strides)
    heights = np.einsum("nucij,nscrkij->nsurk", own.kernels, windows) + own.biases[:, None, :, None, None]
    return heights.reshape(*values.shape[:2], -1)


def pooling(layer: MaxPoolLayer, shape: tuple[int, ...], values: np.ndarray, own: Weights | None) -> np.ndarray:
    windows = windows_of(values, shape, layer.kernel, layer.strides or layer.kernel)
    return windows.max(axis=(-2, -1)).reshape(*values.shape[:2], -1)


def windows_of(
    values: np.ndarray, shape: tuple[int, ...], kernel: tuple[int, int], strides: tuple[int, int]
) -> np.ndarray:
    """Return the windows of images, shape (networks, samples, channels, rows, columns, height, width)."""
    images = values.reshape(*values.shape[:2], *shape)
    return np.lib.stride_tricks.sliding_window_view(images, kernel, axis=(3, 4))[
        ..., :: strides[0], :: strides[1], :, :
    ]


FORWARD: Mapping[type, Callable[[Any, tuple[int, ...], np.ndarray, Weights | None], np.ndarray]] = {
    DenseLayer: dense,
    GatedLayer: gated,
    ConvolutionLayer: convolution,
    MaxPoolLayer: pooling,
    ReluLayer: lambda layer, shape, values, own: np.maximum(values, 0.0),
    FlattenLayer: lambda layer, shape, values, own: values,
}


# -------------------------------------------------------------------------------------------------------------- goals


def margins_of(data: TrainingData, outputs: np.ndarray) -> np.ndarray:
    """Return by how much the right class is ahead, shape (networks, samples)."""
    if outputs.shape[2] == 1:
        return outputs[:, :, 0] * data.y
    right = data.y[:, None] == np.arange(outputs.shape[2])
    return outputs[:, right] - np.where(right, -np.inf, outputs).max(axis=2)


def missed(objective: Objective, margins: np.ndarray) -> np.ndarray:
    return margins < objective.margin * (1 - MARGIN_TOLERANCE)


MARGIN_LOSSES: Mapping[Loss, Callable[[Objective, np.ndarray], np.ndarray]] = {
    Loss.HINGE: lambda objective, margins: np.maximum(objective.margin - margins, 0.0),
    Loss.ZERO_ONE: lambda objective, margins: missed(objective, margins).astype(float),
}
ERROR_LOSSES: Mapping[Loss, Callable[[Objective, np.ndarray], np.ndarray]] = {
    Loss.L1: lambda objective, errors: np.abs(errors),
    Loss.SQUARED: lambda objective, errors: errors**2,
    Loss.EPSILON_INSENSITIVE: lambda objective, errors: np.maximum(np.abs(errors) - objective.epsilon, 0.0),
    Loss.PINBALL: lambda objective, errors: np.where(
        errors > 0, objective.quantile * errors, (objective.quantile - 1) * errors
    ),
}


def losses_of(objective: Objective, data: TrainingData, outputs: np.ndarray) -> np.ndarray:
    if objective.loss in MARGIN_LOSSES:
        return MARGIN_LOSSES[objective.loss](objective, margins_of(data, outputs))
    return ERROR_LOSSES[objective.loss](objective, data.scaled_y - outputs[:, :, 0])


def per_network(values: np.ndarray) -> np.ndarray:
    """Sum all numbers of each network."""
    return values.reshape(len(values), -1).sum(axis=1)


def nonzeros_of(weights: Mapping[int, Weights]) -> np.ndarray:
    return sum(per_network(own.kernels != 0) for own in weights.values())


def size_of(weights: Mapping[int, Weights], power: int) -> np.ndarray:
    kernels = sum(per_network(np.abs(own.kernels) ** power) for own in weights.values())
    return kernels + sum(per_network(np.abs(weights[p].biases) ** power) for p in sorted(weights)[:-1])


def units_of(architecture: Architecture, weights: Mapping[int, Weights]) -> np.ndarray:
    """Count units and filters before the last layer that have a weight or a bias."""
    total = np.zeros(len(weights[architecture.weighted[0]].gates))
    for position in architecture.weighted[:-1]:
        own = weights[position]
        if not isinstance(architecture.layers[position], GatedLayer):
            flat = own.kernels.reshape(*own.kernels.shape[:2], -1)
            total += ((flat != 0).any(axis=2) | (own.biases != 0)).sum(axis=1)
    return total


def gates_of(architecture: Architecture, weights: Mapping[int, Weights]) -> np.ndarray:
    gates = [weights[p].gates for p in architecture.weighted if isinstance(architecture.layers[p], GatedLayer)]
    return sum((gate.astype(float) for gate in gates), np.zeros(len(weights[architecture.weighted[0]].gates)))


def objective_of(
    specification: LayeredSpecification, data: TrainingData, weights: Mapping[int, Weights], outputs: np.ndarray
) -> np.ndarray:
    objective, architecture = specification.objective, specification.architecture
    assert not objective.feature_penalty
    return (
        losses_of(objective, data, outputs) @ data.weights
        + objective.l0 * nonzeros_of(weights)
        + objective.l1 * size_of(weights, 1)
        + specification.l2 * size_of(weights, 2)
        + objective.unit_penalty * units_of(architecture, weights)
        + specification.layer_penalty * gates_of(architecture, weights)
    )


def negative_margin(
    specification: LayeredSpecification, data: TrainingData, weights: Mapping[int, Weights], outputs: np.ndarray
) -> np.ndarray:
    """Return minus the smallest margin that is no error."""
    margins = margins_of(data, outputs)
    return -np.where(missed(specification.objective, margins), np.inf, margins).min(axis=1)


GOALS: Mapping[Goal, Callable[[LayeredSpecification, TrainingData, Mapping[int, Weights], np.ndarray], np.ndarray]] = {
    Goal.OBJECTIVE: objective_of,
    Goal.ERRORS: lambda specification, data, weights, outputs: (
        missed(specification.objective, margins_of(data, outputs)) @ data.weights
    ),
    Goal.MARGIN: negative_margin,
    Goal.NONZEROS: lambda specification, data, weights, outputs: nonzeros_of(weights),
}
