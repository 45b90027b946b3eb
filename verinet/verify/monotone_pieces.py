"""The least slope of a network with one hidden layer of ReLUs, by branching on the phases of its units.

On each linear piece the derivative by an input is the skip's weight plus what the active units contribute. A branch
fixes the phases of some units; it is given up when the rest cannot make the slope negative, or when no input has those
phases. A continuous function whose pieces all have a slope >= 0 along an input never falls along it.

Soundness: slopes are exact. That a piece has no inside is believed only where a positive combination of its units'
conditions is nowhere positive on the box, in rational arithmetic; the linear programme that finds the combination is
not trusted. Pieces that are not excluded count, so the answer may be too careful, never too bold.
"""

import heapq
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from verinet.errors import SolverError
from verinet.model import Affine, Dense, Domain, Input, Monotone, Network, Relu
from verinet.numeric import BoolArray, FloatArray
from verinet.solve import GrowingProgramme
from verinet.verify.options import Deadline

__all__ = ["FallingPiece", "SlopeReport", "falling_pieces"]

MOST_BRANCHES = 20_000
"""Branches after which the search gives up."""

MOST_VALUE = Fraction(10**100)
"""Inputs beyond which the search leaves a network to others."""

FLAT = 1e-9
"""Pieces no deeper than this may have no inside, which exact arithmetic then decides."""

MOST_PIECES = 20
"""Falling pieces after which it has seen enough."""


@dataclass(frozen=True, eq=False)
class FallingPiece:
    """A linear piece on which the output goes in the wrong direction, or might: phases that were not excluded.

    Parameters
    ----------
    feature : int
        The input along which it goes.
    active : ndarray of bool, shape (units,)
        Phases of the hidden units.
    point : ndarray, shape (inputs,)
        In the middle of the piece, as a solver claims.
    slope : float
        In the demanded direction: negative.
    depth : float
        How far the point is from the nearest kink, as a share of what the kink's unit varies over the box; near zero
        or below it the piece may be none.
    stretch : tuple of float
        From where to where along the input, through the point, the output goes in the wrong direction throughout, in
        floating point; empty where the piece is none.
    """

    feature: int
    active: BoolArray
    point: FloatArray
    slope: float
    depth: float
    stretch: tuple[float, float]

    @property
    def pair(self) -> tuple[FloatArray, FloatArray]:
        """The two ends of the stretch."""
        first, second = self.point.copy(), self.point.copy()
        first[self.feature], second[self.feature] = self.stretch
        return first, second


@dataclass(frozen=True, eq=False)
class SlopeReport:
    """What the search found.

    Parameters
    ----------
    pieces : tuple of FallingPiece
        The steepest first.
    complete : bool
        Whether the search came to its end. Then, without pieces, the property is proved.
    branches : int
    """

    pieces: tuple[FallingPiece, ...]
    complete: bool
    branches: int

    @property
    def proves(self) -> bool:
        """Whether every slope has the right sign."""
        return self.complete and not self.pieces


@dataclass(frozen=True, eq=False)
class _Layer:
    """A network of one hidden layer over a box.

    Parameters
    ----------
    weights : ndarray, shape (units, inputs)
    biases : ndarray, shape (units,)
    outputs : ndarray, shape (units,)
    skip : ndarray, shape (inputs,)
    lower, upper : tuple of Fraction
        The box.
    """

    weights: FloatArray
    biases: FloatArray
    outputs: FloatArray
    skip: FloatArray
    lower: tuple[Fraction, ...]
    upper: tuple[Fraction, ...]


def _layer_of(network: Network, domain: Domain, output: int) -> _Layer | None:
    """Read the parameters; None if the network is of another kind."""
    by_type = {kind: [n for n in network.nodes if isinstance(n.op, kind)] for kind in (Input, Affine, Relu)}
    inputs, affine, relus = (by_type[kind] for kind in (Input, Affine, Relu))
    if len(network.nodes) != len(inputs) + len(affine) + len(relus) or len(inputs) != 1 or len(network.outputs) != 1:
        return None
    name, last = inputs[0].name, network.by_name[network.outputs[0]]
    if not isinstance(last.op, Affine) or not all(_is_plain(m) for n in affine for m in _maps(n.op)):
        return None
    size = network.size_in
    weights, biases, outputs, skip = np.zeros((0, size)), np.zeros(0), np.zeros(0), np.zeros(size)
    if relus:
        if len(relus) != 1 or len(affine) != 2 or last.arguments.count(relus[0].name) != 1:
            return None
        hidden = network.by_name[relus[0].arguments[0]]
        if hidden is last or not isinstance(hidden.op, Affine) or hidden.arguments != (name,):
            return None
        weights, biases = _dense(hidden.op, 0), hidden.op.bias
    elif len(affine) != 1:
        return None
    for position, argument in enumerate(last.arguments):
        row = _dense(last.op, position)[output]
        if relus and argument == relus[0].name:
            outputs = row
        elif argument == name and not skip.any():
            skip = row
        else:
            return None
    lower, upper = domain.exact_box()
    # Beyond that, points and slopes in floating point would overflow.
    if any(max(-low, high) > MOST_VALUE for low, high in zip(lower, upper, strict=True)):
        return None
    return _Layer(weights, biases, outputs, skip, lower, upper)


