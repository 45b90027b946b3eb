"""Outputs of a stack of layers with given weights, in float64: for search, where speed counts."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from verinet.numeric import FloatArray
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

__all__ = ["activations", "outputs_of"]


def _affine(architecture: Architecture, position: int, x: FloatArray, values: LayerValues) -> FloatArray:
    linear = architecture.linear_map(position, values.weights)
    units = len(values.biases)
    return np.asarray(linear.apply(x) + np.repeat(values.biases, linear.size_out // units))


def _gated(architecture: Architecture, position: int, x: FloatArray, values: LayerValues) -> FloatArray:
    return np.maximum(_affine(architecture, position, x, values), 0.0) if values.gate else x


def _windows(architecture: Architecture, position: int, x: FloatArray) -> FloatArray:
    members, offsets = architecture.windows(position)
    return x[:, members].reshape(len(x), len(offsets) - 1, -1)


FORWARD: Mapping[type, Callable[[Architecture, int, FloatArray, Any], FloatArray]] = {
    DenseLayer: _affine,
    ConvolutionLayer: _affine,
    GatedLayer: _gated,
    ReluLayer: lambda architecture, position, x, values: np.maximum(x, 0.0),
    MaxPoolLayer: lambda architecture, position, x, values: _windows(architecture, position, x).max(axis=2),
    AveragePoolLayer: lambda architecture, position, x, values: _windows(architecture, position, x).mean(axis=2),
    FlattenLayer: lambda architecture, position, x, values: x,
}
"""What each layer does to a batch."""


def activations(
    architecture: Architecture, x: FloatArray, values: Mapping[int, LayerValues], start: int = 0
) -> list[FloatArray]:
    """Return what enters each layer from `start` on, and the outputs last.

    Parameters
    ----------
    architecture : Architecture
    x : ndarray, shape (samples, inputs of layer `start`)
    values : Mapping
        Position -> weights.
    start : int
    """
    results = [x]
    for position in range(start, len(architecture.layers)):
        layer = architecture.layers[position]
        results.append(FORWARD[type(layer)](architecture, position, results[-1], values.get(position)))
    return results


def outputs_of(
    architecture: Architecture, x: FloatArray, values: Mapping[int, LayerValues], start: int = 0
) -> FloatArray:
    """Return the outputs, shape (samples, outputs)."""
    return activations(architecture, x, values, start)[-1]
