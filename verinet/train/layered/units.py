"""Every hidden unit or filter that quantised weights allow, and what the last layer may read of it.

A unit is its weights and bias. What the layers between it and the last one make of it is its features: one for a unit
of a dense layer, one for each pooled cell of a filter. The last layer reads each feature with a weight of its own.
"""

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from verinet.numeric import FloatArray, IntArray
from verinet.train.layered.architecture import Architecture, ConvolutionLayer, DenseLayer, LayerValues, Quantised
from verinet.train.layered.forward import activations
from verinet.train.layered.specification import LayeredSpecification

__all__ = ["Units", "can_lay_out", "lay_out", "places", "unit_costs"]

MOST_ENTRIES = 60_000_000
"""Units times cells times samples up to which all units are laid out: half a gigabyte."""

BATCH_ENTRIES = 2_000_000
"""Pre-activations that are computed at once."""


@dataclass(frozen=True, eq=False)
class Units:
    """Units that may be worth their cost, and the weights that may read them.

    Parameters
    ----------
    weights : ndarray, shape (units, inputs + 1)
        Weights and bias.
    features : ndarray, shape (units, cells, samples)
    costs : ndarray, shape (units,)
        Penalties of a unit without its reads.
    reads : ndarray, shape (values,)
        Weights of the last layer, with zero among them.
    read_costs : ndarray, shape (values,)
    constants : ndarray
        Biases of the last layer.
    """

    weights: FloatArray
    features: FloatArray
    costs: FloatArray
    reads: FloatArray
    read_costs: FloatArray
    constants: FloatArray

    def values(
        self, architecture: Architecture, chosen: IntArray, reads: FloatArray, constant: float
    ) -> dict[int, LayerValues]:
        """Return the weights of a network.

        Parameters
        ----------
        architecture : Architecture
        chosen : ndarray of int, shape (hidden units,)
            The unit in each place, -1 for none.
        reads : ndarray, shape (hidden units, cells)
        constant : float
            Bias of the last layer.
        """
        first, last = architecture.weighted
        own = np.where(chosen[:, None] >= 0, self.weights[chosen], 0.0)
        read = np.where(chosen[:, None] >= 0, reads, 0.0)
        return {
            first: LayerValues(own[:, :-1].reshape(architecture.kernel_shape(first)), own[:, -1]),
            last: LayerValues(read.reshape(1, -1), np.array([constant])),
        }


def _ends(architecture: Architecture) -> tuple[DenseLayer | ConvolutionLayer, DenseLayer] | None:
    """Return the two layers with weights, the first one and the last one, where there are no others."""
    if len(architecture.weighted) != 2 or architecture.weighted[0] != 0 or architecture.outputs != 1:
        return None
    hidden, last = architecture.layers[0], architecture.layers[-1]
    if not isinstance(hidden, DenseLayer | ConvolutionLayer) or not isinstance(last, DenseLayer):
        return None
    quantised = [isinstance(w, Quantised) and w.has_zero for w in (hidden.weights, last.weights)]
    return (hidden, last) if all(quantised) else None


def places(architecture: Architecture) -> int:
    """Return how many units or filters the hidden layer has."""
    return architecture.kernel_shape(0)[0]


def can_lay_out(architecture: Architecture, samples: int) -> bool:
    """Tell whether the hidden units of an architecture are few enough to be laid out."""
    ends = _ends(architecture)
    if ends is None:
        return False
    hidden: Any = ends[0]
    inputs = math.prod(architecture.kernel_shape(0)[1:]) + hidden.bias
    cells = architecture.kernel_shape(len(architecture.layers) - 1)[1] // places(architecture)
    entries = inputs * math.log(len(hidden.weights.values)) + math.log(samples * cells)
    return bool(entries < math.log(MOST_ENTRIES))


def lay_out(specification: LayeredSpecification, x: FloatArray) -> Units:
    """Lay out all units with any effect, the cheapest of those with equal features.

    Parameters
    ----------
    specification : LayeredSpecification
        Of an architecture that `can_lay_out` accepts.
    x : ndarray, shape (samples, inputs)
    """
    ends = _ends(specification.architecture)
    assert ends is not None
    hidden: Any = ends[0]
    last: Any = ends[1]
    choices = hidden.weights.values
    fan_in = math.prod(specification.architecture.kernel_shape(0)[1:])
    grid = choices[np.array(list(product(range(len(choices)), repeat=fan_in)), dtype=np.int8)]
    biases = choices if hidden.bias else np.zeros(1)
    weights = np.column_stack([np.tile(grid, (len(biases), 1)), np.repeat(biases, len(grid))])
    features = _features(specification.architecture, grid, biases, x)
    costs = unit_costs(specification, weights)
    kept = np.flatnonzero(features.any(axis=(1, 2)))
    kept = kept[np.argsort(costs[kept], kind="stable")]
    kept = kept[_first_of_equal(features.reshape(len(features), -1), kept)]
    objective, reads = specification.objective, last.weights.values
    read_costs = objective.l0 * (reads != 0) + objective.l1 * np.abs(reads) + specification.l2 * reads**2
    constants = reads if last.bias else np.zeros(1)
    return Units(weights[kept], features[kept], costs[kept], reads, read_costs, constants)


def _features(architecture: Architecture, weights: FloatArray, biases: FloatArray, x: FloatArray) -> FloatArray:
    """Return what is read of each unit, shape (units, cells, samples), all weights with one bias after the other.

    Many units are one wide layer; its biases are added behind it, so that its products are computed once.
    """
    hidden: Any = architecture.layers[0]
    shape, size = architecture.kernel_shape(0), int(np.prod(architecture.shapes[1])) // places(architecture)
    cells = architecture.kernel_shape(len(architecture.layers) - 1)[1] // places(architecture)
    features = np.empty((len(biases), len(weights), cells, len(x)))
    batch = max(1, BATCH_ENTRIES // (size * len(x)))
    for start in range(0, len(weights), batch):
        own = weights[start : start + batch]
        number = {"filters" if isinstance(hidden, ConvolutionLayer) else "units": len(own)}
        wide = Architecture(architecture.input_shape, (replace(hidden, **number), *architecture.layers[1:]))
        last = wide.weighted[-1]
        values = {last: LayerValues(np.zeros(wide.kernel_shape(last)), np.zeros(1))}
        before = wide.linear_map(0, own.reshape(-1, *shape[1:])).apply(x)
        for k, bias in enumerate(biases):
            entering = activations(wide, before + bias, values, start=1)[-2]
            features[k, start : start + batch] = entering.T.reshape(len(own), cells, len(x))
    return features.reshape(-1, cells, len(x))


def _first_of_equal(rows: FloatArray, order: IntArray) -> IntArray:
    """Return the places in an order of the first of each class of equal rows; equality is exact."""
    keys = (rows @ np.random.default_rng(0).standard_normal(rows.shape[1]))[order]
    by_key = np.argsort(keys, kind="stable")
    near = np.flatnonzero(np.diff(keys[by_key]) == 0) + 1
    twins = (rows[order[by_key[near]]] == rows[order[by_key[near - 1]]]).all(axis=1)
    return np.delete(np.arange(len(order)), by_key[near[twins]])


def unit_costs(specification: LayeredSpecification, units: FloatArray) -> FloatArray:
    """Return the penalties of units that are in use, their biases in the last column."""
    objective = specification.objective
    total = objective.l0 * np.count_nonzero(units[:, :-1], axis=1) + objective.l1 * np.abs(units).sum(axis=1)
    return np.asarray(total + specification.l2 * (units**2).sum(axis=1) + objective.unit_penalty)
