"""Compiled branch and bound over hulls of weight vectors; see `verinet.verify.cone_search` for the mathematics.

A hull is a list of corners. Everything about a corner v that the search needs is its products with the rows, so a hull
is the matrix ``products[corner, row]``; halving an edge averages two lines of it. Rows stand term after term, convex
terms (of positive weight) before concave ones; a term's rows end at ``ends[term]``.
"""

import numpy as np

from verinet.compiling import jit
from verinet.numeric import BoolArray, FloatArray, IntArray
from verinet.verify.cone_climb import climb

__all__ = ["search_hulls"]

MOST_BLIND = 20_000
"""Hulls of one search that are halved though no edge has a kink: around a flat optimum there is no end of them."""

NEAR = 1e-5
"""Such hulls stay as they are where their bounds exceed what is asked for by less, relative."""

ROUNDING = 1e-9
"""Bounds that exceed what is asked for by this share of all terms' sizes may do so by rounding alone."""

STEPS, SMALL = 40, 1e-11
"""Of the simplex method in the game of one hull's answers against its corners, and what counts as zero there."""


@jit
def _settle(
    products: FloatArray, weights: FloatArray, ends: IntArray, terms: int, convex: int, linear: FloatArray
) -> tuple[int, int]:
    """Move terms that are linear on the hull into `linear`, drop rows that never are the greatest; return the counts.

    A row is dropped where it is nowhere positive, or nowhere above the row that is greatest in the middle.
    """
    corners = len(linear)
    kept_terms, kept_convex, kept_rows, first = 0, 0, 0, 0
    for term in range(terms):
        last = ends[term]
        leader, most = first, -np.inf
        for row in range(first, last):
            total = 0.0
            for i in range(corners):
                total += products[i, row]
            if total > most:
                leader, most = row, total
        start = kept_rows
        kept_leader = -1
        for row in range(first, last):
            positive, above = False, row == leader
            for i in range(corners):
                value = products[i, row]
                positive |= value > 0.0
                above |= value > products[i, leader]
            if not (positive and above):
                continue
            if row == leader:
                kept_leader = kept_rows
            if kept_rows != row:
                # The leader is read above until its own turn: rows before it lie at or before their old place.
                for i in range(corners):
                    products[i, kept_rows] = products[i, row]
            if row == leader:
                leader = kept_rows
            kept_rows += 1
        first = last
        if kept_rows == start:
            continue
        if kept_rows == start + 1 and kept_leader == start:
            negative = False
            for i in range(corners):
                negative |= products[i, start] < 0.0
            if not negative:
                for i in range(corners):
                    linear[i] += weights[term] * products[i, start]
                kept_rows = start
                continue
        weights[kept_terms] = weights[term]
        ends[kept_terms] = kept_rows
        if term < convex:
            kept_convex += 1
        kept_terms += 1
    return kept_terms, kept_convex


@jit
def _bound(
    products: FloatArray,
    weights: FloatArray,
    ends: IntArray,
    terms: int,
    convex: int,
    linear: FloatArray,
    cutoff: float,
    rounds: int,
    values: FloatArray,
    upper: FloatArray,
    answers: FloatArray,
    position: FloatArray,
    tableau: FloatArray,
    basis: IntArray,
    shares: FloatArray,
) -> tuple[float, int]:
    """Write the function's value at each corner, and return its upper bound and the corner where it is reached.

    A convex term is at most what its values at the corners interpolate; a concave one is at most any average of its
    rows and zero. The averages are a player's strategy in a game against a position in the hull. Each round adds the
    best answer to the opponent's strategy in the game of the answers so far, as cutting planes do; where the function
    so relaxed exceeds the cut-off at that strategy, no average brings the bound below it.
    """
    corners = len(linear)
    for i in range(corners):
        total, first = linear[i], 0
        for term in range(terms):
            if term == convex:
                upper[i] = total
            high = 0.0
            for row in range(first, ends[term]):
                high = max(high, products[i, row])
            total += weights[term] * high
            first = ends[term]
        values[i] = total
        if convex == terms:
            upper[i] = total
    if convex == terms:
        return _greatest(upper[:corners])
    begin = ends[convex - 1] if convex else 0
    position[:corners] = 1.0 / corners
    # The answer zero: concave terms are nowhere positive.
    best, chosen = _greatest(upper[:corners])
    for k in range(rounds):
        if best <= cutoff:
            break
        _answer(products, weights, ends, terms, convex, begin, position[:corners], answers[k])
        height = 0.0
        for i in range(corners):
            answers[k, i] += upper[i]
            height += position[i] * answers[k, i]
        most, worst = _game(answers[: k + 1, :corners], position[:corners], tableau, basis, shares)
        if most < best:
            best, chosen = most, worst
        if height > cutoff:
            break
    return best, chosen


