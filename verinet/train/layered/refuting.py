"""Whether any network of so many weights has so few errors: a complete search, in compiled loops.

Networks have one hidden layer, one output, and a plan: how many weights each unit reads its inputs by. A network with
the plan is built weight by weight: for each unit first the sign by which it is read, then its weights, then its bias
and by how much it is read. At each step pairs of samples of the two classes are looked at: two outputs differ by at
most what the finished units differ by, ``v (relu(a) - relu(a')) <= |v| max(0, sign(v) (a - a'))`` for the unit at hand,
where each weight to come adds at most its largest gain among the inputs left, and the same for the units to come. A
pair that stays too close costs one of its samples; disjoint pairs cost one each.

The inputs of the next weight are tried in the order of what they give the tightest pair; each is left out in all that
is tried after it, so that every set of inputs is met once.

Soundness: margins are the caller's, smaller by more than rounding. A leaf is judged at all samples.
"""

import numpy as np

from verinet.compiling import jit
from verinet.numeric import BoolArray, FloatArray, IntArray

__all__ = ["FOUND", "OPEN", "REFUTED", "refute"]

REFUTED, FOUND, OPEN = 0, 1, 2
"""No network has so few errors; one has; the steps did not suffice."""

SIGN, WEIGHT, READ = 0, 1, 2
"""What a level chooses."""


@jit
def _is_ruled_out(
    pairs: IntArray,
    queue: IntArray,
    gains: FloatArray,
    orders: IntArray,
    future: FloatArray,
    shares: FloatArray,
    used: IntArray,
    total: FloatArray,
    current: FloatArray,
    column: FloatArray,
    weight: float,
    allowed: BoolArray,
    rest: int,
    sign: int,
    reach: float,
    needed: float,
    errors: float,
    tightest: IntArray,
) -> bool:  # pragma: no cover - compiled
    """Tell whether pairs that stay too close cost more than is allowed; remember the tightest of the others.

    ``current + weight * column`` is the unit at hand, or nothing where `reach` is zero.
    """
    used[len(shares)] += 1
    stamp = used[len(shares)]
    cost, least = 0.0, np.inf
    for number in range(len(queue)):
        pair = queue[number]
        p, n = pairs[pair, 0], pairs[pair, 1]
        bound = total[p] - total[n] + future[pair] - needed
        if reach > 0:
            side = 0 if sign > 0 else 1
            part = sign * (current[p] - current[n] + weight * (column[p] - column[n]))
            part += _gain(gains[side, pair], orders[side, pair], allowed, 0, rest)
            bound += reach * max(part, 0.0)
        if bound < 0:
            if used[p] != stamp and used[n] != stamp:
                used[p] = stamp
                used[n] = stamp
                cost += min(shares[p], shares[n])
                if cost > errors:
                    # What has just helped will help again.
                    front = number // 2
                    queue[number], queue[front] = queue[front], queue[number]
                    return True
        elif bound < least:
            least = bound
            tightest[0] = pair
    return False


@jit
def _gain(
    gains: FloatArray, order: IntArray, allowed: BoolArray, start: int, count: int
) -> float:  # pragma: no cover - compiled
    """Return the sum of the largest gains of so many inputs that are left, from a place in their order on."""
    total, place = 0.0, start
    while count > 0 and place < len(order):
        if allowed[order[place]]:
            total += gains[order[place]]
            count -= 1
        place += 1
    return total


@jit
def _range_of(
    pairs: IntArray,
    queue: IntArray,
    gains: FloatArray,
    orders: IntArray,
    future: FloatArray,
    total: FloatArray,
    current: FloatArray,
    column: FloatArray,
    values: FloatArray,
    allowed: BoolArray,
    rest: int,
    sign: int,
    reach: float,
    needed: float,
    limits: IntArray,
) -> bool:  # pragma: no cover - compiled
    """Find which values of a weight no pair rules out, where no error is allowed; tell whether there is any.

    Their numbers are from ``limits[0]`` to ``limits[1]``: a pair asks for large ones or for small ones.
    """
    first, last = 0, len(values) - 1
    for number in range(len(queue)):
        pair = queue[number]
        p, n = pairs[pair, 0], pairs[pair, 1]
        short = needed - (total[p] - total[n]) - future[pair]
        if short <= 0:
            continue
        part = sign * (current[p] - current[n]) + _gain(gains[pair], orders[pair], allowed, 0, rest)
        step = sign * (column[p] - column[n])
        while first <= last and reach * (part + step * values[first]) < short and step >= 0:
            first += 1
        while first <= last and reach * (part + step * values[last]) < short and step <= 0:
            last -= 1
        if first > last:
            front = number // 2
            queue[number], queue[front] = queue[front], queue[number]
            return False
    limits[0], limits[1] = first, last
    return True


@jit
def _is_among(values: FloatArray, value: float) -> bool:  # pragma: no cover - compiled
    nearest = np.inf
    for other in values:
        nearest = min(nearest, abs(other - value))
    return bool(nearest <= 1e-12 * abs(value))


