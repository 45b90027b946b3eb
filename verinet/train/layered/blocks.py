"""The weights of a layer as variables of a programme."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from verinet.numeric import FloatArray, IntArray
from verinet.program import Expressions, ProgrammeBuilder, VariableKind
from verinet.train.layered.architecture import Continuous, Quantised

__all__ = ["Block", "add_block"]


@dataclass(frozen=True, eq=False)
class Block:
    """Weights or biases of one layer.

    Parameters
    ----------
    value : Expressions
        Their values, flat.
    size : Expressions
        At least their magnitudes; equal where that is cheaper.
    parts : tuple of Expressions or None
        Positive and negative parts, or a little more, where they are variables of their own.
    whole : ndarray of int or None
        Integer variables u with ``value = factor * u + shift``, where there are any.
    factor, shift : float
    write : callable
        Sets the variables at a point from flat values.
    """

    value: Expressions
    size: Expressions
    parts: tuple[Expressions, Expressions] | None
    whole: IntArray | None
    factor: float
    shift: float
    write: Callable[[FloatArray, FloatArray], None]


def _split(builder: ProgrammeBuilder, name: str, low: FloatArray, high: FloatArray, scale: float, kind: Any) -> Block:
    """Add ``v = scale (up - down)`` with two parts that are not negative."""
    up = builder.variables(f"{name}_up", np.maximum(low, 0.0) / scale, np.maximum(high, 0.0) / scale, kind)
    down = builder.variables(f"{name}_down", np.maximum(-high, 0.0) / scale, np.maximum(-low, 0.0) / scale, kind)
    parts = Expressions.variables(up).scaled(scale), Expressions.variables(down).scaled(scale)
    value, size = parts[0] - parts[1], parts[0] + parts[1]
    largest = np.maximum(np.maximum(-low, high), 0.0)
    both = np.flatnonzero((low < 0) & (high > 0))
    if len(both):
        builder.rows(size[both], upper=largest[both])

    def write(point: FloatArray, values: FloatArray) -> None:
        point[up], point[down] = np.maximum(values, 0.0) / scale, np.maximum(-values, 0.0) / scale

    return Block(value, size, parts, None, 1.0, 0.0, write)


def _add_continuous(
    builder: ProgrammeBuilder, name: str, weights: Continuous, low: FloatArray, high: FloatArray, first: bool
) -> Block:
    return _split(builder, name, low, high, 1.0, VariableKind.CONTINUOUS)


def _add_quantised(
    builder: ProgrammeBuilder, name: str, weights: Quantised, low: FloatArray, high: FloatArray, first: bool
) -> Block:
    if first and weights.step == 1 and weights.has_zero:
        return _split(builder, name, low, high, weights.scale, VariableKind.INTEGER)
    base = 0 if weights.step == 1 else weights.lower
    factor, shift = weights.scale * weights.step, weights.scale * base
    whole = builder.variables(
        name, np.round((low - shift) / factor), np.round((high - shift) / factor), VariableKind.INTEGER
    )
    value = Expressions.variables(whole).scaled(factor).shifted(shift)
    signed = np.flatnonzero((low < 0) & (high > 0))
    size = value.scaled(np.where(low >= 0, 1.0, -1.0))
    if len(signed) and not weights.has_zero:
        constant = np.full(len(low), weights.scale)
        size = Expressions.constants(constant) if len(weights.values) == 2 else size
        signed = signed[:0] if len(weights.values) == 2 else signed
    magnitude = builder.variables(f"{name}_size", np.zeros(len(signed)), np.maximum(-low, high)[signed])
    if len(signed):
        own = Expressions.variables(magnitude)
        builder.rows(own - value[signed], lower=0.0)
        builder.rows(own + value[signed], lower=0.0)
        choice = np.arange(len(low))
        choice[signed] = len(low) + np.arange(len(signed))
        size = Expressions.stack([size, own])[choice]

    def write(point: FloatArray, values: FloatArray) -> None:
        point[whole] = np.round((values - shift) / factor)
        point[magnitude] = np.abs(values[signed])

    return Block(value, size, None, whole, factor, shift, write)


BLOCKS: Mapping[type, Callable[..., Block]] = {Continuous: _add_continuous, Quantised: _add_quantised}
"""How the weights of each kind become variables."""


def add_block(
    builder: ProgrammeBuilder,
    name: str,
    weights: Quantised | Continuous,
    lower: FloatArray,
    upper: FloatArray,
    first: bool,
) -> Block:
    """Add weights or biases.

    Parameters
    ----------
    builder : ProgrammeBuilder
    name : str
        Prefix of the variables' names.
    weights : Quantised or Continuous
    lower, upper : ndarray, flat
        Limits, at or within those of the kind; equal ones fix a weight.
    first : bool
        Whether they meet constants only: weights that are in no product can be written by their parts.
    """
    return BLOCKS[type(weights)](builder, name, weights, lower, upper, first)
