"""Columns with random relaxations, and the exact values that their bounds must not pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from tests.bounds.bounded import Bounded, at_most, bounded, combined, exact_vector
from tests.oracle import Point
from tests.strategies import points_in
from verinet.bounds.columns import Columns, improve_columns, make_columns, prepare_columns, set_columns
from verinet.bounds.tape import NodeKind
from verinet.model import Affine, Convolution, Dense, Domain, Input, Maximum, Network, Node, Relu, Sparse, dense_network
from verinet.numeric import FloatArray

RATE = 0.3


@dataclass(frozen=True, eq=False)
class Chosen:
    """What columns are to use: a column each; the open ReLUs, or the node's entries, are the rows."""

    phase: FloatArray
    slope: FloatArray
    multiplier: FloatArray
    weight: FloatArray

    @property
    def count(self) -> int:
        return self.weight.shape[1]

    def take(self, columns: Sequence[int]) -> "Chosen":
        index = list(columns)
        return Chosen(self.phase[:, index], self.slope[:, index], self.multiplier[:, index], self.weight[:, index])


def load(found: Bounded, columns: Columns, chosen: Chosen, *, free: bool = False) -> None:
    """Write what is chosen into columns that may hold anything."""
    count, size = chosen.count, len(chosen.weight)
    set_columns(columns, found.work, count)
    columns.phase[:, :count] = chosen.phase
    columns.lower[:, :count][chosen.phase > 0] = np.maximum(columns.lower[:, :count][chosen.phase > 0], 0.0)
    columns.upper[:, :count][chosen.phase < 0] = np.minimum(columns.upper[:, :count][chosen.phase < 0], 0.0)
    columns.slope[:, :count] = chosen.slope
    columns.multiplier[:, :count] = chosen.multiplier
    columns.weight[:size, :count] = chosen.weight
    columns.free[:size, :count] = (chosen.weight > 0.0) & free
    prepare_columns(columns, count, False)


def improved(
    found: Bounded,
    node: int,
    chosen: Chosen,
    *,
    steps: int = 1,
    target: float = np.inf,
    free: bool = False,
    columns: Columns | None = None,
) -> tuple[FloatArray, Columns, int]:
    """Return the bounds, the columns as they are left, and how many of them took part in the last pass."""
    columns = make_columns(found.tape, found.work) if columns is None else columns
    load(found, columns, chosen, free=free)
    left = improve_columns(found.tape, found.work, columns, node, chosen.count, steps, RATE, target, True, False)
    assert not found.work.block.any(), "nothing is left in the block"
    return columns.bound[: chosen.count].copy(), columns, left


def random_choice(rng: np.random.Generator, opens: int, size: int, count: int, signs: FloatArray) -> Chosen:
    """Choose slopes, ends of their range among them, and multipliers; `signs` says which phases hold somewhere."""
    phase = np.where(rng.random((opens, count)) < 0.4, signs, 0.0)
    slope = np.clip(rng.uniform(-0.5, 1.5, (opens, count)), 0.0, 1.0)
    multiplier = np.where(phase != 0.0, rng.exponential(size=(opens, count)) * (rng.random((opens, count)) < 0.7), 0.0)
    return Chosen(phase, slope, multiplier, rng.normal(size=(size, count)))


@dataclass(frozen=True, eq=False)
class Samples:
    """Points of a box with the exact value of every entry there."""

    values: list[list[Fraction]]

    @classmethod
    def of(cls, network: Network, points: Sequence[Point]) -> "Samples":
        return cls([exact_vector(network, point) for point in points])

    def signs(self, columns: Columns, count: int, rng: np.random.Generator) -> FloatArray:
        """Return the phases of the open ReLUs at one point for each column: the domains hold a point each."""
        chosen = rng.integers(len(self.values), size=count)
        rows = [[1.0 if self.values[c][s] >= 0 else -1.0 for c in chosen] for s in columns.source]
        return np.array(rows).reshape(len(columns.source), count)

    def meeting(self, columns: Columns, phase: FloatArray) -> list[list[Fraction]]:
        """Return the values at the points that meet the phases."""
        split = [(int(columns.source[p]), phase[p]) for p in np.flatnonzero(phase)]
        return [v for v in self.values if all(v[s] * int(sign) >= 0 for s, sign in split)]

    def assert_bounded(self, found: Bounded, node: int, columns: Columns, chosen: Chosen, bound: FloatArray) -> int:
        """Check bounds against exact values; return how many comparisons there were."""
        start, compared = int(found.tape.start[node]), 0
        for r in range(chosen.count):
            for values in self.meeting(columns, chosen.phase[:, r]):
                value = combined(chosen.weight[:, r], values[start : start + len(chosen.weight)])
                assert at_most(bound[r], value), (r, bound[r], float(value))
                compared += 1
        return compared


