"""Architectures to be trained: stacks of layers, each with the values that its weights may take.

Tensors are flat vectors in C order, channels first; a shape is (features,) or (channels, height, width).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from verinet.errors import InputError
from verinet.model import Convolution, Dense, LinearMap
from verinet.numeric import BoolArray, FloatArray, IntArray

__all__ = [
    "Architecture",
    "AveragePoolLayer",
    "Continuous",
    "ConvolutionLayer",
    "DenseLayer",
    "FlattenLayer",
    "GatedLayer",
    "Layer",
    "LayerValues",
    "MaxPoolLayer",
    "Quantised",
    "ReluLayer",
    "Template",
    "Weighted",
    "Weights",
    "binary",
    "integer",
    "ternary",
]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Quantised:
    """Weights and biases that are whole multiples of a scale.

    Parameters
    ----------
    lower, upper : int
        Smallest and largest multiple.
    step : int
        Distance of two neighbours.
    scale : float
        A power of two keeps every product of weights exact.

    Raises
    ------
    InputError
        If the range is empty, no multiple of the step, or the scale is not positive and finite.
    """

    lower: int
    upper: int
    step: int = 1
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.step < 1 or self.lower >= self.upper or (self.upper - self.lower) % self.step:
            raise InputError(
                f"quantised weights need lower < upper with whole steps between, found lower={self.lower}, "
                f"upper={self.upper}, step={self.step}"
            )
        if not (self.scale > 0 and np.isfinite(self.scale)):
            raise InputError(f"quantised weights need a finite scale > 0, found scale={self.scale}")

    @cached_property
    def values(self) -> FloatArray:
        """Every value, in ascending order."""
        return self.scale * np.arange(self.lower, self.upper + 1, self.step, dtype=np.float64)

    @property
    def has_zero(self) -> bool:
        """Whether a weight may vanish."""
        return bool((self.values == 0).any())

    @property
    def reach(self) -> float:
        """Largest magnitude."""
        return self.scale * max(abs(self.lower), abs(self.upper))

    def nearest(self, values: FloatArray) -> FloatArray:
        """Round to the nearest of the values."""
        steps = np.clip(np.round((values / self.scale - self.lower) / self.step), 0, len(self.values) - 1)
        return np.asarray(self.values[steps.astype(np.int64)])


@dataclass(frozen=True)
class Continuous:
    """Weights that are real numbers.

    In the first layer with weights they enter linearly. In later layers they multiply activations that vary: such
    programmes are bilinear, for SCIP or Gurobi, and only tiny ones are solved to the end.

    Parameters
    ----------
    bound : float
        Largest ``sum_j |w_kj| + |b_k|`` of a unit, in scaled features.
    """

    bound: float = 1.0

    def __post_init__(self) -> None:
        if not (self.bound > 0 and np.isfinite(self.bound)):
            raise InputError(f"continuous weights need a finite bound > 0, found bound={self.bound}")

    @property
    def has_zero(self) -> bool:
        """A weight may vanish."""
        return True

    @property
    def reach(self) -> float:
        """Largest magnitude."""
        return self.bound

    def nearest(self, values: FloatArray) -> FloatArray:
        """Keep the values; the trainer keeps units within their bound."""
        return values


Weights = Quantised | Continuous
"""What weights may be; a table keyed on type covers these."""


def integer(limit: int, scale: float = 1.0) -> Quantised:
    """Return weights ``scale * {-limit, ..., limit}``.

    Parameters
    ----------
    limit : int
    scale : float
    """
    return Quantised(-limit, limit, 1, scale)


def ternary(scale: float = 1.0) -> Quantised:
    """Return weights ``scale * {-1, 0, 1}``."""
    return integer(1, scale)


def binary(scale: float = 1.0) -> Quantised:
    """Return weights ``scale * {-1, 1}``."""
    return Quantised(-1, 1, 2, scale)


@dataclass(frozen=True)
class DenseLayer:
    """``W x + b``.

    Parameters
    ----------
    units : int
    weights : Quantised or Continuous
    bias : bool
    """

    units: int
    weights: Weights = Quantised(-1, 1)
    bias: bool = True


@dataclass(frozen=True)
class ConvolutionLayer:
    """A convolution over images.

    Parameters
    ----------
    filters : int
    kernel, strides : tuple of int
        Height and width.
    padding : int
        Rows and columns of zeros on each side.
    weights : Quantised or Continuous
    bias : bool
    """

    filters: int
    kernel: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    padding: int = 0
    weights: Weights = Quantised(-1, 1)
    bias: bool = True


@dataclass(frozen=True)
class GatedLayer:
    """``g relu(W x + b) + (1 - g) x`` of as many units as inputs: a layer that the optimum may leave out.

    Parameters
    ----------
    weights : Quantised
    bias : bool
    """

    weights: Quantised = Quantised(-1, 1)
    bias: bool = True


@dataclass(frozen=True)
class ReluLayer:
    """``max(0, x)``."""


@dataclass(frozen=True)
class MaxPoolLayer:
    """The largest entry of each window.

    Parameters
    ----------
    kernel : tuple of int
    strides : tuple of int or None
        None for those of the kernel: windows side by side.
    """

    kernel: tuple[int, int] = (2, 2)
    strides: tuple[int, int] | None = None


@dataclass(frozen=True)
class AveragePoolLayer:
    """The mean of each window.

    Parameters
    ----------
    kernel : tuple of int
    strides : tuple of int or None
        None for those of the kernel.
    """

    kernel: tuple[int, int] = (2, 2)
    strides: tuple[int, int] | None = None


@dataclass(frozen=True)
class FlattenLayer:
    """An image as a vector."""


Layer = DenseLayer | ConvolutionLayer | GatedLayer | ReluLayer | MaxPoolLayer | AveragePoolLayer | FlattenLayer
"""Every kind of layer; a table keyed on type covers these."""

Weighted = DenseLayer | ConvolutionLayer | GatedLayer
"""Layers that have weights."""


@dataclass(frozen=True, eq=False)
class LayerValues:
    """The weights of one layer.

    Parameters
    ----------
    weights : ndarray
        (units, inputs), or (filters, channels, height, width).
    biases : ndarray, shape (units,)
    gate : bool
        Of a gated layer: whether it is in use.
    """

    weights: FloatArray
    biases: FloatArray
    gate: bool = True


@dataclass(frozen=True, eq=False)
class Template:
    """Where a layer's weights stand in its matrix: entry i of it is weight ``parameters[i]``.

    Parameters
    ----------
    rows, columns, parameters : ndarray of int, shape (entries,)
    units : ndarray of int, shape (size_out,)
        The unit or filter of each row.
    size_in, size_out, count : int
        `count` weights, without biases.
    """

    rows: IntArray
    columns: IntArray
    parameters: IntArray
    units: IntArray
    size_in: int
    size_out: int
    count: int


def _image(shape: Shape, what: str) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise InputError(f"{what} needs an image of shape (channels, height, width), found shape={shape}")
    return shape[0], shape[1], shape[2]


def _vector(shape: Shape, what: str) -> int:
    if len(shape) != 1:
        raise InputError(f"{what} needs a vector, found shape={shape}; put a flatten layer before it")
    return shape[0]


def _dense_map(layer: DenseLayer, shape: Shape, weights: FloatArray) -> LinearMap:
    return Dense(weights)


def _gated_map(layer: GatedLayer, shape: Shape, weights: FloatArray) -> LinearMap:
    return Dense(weights)


def _convolution_map(layer: ConvolutionLayer, shape: Shape, weights: FloatArray) -> LinearMap:
    pads = (layer.padding,) * 4
    return Convolution(weights, _image(shape, "a convolution"), layer.strides, pads)


MAPS: Mapping[type, Callable[[Any, Shape, FloatArray], LinearMap]] = {
    DenseLayer: _dense_map,
    ConvolutionLayer: _convolution_map,
    GatedLayer: _gated_map,
}
"""The linear map of a layer with weights."""

KERNELS: Mapping[type, Callable[[Any, Shape], Shape]] = {
    DenseLayer: lambda layer, shape: (layer.units, _vector(shape, "a dense layer")),
    ConvolutionLayer: lambda layer, shape: (layer.filters, _image(shape, "a convolution")[0], *layer.kernel),
    GatedLayer: lambda layer, shape: (_vector(shape, "a gated layer"),) * 2,
}
"""The shape of the weights of a layer over inputs of a shape."""


def _pooled(layer: MaxPoolLayer | AveragePoolLayer, shape: Shape) -> Shape:
    channels, height, width = _image(shape, "a pool")
    strides = layer.strides or layer.kernel
    sizes = tuple((n - k) // s + 1 for n, k, s in zip((height, width), layer.kernel, strides, strict=True))
    if min(sizes) < 1:
        raise InputError(f"a pool of kernel={layer.kernel} exceeds its input of shape={shape}")
    return (channels, *sizes)


def _positive(layer: Layer, **numbers: int | tuple[int, ...]) -> None:
    for name, value in numbers.items():
        if min(value if isinstance(value, tuple) else (value,)) < 1:
            raise InputError(f"a {type(layer).__name__} needs {name} >= 1, found {name}={value}")


def _shape_of_weighted(layer: Any, shape: Shape) -> Shape:
    kernel = KERNELS[type(layer)](layer, shape)
    linear = MAPS[type(layer)](layer, shape, np.zeros(kernel))
    return linear.shape_out if isinstance(linear, Convolution) else (linear.size_out,)


def _shape_of_dense(layer: DenseLayer, shape: Shape) -> Shape:
    _positive(layer, units=layer.units)
    return _shape_of_weighted(layer, shape)


def _shape_of_convolution(layer: ConvolutionLayer, shape: Shape) -> Shape:
    _positive(layer, filters=layer.filters, kernel=layer.kernel, strides=layer.strides)
    if layer.padding < 0:
        raise InputError(f"a ConvolutionLayer needs padding >= 0, found padding={layer.padding}")
    return _shape_of_weighted(layer, shape)


def _shape_of_pool(layer: MaxPoolLayer | AveragePoolLayer, shape: Shape) -> Shape:
    _positive(layer, kernel=layer.kernel, strides=layer.strides or layer.kernel)
    return _pooled(layer, shape)


SHAPES: Mapping[type, Callable[[Any, Shape], Shape]] = {
    DenseLayer: _shape_of_dense,
    ConvolutionLayer: _shape_of_convolution,
    GatedLayer: _shape_of_weighted,
    ReluLayer: lambda layer, shape: shape,
    MaxPoolLayer: _shape_of_pool,
    AveragePoolLayer: _shape_of_pool,
    FlattenLayer: lambda layer, shape: (prod(shape),),
}
"""The shape of a layer's result."""


