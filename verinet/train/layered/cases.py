"""Smaller programmes that together are the whole one, and neighbourhoods of a network."""

from collections.abc import Iterator, Mapping
from itertools import combinations_with_replacement
from math import comb
from typing import Any

import numpy as np

from verinet.train.layered.architecture import Architecture, DenseLayer, LayerValues, Quantised, ReluLayer
from verinet.train.layered.walk import LayerBox, free_box

__all__ = ["neighbourhoods", "sign_cases"]

MOST_CASES = 10
"""Cases of the last layer's weights up to which each gets a programme of its own."""

Boxes = dict[int, LayerBox]


def sign_cases(architecture: Architecture) -> list[Boxes]:
    """Return boxes that cover every network up to the order of hidden units: one for each choice of output weights.

    Parameters
    ----------
    architecture : Architecture

    Returns
    -------
    list of dict
        One empty box where there are too many choices, or the last layers are of another form.
    """
    weighted = architecture.weighted
    if len(weighted) < 2 or architecture.outputs != 1:
        return [{}]
    position, following = weighted[-2:]
    before, last = architecture.layers[position], architecture.layers[following]
    direct = following == position + 2 and isinstance(architecture.layers[position + 1], ReluLayer)
    if not (direct and isinstance(before, DenseLayer) and isinstance(last, DenseLayer)):
        return [{}]
    weights = last.weights
    if not isinstance(weights, Quantised) or comb(len(weights.values) + before.units - 1, before.units) > MOST_CASES:
        return [{}]
    free = free_box(architecture, following)
    descending = weights.values[::-1]
    return [
        {
            following: LayerBox(
                LayerValues(np.array([choice]), free.lower.biases), LayerValues(np.array([choice]), free.upper.biases)
            )
        }
        for choice in combinations_with_replacement(descending, before.units)
    ]


def neighbourhoods(
    architecture: Architecture, values: Mapping[int, LayerValues], rng: np.random.Generator, share: float
) -> Iterator[Boxes]:
    """Yield boxes around a network in which some units' weights are free and all others fixed, without end.

    Parameters
    ----------
    architecture : Architecture
    values : Mapping
    rng : Generator
    share : float
        Part of the units of each layer that is free, at least one.
    """
    while True:
        boxes: Boxes = {}
        for position in architecture.weighted:
            free, own = free_box(architecture, position), values[position]
            units = len(own.biases)
            loose = rng.permutation(units) < max(1, round(share * units))
            boxes[position] = LayerBox(_mixed(own, free.lower, loose), _mixed(own, free.upper, loose))
        yield boxes


def _mixed(own: LayerValues, free: LayerValues, loose: Any) -> LayerValues:
    weights, biases = own.weights.copy(), own.biases.copy()
    weights[loose], biases[loose] = free.weights[loose], free.biases[loose]
    return LayerValues(weights, biases, free.gate)
