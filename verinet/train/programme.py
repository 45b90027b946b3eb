"""The training programme: parameters are variables, samples are constants, ReLUs are those of the verifier."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from verinet.encode import Encoded, relu, variable_affine
from verinet.numeric import FloatArray, IntArray
from verinet.program import Expressions, Indicator, Programme, ProgrammeBuilder
from verinet.train.data import TrainingData, distinct_rows
from verinet.train.demand_rows import ScaledDemands, add_demands
from verinet.train.specification import Loss, Specification, UnitTightening

__all__ = ["Parameters", "Tangents", "TrainingProgramme", "build_programme"]


@dataclass(frozen=True, eq=False)
class Parameters:
    """A network's parameters in scaled features.

    Parameters
    ----------
    weights : ndarray, shape (units, features)
    biases : ndarray, shape (units,)
    skip : ndarray, shape (features,)
    offset : float
        The constant c.
    """

    weights: FloatArray
    biases: FloatArray
    skip: FloatArray
    offset: float


@dataclass(frozen=True, eq=False)
class Tangents:
    """What stands for the losses of samples that the programme leaves out: their tangents at prices of all outputs.

    Of prices g that are feasible in the dual of training of any width, the weighted loss of a sample left out is at
    least ``D_n - g_n f_n``, and over all samples together ``sum_n g_n f_n`` is at most what the units' sizes cost plus
    ``p . pull``. So the objective is at least the constants D_n, which the programme leaves out, plus losses and
    ``g_n f_n`` of its own samples, the skip's cost minus ``p . pull``, and no cost of units' sizes.

    Parameters
    ----------
    prices : ndarray, shape (samples,)
        Of the programme's samples.
    pull : ndarray, shape (features,)
        ``sum_n g_n x_n`` over all samples, scaled.
    """

    prices: FloatArray
    pull: FloatArray


@dataclass(frozen=True, eq=False)
class _Split:
    """Variables of values written as a difference of two parts that are not negative: ``v = up - down``."""

    up: IntArray
    down: IntArray

    @classmethod
    def add(cls, builder: ProgrammeBuilder, name: str, size: int, bound: float) -> "_Split":
        zeros, bounds = np.zeros(size), np.full(size, bound)
        return cls(builder.variables(f"{name}_up", zeros, bounds), builder.variables(f"{name}_down", zeros, bounds))

    def __getitem__(self, index: slice) -> "_Split":
        return _Split(self.up[index], self.down[index])

    @property
    def value(self) -> Expressions:
        return Expressions.variables(self.up) - Expressions.variables(self.down)

    @property
    def size(self) -> Expressions:
        """The absolute values, where at most one part is positive; upper bounds of them otherwise."""
        return Expressions.variables(self.up) + Expressions.variables(self.down)

    def read(self, point: FloatArray) -> FloatArray:
        return point[self.up] - point[self.down]

    def write(self, point: FloatArray, values: FloatArray) -> None:
        point[self.up], point[self.down] = np.maximum(values, 0.0), np.maximum(-values, 0.0)


@dataclass(frozen=True, eq=False)
class TrainingProgramme:
    """The programme of a specification and data, and where its parameters are.

    Parameters
    ----------
    programme : Programme
    specification : Specification
    """

    programme: Programme
    specification: Specification
    _weights: tuple[_Split, ...]
    _biases: _Split
    _skip: _Split
    _offset: int
    _complete: tuple[Callable[[FloatArray, Parameters], None], ...]

    def parameters(self, point: FloatArray) -> Parameters:
        """Read the parameters at a point."""
        count = len(self._weights)
        features = len(self._skip.up)
        weights = np.array([w.read(point) for w in self._weights]).reshape(count, features)
        return Parameters(weights, self._biases.read(point), self._skip.read(point), float(point[self._offset]))

    def point(self, parameters: Parameters) -> FloatArray:
        """Return the point of the programme that given parameters make."""
        point = np.zeros(self.programme.size)
        for split, values in zip(self._weights, parameters.weights, strict=True):
            split.write(point, values)
        self._biases.write(point, parameters.biases)
        self._skip.write(point, parameters.skip)
        point[self._offset] = parameters.offset
        for complete in self._complete:
            complete(point, parameters)
        return point

    def with_units_fixed(self, parameters: Parameters, units: Sequence[int]) -> Programme:
        """Return the programme with some units' weights and biases at given values."""
        point, lower, upper = self.point(parameters), self.programme.lower.copy(), self.programme.upper.copy()
        for unit in units:
            one = self._biases[unit : unit + 1]
            for places in (self._weights[unit].up, self._weights[unit].down, one.up, one.down):
                # A solver's value may be off its bounds by a tolerance.
                lower[places] = upper[places] = np.clip(point[places], lower[places], upper[places])
        return replace(self.programme, lower=lower, upper=upper)