@jit
def _is_a_copy(
    weights: FloatArray,
    bias: float,
    read: float,
    current: FloatArray,
    linear: bool,
    weight_values: FloatArray,
    bias_values: FloatArray,
    read_values: FloatArray,
) -> bool:  # pragma: no cover - compiled
    """Tell whether a unit is another one with other weights, which is read otherwise and counts in its place.

    Scaled weights and biases are the same unit, and the one with the largest weights counts. A unit that is linear at
    all samples is another one up to a constant if it only has the same slopes: there the positive one counts.
    """
    for other in read_values:
        ratio = read / other
        if ratio == 1.0 or (ratio < 0 and (not linear or read > 0)) or (ratio > 0 and abs(ratio) < 1.0):
            continue
        same = True
        for weight in weights:
            if weight != 0 and not _is_among(weight_values, weight * ratio):
                same = False
                break
        if same and linear:
            # The other one must be linear too.
            least = np.inf
            for value in current:
                least = min(least, value * ratio)
            same = least + bias_values.max() >= 0
        elif same:
            same = _is_among(bias_values, bias * ratio)
        if same:
            return True
    return False


@jit
def _fits(
    outputs: FloatArray, signs: FloatArray, shares: FloatArray, constant: float, margin: float, errors: float
) -> bool:  # pragma: no cover - compiled
    missed = 0.0
    for i in range(len(signs)):
        if signs[i] * (outputs[i] + constant) < margin:
            missed += shares[i]
            if missed > errors:
                return False
    return True


@jit
def _constant_of(
    outputs: FloatArray, signs: FloatArray, shares: FloatArray, constants: FloatArray, margin: float, errors: float
) -> int:  # pragma: no cover - compiled
    """Return which constant leaves so few errors; -1 if any real number would, but none of these; -2 if none could."""
    if errors < shares.min():
        least, most = np.inf, -np.inf
        for i in range(len(signs)):
            if signs[i] > 0:
                least = min(least, outputs[i])
            else:
                most = max(most, outputs[i])
            if least - most < 2 * margin:
                return -2
    for number in range(len(constants)):
        if _fits(outputs, signs, shares, constants[number], margin, errors):
            return number
    return -1


