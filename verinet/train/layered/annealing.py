"""Sparse networks by simulated annealing over dense stacks of quantised weights: compiled loops.

A step changes one unit: one of its weights, its bias, a weight together with the bias, the input that a weight reads,
or all of it at once. Only what follows the unit is computed again.

An asleep unit has no weight and no positive bias: it is zero everywhere, and weights that read it count as nothing.
They are kept nevertheless, so that a unit which wakes up is read at once.
"""

import numpy as np

from verinet.compiling import jit
from verinet.numeric import BoolArray, FloatArray, IntArray

__all__ = ["anneal"]

REFRESH = 1 << 12
"""Accepted steps between two computations of everything from scratch, which bounds the rounding."""

ROUND = 500
"""Steps between two looks at which errors cost too little."""

LOUDER, SOFTER, FAINTEST = 1.05, 0.97, 0.02
"""By what an error costs more while there is one, and all cost less while there is none; and the least."""

ONE, BOTH, BIAS, CUT, OTHER_VALUE, MOVED, REPLACED, NONE = range(8)
"""What changes: any weight, that and the bias, the bias; of a weight in use: it goes, gets another value, is that of
another input, is replaced by another; all of them go."""

KINDS = 8


@jit
def _awake(weights: FloatArray, biases: FloatArray, size: int, unit: int) -> bool:  # pragma: no cover - compiled
    for j in range(size):
        if weights[unit, j] != 0:
            return True
    return bool(biases[unit] > 0)


@jit
def _cost_of(
    weights: FloatArray, biases: FloatArray, sizes: IntArray, prices: FloatArray
) -> float:  # pragma: no cover - compiled
    """Return what a network costs without its errors: prices times non-zeros, units, features and size."""
    layers = len(sizes) - 1
    nonzeros, units, features, size = 0, 0, 0, 0.0
    for j in range(sizes[0]):
        for k in range(sizes[1]):
            if weights[0, k, j] != 0:
                features += 1
                break
    for layer in range(layers):
        for k in range(sizes[layer + 1]):
            if layer < layers - 1 and _awake(weights[layer], biases[layer], sizes[layer], k):
                units += 1
                size += abs(biases[layer, k])
            for j in range(sizes[layer]):
                if weights[layer, k, j] != 0 and (
                    layer == 0 or _awake(weights[layer - 1], biases[layer - 1], sizes[layer - 1], j)
                ):
                    nonzeros += 1
                    size += abs(weights[layer, k, j])
    return float(prices[0] * nonzeros + prices[1] * units + prices[2] * features + prices[3] * size)


@jit
def _shortfall(
    outputs: FloatArray,
    targets: IntArray,
    shares: FloatArray,
    emphasis: FloatArray,
    margin: float,
    allowed: float,
    guide: float,
    missed: BoolArray,
) -> float:  # pragma: no cover - compiled
    """Return the price of errors, and of how far they are off; zero if their weight is allowed. Mark them."""
    errors, price = 0.0, 0.0
    least = margin * (1 - 1e-6)
    for i in range(outputs.shape[1]):
        if len(outputs) == 1:
            reached = outputs[0, i] * targets[i]
        else:
            rival = -np.inf
            for k in range(len(outputs)):
                if k != targets[i]:
                    rival = max(rival, outputs[k, i])
            reached = outputs[targets[i], i] - rival
        missed[i] = reached < least
        if missed[i]:
            errors += shares[i]
            price += emphasis[i] * (1.0 + guide * (margin - reached))
    return price if errors > allowed + 1e-9 else 0.0


@jit
def _forward(
    x: FloatArray, weights: FloatArray, biases: FloatArray, sizes: IntArray, before: FloatArray
) -> None:  # pragma: no cover - compiled
    """Fill in what each unit is before its ReLU, shape (layers, units, samples)."""
    layers = len(sizes) - 1
    for layer in range(layers):
        for k in range(sizes[layer + 1]):
            own = before[layer, k]
            own[:] = biases[layer, k]
            for j in range(sizes[layer]):
                weight = weights[layer, k, j]
                if weight != 0:
                    for i in range(x.shape[1]):
                        value = x[j, i] if layer == 0 else max(before[layer - 1, j, i], 0.0)
                        own[i] += weight * value