@jit
def _greatest(values: FloatArray) -> tuple[float, int]:
    """Return the greatest value, and where it stands."""
    place = 0
    for i in range(len(values)):
        if values[i] > values[place]:
            place = i
    return values[place], place


@jit
def _answer(
    products: FloatArray,
    weights: FloatArray,
    ends: IntArray,
    terms: int,
    convex: int,
    begin: int,
    position: FloatArray,
    answer: FloatArray,
) -> None:
    """Write what the concave terms are at most at each corner, if each is its greatest row, or zero, at a position."""
    corners = len(position)
    answer[:corners] = 0.0
    first = begin
    for term in range(convex, terms):
        leader, most = -1, 0.0
        for row in range(first, ends[term]):
            total = 0.0
            for i in range(corners):
                total += position[i] * products[i, row]
            if total > most:
                leader, most = row, total
        if leader >= 0:
            for i in range(corners):
                answer[i] += weights[term] * products[i, leader]
        first = ends[term]


@jit
def _game(
    answers: FloatArray, position: FloatArray, tableau: FloatArray, basis: IntArray, shares: FloatArray
) -> tuple[float, int]:
    """Return the greatest entry of the best average of answers, and its corner; move the position to the opponent's.

    The simplex method for a matrix game: with payoffs shifted above zero, ``max sum y`` over ``y >= 0`` and
    ``answers' y <= 1`` begins at y = 0; the shares are y by its sum, the position is the slacks' prices by theirs.
    Whatever rounding or the limit of steps leaves of it, the shares that come out are an average, and that is a bound.
    """
    count, corners = answers.shape
    low, high = answers.min(), answers.max()
    shift = (high - low) * 0.5 + abs(high) * SMALL + 1e-300
    width = count + corners
    for i in range(corners):
        for k in range(count):
            tableau[i, k] = (answers[k, i] - low + shift) / (high - low + shift)
        for j in range(corners):
            tableau[i, count + j] = 1.0 if i == j else 0.0
        tableau[i, width] = 1.0
        basis[i] = count + i
    for k in range(width + 1):
        tableau[corners, k] = -1.0 if k < count else 0.0
    for _ in range(STEPS):
        enter, least = -1, -SMALL
        for k in range(width):
            if tableau[corners, k] < least:
                enter, least = k, tableau[corners, k]
        leave, ratio = -1, np.inf
        if enter >= 0:
            for i in range(corners):
                if tableau[i, enter] > SMALL and tableau[i, width] < ratio * tableau[i, enter]:
                    leave, ratio = i, tableau[i, width] / tableau[i, enter]
        if leave < 0:
            break
        pivot = tableau[leave, enter]
        for k in range(width + 1):
            tableau[leave, k] /= pivot
        for i in range(corners + 1):
            factor = tableau[i, enter]
            if i != leave and factor != 0.0:
                for k in range(width + 1):
                    tableau[i, k] -= factor * tableau[leave, k]
        basis[leave] = enter
    shares[:count] = 0.0
    total, weight = 0.0, 0.0
    for i in range(corners):
        if basis[i] < count:
            shares[basis[i]] = max(tableau[i, width], 0.0)
            total += shares[basis[i]]
        weight += max(tableau[corners, count + i], 0.0)
    if not total > 0.0:
        shares[0] = total = 1.0
    most, worst = -np.inf, 0
    for i in range(corners):
        height = 0.0
        for k in range(count):
            height += shares[k] / total * answers[k, i]
        if height > most:
            most, worst = height, i
        position[i] = max(tableau[corners, count + i], 0.0) / weight if weight > 0.0 else 1.0 / corners
    return most, worst


