"""The walk through a stack of layers whose weights are variables and whose inputs are samples.

Pre-activations of the first layer with weights are linear in them; later ones are sums of products of integer weights
with activations. ReLU and maximum are the verifier's own encodings.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import scipy.sparse as sp

from verinet.encode import Encoded, maximum, relu
from verinet.model import Maximum as MaximumOp
from verinet.numeric import BoolArray, FloatArray, IntArray
from verinet.program import Bilinear, Expressions, Maximum, Product, ProgrammeBuilder, VariableKind
from verinet.train.layered.architecture import (
    Architecture,
    AveragePoolLayer,
    Continuous,
    ConvolutionLayer,
    DenseLayer,
    FlattenLayer,
    GatedLayer,
    LayerValues,
    MaxPoolLayer,
    ReluLayer,
    Template,
)
from verinet.train.layered.blocks import Block, add_block
from verinet.train.layered.specification import Tightening

__all__ = ["Completion", "LayerBox", "LayerVariables", "Walk", "distinct_rows", "free_box", "walk_layers"]

Completion = Callable[[FloatArray, Mapping[int, LayerValues]], None]
"""Sets some variables at a point, from those before them and from the weights of the layers."""


@dataclass(frozen=True, eq=False)
class LayerBox:
    """Limits of a layer's weights, at or within those of its kind; equal ones fix a weight.

    Parameters
    ----------
    lower, upper : LayerValues
    """

    lower: LayerValues
    upper: LayerValues

    @classmethod
    def fixed(cls, values: LayerValues) -> "LayerBox":
        """Return the box of one point."""
        return cls(values, values)


@dataclass(frozen=True, eq=False)
class LayerVariables:
    """A layer's weights as variables.

    Parameters
    ----------
    weights, biases : Block
    gate : int or None
        The binary of a gated layer.
    shape : tuple of int
        Of the weights.
    """

    weights: Block
    biases: Block
    gate: int | None
    shape: tuple[int, ...]

    def read(self, point: FloatArray) -> LayerValues:
        """Read the weights at a point."""
        gate = True if self.gate is None else bool(point[self.gate] > 0.5)
        return LayerValues(self.weights.value.value(point).reshape(self.shape), self.biases.value.value(point), gate)

    def write(self, point: FloatArray, values: LayerValues) -> None:
        """Set the variables at a point."""
        self.weights.write(point, values.weights.ravel())
        self.biases.write(point, values.biases)
        if self.gate is not None:
            point[self.gate] = float(values.gate)


@dataclass(eq=False)
class Walk:
    """The state of a walk.

    Parameters
    ----------
    builder : ProgrammeBuilder
    architecture : Architecture
    samples : int
    tightening : Tightening
    boxes : Mapping
        Limits of each layer with weights, by position.
    layers : dict
        Variables of the layers met so far.
    completions : list
        In the order of the variables.
    positive : Expressions or None
        What a ReLU of the last pre-activations is at most, whatever the signs: the positive parts of their terms.
    """

    builder: ProgrammeBuilder
    architecture: Architecture
    samples: int
    tightening: Tightening
    boxes: Mapping[int, LayerBox]
    layers: dict[int, LayerVariables] = field(default_factory=dict)
    completions: list[Completion] = field(default_factory=list)
    positive: Expressions | None = None
    _seen: int = 0

    def complete_semantic(self) -> None:
        """Note how the results of the constraints added since the last call follow from earlier variables."""
        fresh = self.builder.constraints[self._seen :]
        self._seen += len(fresh)
        for constraint in fresh:
            self.completions.append(_completion_of(constraint))


def _completion_of(constraint: Any) -> Completion:
    def complete_maximum(point: FloatArray, _: Mapping[int, LayerValues]) -> None:
        values = constraint.arguments.value(point)
        point[constraint.results] = np.maximum.reduceat(values, constraint.offsets[:-1])

    def complete_product(point: FloatArray, _: Mapping[int, LayerValues]) -> None:
        point[constraint.results] = point[constraint.weights] * constraint.activations.value(point)

    def complete_bilinear(point: FloatArray, _: Mapping[int, LayerValues]) -> None:
        point[constraint.results] = constraint.left.value(point) * constraint.right.value(point)

    completions = {Maximum: complete_maximum, Product: complete_product, Bilinear: complete_bilinear}
    return completions[type(constraint)]


def free_box(architecture: Architecture, position: int) -> LayerBox:
    """Return the whole range of a layer's weights."""
    layer: Any = architecture.layers[position]
    shape = architecture.kernel_shape(position)
    lower, upper = -layer.weights.reach, layer.weights.reach
    if not isinstance(layer.weights, Continuous):
        lower, upper = float(layer.weights.values[0]), float(layer.weights.values[-1])
    ends = [
        LayerValues(np.full(shape, value), np.full(shape[0], value if layer.bias else 0.0), gate)
        for value, gate in ((lower, False), (upper, True))
    ]
    return LayerBox(ends[0], ends[1])