class _Builder:
    """Builds the programme piece by piece; each piece also says how a point is completed with its variables."""

    def __init__(
        self,
        specification: Specification,
        data: TrainingData,
        weight_bound: float,
        prices: FloatArray | None,
        demands: ScaledDemands,
        tightening: UnitTightening,
        tangents: Tangents | None,
    ) -> None:
        self.spec, self.data, self.bound, self.prices = specification, data, weight_bound, prices
        self.demands, self.tightening, self.tangents = demands, tightening, tangents
        self.x, self.y = data.scaled_x, data.scaled_y
        self.signs = specification.signs
        self.builder = ProgrammeBuilder()
        self.completions: list[Callable[[FloatArray, Parameters], None]] = []
        features, units = self.x.shape[1], len(self.signs)
        self.weights = tuple(_Split.add(self.builder, f"w{k}", features, weight_bound) for k in range(units))
        self.biases = _Split.add(self.builder, "b", units, weight_bound)
        self.skip = _Split.add(self.builder, "p", features, weight_bound if specification.skip else 0.0)
        reach = (units + features + 1) * weight_bound + specification.objective.margin + 1.0
        self.offset = int(self.builder.variables("c", [-reach], [reach])[0])
        self.costs: list[Expressions] = []

    def size_of(self, unit: int) -> Expressions:
        """Return ``sum_j |w_kj| + |b_k|``."""
        return self.weights[unit].size.total() + self.biases[unit : unit + 1].size

    def output(self, x: FloatArray, *, sampled: bool) -> Expressions:
        """Return f at some points, with the ReLU encoding of the verifier; at the samples, as far as the loss needs.

        Equal points share theirs.
        """
        x, place = distinct_rows(x)
        total = self.skip.value.linear(x) + Expressions.variables([self.offset]).linear(np.ones((len(x), 1)))
        # |w.x + b| <= (|w|_1 + |b|) max(|x|_inf, 1) in the ball, and <= (|x|_1 + 1) times the bound in the box.
        largest = np.maximum(np.abs(x).max(axis=1, initial=0.0), 1.0)
        reach = self.bound * (largest if self.tightening.ball_bounds else np.abs(x).sum(axis=1) + 1.0)
        for k, sign in enumerate(self.signs):
            before = variable_affine(self.weights[k].value, self.biases[k : k + 1].value, x)
            within = Encoded(before, -reach, reach)
            after = self._hidden(k, sign, within, place) if sampled else relu(self.builder, f"h{k}", within)
            self.completions.append(_complete_relu(after.expressions, x, k))
            if sampled:
                self._price(k, after.expressions, place)
            total = total + after.expressions.scaled(float(sign))
        return total[place]

    def tangent(self, output: Expressions) -> None:
        """Add the tangents' part that depends on the network."""
        if self.tangents is not None:
            self.costs.append(output.linear(self.tangents.prices[None, :]))
            self.costs.append(self.skip.value.linear(-self.tangents.pull[None, :]))

    def meet_demands(self) -> None:
        """Add the outputs at the demands' points, and the demands."""
        if self.demands.clauses:
            complete = add_demands(self.builder, self.demands, self.output(self.demands.x, sampled=False))
            self.completions.append(lambda point, _: complete(point))

    def _hidden(self, unit: int, sign: int, before: Encoded, place: IntArray) -> Encoded:
        """Return a unit's values: ReLUs, but values that the loss wants small need only lie above them.

        A value above the ReLU then costs no less, so the optimum is the same, and lying above is convex. Tangents may
        want it large.
        """
        convex = np.zeros(0, dtype=np.int64)
        if self.tightening.one_sided and self.spec.objective.loss.classifies and self.tangents is None:
            wanted = np.full(before.expressions.size, -np.inf)
            np.maximum.at(wanted, place, sign * self.y)
            convex = np.flatnonzero(wanted < 0)
        exact = np.setdiff1d(np.arange(before.expressions.size), convex)
        part = Encoded(before.expressions[exact], before.lower[exact], before.upper[exact])
        after = relu(self.builder, f"h{unit}", part)
        above = Expressions.variables(
            self.builder.variables(f"above{unit}", np.zeros(len(convex)), before.upper[convex])
        )
        self.builder.rows(above - before.expressions[convex], lower=0.0)
        order = np.argsort(np.concatenate([exact, convex]))
        together = Expressions.stack([after.expressions, above])[order]
        return Encoded(together, np.maximum(before.lower, 0.0), np.maximum(before.upper, 0.0))

    def _price(self, unit: int, hidden: Expressions, place: IntArray) -> None:
        """Add ``sign sum_n g_n h_n <= l1 size`` for prices g at which no unit is worth more than its size.

        The unit's own sign is enough: a unit that makes the output worse than it could never helps the relaxation.
        """
        if self.prices is None:
            return
        worth = hidden.linear(self.signs[unit] * np.bincount(place, self.prices)[None, :])
        cost = self.size_of(unit).scaled(self.spec.objective.l1 * (1 + PRICE_SLACK))
        self.builder.rows(cost - worth, lower=0.0)

    def structure(self) -> None:
        """Add the L1 balls, symmetry, pruning binaries, budgets and their costs."""
        units = len(self.signs)
        sizes = [self.size_of(k) for k in range(units)]
        objective, budget = self.spec.objective, self.spec.budget
        used = self._used_units(sizes) if objective.unit_penalty or budget.units is not None else None
        if used is None and sizes:
            self.builder.rows(Expressions.stack(sizes), upper=self.bound)
        self._order_units(sizes)
        for part in sizes if self.tangents is None else ():
            self.costs.append(part.scaled(objective.l1))
        self.costs.append(self.skip.size.total().scaled(objective.l1))
        counts_features = objective.feature_penalty or budget.features is not None
        if objective.l0 or budget.nonzeros is not None or counts_features:
            self._support(bool(counts_features))

    def _used_units(self, sizes: list[Expressions]) -> IntArray:
        used = self.builder.binaries("used", len(sizes))
        if not sizes:
            return used
        self.builder.rows(Expressions.stack(sizes) - Expressions.variables(used).scaled(self.bound), upper=0.0)
        self._charge(used, self.spec.objective.unit_penalty, self.spec.budget.units)

        def complete(point: FloatArray, parameters: Parameters) -> None:
            point[used] = _unit_sizes(parameters) > 0

        self.completions.append(complete)
        return used

    def _order_units(self, sizes: list[Expressions]) -> None:
        """Order the units of one sign by size: any network can be written so, unused units last."""
        for k, (sign, following) in enumerate(pairwise(self.signs)):
            if sign == following and self.tightening.symmetry:
                self.builder.rows(sizes[k] - sizes[k + 1], lower=0.0)

    def _support(self, count_features: bool) -> None:
        """Add a binary for each hidden and skip weight, and for each feature."""
        objective, budget = self.spec.objective, self.spec.budget
        splits = [*self.weights, self.skip]
        size = len(splits) * self.x.shape[1]
        support = self.builder.binaries("nonzero", size)
        magnitudes = Expressions.stack([split.size for split in splits])
        self.builder.rows(magnitudes - Expressions.variables(support).scaled(self.bound), upper=0.0)
        self._charge(support, objective.l0, budget.nonzeros)
        features = self.builder.binaries("feature", self.x.shape[1] if count_features else 0)
        if count_features:
            repeated = Expressions.variables(np.tile(features, len(splits)))
            self.builder.rows(Expressions.variables(support) - repeated, upper=0.0)
            self._charge(features, objective.feature_penalty, budget.features)

        def complete(point: FloatArray, parameters: Parameters) -> None:
            nonzero = np.vstack([parameters.weights, parameters.skip]) != 0
            point[support] = nonzero.ravel()
            if count_features:
                point[features] = nonzero.any(axis=0)

        self.completions.append(complete)

    def _charge(self, binaries: IntArray, price: float, limit: int | None) -> None:
        total = Expressions.variables(binaries).total()
        self.costs.append(total.scaled(price))
        if limit is not None:
            self.builder.rows(total, upper=float(limit))

    def monotone(self) -> None:
        """Add ``d p_j + sum_k t_kj >= 0, t_kj <= 0, t_kj <= d sign_k w_kj`` for each monotone feature.

        The derivative on every piece is ``p_j`` plus some of the terms ``sign_k w_kj``, so its smallest value is what
        the row bounds. Sufficient, and necessary where a point exists at which just the harmful units are active.
        """
        for feature, direction in self.spec.monotone.items():
            place = slice(feature, feature + 1)
            total = self.skip[place].value.scaled(float(direction))
            for k, sign in enumerate(self.signs):
                harm = self.builder.variables(f"t{k}_{feature}", [-self.bound], [0.0])
                slope = self.weights[k][place].value.scaled(float(direction * sign))
                self.builder.rows(Expressions.variables(harm) - slope, upper=0.0)
                total = total + Expressions.variables(harm)
                self.completions.append(_complete_harm(harm, k, feature, direction * sign))
            self.builder.rows(total, lower=0.0)

    def build(self) -> TrainingProgramme:
        output = self.output(self.x, sampled=True)
        LOSSES[self.spec.objective.loss](self, output)
        self.tangent(output)
        self.meet_demands()
        self.structure()
        self.monotone()
        total = Expressions.stack(self.costs).total()
        self.builder.objective = total if self.tangents is None else _without_residues(total)
        return TrainingProgramme(
            self.builder.build(),
            self.spec,
            self.weights,
            self.biases,
            self.skip,
            self.offset,
            tuple(self.completions),
        )

    def loss_variables(self, name: str, cost: Callable[[FloatArray], FloatArray]) -> Expressions:
        """Add a variable for each sample's loss, at its weight, and how to compute it from f."""
        size = len(self.y)
        losses = self.builder.variables(name, np.zeros(size), np.full(size, np.inf))
        self.costs.append(Expressions.variables(losses).linear(self.data.weights[None, :]))

        def complete(point: FloatArray, parameters: Parameters) -> None:
            point[losses] = cost(predict(parameters, self.signs, self.x))

        self.completions.append(complete)
        return Expressions.variables(losses)