@jit
def _propagate(
    weights: FloatArray, sizes: IntArray, before: FloatArray, after: FloatArray, moved: BoolArray, layer: int
) -> None:  # pragma: no cover - compiled
    """Compute in `after` all units behind a layer in which those of `moved` changed; mark them there too."""
    for later in range(layer + 1, len(sizes) - 1):
        moved[later, :] = False
        for k in range(sizes[later + 1]):
            for j in range(sizes[later]):
                weight = weights[later, k, j]
                if weight == 0 or not moved[later - 1, j]:
                    continue
                own, old, new = after[later, k], before[later - 1, j], after[later - 1, j]
                if not moved[later, k]:
                    moved[later, k] = True
                    own[:] = before[later, k]
                for i in range(len(own)):
                    own[i] += weight * (max(new[i], 0.0) - max(old[i], 0.0))


@jit
def _below(rng: np.random.Generator, count: int) -> int:  # pragma: no cover - compiled
    """Draw a number from 0 to below `count`."""
    return min(int(rng.random() * count), count - 1)


@jit
def _propose(
    row: FloatArray, bias: float, options: FloatArray, has_bias: bool, kind: int, rng: np.random.Generator
) -> float:  # pragma: no cover - compiled
    """Change the weights of a unit in place in some way; return its bias."""
    other = options[_below(rng, len(options))] if has_bias else bias
    if kind == NONE:
        row[:] = 0.0
        return 0.0
    if kind == BIAS:
        return other
    if kind in (ONE, BOTH):
        row[_below(rng, len(row))] = options[_below(rng, len(options))]
        return other if kind == BOTH else bias
    used = 0
    for j in range(len(row)):
        used += row[j] != 0
    if used == 0:
        return bias
    number, place = _below(rng, used), -1
    while number >= 0:
        place += 1
        number -= row[place] != 0
    value = row[place]
    row[place] = 0.0
    if kind == OTHER_VALUE:
        row[place] = options[_below(rng, len(options))]
        return other if _below(rng, 2) == 1 else bias
    if kind == MOVED:
        row[_below(rng, len(row))] = value
    elif kind == REPLACED:
        row[_below(rng, len(row))] = options[_below(rng, len(options))]
    return bias