def distinct_rows(expressions: Expressions) -> tuple[IntArray, IntArray]:
    """Find expressions that are equal: a representative of each class, and the class of each expression.

    Notes
    -----
    Soundness: classes are found by random projections and then compared entry by entry; where that fails, nothing is
    merged.
    """
    size = expressions.size
    every = np.arange(size)
    if size < 2:
        return every, every
    matrix = expressions.matrix.copy()
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    weights = np.random.default_rng(0).standard_normal((matrix.shape[1], 2))
    keys = np.column_stack([matrix @ weights, expressions.constant])
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    inverse = inverse.ravel()
    merged = sp.csr_array(matrix[first[inverse]])
    difference = matrix - merged
    difference.eliminate_zeros()
    if difference.nnz or (expressions.constant != expressions.constant[first[inverse]]).any():
        return every, every
    return first, inverse


def _with_sample_bounds(walk: Walk, value: Encoded) -> Encoded:
    """Give every sample the same bounds where bounds of its own are switched off."""
    if walk.tightening.sample_bounds:
        return value
    reach = float(max(-value.lower.min(), value.upper.max(), 0.0))
    size = len(value.lower)
    return Encoded(value.expressions, np.full(size, -reach), np.full(size, reach))


def _is_constant(value: Encoded) -> bool:
    return bool(value.expressions.matrix.nnz == 0)


def _variables_of_layer(walk: Walk, position: int, first: bool) -> LayerVariables:
    layer: Any = walk.architecture.layers[position]
    box, shape = walk.boxes[position], walk.architecture.kernel_shape(position)
    low, high, name = box.lower, box.upper, f"layer{position}"
    weights = add_block(walk.builder, f"{name}_w", layer.weights, low.weights.ravel(), high.weights.ravel(), first)
    if layer.bias:
        biases = add_block(walk.builder, f"{name}_b", layer.weights, low.biases, high.biases, True)
    else:
        zeros = Expressions.constants(np.zeros(shape[0]))
        biases = Block(zeros, zeros, (zeros, zeros), None, 1.0, 0.0, lambda point, values: None)
    gate = None
    if isinstance(layer, GatedLayer):
        ends = np.array([float(low.gate)]), np.array([float(high.gate)])
        gate = int(walk.builder.variables(f"{name}_gate", *ends, VariableKind.INTEGER)[0])
    variables = LayerVariables(weights, biases, gate, shape)
    walk.layers[position] = variables
    walk.completions.append(lambda point, values: variables.write(point, values[position]))
    return variables


def _over_constants(walk: Walk, variables: LayerVariables, template: Template, value: Encoded) -> Expressions:
    """Return ``w . x_n`` of every row and sample for samples that are constants; keep its terms' positive parts."""
    inputs = value.expressions.constant.reshape(walk.samples, template.size_in)
    rows = (np.arange(walk.samples)[:, None] * template.size_out + template.rows).ravel()
    data = inputs[:, template.columns].ravel()
    columns = np.tile(template.parameters, walk.samples)
    shape = (walk.samples * template.size_out, template.count)
    kept = data != 0
    matrix = sp.csr_array((data[kept], (rows[kept], columns[kept])), shape=shape)
    if variables.weights.parts is not None and variables.biases.parts is not None:
        up, down = variables.weights.parts
        ahead = variables.biases.parts[0][np.tile(template.units, walk.samples)]
        walk.positive = up.linear(matrix.maximum(0.0)) + down.linear((-matrix).maximum(0.0)) + ahead
    return variables.weights.value.linear(matrix)