def _unit_sizes(parameters: Parameters) -> FloatArray:
    return np.asarray(np.abs(parameters.weights).sum(axis=1) + np.abs(parameters.biases))


def _complete_relu(after: Expressions, x: FloatArray, unit: int) -> Callable[[FloatArray, Parameters], None]:
    def complete(point: FloatArray, parameters: Parameters) -> None:
        point[after.matrix.indices] = np.maximum(x @ parameters.weights[unit] + parameters.biases[unit], 0.0)

    return complete


def _complete_harm(harm: IntArray, unit: int, feature: int, sign: int) -> Callable[[FloatArray, Parameters], None]:
    def complete(point: FloatArray, parameters: Parameters) -> None:
        point[harm] = min(0.0, sign * parameters.weights[unit, feature])

    return complete


def predict(parameters: Parameters, signs: tuple[int, ...], x: FloatArray) -> FloatArray:
    """Evaluate parameters at scaled features, in float64."""
    hidden = np.maximum(x @ parameters.weights.T + parameters.biases, 0.0)
    return np.asarray(parameters.offset + x @ parameters.skip + hidden @ np.array(signs, dtype=np.float64))


def _add_hinge(state: _Builder, output: Expressions) -> None:
    """Add ``loss_n >= margin - y_n f_n``."""
    margin = state.spec.objective.margin
    losses = state.loss_variables("hinge", lambda f: np.maximum(margin - state.y * f, 0.0))
    state.builder.rows(output.scaled(state.y) + losses, lower=margin)


