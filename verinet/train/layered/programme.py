"""Training of a stack of layers as a programme: walk, loss, structure and goals."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp

from verinet.errors import InputError
from verinet.numeric import FloatArray, IntArray
from verinet.program import Expressions, Indicator, Programme, ProgrammeBuilder
from verinet.train.data import TrainingData
from verinet.train.layered.architecture import Architecture, GatedLayer, LayerValues, Quantised
from verinet.train.layered.demands import LayeredDemands, demand_of_walk
from verinet.train.layered.forward import outputs_of
from verinet.train.layered.losses import LossRows, Sample, add_errors, add_loss, tangent_rows
from verinet.train.layered.specification import Goal, LayeredSpecification, Tightening
from verinet.train.layered.walk import Completion, LayerBox, LayerVariables, Walk, free_box, walk_layers
from verinet.train.specification import Loss

__all__ = ["LayeredProgramme", "build_layered", "in_order", "samples_of", "unit_keys"]


@dataclass(frozen=True, eq=False)
class LayeredProgramme:
    """The programme of a specification and data, and where its weights are.

    Parameters
    ----------
    programme : Programme
        Its objective is that of the first goal.
    goals : Mapping
        What each goal minimises.
    """

    programme: Programme
    goals: Mapping[Goal, Expressions]
    _layers: Mapping[int, LayerVariables]
    _completions: tuple[Completion, ...]

    def values(self, point: FloatArray) -> dict[int, LayerValues]:
        """Read the weights of all layers at a point."""
        return {position: variables.read(point) for position, variables in self._layers.items()}

    def point(self, values: Mapping[int, LayerValues]) -> FloatArray:
        """Return the point that given weights make."""
        point = np.zeros(self.programme.size)
        for complete in self._completions:
            complete(point, values)
        return point

    def contains(self, values: Mapping[int, LayerValues]) -> bool:
        """Tell whether weights lie within the variables' bounds."""
        point = np.zeros(self.programme.size)
        for position, variables in self._layers.items():
            variables.write(point, values[position])
        read = self.values(point)
        inside = [
            np.array_equal(read[p].weights, values[p].weights) and np.array_equal(read[p].biases, values[p].biases)
            for p in self._layers
        ]
        programme = self.programme
        return all(inside) and bool(
            ((point >= programme.lower) | (point == 0.0)).all() and (point <= programme.upper).all()
        )

    def towards(self, goal: Goal, limits: Mapping[Goal, float]) -> Programme:
        """Return the programme of a goal, with limits on others."""
        builder = ProgrammeBuilder.extending(self.programme)
        for other, limit in limits.items():
            builder.rows(self.goals[other], upper=limit)
        builder.objective = self.goals[goal]
        return builder.build()


def samples_of(data: TrainingData, specification: LayeredSpecification) -> Sample:
    """Return targets and weights as the losses need them.

    Raises
    ------
    InputError
        If targets are not the classes that the outputs stand for, or the data does not have the inputs.
    """
    architecture = specification.architecture
    inputs = int(np.prod(architecture.input_shape))
    if inputs != data.x.shape[1]:
        raise InputError(
            f"the architecture takes {inputs} inputs (input_shape={architecture.input_shape}), the data has "
            f"{data.x.shape[1]} features"
        )
    if not specification.classifies:
        return Sample(data.scaled_y, data.weights, 1)
    known = (-1.0, 1.0) if architecture.outputs == 1 else tuple(float(k) for k in range(architecture.outputs))
    if not np.isin(data.y, known).all():
        raise InputError(
            f"a network of {architecture.outputs} outputs needs targets among {', '.join(f'{k:g}' for k in known)}, "
            f"found {data.y[~np.isin(data.y, known)][0]:g}"
        )
    return Sample(data.y, data.weights, architecture.outputs)


def unit_keys(values: LayerValues) -> FloatArray:
    """Return a number for each unit by which units that can trade places are ordered: a fixed random functional."""
    flat = np.column_stack([values.weights.reshape(len(values.weights), -1), values.biases])
    return np.asarray(flat @ _key_weights(flat.shape[1]))