@jit
def _edge(
    products: FloatArray, weights: FloatArray, ends: IntArray, terms: int, corners: int, worst: int
) -> tuple[int, float]:
    """Return the corner whose edge to the worst one leaves the most between function and interpolation, and that."""
    partner, most = -1, 0.0
    for j in range(corners):
        if j == worst:
            continue
        total, first = 0.0, 0
        for term in range(terms):
            here, there, between = 0.0, 0.0, 0.0
            for row in range(first, ends[term]):
                a, b = products[worst, row], products[j, row]
                here, there, between = max(here, a), max(there, b), max(between, a + b)
            total += abs(weights[term]) * (here + there - between)
            first = ends[term]
        if total > most:
            partner, most = j, total
    return partner, most


@jit
def _longest(corners: IntArray) -> tuple[int, int]:
    """Return the two corners that lie farthest apart; the second is -1 if there are no two."""
    one, other, most = 0, -1, 0.0
    for i in range(len(corners)):
        for j in range(i):
            length = 0.0
            for c in range(corners.shape[1]):
                length += abs(float(corners[i, c]) - float(corners[j, c]))
            if length > most:
                one, other, most = i, j, length
    return one, other


@jit
def _search(
    products: FloatArray,
    weights: FloatArray,
    ends: IntArray,
    convex: int,
    corners: IntArray,
    cutoff: float,
    relative: float,
    most_nodes: int,
    rounds: int,
    unit: int,
    stop: BoolArray,
    point: FloatArray,
) -> tuple[float, float, int]:
    """Search one hull; return the best value, an upper bound of all values, and the nodes that were split.

    A node is let go where its bound is at most the cut-off, or beats the best value by the relative gap at most. Nodes
    are kept on a stack whose matrices lie one behind the other in one array.
    """
    count, width = corners.shape
    rows, terms = products.shape[1], len(weights)
    capacity = 1024
    arena = np.empty(4 * count * max(rows, 1))
    arena_weights = np.empty(8 * max(terms, 1))
    arena_ends = np.empty(8 * max(terms, 1), np.int64)
    node_linear = np.zeros((capacity, count))
    node_corners = np.empty((capacity, count, width), np.int64)
    node_sizes = np.empty((capacity, 5), np.int64)
    node_upper = np.empty(capacity)
    work = np.empty((2, count * max(rows, 1)))
    work_weights = np.empty((2, max(terms, 1)))
    work_ends = np.empty((2, max(terms, 1)), np.int64)
    work_linear = np.empty((2, count))
    work_corners = np.empty((2, count, width), np.int64)
    values, upper, position = np.empty(count), np.empty(count), np.empty(count)
    answers, shares = np.empty((max(rounds, 1), count)), np.empty(max(rounds, 1))
    tableau, basis = np.empty((count + 1, max(rounds, 1) + count + 1)), np.empty(count, np.int64)
    sizes = np.empty((2, 4), np.int64)
    bounds = np.empty(2)
    best, bound, nodes, top, free, free_terms = -np.inf, -np.inf, 0, 0, 0, 0

    magnitude, first, blind = 0.0, 0, 0
    for term in range(terms):
        largest = 0.0
        for row in range(first, ends[term]):
            for i in range(count):
                largest = max(largest, abs(products[i, row]))
        magnitude += abs(weights[term]) * largest
        first = ends[term]
    # The root goes through the same door as every child: as the only one of a family.
    family = 1
    for i in range(count):
        for row in range(rows):
            work[0, i * rows + row] = products[i, row]
    work_weights[0, :terms] = weights
    work_ends[0, :terms] = ends
    work_linear[0] = 0.0
    work_corners[0] = corners
    heads, stride, height, inner = count, rows, terms, convex
    while True:
        for s in range(family):
            matrix = work[s, : heads * stride].reshape(heads, stride)
            linear = work_linear[s, :heads]
            left, left_convex = _settle(matrix, work_weights[s], work_ends[s], height, inner, linear)
            limit = cutoff if best <= cutoff else best * (1.0 + relative)
            bounds[s], worst = _bound(
                matrix,
                work_weights[s],
                work_ends[s],
                left,
                left_convex,
                linear,
                limit,
                rounds,
                values,
                upper,
                answers,
                position,
                tableau,
                basis,
                shares,
            )
            sizes[s, 0], sizes[s, 1], sizes[s, 2] = left, left_convex, worst
            sizes[s, 3] = work_ends[s, left - 1] if left else 0
            for i in range(heads):
                norm = 0.0
                for c in range(width):
                    norm += abs(float(work_corners[s, i, c]))
                if norm > 0.0 and values[i] * unit > best * norm:
                    best = values[i] * unit / norm
                    for c in range(width):
                        point[c] = work_corners[s, i, c] / norm
        # The more promising child comes to lie on top.
        order = 0 if family == 1 or bounds[0] <= bounds[1] else 1
        for turn in range(family):
            s = order if turn == 0 else 1 - order
            limit = cutoff if best <= cutoff else best * (1.0 + relative)
            if bounds[s] <= limit or top == capacity:
                bound = max(bound, bounds[s])
                continue
            left, used = sizes[s, 0], sizes[s, 3]
            if free + heads * used > len(arena):
                larger = np.empty(2 * len(arena) + heads * used)
                larger[:free] = arena[:free]
                arena = larger
            if free_terms + left > len(arena_weights):
                more = np.empty(2 * len(arena_weights) + left)
                more[:free_terms] = arena_weights[:free_terms]
                arena_weights = more
                more_ends = np.empty(2 * len(arena_ends) + left, np.int64)
                more_ends[:free_terms] = arena_ends[:free_terms]
                arena_ends = more_ends
            for i in range(heads):
                for row in range(used):
                    arena[free + i * used + row] = work[s, i * stride + row]
            arena_weights[free_terms : free_terms + left] = work_weights[s, :left]
            arena_ends[free_terms : free_terms + left] = work_ends[s, :left]
            node_linear[top, :heads] = work_linear[s, :heads]
            node_corners[top, :heads] = work_corners[s, :heads]
            node_sizes[top, 0], node_sizes[top, 1], node_sizes[top, 2] = left, sizes[s, 1], sizes[s, 2]
            node_sizes[top, 3], node_sizes[top, 4] = used, heads
            node_upper[top] = bounds[s]
            free += heads * used
            free_terms += left
            top += 1
        # Take the next node that is still of interest.
        family = 0
        while top > 0 and family == 0:
            top -= 1
            height, inner, worst = node_sizes[top, 0], node_sizes[top, 1], node_sizes[top, 2]
            stride, heads = node_sizes[top, 3], node_sizes[top, 4]
            free -= heads * stride
            free_terms -= height
            limit = cutoff if best <= cutoff else best * (1.0 + relative)
            partner = -1
            matrix = arena[free : free + heads * stride].reshape(heads, stride)
            own_weights = arena_weights[free_terms : free_terms + height]
            own_ends = arena_ends[free_terms : free_terms + height]
            if node_upper[top] > limit and nodes < most_nodes and not stop[0]:
                partner, _ = _edge(matrix, own_weights, own_ends, height, heads, worst)
                for i in range(heads):
                    if partner < 0 and i != worst:
                        # The worst corner has no kink on its edges; any other pair may have.
                        partner, _ = _edge(matrix, own_weights, own_ends, height, heads, i)
                        worst = i if partner >= 0 else worst
                near = limit + NEAR * limit + ROUNDING * magnitude
                if partner < 0 and limit > 0.0 and node_upper[top] > near and blind < MOST_BLIND:
                    # A maximum of three rows may be linear on every edge and not between them.
                    blind += 1
                    worst, partner = _longest(node_corners[top, :heads])
            exact = True
            if partner >= 0:
                for c in range(width):
                    exact &= (node_corners[top, worst, c] + node_corners[top, partner, c]) % 2 == 0
            if partner < 0 or not exact:
                bound = max(bound, node_upper[top])
                continue
            nodes += 1
            family = 2
            opposite = True
            for c in range(width):
                opposite &= node_corners[top, worst, c] + node_corners[top, partner, c] == 0
            for s in range(2):
                moved = worst if s == 0 else partner
                last = heads - 1
                reach = last if opposite else heads
                for i in range(reach):
                    # Where the middle of the edge is zero, the moved corner goes: its place is the last one's.
                    source = last if opposite and i == moved else i
                    half = not opposite and i == moved
                    for row in range(stride):
                        value = matrix[source, row]
                        if half:
                            value = 0.5 * (matrix[worst, row] + matrix[partner, row])
                        work[s, i * stride + row] = value
                    work_linear[s, i] = node_linear[top, source]
                    if half:
                        work_linear[s, i] = 0.5 * (node_linear[top, worst] + node_linear[top, partner])
                    for c in range(width):
                        place = node_corners[top, source, c]
                        if half:
                            place = (node_corners[top, worst, c] + node_corners[top, partner, c]) // 2
                        work_corners[s, i, c] = place
                work_weights[s, :height] = own_weights
                work_ends[s, :height] = own_ends
            if opposite:
                heads -= 1
        if family == 0:
            return best, max(bound, best), nodes