def _as_variables(walk: Walk, value: Encoded, where: BoolArray) -> Encoded:
    """Give expressions of several terms a variable of their own, so that products with them stay short."""
    chosen = np.flatnonzero(where)
    if not len(chosen):
        return value
    fresh = walk.builder.variables("activation", value.lower[chosen], value.upper[chosen])
    inner = value.expressions[chosen]
    walk.builder.rows(Expressions.variables(fresh) - inner, 0.0, 0.0)

    def complete(point: FloatArray, _: Mapping[int, LayerValues]) -> None:
        point[fresh] = inner.value(point)

    walk.completions.append(complete)
    choice = np.arange(len(value.lower))
    choice[chosen] = len(value.lower) + np.arange(len(chosen))
    both = Expressions.stack([value.expressions, Expressions.variables(fresh)])
    return Encoded(both[choice], value.lower, value.upper)


def _over_activations(walk: Walk, variables: LayerVariables, template: Template, value: Encoded) -> Expressions:
    """Return ``w . h_n`` of every row and sample: one product for each pair of a weight and a distinct activation."""
    if walk.tightening.merged:
        first, inverse = distinct_rows(value.expressions)
    else:
        first = inverse = np.arange(value.expressions.size)
    activations = Encoded(value.expressions[first], value.lower[first], value.upper[first])
    activations = _as_variables(walk, activations, ~activations.expressions.is_selection)
    entry = inverse.reshape(walk.samples, template.size_in)[:, template.columns]
    rows = np.arange(walk.samples)[:, None] * template.size_out + template.rows
    pairs = entry * template.count + template.parameters
    unique, place = np.unique(pairs, return_inverse=True)
    act, parameter = unique // template.count, unique % template.count
    products = _products(walk, variables.weights, activations, act, parameter)
    size = walk.samples * template.size_out
    ones = np.ones(place.size)
    return products.linear(sp.csr_array((ones, (rows.ravel(), place.ravel())), shape=(size, len(unique))))


def _products(walk: Walk, block: Block, activations: Encoded, act: IntArray, parameter: IntArray) -> Expressions:
    """Return ``w_p h_a`` of pairs of weights and activations; linear where one of them is a constant."""
    if block.whole is None:
        return _bilinear_products(walk, block, activations, act, parameter)
    whole = block.whole[parameter]
    low, high = walk.builder.bounds(whole)
    fixed = low == high
    constant = ~fixed & (np.diff(activations.expressions.matrix.indptr)[act] == 0)
    pair = np.flatnonzero(~fixed & ~constant)
    factors = np.where(fixed, block.factor * low + block.shift, block.shift)
    factors[constant] = 0.0
    total = activations.expressions[act].scaled(factors)
    parts = [total]
    if constant.any():
        held = np.where(constant, activations.expressions.constant[act], 0.0)
        parts.append(block.value[parameter].scaled(held))
    if len(pair):
        ends = np.array([low[pair], high[pair]])
        corners = np.stack([end * bound[act[pair]] for end in ends for bound in (activations.lower, activations.upper)])
        results = walk.builder.variables("product", _below(corners.min(axis=0)), _above(corners.max(axis=0)))
        inner = activations.expressions[act[pair]]
        bounds = activations.lower[act[pair]], activations.upper[act[pair]]
        walk.builder.semantic(Product(results, whole[pair], inner, *bounds))
        walk.complete_semantic()
        placed = sp.csr_array((np.full(len(pair), block.factor), (pair, np.arange(len(pair)))), (len(act), len(pair)))
        parts.append(Expressions.variables(results).linear(placed))
    whole_sum = parts[0]
    for part in parts[1:]:
        whole_sum = whole_sum + part
    return whole_sum


def _bilinear_products(
    walk: Walk, block: Block, activations: Encoded, act: IntArray, parameter: IntArray
) -> Expressions:
    """Return products of continuous weights with activations that may vary."""
    left, right = block.value[parameter], activations.expressions[act]
    low, high = walk.builder.enclosure(left)
    bounds = activations.lower[act], activations.upper[act]
    corners = np.stack([end * bound for end in (low, high) for bound in bounds])
    results = walk.builder.variables("product", _below(corners.min(axis=0)), _above(corners.max(axis=0)))
    walk.builder.semantic(Bilinear(results, left, right))
    walk.complete_semantic()
    return Expressions.variables(results)