def _key_weights(size: int) -> FloatArray:
    # Short decimals keep the sums exact, so that equal units have equal keys.
    return np.asarray(np.random.default_rng(1).integers(64, 128, size) / 64.0)


def _ordered_layers(architecture: Architecture) -> tuple[tuple[int, int], ...]:
    """Return layers whose units can trade places, each with the next layer with weights."""
    return tuple(
        (position, following)
        for position, following in pairwise(architecture.weighted)
        if not isinstance(architecture.layers[position], GatedLayer)
        and not isinstance(architecture.layers[following], GatedLayer)
    )


def _columns(weights: FloatArray, units: int) -> FloatArray:
    """Return what a layer's weights read of each unit before it, one row for each unit."""
    outputs = len(weights)
    return np.asarray(np.moveaxis(weights.reshape(outputs, units, -1), 1, 0).reshape(units, -1))


def in_order(
    architecture: Architecture, values: Mapping[int, LayerValues], by_outputs: bool = False
) -> dict[int, LayerValues]:
    """Put units that can trade places in the programme's order; the function stays the same.

    Parameters
    ----------
    architecture : Architecture
    values : Mapping
    by_outputs : bool
        First by the last layer's weights, the largest first: the order of the cases of signs.
    """
    ordered = dict(values)
    for position, following in _ordered_layers(architecture):
        own, after = ordered[position], ordered[following]
        keys = [-unit_keys(own)]
        if by_outputs and following == architecture.weighted[-1]:
            keys.append(-_columns(after.weights, len(own.biases)).sum(axis=1))
        order = np.lexsort(keys)
        ordered[position] = LayerValues(own.weights[order], own.biases[order], own.gate)
        shape = after.weights.shape
        split = after.weights.reshape(shape[0], len(order), -1)[:, order]
        ordered[following] = LayerValues(split.reshape(shape), after.biases, after.gate)
    return ordered


