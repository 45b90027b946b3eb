"""Search for few weights, units or features at few errors, by simulated annealing of dense stacks."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from verinet.numeric import FloatArray
from verinet.train.layered.annealing import anneal
from verinet.train.layered.architecture import DenseLayer, FlattenLayer, LayerValues, Quantised, ReluLayer
from verinet.train.layered.losses import Sample
from verinet.train.layered.specification import Goal, LayeredSpecification
from verinet.train.specification import Budget

__all__ = ["can_anneal", "search_sparse"]

COUNTED = (Goal.NONZEROS, Goal.UNITS, Goal.FEATURES, Goal.SIZE)
"""Goals that have a price in the annealing, in the order of its prices."""

LATER = 1e-3
"""Price of a goal, in that of the one before."""

TEMPERATURES = (1.0, 0.2)
"""First and last, in prices of the first goal."""

GUIDE = 1.0
"""By what share an error costs more that is 1 off, in outputs of the margin's kind."""

STEPS, DOUBLED, MOST_DOUBLED = 100_000, 4, 5
"""Steps of the first runs; after so many runs they double, so many times."""

SLICE = 100_000
"""Steps between two looks at the clock."""


def can_anneal(specification: LayeredSpecification) -> bool:
    """Tell whether the goals are few errors, and then few of what is counted, in a dense stack without budgets."""
    architecture = specification.architecture
    layers = [layer for layer in architecture.layers if not isinstance(layer, FlattenLayer)]
    alternate = all(isinstance(layer, (DenseLayer, ReluLayer)[i % 2]) for i, layer in enumerate(layers))
    weights = [architecture.weights_of(p) for p in architecture.weighted]
    return (
        alternate
        and all(isinstance(w, Quantised) and w.has_zero for w in weights)
        and specification.goals[0] is Goal.ERRORS
        and all(goal in COUNTED for goal in specification.goals[1:2])
        and specification.budget == Budget()
    )


def search_sparse(
    specification: LayeredSpecification,
    samples: Sample,
    x: FloatArray,
    seed: int,
    running: Callable[[], bool],
    errors: Callable[[], float],
    on_found: Callable[[Mapping[int, LayerValues]], None],
    runs: int | None = None,
) -> None:
    """Anneal from empty networks and from the best ones, in ever longer runs.

    Parameters
    ----------
    specification : LayeredSpecification
        One for which `can_anneal` holds.
    samples : Sample
    x : ndarray, shape (samples, inputs)
        Scaled.
    seed : int
    running : callable
        Tells whether to go on.
    errors : callable
        Returns the weight of errors that is known to be reached.
    on_found : callable
        Called with the best network of each run, which may be no better than what is known.
    runs : int or None
        The most of them; None for no limit.
    """
    stack = _Stack(specification, samples, x)
    run = 0
    while running() and (runs is None or run < runs):
        # Fewer errors are looked for in every second run, where there are any.
        allowed = errors() if run % 2 else 0.0
        steps = STEPS << min(run // DOUBLED, MOST_DOUBLED)
        values = stack.run((seed, run), steps, allowed, running)
        if values is not None:
            on_found(values)
        run += 1


class _Stack:
    """A specification as arrays for the compiled loop."""

    def __init__(self, specification: LayeredSpecification, samples: Sample, x: FloatArray) -> None:
        self.architecture = specification.architecture
        self.x = np.ascontiguousarray(x.T)
        self.targets, self.shares = samples.targets.astype(np.int64), np.ascontiguousarray(samples.weights)
        shapes = [self.architecture.kernel_shape(p) for p in self.architecture.weighted]
        self.sizes = np.array([shapes[0][1], *(shape[0] for shape in shapes)])
        self.shape = len(shapes), max(s[0] for s in shapes), max(s[1] for s in shapes)
        layers: list[Any] = [self.architecture.layers[p] for p in self.architecture.weighted]
        self.counts = np.array([len(layer.weights.values) for layer in layers])
        self.choices = np.zeros((len(layers), self.counts.max()))
        for row, layer in zip(self.choices, layers, strict=True):
            row[: len(layer.weights.values)] = layer.weights.values
        self.has_bias = np.array([layer.bias for layer in layers])
        self.prices = self._prices(specification)
        self.margin = specification.objective.margin

    def _prices(self, specification: LayeredSpecification) -> FloatArray:
        """Price the goals behind the errors as far as they are counted, each far below the one before.

        Where nothing is counted, few weights are as good as any, and soon found.
        """
        prices, price = np.zeros(len(COUNTED)), 1.0
        for goal in specification.goals[1:] or COUNTED[:1]:
            if goal not in COUNTED:
                break
            unit = float(np.diff(self.choices[:, :2]).min()) if goal is Goal.SIZE else 1.0
            prices[COUNTED.index(goal)] = price / unit
            price *= LATER
        return prices

    def run(
        self, seed: tuple[int, int], steps: int, allowed: float, running: Callable[[], bool]
    ) -> Mapping[int, LayerValues] | None:
        """Anneal an empty network; return the best that has few enough errors, if any."""
        weights, biases = np.zeros(self.shape), np.zeros(self.shape[:2])
        best_weights, best_biases, best = weights.copy(), biases.copy(), np.inf
        emphasis = np.ones(len(self.targets))
        rng, slices = np.random.default_rng(seed), -(-steps // SLICE)
        temperatures = np.geomspace(*TEMPERATURES, slices + 1)
        for number in range(slices):
            best = anneal(
                self.x, self.targets, self.shares, self.sizes, self.choices, self.counts, self.has_bias, self.prices,
                self.margin, allowed, emphasis, GUIDE, temperatures[number : number + 2].copy(), steps // slices,
                rng, weights, biases, best_weights, best_biases, best,
            )  # fmt: skip
            if not running():
                break
        return self._values(best_weights, best_biases) if np.isfinite(best) else None

    def _values(self, weights: FloatArray, biases: FloatArray) -> Mapping[int, LayerValues]:
        """Return the network without the readings of units that are zero everywhere."""
        values: dict[int, LayerValues] = {}
        asleep = np.zeros(self.sizes[0], dtype=np.bool_)
        for layer, position in enumerate(self.architecture.weighted):
            own = weights[layer, : self.sizes[layer + 1], : self.sizes[layer]].copy()
            own[:, asleep] = 0.0
            bias = biases[layer, : self.sizes[layer + 1]].copy()
            asleep = ~own.any(axis=1) & (bias <= 0)
            if position != self.architecture.weighted[-1]:
                bias[asleep] = 0.0
            values[position] = LayerValues(own, bias)
        return values
