"""Two copies in the branch engine: bounds of differences hold, and verdicts are those of enumeration."""

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest

from verinet.bounds import InputSet, bound_network
from verinet.bounds.kernels import bound_box, evaluate_point, make_work
from verinet.model import (
    Affine,
    Dense,
    Domain,
    Equivalent,
    Fair,
    Lipschitz,
    Monotone,
    Network,
    Norm,
    Property,
    Query,
    Region,
    VariableType,
    dense_network,
    evaluate_exact,
    reduce_property,
)
from verinet.numeric import FloatArray
from verinet.verify import Answer, Deadline, VerifyOptions, verify_property
from verinet.verify.pairs import Pair, _exact_difference, pair_up
from verinet.verify.region_tape import prepare

F = Fraction
SIZE, HIGH = 3, 2
DOMAIN = Domain((F(0),) * SIZE, (F(HIGH),) * SIZE, (VariableType.INTEGER,) * SIZE)
POINTS = [tuple(map(F, p)) for p in product(range(HIGH + 1), repeat=SIZE)]
SLACK = 1e-9
"""What float evaluation may be off by."""


def network_of(seed: int, outputs: int = 1, layers: int = 2) -> Network:
    rng = np.random.default_rng(seed)
    sizes = [SIZE, *(int(n) for n in rng.integers(2, 7, layers)), outputs]
    weights = [rounded(rng.normal(size=(b, a)), 64) for a, b in pairwise(sizes)]
    return dense_network(weights, [rounded(rng.normal(size=len(w)), 64) for w in weights])


def rounded(values: FloatArray, parts: int) -> FloatArray:
    return np.asarray(np.round(values * parts) / parts)


def coarser(network: Network) -> Network:
    """Return a network whose weights have fewer digits."""
    affine = [node.op for node in network.nodes if isinstance(node.op, Affine)]
    weights = [rounded(op.maps[0].weights, 8) for op in affine if isinstance(op.maps[0], Dense)]
    return dense_network(weights, [op.bias for op in affine])


def largest_change(network: Network) -> Fraction:
    """Return by how much the first input can change the output, by enumeration."""
    values = {point: evaluate_exact(network, point)[0] for point in POINTS}
    return max(abs(values[p] - values[(v, *p[1:])]) for p in POINTS for v in map(F, range(HIGH + 1)))


def steepest(network: Network) -> Fraction:
    """Return the largest change of the output for each unit of the largest change of an input, by enumeration."""
    values = {point: evaluate_exact(network, point)[0] for point in POINTS}
    pairs = ((p, q) for p in POINTS for q in POINTS if p != q)
    return max((values[p] - values[q]) / max(abs(a - b) for a, b in zip(p, q, strict=True)) for p, q in pairs)


def questions(seed: int) -> Iterator[tuple[Network, Property, bool, dict[str, Network]]]:
    """Yield properties with the truth; thresholds lie close to where it changes."""
    network = network_of(seed)
    most, step = largest_change(network), F(1, 10**6)
    yield network, Fair("at the edge", (0,), (), most + step), True, {}
    yield network, Fair("beyond it", (0,), (), most - step), False, {}
    values = {point: evaluate_exact(network, point)[0] for point in POINTS}
    flips = any((values[p] > 0) != (values[(v, *p[1:])] > 0) for p in POINTS for v in map(F, range(HIGH + 1)))
    yield network, Fair("the class", (0,)), not flips, {}
    falls = any(values[p] > values[(p[0] + 1, *p[1:])] for p in POINTS if p[0] < HIGH)
    yield network, Monotone("up", (0,), 0, True), not falls, {}
    steep = steepest(network)
    yield network, Lipschitz("gentle", (0, 1, 2), 0, steep + step), True, {}
    yield network, Lipschitz("steep", (0, 1, 2), 0, steep - step), False, {}
    other = coarser(network)
    gap = max(abs(values[p] - evaluate_exact(other, p)[0]) for p in POINTS)
    yield network, Equivalent("near", "other", gap + step), True, {"other": other}
    yield network, Equivalent("not so near", "other", gap - step), False, {"other": other}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("engine", ["branch", "auto"])