def _maps(op: object) -> Sequence[object]:
    return op.maps if isinstance(op, Affine) else ()


def _is_plain(found: object) -> bool:
    return isinstance(found, Dense) and found.weights.dtype.kind == "f"


def _dense(op: Affine, position: int) -> FloatArray:
    found = op.maps[position]
    assert isinstance(found, Dense)
    return np.asarray(found.weights, dtype=np.float64)


def falling_pieces(
    network: Network, domain: Domain, prop: Monotone, deadline: Deadline, enough: int = MOST_PIECES
) -> SlopeReport | None:
    """Look for linear pieces on which a monotone property fails, or prove that there are none.

    Parameters
    ----------
    network : Network
    domain : Domain
        Its box counts: what else it demands is left out, so that a proof holds for more than was asked.
    prop : Monotone
        Of one or more inputs, each looked at by itself.
    deadline : Deadline
    enough : int
        Falling pieces with an inside after which the search for an input ends.

    Returns
    -------
    SlopeReport or None
        None if the network has not one hidden layer of ReLUs.
    """
    layer = _layer_of(network, domain, prop.output)
    if layer is None:
        return None
    pieces: list[FallingPiece] = []
    complete, branches = True, 0
    for feature in prop.inputs:
        search = _Search(layer, feature, 1 if prop.increasing else -1)
        complete &= search.run(deadline, enough)
        pieces += search.pieces.values()
        branches += search.branches
    return SlopeReport(tuple(sorted(pieces, key=lambda piece: piece.slope)), complete, branches)