def _add_l1(state: _Builder, output: Expressions) -> None:
    """Add ``loss_n >= |y_n - f_n|``."""
    losses = state.loss_variables("error", lambda f: np.abs(state.y - f))
    state.builder.rows(output + losses, lower=state.y)
    state.builder.rows(output - losses, upper=state.y)


def _add_zero_one(state: _Builder, output: Expressions) -> None:
    """Add a binary for each sample: unless it is 1, ``y_n f_n >= margin``."""
    margin = state.spec.objective.margin
    errors = state.builder.binaries("error", len(state.y))
    short = output.scaled(-state.y).shifted(margin)
    _, upper = state.builder.enclosure(short)
    state.builder.semantic(Indicator(errors, short, upper, active=False))
    _no_point_of_two_classes(state, errors)
    state.costs.append(Expressions.variables(errors).linear(state.data.weights[None, :]))

    def complete(point: FloatArray, parameters: Parameters) -> None:
        point[errors] = state.y * predict(parameters, state.signs, state.x) < margin

    state.completions.append(complete)


RESIDUE = 1e-13
"""What rounding leaves of coefficients that cancel in tangents: less than a solver's claim can tell."""


def _without_residues(total: Expressions) -> Expressions:
    matrix = total.matrix.copy()
    matrix.data[np.abs(matrix.data) < RESIDUE] = 0.0
    matrix.eliminate_zeros()
    return Expressions(matrix, total.constant)