def test_verdicts_are_those_of_enumeration(seed: int, engine: str) -> None:
    counts: Counter[Answer] = Counter()
    for network, prop, holds, references in questions(seed):
        # The falsifier off: what is there must be found by the search.
        options = VerifyOptions(engine=engine, timeout=1 if engine == "branch" else 6, falsify=False)
        verdict = verify_property(network, DOMAIN, prop, options, references)
        counts[verdict.answer] += 1
        if verdict.answer is not Answer.UNKNOWN:
            assert verdict.answer is (Answer.VERIFIED if holds else Answer.VIOLATED), (prop, verdict)
        if verdict.witness is not None:
            for point in verdict.witness.points:
                assert DOMAIN.contains(point.inputs)
    # Boxes cannot close what touches its threshold where both sides are equal: monotonicity alone does here.
    assert counts[Answer.UNKNOWN] <= (2 if engine == "branch" else 1)


def paired(network: Network, domain: Domain, prop: Property) -> tuple[Pair, Query]:
    query = reduce_property(network, domain, prop, {"other": coarser(network)}).query
    pair = pair_up(query.network, query.regions[0])
    assert pair is not None
    return pair, query


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("prop", [Fair("f", (0,), (F(0), F(1), F(0)), F(1)), Lipschitz("l", (0, 2), 0, F(1), Norm.L1)])
def test_every_entry_lies_within_its_bounds(seed: int, prop: Property) -> None:
    rng = np.random.default_rng(seed)
    domain = Domain.from_box([-1] * SIZE, [1] * SIZE)
    pair, _ = paired(network_of(seed, layers=3), domain, prop)
    bounds = bound_network(pair.network, InputSet.of(pair.region.domain))
    case = pair.region.unsafe[:1]
    tape = prepare(pair.network, pair.region, case, bounds, VerifyOptions(), Deadline.after(60), pair).tape
    lower, upper = pair.region.domain.box()
    work, last = make_work(tape), len(tape.kind) - 1
    work.lower[: tape.inputs], work.upper[: tape.inputs] = lower, upper
    assert bound_box(tape, work, last, True)
    values = np.zeros(tape.total)
    for _ in range(10):
        ends = np.sort(rng.uniform(lower, upper, size=(2, len(lower))), axis=0)
        work.lower[:], work.upper[:] = -np.inf, np.inf
        work.lower[: tape.inputs], work.upper[: tape.inputs] = ends
        assert bound_box(tape, work, last, False)
        for point in (*ends, *rng.uniform(*ends, size=(20, len(lower)))):
            values[: tape.inputs] = point
            evaluate_point(tape, values)
            before = slice(0, tape.start[last])
            slack = SLACK * (1 + np.abs(values[before]))
            assert (work.lower[before] <= values[before] + slack).all()
            assert (values[before] <= work.upper[before] + slack).all()


@pytest.mark.parametrize("seed", range(6))
def test_new_variables_state_the_same_question(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for prop in (Fair("f", (0,), (F(0), F(1), F(0))), Monotone("m", (0, 2), 0, True), Equivalent("e", "other")):
        pair, query = paired(network_of(seed), DOMAIN, prop)
        (region,) = query.regions
        for _ in range(200):
            point = [F(int(v)) for v in rng.integers(0, HIGH + 1, region.domain.size)]
            changed = [v - point[pair.moved[j]] if j in pair.moved else v for j, v in enumerate(point)]
            assert list(pair.restore(changed)) == point
            new = Query(pair.network, (pair.region,))
            assert new.violated_at(changed) is query.violated_at(point)


def test_a_difference_tells_at_once_what_two_copies_cannot() -> None:
    """Over a wide box each copy's output varies by hundreds, the difference of both by less than one."""
    rng = np.random.default_rng(0)
    network = dense_network([rng.normal(size=(40, 6)), rng.normal(size=(1, 40)) / 10], [rng.normal(size=40), [0.0]])
    domain = Domain((F(0),) * 6, (F(1),) + (F(1000),) * 5, (VariableType.INTEGER,) * 6)
    options = VerifyOptions(engine="branch", timeout=20, falsify=False)
    verdict = verify_property(network, domain, Fair("f", (0,), (), F(10)), options)
    assert verdict.answer is Answer.VERIFIED
    assert any(" 1 boxes" in sentence for sentence in verdict.evidence)


def test_what_is_no_pair_is_left_alone() -> None:
    network = network_of(0)
    region = Region(DOMAIN, ((),))
    assert pair_up(network, region) is None


def test_differences_of_weights_are_exact_or_none() -> None:
    ones = np.array([1.0, 0.5])
    found = _exact_difference(ones, np.array([0.25, -8.0]))
    assert found is not None
    assert found.tolist() == [0.75, 8.5]
    assert _exact_difference(ones, np.array([1e-20, 0.0])) is None
    assert _exact_difference(np.array([1e308]), np.array([-1e308])) is None
