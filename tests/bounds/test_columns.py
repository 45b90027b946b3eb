"""Relaxations with slopes, splits and weights of their own bound the exact function, whatever those are."""

import numpy as np
import pytest

from tests.bounds.bounded import bounded, pulled_back, shared_network
from tests.bounds.column_cases import (
    RATE,
    Chosen,
    Samples,
    boxed,
    check_network,
    image_network,
    improved,
    random_choice,
    wide,
    wide_choice,
)
from tests.strategies import Weights, points_in, random_box, random_network
from verinet.bounds.columns import improve_columns, make_columns, prepare_columns, set_columns
from verinet.bounds.kernels import BLOCK
from verinet.bounds.tape import NodeKind
from verinet.model import Affine, Dense, Domain, Input, Network, Node, dense_network
from verinet.numeric import FloatArray

MANY = 160

LARGE = {"weights": Weights.FLOATS, "max_neurons": 40, "width": 8, "blocks": 8}


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