@dataclass(frozen=True)
class Architecture:
    """A stack of layers over inputs of one shape; the last layer's entries are the outputs.

    Parameters
    ----------
    input_shape : tuple of int
        (features,) or (channels, height, width).
    layers : tuple of Layer

    Raises
    ------
    InputError
        If shapes do not fit or the last layer is not dense.
    """

    input_shape: Shape
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        weighted = [layer for layer in self.layers if isinstance(layer, Weighted)]
        if not weighted or not isinstance(self.layers[-1], DenseLayer):
            raise InputError("an architecture ends with a dense layer, whose units are the outputs")
        if len(self.input_shape) not in (1, 3) or min(self.input_shape) < 1:
            raise InputError(
                f"an input is (features,) or (channels, height, width), each at least 1, found {self.input_shape}"
            )
        _ = self.shapes

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """The shape before each layer, and that of the outputs."""
        shapes: list[Shape] = [self.input_shape]
        for layer in self.layers:
            shapes.append(SHAPES[type(layer)](layer, shapes[-1]))
        return tuple(shapes)

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.shapes[-1][0]

    @cached_property
    def weighted(self) -> tuple[int, ...]:
        """Positions of the layers with weights."""
        return tuple(i for i, layer in enumerate(self.layers) if isinstance(layer, Weighted))

    @property
    def has_continuous(self) -> bool:
        """Whether any weights are real numbers."""
        return any(isinstance(self.weights_of(position), Continuous) for position in self.weighted)

    def weights_of(self, position: int) -> Weights:
        """Return what the weights of the layer at a position may be."""
        layer = self.layers[position]
        assert isinstance(layer, Weighted)
        return layer.weights

    def kernel_shape(self, position: int) -> Shape:
        """Return the shape of the weights of the layer at a position."""
        layer = self.layers[position]
        return KERNELS[type(layer)](layer, self.shapes[position])

    def linear_map(self, position: int, weights: FloatArray) -> LinearMap:
        """Return the linear map of the layer at a position, with given weights."""
        layer = self.layers[position]
        return MAPS[type(layer)](layer, self.shapes[position], weights)

    def template(self, position: int) -> Template:
        """Return where the weights of the layer at a position stand in its matrix."""
        shape = self.kernel_shape(position)
        count = prod(shape)
        numbered = self.linear_map(position, np.arange(1.0, count + 1).reshape(shape)).to_sparse()
        rows = np.repeat(np.arange(numbered.size_out), np.diff(numbered.offsets))
        units = np.arange(numbered.size_out) // (numbered.size_out // shape[0])
        parameters = numbered.weights.astype(np.int64) - 1
        return Template(rows, numbered.columns, parameters, units, numbered.size_in, numbered.size_out, count)

    def windows(self, position: int) -> tuple[IntArray, IntArray]:
        """Return members and offsets of a pool's windows, as indices into its flat argument."""
        layer = self.layers[position]
        assert isinstance(layer, MaxPoolLayer | AveragePoolLayer)
        channels, height, width = self.shapes[position]
        _, rows, columns = self.shapes[position + 1]
        strides = layer.strides or layer.kernel
        c, i, j, di, dj = np.ogrid[tuple(slice(n) for n in (channels, rows, columns, *layer.kernel))]
        members = (c * height + i * strides[0] + di) * width + j * strides[1] + dj
        size = layer.kernel[0] * layer.kernel[1]
        return members.reshape(-1), size * np.arange(channels * rows * columns + 1)

    def hidden_units(self) -> tuple[int, ...]:
        """Return the positions of layers whose units may be left out: all with weights but the last and gated ones."""
        return tuple(i for i in self.weighted[:-1] if not isinstance(self.layers[i], GatedLayer))


def unit_mask(values: LayerValues) -> BoolArray:
    """Return which units have a weight or bias that is not zero."""
    flat = values.weights.reshape(len(values.weights), -1)
    return np.asarray((flat != 0).any(axis=1) | (values.biases != 0))