@jit
def search_hulls(
    columns: FloatArray,
    weights: FloatArray,
    ends: IntArray,
    convex: int,
    allowed: BoolArray,
    supports: IntArray,
    cutoff: float,
    relative: float,
    most_nodes: int,
    rounds: int,
    unit: int,
    most_steps: int,
    stop: BoolArray,
    best: FloatArray,
    bound: FloatArray,
    points: FloatArray,
    nodes: IntArray,
) -> None:
    """Search the L1 ball over each support, one after another; write the best values, bounds, points and nodes.

    Parameters
    ----------
    columns : ndarray, shape (width, rows)
        Each coordinate's values in the rows.
    weights, ends : ndarray, shape (terms,)
    convex : int
        How many of the first terms have positive weights.
    allowed : ndarray of bool, shape (width, 2)
        Whether a coordinate may be positive, and negative.
    supports : ndarray of int, shape (searches, size)
        Coordinates that may differ from zero; -1 for fewer than `size`.
    cutoff, relative : float
    most_nodes : int
        Of one search.
    rounds : int
        Of answers for each bound, at most.
    unit : int
        Corners are whole multiples of one over this power of two: hulls that it cannot halve exactly stay as they are.
    most_steps : int
        Of the ascent from the best point, where it lies above the cut-off.
    stop : ndarray of bool, shape (1,)
        Becomes true when the caller has waited long enough.
    best, bound, nodes : ndarray, shape (searches,)
    points : ndarray, shape (searches, size)
    """
    size, rows = supports.shape[1], columns.shape[1]
    for k in range(len(supports)):
        count, used = 0, 0
        for i in range(size):
            if supports[k, i] >= 0:
                count += int(allowed[supports[k, i], 0]) + int(allowed[supports[k, i], 1])
                used += 1
        products = np.empty((count, rows))
        corners = np.zeros((count, size), np.int64)
        place = 0
        for i in range(size):
            for side in range(2):
                if supports[k, i] >= 0 and allowed[supports[k, i], side]:
                    sign = 1.0 - 2.0 * side
                    corners[place, i] = unit if side == 0 else -unit
                    for row in range(rows):
                        products[place, row] = sign * columns[supports[k, i], row]
                    place += 1
        points[k] = 0.0
        if count == 0:
            best[k], bound[k], nodes[k] = 0.0, 0.0, 0
            continue
        best[k], bound[k], nodes[k] = _search(
            products, weights, ends, convex, corners, cutoff, relative, most_nodes, rounds, unit, stop, points[k]
        )
        if best[k] > cutoff:
            own, sides = np.empty((used, rows)), np.empty((used, 2), np.bool_)
            for i in range(used):
                own[i], sides[i] = columns[supports[k, i]], allowed[supports[k, i]]
            best[k] = climb(own, weights, ends, sides, points[k, :used], most_steps)
            bound[k] = max(bound[k], best[k])