class _Structure:
    """Sizes, non-zeros, units, features and layers of the walked programme, each added when it is asked for."""

    def __init__(self, walk: Walk, specification: LayeredSpecification) -> None:
        self.walk, self.spec, self.builder = walk, specification, walk.builder
        self.architecture = walk.architecture

    def size(self) -> Expressions:
        """Return the sum of the sizes of all weights and of all biases but the last layer's."""
        last = self.architecture.weighted[-1]
        parts = [v.weights.size.total() for v in self.walk.layers.values()]
        parts += [v.biases.size.total() for p, v in self.walk.layers.items() if p != last]
        return Expressions.stack(parts).total()

    def squares(self) -> Expressions:
        """Return the sum of squares, exact at whole multiples of the scale: ``q >= (2t + 1) m - t (t + 1)``."""
        last, parts = self.architecture.weighted[-1], []
        for position, variables in self.walk.layers.items():
            layer: Any = self.architecture.layers[position]
            scale = layer.weights.scale
            blocks = [variables.weights] if position == last else [variables.weights, variables.biases]
            for block in blocks:
                steps = block.size.scaled(1.0 / scale)
                most = int(np.ceil(layer.weights.reach / scale))
                size = steps.size
                square = self.builder.variables("square", np.zeros(size), np.full(size, float(most) ** 2))
                own = Expressions.variables(square)
                for t in range(most):
                    self.builder.rows(own - steps.scaled(2.0 * t + 1), lower=-float(t * (t + 1)))
                self.walk.completions.append(_complete_squares(square, steps))
                parts.append(own.total().scaled(scale**2))
        return Expressions.stack(parts).total()

    def nonzero_of(self, position: int) -> Expressions:
        """Return for each weight of a layer whether it is not zero."""
        variables, weights = self.walk.layers[position], self.architecture.weights_of(position)
        block, count = variables.weights, variables.weights.value.size
        if not weights.has_zero:
            return Expressions.constants(np.ones(count))
        if block.parts is not None and isinstance(weights, Quantised) and weights.reach == weights.scale:
            # Of weights -1, 0 and 1 the two parts are binaries, and one of them is on where the weight is not zero.
            return block.size.scaled(1.0 / weights.scale)
        nonzero = self.builder.binaries("nonzero", count)
        self.builder.rows(block.size - Expressions.variables(nonzero).scaled(weights.reach), upper=0.0)

        def complete(point: FloatArray, values: Mapping[int, LayerValues]) -> None:
            point[nonzero] = values[position].weights.ravel() != 0

        self.walk.completions.append(complete)
        return Expressions.variables(nonzero)

    def nonzeros(self) -> Expressions:
        """Return the number of weights that are not zero."""
        return Expressions.stack([self.nonzero_of(p).total() for p in self.walk.layers]).total()

    def units(self) -> Expressions:
        """Return the number of hidden units and filters in use."""
        used = [self._used(position, *self._by_unit(position)).total() for position in self.architecture.hidden_units()]
        return Expressions.stack([Expressions.constants([0.0]), *used]).total()

    def _by_unit(self, position: int) -> tuple[Expressions, IntArray]:
        """Return the sizes of a layer's weights and biases, and the unit of each."""
        variables = self.walk.layers[position]
        units = variables.shape[0]
        fan_in = variables.weights.value.size // units
        owner = np.concatenate([np.repeat(np.arange(units), fan_in), np.arange(units)])
        return Expressions.stack([variables.weights.size, variables.biases.size]), owner

    def _used(self, position: int, sizes: Expressions, owner: IntArray) -> Expressions:
        layer: Any = self.architecture.layers[position]
        used = self.builder.binaries(f"used{position}", int(owner.max()) + 1)
        reach = layer.weights.reach
        self.builder.rows(sizes - Expressions.variables(used[owner]).scaled(reach), upper=0.0)

        def complete(point: FloatArray, values: Mapping[int, LayerValues]) -> None:
            own = values[position]
            flat = np.concatenate([own.weights.ravel(), own.biases])
            point[used] = np.bincount(owner, weights=flat != 0, minlength=len(used)) > 0

        self.walk.completions.append(complete)
        return Expressions.variables(used)

    def features(self) -> Expressions:
        """Return the number of inputs that the first layer reads."""
        position = self.architecture.weighted[0]
        variables = self.walk.layers[position]
        layer: Any = self.architecture.layers[position]
        units, inputs = variables.shape[0], variables.shape[1]
        read = self.builder.binaries("feature", inputs)
        owner = np.tile(np.arange(inputs), units)
        limit = Expressions.variables(read[owner]).scaled(layer.weights.reach)
        self.builder.rows(variables.weights.size - limit, upper=0.0)

        def complete(point: FloatArray, values: Mapping[int, LayerValues]) -> None:
            point[read] = (values[position].weights != 0).any(axis=0)

        self.walk.completions.append(complete)
        return Expressions.variables(read).total()

    def layers(self) -> Expressions:
        """Return the number of gated layers in use; the weights of one that is not are zero."""
        gates = [v.gate for v in self.walk.layers.values() if v.gate is not None]
        return Expressions.stack([Expressions.constants([0.0]), Expressions.variables(gates)]).total()

    def close_gates(self) -> None:
        """Keep the weights of gated layers at zero where the gate is off."""
        for position, variables in self.walk.layers.items():
            layer: Any = self.architecture.layers[position]
            if variables.gate is None or not layer.weights.has_zero:
                continue
            sizes, _ = self._by_unit(position)
            gate = Expressions.variables(np.full(sizes.size, variables.gate))
            self.builder.rows(sizes - gate.scaled(layer.weights.reach), upper=0.0)

    def order_units(self) -> None:
        """Order units that can trade places: those of equal boxes, before and behind them."""
        for position, following in _ordered_layers(self.architecture):
            variables = self.walk.layers[position]
            units = variables.shape[0]
            boxes = self.walk.boxes
            fan_in = variables.weights.value.size // units
            weights = _key_weights(fan_in + 1)
            place = np.repeat(np.arange(units), fan_in)
            gather = sp.csr_array(
                (np.tile(weights[:-1], units), (place, np.arange(units * fan_in))), shape=(units, units * fan_in)
            )
            keys = variables.weights.value.linear(gather) + variables.biases.value.scaled(weights[-1])
            for k in range(units - 1):
                if _alike(boxes[position], boxes[following], units, k):
                    self.builder.rows(keys[k : k + 1] - keys[k + 1 : k + 2], lower=0.0)