def _no_point_of_two_classes(state: _Builder, errors: IntArray) -> None:
    """Add a row for each point that samples of both classes share: one of them is an error."""
    points, place = distinct_rows(state.x)
    pairs = np.full((len(points), 2), -1)
    pairs[place, (state.y > 0).astype(np.int64)] = errors
    mixed = pairs[(pairs >= 0).all(axis=1)]
    state.builder.rows(Expressions.variables(mixed[:, 0]) + Expressions.variables(mixed[:, 1]), lower=1.0)


LOSSES: Mapping[Loss, Callable[[_Builder, Expressions], None]] = {
    Loss.HINGE: _add_hinge,
    Loss.L1: _add_l1,
    Loss.ZERO_ONE: _add_zero_one,
}
"""How each loss enters the programme."""


PRICE_SLACK = 1e-9
"""Relative: prices are rounded to float64 when they become coefficients."""


def build_programme(
    specification: Specification,
    data: TrainingData,
    weight_bound: float | None = None,
    prices: FloatArray | None = None,
    demands: ScaledDemands | None = None,
    tightening: UnitTightening | None = None,
    tangents: Tangents | None = None,
) -> TrainingProgramme:
    """Write training as a programme.

    Parameters
    ----------
    specification : Specification
    data : TrainingData
    weight_bound : float or None
        A smaller bound on the units' sizes that some optimum is known to satisfy; None uses the specification's.
    prices : ndarray, shape (samples,), or None
        Of outputs, such that ``|sum_n prices_n relu(w . x_n + b)| <= l1 (|w|_1 + |b|)`` for all w and b: the dual
        solution of training of any width. With the rows that say so, the relaxation is as good as its bound.
    demands : ScaledDemands or None
        What outputs at further points must meet.
    tightening : UnitTightening or None
    tangents : Tangents or None
        Where the data are a part of the samples, at what prices the others count. The optimum is then a bound.

    Returns
    -------
    TrainingProgramme
        Its optimum is that of the specification over all networks of the given architecture, in scaled features.
    """
    bound = min(specification.weight_bound, weight_bound or specification.weight_bound)
    demands = demands or ScaledDemands.none(data.x.shape[1])
    return _Builder(specification, data, bound, prices, demands, tightening or UnitTightening(), tangents).build()