def _below(values: FloatArray) -> FloatArray:
    return np.where(values == np.round(values), values, np.nextafter(values, -np.inf))


def _above(values: FloatArray) -> FloatArray:
    return np.where(values == np.round(values), values, np.nextafter(values, np.inf))


def _affine(walk: Walk, position: int, value: Encoded) -> tuple[Encoded, LayerVariables]:
    """Return the pre-activations of a layer with weights."""
    template = walk.architecture.template(position)
    constant, walk.positive = _is_constant(value), None
    variables = _variables_of_layer(walk, position, constant)
    over = _over_constants if constant else _over_activations
    total = over(walk, variables, template, value)
    total = total + variables.biases.value[np.tile(template.units, walk.samples)]
    lower, upper = walk.builder.enclosure(total)
    layer: Any = walk.architecture.layers[position]
    if isinstance(layer.weights, Continuous):
        _keep_in_balls(walk, variables, layer.weights, template)
    if isinstance(layer.weights, Continuous) and constant:
        lower, upper = _ball_bounds(walk, layer.weights, template, value, lower, upper)
    return Encoded(total, lower, upper), variables


def _keep_in_balls(walk: Walk, variables: LayerVariables, weights: Continuous, template: Template) -> None:
    """Keep each unit within its L1 ball."""
    units = variables.shape[0]
    place = np.repeat(np.arange(units), template.count // units)
    ones = np.ones(template.count)
    gather = sp.csr_array((ones, (place, np.arange(template.count))), shape=(units, template.count))
    walk.builder.rows(variables.weights.size.linear(gather) + variables.biases.size, upper=weights.bound)


def _ball_bounds(
    walk: Walk,
    weights: Continuous,
    template: Template,
    value: Encoded,
    lower: FloatArray,
    upper: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Use that each unit is in its L1 ball: ``|w . x + b| <= (|w|_1 + |b|) max(|x|_inf, 1)``."""
    inputs = np.abs(value.expressions.constant.reshape(walk.samples, template.size_in))
    most = np.ones((template.size_out, walk.samples))
    np.maximum.at(most, template.rows, inputs[:, template.columns].T)
    reach = np.nextafter(weights.bound * most.T.ravel(), np.inf)
    return np.maximum(lower, -reach), np.minimum(upper, reach)


def _encode_affine(walk: Walk, position: int, value: Encoded) -> Encoded:
    return _affine(walk, position, value)[0]


def _encode_relu(walk: Walk, position: int, value: Encoded) -> Encoded:
    """Return the positive parts, one encoding for entries that are equal."""
    loose, positive = _with_sample_bounds(walk, value), walk.positive
    first = inverse = np.arange(value.expressions.size)
    if walk.tightening.merged:
        first, inverse = distinct_rows(value.expressions)
    chosen = Encoded(loose.expressions[first], loose.lower[first], loose.upper[first])
    result = relu(walk.builder, f"relu{position}", chosen)
    walk.complete_semantic()
    if positive is not None and walk.tightening.size_cuts:
        unstable = np.flatnonzero((chosen.lower < 0) & (chosen.upper > 0))
        walk.builder.rows(result.expressions[unstable] - positive[first[unstable]], upper=0.0)
    walk.positive = None
    return Encoded(result.expressions[inverse], result.lower[inverse], result.upper[inverse])


def _encode_gated(walk: Walk, position: int, value: Encoded) -> Encoded:
    """Return ``x + g (relu(W x + b) - x)``: one product with the gate."""
    before, variables = _affine(walk, position, value)
    hidden = _encode_relu(walk, position, before)
    step = Encoded(
        hidden.expressions - value.expressions, _below(hidden.lower - value.upper), _above(hidden.upper - value.lower)
    )
    step = _as_variables(walk, step, ~step.expressions.is_selection)
    assert variables.gate is not None
    size = len(step.lower)
    results = walk.builder.variables("gated", np.minimum(step.lower, 0.0), np.maximum(step.upper, 0.0))
    walk.builder.semantic(Product(results, np.full(size, variables.gate), step.expressions, step.lower, step.upper))
    walk.complete_semantic()
    return Encoded(
        value.expressions + Expressions.variables(results),
        np.minimum(value.lower, hidden.lower),
        np.maximum(value.upper, hidden.upper),
    )


def _encode_maximum(walk: Walk, position: int, value: Encoded, floor: bool) -> Encoded:
    """Return the maximum of every window and sample; of zero too, if a ReLU went before."""
    members, offsets = walk.architecture.windows(position)
    size, windows = prod(walk.architecture.shapes[position]), len(offsets) - 1
    inside = np.arange(walk.samples)[:, None, None] * size + members.reshape(windows, -1)
    if floor:
        zero = np.full((walk.samples, windows, 1), value.expressions.size)
        inside = np.concatenate([inside, zero], axis=2)
    groups = inside.reshape(walk.samples * windows, -1)
    zeros = Expressions.constants(np.zeros(1))
    argument = Encoded(
        Expressions.stack([value.expressions, zeros]), np.append(value.lower, 0.0), np.append(value.upper, 0.0)
    )
    first, inverse = _distinct_groups(walk, argument.expressions, groups)
    chosen = groups[first]
    op = MaximumOp(chosen.ravel(), chosen.shape[1] * np.arange(len(chosen) + 1), argument.expressions.size)
    result = maximum(walk.builder, f"pool{position}", argument, op)
    walk.complete_semantic()
    return Encoded(result.expressions[inverse], result.lower[inverse], result.upper[inverse])


def _distinct_groups(walk: Walk, expressions: Expressions, groups: IntArray) -> tuple[IntArray, IntArray]:
    """Find windows whose members are equal, in any order."""
    every = np.arange(len(groups))
    if not walk.tightening.merged:
        return every, every
    classes = np.sort(distinct_rows(expressions)[1][groups], axis=1)
    _, first, inverse = np.unique(classes, axis=0, return_index=True, return_inverse=True)
    return first, inverse.ravel()


def _encode_max_pool(walk: Walk, position: int, value: Encoded) -> Encoded:
    fused = walk.tightening.fused_pools and position > 0
    floor = fused and isinstance(walk.architecture.layers[position - 1], ReluLayer)
    return _encode_maximum(walk, position, _with_sample_bounds(walk, value), floor)


def _encode_average_pool(walk: Walk, position: int, value: Encoded) -> Encoded:
    members, offsets = walk.architecture.windows(position)
    size, windows = prod(walk.architecture.shapes[position]), len(offsets) - 1
    count = len(members) // windows
    share = np.full(len(members), 1.0 / count)
    one = sp.csr_array((share, members, offsets), shape=(windows, size))
    total = value.expressions.linear(sp.block_diag([one] * walk.samples, format="csr"))
    lower, upper = walk.builder.enclosure(total)
    return Encoded(total, lower, upper)


ENCODINGS: Mapping[type, Callable[[Walk, int, Encoded], Encoded]] = {
    DenseLayer: _encode_affine,
    ConvolutionLayer: _encode_affine,
    GatedLayer: _encode_gated,
    ReluLayer: _encode_relu,
    MaxPoolLayer: _encode_max_pool,
    AveragePoolLayer: _encode_average_pool,
    FlattenLayer: lambda walk, position, value: value,
}
"""How each layer enters a programme."""


def walk_layers(walk: Walk, x: FloatArray) -> Encoded:
    """Write the outputs of all samples over the weights of all layers.

    Parameters
    ----------
    walk : Walk
        Receives variables, rows and constraints.
    x : ndarray, shape (samples, inputs)

    Returns
    -------
    Encoded
        Sample after sample, each with all its outputs.
    """
    constants = x.ravel()
    value = Encoded(Expressions.constants(constants), constants, constants)
    layers: Sequence[Any] = walk.architecture.layers
    for position, layer in enumerate(layers):
        following = layers[position + 1] if position + 1 < len(layers) else None
        if walk.tightening.fused_pools and isinstance(layer, ReluLayer) and isinstance(following, MaxPoolLayer):
            continue
        value = ENCODINGS[type(layer)](walk, position, value)
    return value