class _Search:
    """Branches by what their slope may fall to, the worst first."""

    def __init__(self, layer: _Layer, feature: int, direction: int) -> None:
        self.layer, self.feature = layer, feature
        exact = [
            direction * Fraction(float(v)) * Fraction(float(w))
            for v, w in zip(layer.outputs, layer.weights[:, feature], strict=True)
        ]
        skip = direction * Fraction(float(layer.skip[feature]))
        self.unit = math.lcm(skip.denominator, *(part.denominator for part in exact))
        self.exact = [int(part * self.unit) for part in exact]
        self.exact_skip = int(skip * self.unit)
        self.start, self.parts = float(skip), np.array([float(part) for part in exact])
        # Exact: what is too small for a float still makes a slope negative.
        self.matter = np.flatnonzero([part != 0 for part in self.exact])
        self.low = np.array([float(v) for v in layer.lower])
        self.width = np.array([float(high - low) for low, high in zip(layer.lower, layer.upper, strict=True)])
        self.scaled = layer.weights * self.width
        self.sizes = np.maximum(np.abs(self.scaled).sum(axis=1), 1e-300)
        self.offsets = layer.weights @ self.low + layer.biases
        self.pieces: dict[bytes, FallingPiece] = {}
        self.branches = 0

    def run(self, deadline: Deadline, enough: int) -> bool:
        """Search; return whether that came to its end."""
        number = itertools.count()
        layer, feature = self.layer, self.feature
        root: dict[int, bool] = {}
        heap = [(self._least(root), next(number), root)] if layer.lower[feature] < layer.upper[feature] else []
        while heap and heap[0][0] < 0:
            if deadline.passed or self.branches >= MOST_BRANCHES or len(self.pieces) >= MOST_PIECES:
                return False
            if sum(piece.depth > FLAT for piece in self.pieces.values()) >= enough:
                return False
            _, _, phases = heapq.heappop(heap)
            self.branches += 1
            for child in self._children(phases):
                least = self._least(child)
                if least < 0:
                    heapq.heappush(heap, (least, next(number), child))
        return True

    def _least(self, phases: Mapping[int, bool]) -> int:
        """Return what the slope is at least where some units have known phases, exactly, in its smallest unit."""
        parts = (part if phases.get(k, part < 0) else 0 for k, part in enumerate(self.exact))
        return self.exact_skip + sum(parts)

    def _children(self, phases: Mapping[int, bool]) -> Iterator[dict[int, bool]]:
        """Exclude a branch, or note its piece, and split it by the phase that would help most."""
        try:
            point, depth, multipliers = self._middle(phases)
        except SolverError:
            point, depth, multipliers = self.low + 0.5 * self.width, 0.0, {}
        if multipliers and self._excludes(phases, multipliers):
            return
        values = (self.layer.weights @ point + self.layer.biases) / self.sizes
        active = values > 0
        for unit, phase in phases.items():
            active[unit] = phase
        free = [int(k) for k in self.matter if k not in phases]
        depth = min(depth, float(np.abs(values[free]).min(initial=np.inf)))
        slope = self._least(dict(enumerate(map(bool, active))))
        if slope < 0 and (depth > FLAT or not free):
            self.pieces.setdefault(
                np.packbits(active[self.matter]).tobytes(),
                FallingPiece(self.feature, active, point, slope / self.unit, depth, self._stretch(point)),
            )
        if not free:
            return
        # Phases other than those at the point are what makes the bound worse than the slope there.
        unit = max(free, key=lambda k: (bool(active[k]) != bool(self.parts[k] < 0), abs(self.parts[k])))
        yield {**phases, unit: True}
        yield {**phases, unit: False}

    def _stretch(self, point: FloatArray) -> tuple[float, float]:
        """Go from a point both ways along the input for as long as the slope is negative."""
        layer, j = self.layer, self.feature
        low, high = self.low[j], self.low[j] + self.width[j]
        rest = layer.weights @ point + layer.biases - layer.weights[:, j] * point[j]
        weights = layer.weights[self.matter, j]
        kinks = -rest[self.matter] / weights
        ends = np.unique(np.concatenate([[low, high], kinks[(kinks > low) & (kinks < high)]]))
        middles = 0.5 * (ends[:-1] + ends[1:])
        on = weights * middles[:, None] + rest[self.matter] > 0
        falls = self.start + on @ self.parts[self.matter] < 0
        place = int(np.clip(np.searchsorted(ends, point[j], side="right") - 1, 0, max(len(falls) - 1, 0)))
        if not len(falls) or not falls[place]:
            return float(point[j]), float(point[j])
        first, last = place, place
        while first > 0 and falls[first - 1]:
            first -= 1
        while last + 1 < len(falls) and falls[last + 1]:
            last += 1
        return float(ends[first]), float(ends[last + 1])

    def _middle(self, phases: Mapping[int, bool]) -> tuple[FloatArray, float, dict[int, float]]:
        """Return the point deepest in a piece, how deep it is, and the multipliers that say it is none deeper."""
        if not phases:
            return self.low + 0.5 * self.width, 1.0, {}
        units = np.array(list(phases))
        signs = np.where(list(phases.values()), 1.0, -1.0) / self.sizes[units]
        inputs = len(self.low)
        programme = GrowingProgramme()
        costs = np.concatenate([np.zeros(inputs), [-1.0]])
        lower, upper = np.concatenate([np.zeros(inputs), [-10.0]]), np.ones(inputs + 1)
        programme.add_columns(costs, lower, upper, np.zeros((0, inputs + 1)))
        rows = np.column_stack([signs[:, None] * self.scaled[units], -np.ones(len(units))])
        programme.add_rows(-signs * self.offsets[units], np.full(len(units), np.inf), rows)
        solved = programme.solve()
        if solved is None:
            raise SolverError("a bounded programme was called unbounded")
        values, duals = solved
        point = self.low + self.width * np.clip(values[:-1], 0.0, 1.0)
        depth = float(values[-1])
        found = {int(k): float(y) / self.sizes[k] for k, y in zip(units, duals, strict=True) if y > 0}
        return point, depth, found if depth <= FLAT else {}

    def _excludes(self, phases: Mapping[int, bool], multipliers: Mapping[int, float]) -> bool:
        """Whether the combined conditions are nowhere positive on the box, exactly: then the piece has no inside.

        The conditions hold on the piece, so there they are zero: it lies in a hyperplane. Either the combination is
        one, or it is zero throughout and each unit's condition is one, for each unit here varies along the input.
        """
        layer = self.layer
        weights = [Fraction(0)] * len(layer.lower)
        total = Fraction(0)
        for unit, multiplier in multipliers.items():
            factor = Fraction(multiplier) * (1 if phases[unit] else -1)
            total += factor * Fraction(float(layer.biases[unit]))
            for j in np.flatnonzero(layer.weights[unit]):
                weights[j] += factor * Fraction(float(layer.weights[unit, j]))
        for weight, low, high in zip(weights, layer.lower, layer.upper, strict=True):
            total += weight * (high if weight > 0 else low)
        return total <= 0
