"""Relaxations with slopes, splits and weights of their own bound the exact function, whatever those are."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from tests.bounds.test_kernels import Bounded, at_most, bounded, combined, exact_vector, pulled_back, shared_network
from tests.oracle import Point
from tests.strategies import Weights, points_in, random_box, random_network
from verinet.bounds.columns import Columns, improve_columns, make_columns, prepare_columns, set_columns
from verinet.bounds.kernels import BLOCK, Work
from verinet.bounds.root import copy_work, improve_bounds
from verinet.bounds.tape import NodeKind
from verinet.model import Affine, Convolution, Dense, Domain, Input, Maximum, Network, Node, Relu, Sparse, dense_network
from verinet.numeric import FloatArray

MANY = 160
LARGE = {"weights": Weights.FLOATS, "max_neurons": 40, "width": 8, "blocks": 8}
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


# -------------------------------------------------------------------------------------------- any parameters are sound


@pytest.mark.parametrize("start", range(0, MANY, 40))
def test_any_slopes_multipliers_and_phases_give_a_bound(start: int) -> None:
    compared = 0
    for seed in range(start, start + 40):
        network = random_network(seed, **LARGE)
        compared += check_network(network, random_box(seed, network), seed)
    assert compared > 1000


@pytest.mark.parametrize("seed", range(8))
def test_any_parameters_give_a_bound_through_every_kind_of_layer(seed: int) -> None:
    network = image_network(seed)
    domain = Domain.from_box([-1.0] * 16, [1.0 if i % 3 else -0.5 for i in range(16)])
    assert check_network(network, domain, seed, steps=1 + seed % 3) >= 18
    shared = shared_network(np.random.default_rng(seed))
    assert check_network(shared, Domain.from_box([-1.0] * 4, [1.0] * 4), seed, steps=1 + seed % 3) >= 18


@pytest.mark.parametrize("start", range(0, 80, 40))
def test_what_the_improvement_moves_to_is_sound_too(start: int) -> None:
    for seed in range(start, start + 40):
        network = random_network(seed, **LARGE)
        check_network(network, random_box(seed, network), seed, steps=8)


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e-30, 1e12, 1e30])
def test_hostile_magnitudes_keep_their_bounds(scale: float) -> None:
    for seed in range(12):
        plain = random_network(seed, weights=Weights.FLOATS, max_neurons=20, width=6)
        rng = np.random.default_rng(seed)

        def scaled(node: Node, rng: np.random.Generator = rng) -> Node:
            if not isinstance(node.op, Affine):
                return node
            factors = [scale if rng.random() < 0.5 else 1.0 for _ in node.op.maps]
            maps = [m.map_weights(lambda w, f=f: w * f) for m, f in zip(node.op.maps, factors, strict=True)]
            return Node(node.name, Affine(tuple(maps), node.op.bias), node.arguments)

        network = Network(tuple(scaled(node) for node in plain.nodes), plain.outputs)
        check_network(network, random_box(seed, network), seed, steps=1 + 2 * (seed % 2))


@pytest.mark.parametrize("magnitude", [1e-320, 1e-160, 1e12, 1e200])
def test_weights_and_multipliers_of_any_size_keep_their_bounds(magnitude: float) -> None:
    compared = 0
    for seed in range(20):
        network = random_network(seed, **LARGE)
        domain = random_box(seed, network)
        rng = np.random.default_rng(seed)
        found = bounded(network, *domain.box())
        node = int(np.flatnonzero(found.tape.kind != NodeKind.INPUT)[-1])
        columns = make_columns(found.tape, found.work)
        samples = Samples.of(network, points_in(domain, rng, 5))
        plain = random_choice(rng, len(columns.entry), int(found.tape.size[node]), 5, samples.signs(columns, 5, rng))
        by_column = np.array([1.0, magnitude, 1.0, magnitude, magnitude])
        chosen = Chosen(plain.phase, plain.slope, plain.multiplier * by_column[::-1], plain.weight * by_column)
        bound, columns, _ = improved(found, node, chosen, columns=columns)
        compared += samples.assert_bounded(found, node, columns, chosen, bound)
    assert compared > 50


def cancelling(weight: float, rng: np.random.Generator) -> tuple[Network, FloatArray]:
    """Return a network whose outputs add up to zero by columns, with rows that only exact arithmetic cancels."""
    rows = np.round(rng.uniform(-weight, weight, size=(2, 3)))
    rows = np.vstack([rows, -rows.sum(axis=0)])
    network = dense_network([np.eye(3), rows], [np.full(3, 0.25), np.zeros(3)])
    return network, rows


@pytest.mark.parametrize("share", [1 / 3, 0.1, 0.7])
def test_combined_rows_that_cancel_prove_nothing(share: float) -> None:
    # The combination is zero everywhere; its rounded coefficients are not, and the inputs do not reach zero.
    for seed in range(60):
        network, _ = cancelling(2.0**50, np.random.default_rng(seed))
        found = bounded(network, np.ones(3), np.full(3, 1.5))
        chosen = Chosen(*(np.zeros((0, 1)),) * 3, np.full((3, 1), share))
        bound, _, _ = improved(found, len(found.tape.kind) - 1, chosen)
        assert bound[0] <= 0.0, seed


def test_overflow_and_nan_never_settle_a_column() -> None:
    weights = [np.array([[1e300], [1e300]]), np.array([[1e300, -1e300], [1e300, 0.0]]), np.array([[1.0, 0.0]])]
    network = dense_network(weights, [np.array([0.0, -1.0]), np.array([0.25, 0.0]), np.array([-1.0])])
    domain = Domain.from_box([-0.5], [2.0])
    found = bounded(network, *domain.box())
    samples = Samples.of(network, points_in(domain, np.random.default_rng(0), 10))
    node = len(found.tape.kind) - 1
    opens = len(make_columns(found.tape, found.work).entry)
    for multiplier in (0.0, 1.0, 1e300, np.inf):
        for phase in (0.0, 1.0):
            values = (np.full((opens, 2), v) for v in (phase, 0.5, multiplier * phase if phase else 0.0))
            chosen = Chosen(*values, np.array([[1.0, np.nan]]))
            bound, columns, left = improved(found, node, chosen, steps=3, target=0.0)
            samples.assert_bounded(found, node, columns, chosen.take([0]), bound[:1])
            assert bound[1] == -np.inf
            assert left == 2, "columns without a bound must not be taken for settled"


def test_sums_that_overflow_on_the_way_prove_nothing() -> None:
    # 2 x 1.5e308 is infinite in floats, and stays so when 3 x 1.5e308 is taken away: the exact value is negative.
    network = Network(
        (
            Node("x", Input(5)),
            Node("y", Affine((Dense(np.array([[1e300, 1e300, -1e300, -1e300, -1e300]])),), np.zeros(1)), ("x",)),
        ),
        ("y",),
    )
    found = bounded(network, np.full(5, 1.5e8), np.full(5, 1.6e8))
    bound, _, _ = improved(found, 1, Chosen(*(np.zeros((0, 1)),) * 3, np.ones((1, 1))))
    assert bound[0] <= 0.0


def test_without_splits_one_pass_is_the_plain_one() -> None:
    for seed in range(20):
        network = random_network(seed, **LARGE)
        found = bounded(network, *random_box(seed, network).box())
        node = int(np.flatnonzero(found.tape.kind != NodeKind.INPUT)[-1])
        rows = np.random.default_rng(seed).normal(size=(5, int(found.tape.size[node])))
        columns = make_columns(found.tape, found.work)
        set_columns(columns, found.work, 5)
        columns.weight[: rows.shape[1], :5] = rows.T
        prepare_columns(columns, 5, True)
        improve_columns(found.tape, found.work, columns, node, 5, 1, RATE, 0.0, False, False)
        assert columns.bound[:5] == pytest.approx(pulled_back(found, node, rows).minima, rel=1e-9, abs=1e-9)


def test_a_kernel_that_is_told_to_stop_begins_no_other_pass() -> None:
    found = boxed(wide(0))
    chosen, _, columns = wide_choice(found, 0, 5)
    node = int(np.flatnonzero(found.tape.kind != NodeKind.INPUT)[-1])
    one, *_ = improved(found, node, chosen, columns=columns)
    found.work.stop[0] = 1
    stopped, _, left = improved(found, node, chosen, steps=50, columns=columns)
    assert (stopped == one).all()
    assert left == 5
    found.work.stop[0] = 0
    assert (improved(found, node, chosen, steps=50, columns=columns)[0] > one).any()


# --------------------------------------------------------------------------------------------------- splits help


def test_phases_and_multipliers_can_settle_what_slopes_cannot() -> None:
    # y = relu(x) + relu(-x) on x >= 0 is x; on the side where x <= 0 and -x <= 0 only x = 0 is left.
    network = dense_network([np.array([[1.0], [-1.0]]), np.array([[1.0, 1.0]])], [np.zeros(2), np.array([-0.25])])
    found = bounded(network, np.array([-1.0]), np.array([1.0]))
    phases = np.array([[1.0, -1.0], [1.0, -1.0]])
    chosen = Chosen(phases, np.zeros((2, 2)), np.zeros((2, 2)), np.array([[-1.0, -1.0]]))
    bound, _, _ = improved(found, 3, chosen, steps=60)
    # Both columns hold nothing but x = 0, where -y is 1/4: in the limit multipliers find that.
    assert (bound <= 0.25).all()
    assert (bound > 0.2).all()


# --------------------------------------------------------------------------------------------------------- improvement


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


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_more_steps_never_lower_the_best_bound(seed: int, free: bool) -> None:
    found = boxed(wide(seed))
    chosen, samples, columns = wide_choice(found, seed, 20, positive=free)
    node, before = len(found.tape.kind) - 1, np.full(20, -np.inf)
    for steps in (1, 2, 3, 5, 9, 20):
        bound, columns, left = improved(found, node, chosen, steps=steps, free=free, columns=columns)
        assert left == 20
        assert (bound >= before).all()
        if not free:
            samples.assert_bounded(found, node, columns, chosen, bound)
        before = bound
    first, _, _ = improved(found, node, chosen, columns=columns)
    assert (before > first).mean() > 0.9, "the improvement improves next to nothing"


@pytest.mark.parametrize("seed", range(4))
def test_weights_stay_on_the_simplex_and_bound_the_largest_row(seed: int) -> None:
    found = boxed(wide(seed))
    chosen, samples, columns = wide_choice(found, seed, 20, positive=True)
    # Some rows take no part: their weight must stay zero.
    chosen.weight[0, ::2] = 0.0
    node = len(found.tape.kind) - 1
    bound, columns, left = improved(found, node, chosen, steps=12, free=True, columns=columns)
    weight = columns.weight[:4, :left]
    assert (weight >= 0.0).all()
    assert (weight[0, columns.owner[:left] % 2 == 0] == 0.0).all()
    # Whatever the weights, the largest of the rows with a weight is not below the bound, give or take their sum.
    for r in range(20):
        rows = np.flatnonzero(chosen.weight[:, r] > 0.0)
        for values in samples.meeting(columns, chosen.phase[:, r]):
            assert float(max(values[int(found.tape.start[node]) + k] for k in rows)) >= bound[r] - 1e-9


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_columns_that_are_dropped_leave_the_others_as_they_are(seed: int, free: bool) -> None:
    found = boxed(wide(seed))
    count = BLOCK
    chosen, samples, columns = wide_choice(found, seed, count, positive=free)
    node = len(found.tape.kind) - 1
    everything, _, _ = improved(found, node, chosen, steps=10, free=free)
    target = float(np.median(everything))
    bound, columns, left = improved(found, node, chosen, steps=10, target=target, free=free, columns=columns)
    assert 0 < left < count, "some must be dropped on the way, and some stay"
    owner = columns.owner[:left]
    assert len(set(owner.tolist())) == left
    # A column that was dropped had reached the target, and nobody else was.
    assert set(np.flatnonzero(bound <= target)) <= set(owner.tolist())
    assert (columns.phase[:, :left] == chosen.phase[:, owner]).all()
    lower, upper = found.work.lower[columns.source][:, None], found.work.upper[columns.source][:, None]
    assert (columns.lower[:, :left] == np.where(columns.phase[:, :left] > 0, 0.0, lower)).all()
    assert (columns.upper[:, :left] == np.where(columns.phase[:, :left] < 0, 0.0, upper)).all()
    assert (columns.free[:4, :left] == ((chosen.weight[:, owner] > 0) & free)).all()
    if not free:
        assert (columns.weight[:4, :left] == chosen.weight[:, owner]).all()
        samples.assert_bounded(found, node, columns, chosen, bound)
    last = found.work.minima[:left].copy()
    assert (bound[owner] >= last).all()
    # What stands in a column now gives, alone, the bound that it gave among the others.
    kept = Chosen(
        *(v[:, :left].copy() for v in (columns.phase, columns.slope, columns.multiplier)),
        columns.weight[:4, :left].copy(),
    )
    for r in range(0, left, 5):
        alone, _, _ = improved(found, node, kept.take([r]))
        assert alone[0] == pytest.approx(last[r], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("free", [False, True])
def test_a_column_gets_the_bound_that_it_gets_beside_one_other(free: bool) -> None:
    # The other column reads every neuron in the first passes, so that the same values are at hand in both runs.
    found = boxed(wide(1))
    node, steps = len(found.tape.kind) - 1, 3
    chosen, _, _ = wide_choice(found, 1, BLOCK, positive=free)
    chosen.phase[:, 0] = chosen.multiplier[:, 0] = 0.0
    chosen.slope[:, 0] = 0.5
    target = float(np.quantile(improved(found, node, chosen, steps=steps, free=free)[0], 0.4))
    chosen.weight[:, 0] = -1e3
    together, _, left = improved(found, node, chosen, steps=steps, target=target, free=free)
    assert left < BLOCK
    for r in range(1, BLOCK, 4):
        pair, _, _ = improved(found, node, chosen.take([0, r]), steps=steps, target=target, free=free)
        # Columns stop where they reach the target, beside whomever.
        assert pair[1] == pytest.approx(together[r], rel=1e-6, abs=1e-6), r


def test_stale_buffers_do_not_matter() -> None:
    found = boxed(wide(2))
    node = len(found.tape.kind) - 1
    chosen, _, columns = wide_choice(found, 2, 30)
    fresh, _, _ = improved(found, node, chosen)
    for array in columns:
        if array.dtype == np.float64:
            array[...] = 7.5
    # This one is no buffer but part of the question.
    columns.shift[...] = 0.0
    again, _, _ = improved(found, node, chosen, columns=columns)
    assert (again == fresh).all()


def test_a_column_alone_improves_slopes_of_neurons_that_nobody_reads_yet() -> None:
    # All slopes start at zero, so nothing reads the pre-activations; the gradient must see them all the same.
    network = dense_network([np.array([[1.0], [-1.0]]), np.array([[1.0, 1.0]])], [np.array([1.0, 1.0]), np.zeros(1)])
    found = bounded(network, np.array([-2.0]), np.array([2.0]))
    chosen = Chosen(np.zeros((2, 1)), np.zeros((2, 1)), np.zeros((2, 1)), np.ones((1, 1)))
    # Slopes of 1 give (x + 1) + (1 - x) = 2.
    bound, _, _ = improved(found, 3, chosen, steps=40)
    assert bound[0] > 1.0


# ---------------------------------------------------------------------------------------------------------- the root


def rooted(
    found: Bounded, steps: int = 6, threads: int = 1, **options: Callable[..., object]
) -> tuple[list[Work], bool]:
    works = [copy_work(found.tape, found.work) for _ in range(threads)]
    interrupted = options.get("interrupted", lambda: False)
    with ThreadPoolExecutor(threads) as pool, threadpool_limits(limits=1, user_api="blas"):
        finished = improve_bounds(
            found.tape, works, steps, pool, interrupted, options.get("on_progress", lambda _: None)
        )  # type: ignore[arg-type]
    return works, finished


def assert_tighter(found: Bounded, work: Work, domain: Domain, seed: int, points: int = 5) -> None:
    assert (work.lower >= found.work.lower).all()
    assert (work.upper <= found.work.upper).all()
    after = Bounded(found.network, found.tape, work)
    for point in points_in(domain, np.random.default_rng(seed), points):
        assert after.contains(point), seed


@pytest.mark.parametrize("start", range(0, 120, 40))
def test_every_entry_lies_within_the_roots_bounds(start: int) -> None:
    gained = 0
    for seed in range(start, start + 40):
        network = random_network(seed, **LARGE)
        domain = random_box(seed, network)
        found = bounded(network, *domain.box())
        (work,), finished = rooted(found)
        assert finished
        assert_tighter(found, work, domain, seed)
        gained += bool((work.lower > found.work.lower).any())
    assert gained


@pytest.mark.parametrize("seed", range(3))
def test_the_root_of_every_kind_of_layer(seed: int) -> None:
    network = image_network(seed)
    domain = Domain.from_box([-1.0] * 16, [1.0] * 16)
    found = bounded(network, *domain.box())
    (work,), _ = rooted(found, 10)
    assert_tighter(found, work, domain, seed, 20)


@pytest.mark.parametrize("sizes", [(6, 90, 90, 90, 4), (5, 30, 30, 30, 2)])
def test_any_number_of_threads_gives_the_same_bounds(sizes: tuple[int, ...]) -> None:
    network = wide(0, sizes)
    found = boxed(network)
    ((alone,), _), (several, _) = rooted(found), rooted(found, threads=2)
    for work in several:
        assert work.lower == pytest.approx(alone.lower, rel=1e-9, abs=1e-9)
        assert work.upper == pytest.approx(alone.upper, rel=1e-9, abs=1e-9)
        assert (work.magnitude == several[0].magnitude).all()
        assert all((a == b).all() for a, b in zip(work.lines, several[0].lines, strict=True))
    assert (alone.upper - alone.lower).sum() < 0.99 * (found.work.upper - found.work.lower).sum()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_an_interruption_leaves_sound_bounds(threads: int, after: int) -> None:
    network = wide(0, (6, 90, 90, 90, 4))
    domain = Domain.from_box([-0.5] * 6, [0.5] * 6)
    found = boxed(network)
    asked = iter([False] * after + [True])
    works, finished = rooted(found, threads=threads, interrupted=lambda: next(asked))
    assert not finished
    for work in works:
        assert_tighter(found, work, domain, after)


def test_progress_is_told_and_threads_do_the_work() -> None:
    found = boxed(wide(0, (6, 90, 90, 90, 4)))
    seen: list[str] = []
    rooted(found, threads=2, on_progress=seen.append)
    assert seen
    assert all("open neurons" in sentence for sentence in seen)
    assert threading.active_count() < 20