def _complete_squares(square: IntArray, steps: Expressions) -> Completion:
    def complete(point: FloatArray, _: Mapping[int, LayerValues]) -> None:
        point[square] = np.round(steps.value(point)) ** 2

    return complete


def _alike(own: LayerBox, after: LayerBox, units: int, k: int) -> bool:
    """Tell whether unit k and the next one have the same limits, before and behind them."""
    ends = [(end.weights[k], end.weights[k + 1]) for end in (own.lower, own.upper)]
    ends += [(np.atleast_1d(end.biases[k]), np.atleast_1d(end.biases[k + 1])) for end in (own.lower, own.upper)]
    ends += [tuple(_columns(end.weights, units)[k : k + 2]) for end in (after.lower, after.upper)]
    return all(np.array_equal(a, b) for a, b in ends)


class _Assembly:
    """Builds the programme; each goal's expression is made when it is needed."""

    def __init__(
        self,
        specification: LayeredSpecification,
        data: TrainingData,
        tightening: Tightening,
        boxes: Mapping[int, LayerBox],
        places: tuple[FloatArray, ...],
        demands: LayeredDemands,
    ) -> None:
        self.spec, self.tightening = specification, tightening
        self.samples = samples_of(data, specification)
        self.builder = ProgrammeBuilder()
        self.x = data.scaled_x
        every = np.vstack([self.x, demands.rows.x])
        self.walk = Walk(self.builder, specification.architecture, len(every), tightening, boxes)
        outputs = walk_layers(self.walk, every).expressions
        own = len(self.x) * specification.architecture.outputs
        self.outputs = outputs[:own]
        demand_of_walk(self.walk, demands, outputs[own:])
        self.loss: LossRows | None = None
        self.structure = _Structure(self.walk, specification)
        self.places = places
        self.counted: dict[Goal, Expressions] = {}

    def losses(self) -> LossRows:
        """Add the loss and the tangents that are asked for."""
        if self.loss is None:
            self.loss = self._completed(add_loss(self.builder, self.spec, self.samples, self.outputs))
            for places in self.places:
                tangent_rows(self.builder, self.spec, self.samples, self.outputs, self.loss.losses, places)
        return self.loss

    def _completed(self, rows: LossRows) -> LossRows:
        def complete(point: FloatArray, values: Mapping[int, LayerValues]) -> None:
            rows.complete(point, outputs_of(self.spec.architecture, self.x, values))

        self.walk.completions.append(complete)
        return rows

    def errors(self) -> LossRows:
        """Add the errors, or take them from the loss."""
        if self.spec.objective.loss is Loss.ZERO_ONE:
            return self.losses()
        loss = self.losses()
        assert loss.margins is not None
        return self._completed(add_errors(self.builder, self.spec, self.samples, loss.margins))

    def margin(self) -> Expressions:
        """Return minus the smallest margin of the samples that are no errors."""
        flags = self.errors()
        assert flags.margins is not None
        _, upper = self.builder.enclosure(flags.margins)
        cap = float(max(upper.max(), self.spec.objective.margin))
        smallest = self.builder.variables("margin", [self.spec.objective.margin], [cap])
        rivals = flags.margins.size // flags.losses.size
        binaries = np.repeat(flags.losses.matrix.indices, rivals)
        short = Expressions.variables(np.full(flags.margins.size, smallest[0])) - flags.margins
        _, high = self.builder.enclosure(short)
        self.builder.semantic(Indicator(binaries, short, high, active=False))
        margins = flags.margins

        def complete(point: FloatArray, _: Mapping[int, LayerValues]) -> None:
            reached = margins.value(point)[point[binaries] < 0.5]
            point[smallest] = np.clip(reached.min(initial=cap), self.spec.objective.margin, cap)

        self.walk.completions.append(complete)
        return Expressions.variables(smallest).scaled(-1.0)

    def objective(self) -> Expressions:
        """Return mean loss and penalties."""
        objective, structure = self.spec.objective, self.structure
        parts = [self.losses().total]
        for price, term in (
            (objective.l1, structure.size),
            (self.spec.l2, structure.squares),
            (self.spec.layer_penalty, structure.layers),
        ):
            if price:
                parts.append(term().scaled(price))
        for price, goal in (
            (objective.l0, Goal.NONZEROS),
            (objective.unit_penalty, Goal.UNITS),
            (objective.feature_penalty, Goal.FEATURES),
        ):
            if price:
                parts.append(self.count(goal).scaled(price))
        return Expressions.stack(parts).total()

    def count(self, goal: Goal) -> Expressions:
        """Return a number of parts, each number made once."""
        makers = {
            Goal.NONZEROS: self.structure.nonzeros,
            Goal.UNITS: self.structure.units,
            Goal.FEATURES: self.structure.features,
        }
        if goal not in self.counted:
            self.counted[goal] = makers[goal]()
        return self.counted[goal]

    def goal(self, goal: Goal) -> Expressions:
        """Return what a goal minimises."""
        makers = {
            Goal.OBJECTIVE: self.objective,
            Goal.ERRORS: lambda: self.errors().total,
            Goal.MARGIN: self.margin,
            Goal.SIZE: self.structure.size,
        }
        return makers[goal]() if goal in makers else self.count(goal)

    def build(self) -> LayeredProgramme:
        """Return the programme of the first goal, with all budgets."""
        self.structure.close_gates()
        if self.tightening.symmetry:
            self.structure.order_units()
        budget = self.spec.budget
        for limit, goal in (
            (budget.nonzeros, Goal.NONZEROS),
            (budget.units, Goal.UNITS),
            (budget.features, Goal.FEATURES),
        ):
            if limit is not None:
                self.builder.rows(self.count(goal), upper=float(limit))
        goals = {goal: self.goal(goal) for goal in self.spec.goals}
        self.builder.objective = goals[self.spec.goals[0]]
        return LayeredProgramme(self.builder.build(), goals, self.walk.layers, tuple(self.walk.completions))


def build_layered(
    specification: LayeredSpecification,
    data: TrainingData,
    tightening: Tightening | None = None,
    boxes: Mapping[int, LayerBox] | None = None,
    tangents: tuple[FloatArray, ...] = (),
    demands: LayeredDemands | None = None,
) -> LayeredProgramme:
    """Write the training of a stack of layers as a programme.

    Parameters
    ----------
    specification : LayeredSpecification
    data : TrainingData
    tightening : Tightening or None
    boxes : Mapping or None
        Smaller limits of some layers' weights, by position.
    tangents : tuple of ndarray, shape (samples,)
        Of a curved loss: outputs at which tangents are wanted.
    demands : LayeredDemands or None
        What outputs at further points must meet, and which networks are left out.

    Returns
    -------
    LayeredProgramme
        Its optimum is that of the specification within the boxes, in scaled features; of a curved loss a lower bound.

    Raises
    ------
    InputError
        If data and architecture do not fit.
    """
    architecture = specification.architecture
    every = {p: free_box(architecture, p) for p in architecture.weighted}
    demands = demands or LayeredDemands.none(data.x.shape[1])
    boxes = {**every, **(boxes or {})}
    return _Assembly(specification, data, tightening or Tightening(), boxes, tangents, demands).build()