@jit
def anneal(
    x: FloatArray,
    targets: IntArray,
    shares: FloatArray,
    sizes: IntArray,
    choices: FloatArray,
    counts: IntArray,
    has_bias: BoolArray,
    prices: FloatArray,
    margin: float,
    allowed: float,
    emphasis: FloatArray,
    guide: float,
    temperatures: FloatArray,
    steps: int,
    rng: np.random.Generator,
    weights: FloatArray,
    biases: FloatArray,
    best_weights: FloatArray,
    best_biases: FloatArray,
    best: float,
) -> float:  # pragma: no cover - compiled
    """Anneal from `weights`; put networks of few errors that cost less than `best` into `best_weights`.

    Parameters
    ----------
    x : ndarray, shape (inputs, samples)
    targets : ndarray of int, shape (samples,)
        -1 and 1 for one output, else the number of the right one.
    shares : ndarray, shape (samples,)
    sizes : ndarray of int, shape (layers + 1,)
        Inputs and the units of each layer.
    choices : ndarray, shape (layers, most)
        What weights may be; the first `counts` of each row.
    counts : ndarray of int, shape (layers,)
    has_bias : ndarray of bool, shape (layers,)
    prices : ndarray, shape (4,)
        Of non-zeros, units, features and size.
    margin, allowed : float
        An error misses the margin; so much weight of errors costs nothing.
    emphasis : ndarray, shape (samples,)
        What each error costs; it is learnt on the way.
    guide : float
        By what share an error costs more that is 1 off.
    temperatures : ndarray, shape (2,)
        First and last.
    steps : int
    rng : numpy.random.Generator
    weights : ndarray, shape (layers, units, inputs)
        Where it begins, and ends.
    biases : ndarray, shape (layers, units)
    best_weights, best_biases : ndarray
    best : float

    Returns
    -------
    float
        What the best network costs.
    """
    layers, samples = len(sizes) - 1, x.shape[1]
    most = weights.shape[1]
    before, after = np.zeros((layers, most, samples)), np.zeros((layers, most, samples))
    moved = np.zeros((layers, most), dtype=np.bool_)
    row = np.zeros(weights.shape[2])
    missed = np.zeros(samples, dtype=np.bool_)
    _forward(x, weights, biases, sizes, before)
    cost = _cost_of(weights, biases, sizes, prices)
    short = _shortfall(before[layers - 1, : sizes[layers]], targets, shares, emphasis, margin, allowed, guide, missed)
    accepted = 0
    cooling = np.log(temperatures[1] / temperatures[0]) / max(steps, 1)
    for step in range(steps):
        if step % ROUND == 0:
            _shortfall(before[layers - 1, : sizes[layers]], targets, shares, emphasis, margin, allowed, guide, missed)
            for i in range(samples):
                if missed[i] and short > 0:
                    emphasis[i] *= LOUDER
                elif short == 0:
                    emphasis[i] = max(emphasis[i] * SOFTER, FAINTEST)
            short = _shortfall(
                before[layers - 1, : sizes[layers]], targets, shares, emphasis, margin, allowed, guide, missed
            )
        temperature = temperatures[0] * np.exp(cooling * step)
        layer = _below(rng, layers)
        k = _below(rng, sizes[layer + 1])
        inputs = sizes[layer]
        old_bias = biases[layer, k]
        row[:inputs] = weights[layer, k, :inputs]
        if layer < layers - 1 and not _awake(weights[layer], biases[layer], inputs, k):
            # By what it is read when it wakes up; now that changes nothing.
            weights[layer + 1, : sizes[layer + 2], k] = 0.0
            reader = _below(rng, sizes[layer + 2])
            weights[layer + 1, reader, k] = choices[layer + 1, _below(rng, counts[layer + 1])]
            kind = BOTH
        else:
            kind = _below(rng, KINDS if layer < layers - 1 else KINDS - 1)
        bias = _propose(row[:inputs], old_bias, choices[layer, : counts[layer]], has_bias[layer], kind, rng)
        own = after[layer, k]
        own[:] = before[layer, k]
        changed = False
        if bias != old_bias:
            changed = True
            for i in range(samples):
                own[i] += bias - old_bias
        for j in range(inputs):
            difference = row[j] - weights[layer, k, j]
            if difference != 0:
                changed = True
                if layer == 0:
                    for i in range(samples):
                        own[i] += difference * x[j, i]
                else:
                    for i in range(samples):
                        own[i] += difference * max(before[layer - 1, j, i], 0.0)
        if not changed:
            continue
        # The cost of the network with the new unit.
        for j in range(inputs):
            weights[layer, k, j], row[j] = row[j], weights[layer, k, j]
        biases[layer, k] = bias
        new_cost = _cost_of(weights, biases, sizes, prices)
        limit = cost + short - temperature * np.log(rng.random())
        good = new_cost <= limit
        new_short = short
        if good:
            moved[layer, :] = False
            moved[layer, k] = True
            _propagate(weights, sizes, before, after, moved, layer)
            last = layers - 1
            for u in range(sizes[layers]):
                if not moved[last, u]:
                    after[last, u] = before[last, u]
            new_short = _shortfall(
                after[last, : sizes[layers]], targets, shares, emphasis, margin, allowed, guide, missed
            )
            good = new_cost + new_short <= limit
        if not good:
            weights[layer, k, :inputs] = row[:inputs]
            biases[layer, k] = old_bias
            continue
        for later in range(layer, layers):
            for u in range(sizes[later + 1]):
                if moved[later, u]:
                    before[later, u] = after[later, u]
        cost, short = new_cost, new_short
        accepted += 1
        if accepted % REFRESH == 0:
            _forward(x, weights, biases, sizes, before)
        if short == 0.0 and cost < best - 1e-9:
            best = cost
            best_weights[:] = weights
            best_biases[:] = biases
    return best