def image_network(seed: int) -> Network:
    """Return a network with every kind of layer an image network has: also average pools, and a sum of two paths."""
    rng = np.random.default_rng(seed)
    convolution = Convolution(rng.normal(size=(2, 1, 2, 2)), (1, 4, 4), pads=(0, 0, 1, 1))
    count = convolution.size_out
    windows = [
        [16 * f + 4 * r + c for r in (i, i + 1) for c in (j, j + 1)] for f in (0, 1) for i in (0, 2) for j in (0, 2)
    ]
    rows = np.repeat(np.arange(len(windows)), 4)
    average = Sparse.from_entries(rows, np.concatenate(windows), np.full(4 * len(windows), 0.25), len(windows), count)
    size = len(windows)
    nodes = (
        Node("x", Input(16), (), (1, 4, 4)),
        Node("conv", Affine((convolution,), rng.normal(size=count)), ("x",)),
        Node("on", Relu(count), ("conv",)),
        Node("average", Affine((average,), np.zeros(size)), ("on",)),
        Node("largest", Maximum(np.concatenate(windows), np.arange(0, 4 * size + 1, 4), count), ("conv",)),
        Node(
            "sum",
            Affine((Dense(rng.normal(size=(8, size))), Sparse.identity(size)), -np.ones(8)),
            ("average", "largest"),
        ),
        Node("relu", Relu(8), ("sum",)),
        Node("skip", Affine((Dense(rng.normal(size=(8, 8))), Sparse.identity(8)), np.zeros(8)), ("relu", "sum")),
        Node("top", Relu(8), ("skip",)),
        Node("y", Affine((Dense(rng.normal(size=(3, 8))),), rng.normal(size=3)), ("top",)),
    )
    return Network(nodes, ("y",))


def check_network(network: Network, domain: Domain, seed: int, *, count: int = 6, steps: int = 1) -> int:
    """Bound random functionals of the last nodes with random relaxations; return how many values were compared."""
    rng = np.random.default_rng(seed)
    found = bounded(network, *domain.box())
    samples = Samples.of(network, points_in(domain, rng, 6))
    compared = 0
    for node in np.flatnonzero(found.tape.kind != NodeKind.INPUT)[-3:]:
        columns = make_columns(found.tape, found.work)
        signs = samples.signs(columns, count, rng)
        chosen = random_choice(rng, len(columns.entry), int(found.tape.size[node]), count, signs)
        bound, columns, _ = improved(found, int(node), chosen, steps=steps, columns=columns)
        compared += samples.assert_bounded(found, int(node), columns, chosen, bound)
    return compared


def wide(seed: int, sizes: Sequence[int] = (6, 20, 20, 4)) -> Network:
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(n, m)) * np.sqrt(2 / m) for m, n in pairwise(sizes)]
    return dense_network(weights, [rng.normal(size=len(w)) * 0.1 for w in weights])


def wide_choice(found: Bounded, seed: int, count: int, *, positive: bool = False) -> tuple[Chosen, Samples, Columns]:
    """Choose columns over a dense network, whose domains hold a sampled point each."""
    rng = np.random.default_rng(seed)
    columns = make_columns(found.tape, found.work)
    domain = Domain.from_box(found.work.lower[: found.tape.inputs], found.work.upper[: found.tape.inputs])
    samples = Samples.of(found.network, points_in(domain, rng, 8))
    size = int(found.tape.size[-1])
    chosen = random_choice(rng, len(columns.entry), size, count, samples.signs(columns, count, rng))
    weight = np.abs(chosen.weight) / np.abs(chosen.weight).sum(axis=0) if positive else chosen.weight
    return Chosen(chosen.phase, chosen.slope, chosen.multiplier, weight), samples, columns


def boxed(network: Network, radius: float = 0.5) -> Bounded:
    return bounded(network, np.full(network.size_in, -radius), np.full(network.size_in, radius))