@jit
def refute(
    x: FloatArray,
    signs: FloatArray,
    shares: FloatArray,
    pairs: IntArray,
    queue: IntArray,
    gains: FloatArray,
    orders: IntArray,
    futures: FloatArray,
    plan: IntArray,
    kinds: IntArray,
    units: IntArray,
    rests: IntArray,
    weight_values: FloatArray,
    bias_values: FloatArray,
    read_values: FloatArray,
    constants: FloatArray,
    margin: float,
    errors: float,
    merged: bool,
    steps: int,
    hits: IntArray,
    level_of: IntArray,
    choice: IntArray,
    total: FloatArray,
    current: FloatArray,
    allowed: BoolArray,
    sign: IntArray,
    lead: IntArray,
    linear: IntArray,
    limits: IntArray,
    weights: FloatArray,
    biases: FloatArray,
    reads: FloatArray,
    constant: FloatArray,
) -> int:  # pragma: no cover - compiled
    """Go on with the search from where its stack stands.

    Parameters
    ----------
    x : ndarray, shape (inputs, samples)
    signs : ndarray, shape (samples,)
        -1 and 1.
    shares : ndarray, shape (samples,)
        What an error at each sample costs.
    pairs : ndarray of int, shape (pairs, 2)
        Of a positive and a negative sample.
    queue : ndarray of int, shape (pairs,)
        The order in which they are looked at, which is learnt.
    gains : ndarray, shape (2, pairs, inputs)
        By how much one weight can raise, or lower, the unit at the first sample over that at the second.
    orders : ndarray of int, shape (2, pairs, inputs)
        Inputs by falling gains.
    futures : ndarray, shape (units + 1, pairs)
        What units from each on can add to the difference of outputs.
    plan : ndarray of int, shape (units,)
        How many weights each unit reads its inputs by, in ascending order.
    kinds, units, rests : ndarray of int, shape (levels,)
        What each level chooses, for which unit, and how many weights are then left.
    weight_values, bias_values, read_values, constants : ndarray
        What may be chosen; no weight is zero.
    margin, errors : float
        Errors miss the margin; of which weight is allowed.
    merged : bool
        Whether of units that are alike up to a constant one stands for all; then nothing is `REFUTED` but where there
        are no hits.
    steps : int
        The most choices.
    hits : ndarray of int, shape (1,)
        How many networks have few enough errors with some constant, though with none of these.
    level_of, choice, total, current, allowed, sign, lead, linear, limits : ndarray
        The stack.
    weights, biases, reads, constant : ndarray
        The network that is looked at: of each unit its weights, bias, and by how much it is read.

    Returns
    -------
    int
        `REFUTED`, `FOUND` with the network in place, or `OPEN`.
    """
    inputs, samples = x.shape
    levels = len(kinds)
    used = np.zeros(samples + 1, dtype=np.int64)
    tightest = np.zeros(1, dtype=np.int64)
    hidden = np.zeros(samples)
    nothing = np.zeros(samples)
    without_errors = errors < shares.min()
    reaches = np.array([max(read_values.max(), 0.0), max(-read_values.min(), 0.0)])
    level = level_of[0]
    while level >= 0:
        if steps == 0:
            level_of[0] = level
            return OPEN
        steps -= 1
        choice[level] += 1
        number, unit, rest = choice[level], units[level], rests[level]
        needed = 2 * margin
        if kinds[level] == SIGN:
            if number == 2:
                level -= 1
                continue
            sign[unit] = 1 - 2 * number
            alike = unit > 0 and plan[unit] == plan[unit - 1]
            # Of units with equally many weights those that are read positively come first.
            if reaches[number] == 0 or (alike and sign[unit] > sign[unit - 1]):
                continue
            weights[unit, :] = 0.0
            total[level + 1] = total[level]
            current[level + 1] = 0.0
            allowed[level + 1] = True
            if _is_ruled_out(
                pairs, queue, gains, orders, futures[unit + 1], shares, used, total[level], nothing, nothing, 0.0,
                allowed[level + 1], rest, sign[unit], reaches[number], needed, errors, tightest,
            ):  # fmt: skip
                continue
            lead[level + 1] = tightest[0]
        elif kinds[level] == WEIGHT:
            side = 0 if sign[unit] > 0 else 1
            place, value = number // len(weight_values), number % len(weight_values)
            if value == 0 and place > 0:
                before = orders[side, lead[level], place - 1]
                if allowed[level, before]:
                    allowed[level, before] = False
                    weights[unit, before] = 0.0
            if place == inputs:
                level -= 1
                continue
            j = orders[side, lead[level], place]
            if not allowed[level, j]:
                choice[level] = (place + 1) * len(weight_values) - 1
                continue
            if value == 0:
                limits[level, 0], limits[level, 1] = 0, len(weight_values) - 1
                allowed[level + 1] = allowed[level]
                allowed[level + 1, j] = False
                if without_errors:
                    pair = lead[level]
                    p, n = pairs[pair, 0], pairs[pair, 1]
                    short = needed - (total[level, p] - total[level, n]) - futures[unit + 1, pair]
                    part = sign[unit] * (current[level, p] - current[level, n])
                    part += _gain(gains[side, pair], orders[side, pair], allowed[level], place, rest + 1)
                    if short > 0 and reaches[side] * part < short:
                        # Nor do the inputs behind this one suffice for that pair.
                        level -= 1
                        continue
                    if not _range_of(
                        pairs, queue, gains[side], orders[side], futures[unit + 1], total[level], current[level],
                        x[j], weight_values, allowed[level + 1], rest, sign[unit], reaches[side], needed,
                        limits[level],
                    ):  # fmt: skip
                        limits[level, 0] = len(weight_values)
            if value < limits[level, 0]:
                choice[level] = place * len(weight_values) + limits[level, 0] - 1
                continue
            if value > limits[level, 1]:
                choice[level] = (place + 1) * len(weight_values) - 1
                continue
            weight = weight_values[value]
            allowed[level + 1] = allowed[level]
            allowed[level + 1, j] = False
            if (rest > 0 or not without_errors) and _is_ruled_out(
                pairs, queue, gains, orders, futures[unit + 1], shares, used, total[level], current[level], x[j],
                weight, allowed[level + 1], rest, sign[unit], reaches[side], needed, errors, tightest,
            ):  # fmt: skip
                continue
            weights[unit, j] = weight
            lead[level + 1] = tightest[0]
            total[level + 1] = total[level]
            for i in range(samples):
                current[level + 1, i] = current[level, i] + weight * x[j, i]
        else:
            count = len(bias_values)
            if number == len(read_values) * count:
                level -= 1
                continue
            read, bias = read_values[number // count], bias_values[number % count]
            if number == 0:
                linear[level] = -1
            if read * sign[unit] <= 0:
                continue
            positive, everywhere = False, True
            for i in range(samples):
                hidden[i] = max(current[level, i] + bias, 0.0)
                positive |= hidden[i] > 0
                everywhere &= current[level, i] + bias >= 0
            everywhere &= merged
            if not positive or (everywhere and linear[level] == number // count):
                continue
            if everywhere:
                linear[level] = number // count
            if _is_a_copy(
                weights[unit], bias, read, current[level], everywhere, weight_values, bias_values, read_values
            ):
                continue
            for i in range(samples):
                total[level + 1, i] = total[level, i] + read * hidden[i]
            biases[unit], reads[unit] = bias, read
            if level + 1 == levels:
                which = _constant_of(total[level + 1], signs, shares, constants, margin, errors)
                if which >= 0:
                    constant[0] = constants[which]
                    level_of[0] = level
                    return FOUND
                if which == -1:
                    hits[0] += 1
                continue
            if _is_ruled_out(
                pairs, queue, gains, orders, futures[unit + 1], shares, used, total[level + 1], nothing, nothing, 0.0,
                allowed[level], 0, 0, 0.0, needed, errors, tightest,
            ):  # fmt: skip
                continue
        level += 1
        choice[level] = -1
    level_of[0] = level
    return REFUTED
