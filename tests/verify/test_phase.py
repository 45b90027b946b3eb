"""The phase engine against an independent oracle, on its edges, and on questions that mean the same."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from tests.soundness.test_traps import duplicated, permuted
from tests.strategies import Point, judged_query, random_query
from tests.verify.asking import (
    TYPED_SEEDS,
    assert_right,
    assert_verdict_right,
    by_phases,
    constant,
    endless,
    identity,
    one,
    random_dense,
    x,
    y,
)
from verinet.model import (
    Affine,
    Atom,
    Dense,
    Domain,
    L1Ball,
    LinearExpression,
    Network,
    Query,
    Region,
    VariableType,
    dense_network,
    evaluate,
)
from verinet.verify import Answer, Deadline, Outlook, VerifyOptions, verify_query
from verinet.verify import phase as engine
from verinet.verify.branch import search_with_branching

CASES, TYPED_CASES = 60, 40

MOST_OPEN = 0.15
"""Share of queries that may stay open: they ask for a value that is attained but not passed."""

pytestmark = pytest.mark.usefixtures("_phase_kernels")


def cases(typed: bool) -> Iterator[tuple[Query, Point | None]]:
    start, count = (TYPED_SEEDS, TYPED_CASES) if typed else (0, CASES)
    return (judged_query(seed, typed) for seed in range(start, start + count))


@pytest.mark.usefixtures("_brief_falsifier")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("falsify", [False, True])
@pytest.mark.parametrize("typed", [False, True])
def test_the_engine_alone_agrees_with_enumeration(typed: bool, falsify: bool, threads: int) -> None:
    findings = [(truth, query, by_phases(query, threads=threads, falsify=falsify)) for query, truth in cases(typed)]
    still_open = sum(assert_right(query, truth, finding) for truth, query, finding in findings)
    assert still_open <= MOST_OPEN * len(findings), still_open


@pytest.mark.usefixtures("_blind")
@pytest.mark.parametrize("typed", [False, True])
def test_an_engine_that_does_not_look_at_its_minimisers_proves_nothing_false(typed: bool) -> None:
    for number, (query, truth) in enumerate(cases(typed)):
        if truth is not None:
            finding = by_phases(query, threads=1 + number % 2)
            assert finding.outlook is not Outlook.REFUTED, (number, truth)


@pytest.mark.usefixtures("_blind")
def test_every_stage_of_the_root_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each stage begins anew with tighter bounds; quotas of a few domains send most queries through all.
    monkeypatch.setattr(engine, "STAGES", ((0, 0.0), (1, 2.0), (2, 5.0), (6, np.inf)))
    for query, truth in cases(False):
        finding = by_phases(query)
        if truth is not None:
            assert finding.outlook is not Outlook.REFUTED
        if finding.outlook is Outlook.OPEN:
            assert not finding.timed_out


@pytest.mark.usefixtures("_brief_falsifier")
@pytest.mark.parametrize("typed", [False, True])
def test_verdicts_agree_with_enumeration(typed: bool) -> None:
    # The whole verifier: Z3 for what is left open and as a cross-check.
    for number, (query, truth) in enumerate(itertools.islice(cases(typed), 50)):
        options = VerifyOptions(engine="phase", threads=1 + number % 2, timeout=30)
        assert_verdict_right(query, truth, options)


def test_larger_networks_agree_with_the_branch_engine() -> None:
    settled = 0
    for seed in range(24):
        query = random_query(seed, max_neurons=40, width=8, blocks=8)
        (region,) = query.regions
        options = VerifyOptions(engine="branch", timeout=1, falsify=False)
        found = by_phases(query, timeout=3)
        other = search_with_branching(query.network, region, options, Deadline.after(1))
        if Outlook.OPEN not in (found.outlook, other.outlook):
            assert found.outlook is other.outlook, seed
            settled += 1
    assert settled >= 15


def test_conjunctions_need_a_combination_of_their_atoms() -> None:
    # Each atom can hold alone, both never: y0 >= 1/2 and y1 >= 1/2 where y1 = 3/4 - y0.
    network = dense_network([np.array([[1.0], [-1.0]]), np.eye(2)], [np.array([0.0, 0.75]), np.zeros(2)])
    half = constant(Fraction(1, 2))
    both = (Atom(half - y(0)), Atom(half - y(1)))
    assert by_phases(one(network, Domain.from_box([0], [1]), both)).outlook is Outlook.REFUTED
    assert by_phases(one(network, Domain.from_box([0], [1]), *((a,) for a in both))).outlook is Outlook.FOUND


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("rows", [3, 5])
def test_any_but_all_of_the_atoms_can_hold(rows: int, threads: int) -> None:
    # Relus of inputs that sum to one: all outputs above 1 / rows is impossible, any fewer of them is not.
    network = dense_network([np.eye(rows), np.eye(rows)], [np.zeros(rows), np.zeros(rows)])
    total = sum((x(i) for i in range(rows)), constant(-1))
    domain = replace(Domain.from_box([-1] * rows, [1] * rows), conditions=(Atom(total), Atom(-total)))
    more = tuple(Atom(constant(Fraction(1, rows) + Fraction(1, 20)) - y(i)) for i in range(rows))
    assert by_phases(one(network, domain, more), threads=threads).outlook is Outlook.REFUTED
    fewer = by_phases(one(network, domain, more[1:]), threads=threads, timeout=10, falsify=True)
    assert fewer.outlook is not Outlook.REFUTED


def test_a_case_refuted_above_stays_refuted_below_and_no_other() -> None:
    network = dense_network([np.array([[1.0], [-1.0]]), np.array([[1.0, 1.0]])], [np.zeros(2), np.zeros(1)])
    never = (Atom(constant(2) - y()),)
    seldom = (Atom(constant(Fraction(999, 1000)) - y()), Atom(x()))
    nowhere = (Atom(constant(Fraction(3, 4)) - y()), Atom(x() - constant(Fraction(1, 2))), Atom(-x()))
    domain = Domain.from_box([-1], [1])
    for order in itertools.permutations((never, nowhere, seldom)):
        found = by_phases(one(network, domain, *order))
        assert found.point is not None
        assert found.point[0] < 0
    assert by_phases(one(network, domain, never, nowhere)).outlook is Outlook.REFUTED


def test_more_cases_than_columns_are_all_looked_at() -> None:
    # 200 windows of |x|; one of them is reached, whichever it is.
    network = dense_network([np.array([[1.0], [-1.0]]), np.array([[1.0, 1.0]])], [np.zeros(2), np.zeros(1)])
    domain = Domain.from_box([-1], [1])

    def window(centre: float) -> tuple[Atom, ...]:
        return (Atom(y() - constant(centre + 0.25)), Atom(constant(centre - 0.25) - y()), Atom(constant(centre) - x()))

    beyond = [window(2.0 + 0.01 * k) for k in range(200)]
    assert by_phases(one(network, domain, *beyond)).outlook is Outlook.REFUTED
    for place in (0, 63, 64, 150, 199):
        inside = [*beyond[:place], window(0.75), *beyond[place + 1 :]]
        assert by_phases(one(network, domain, *inside)).outlook is Outlook.FOUND


def test_no_case_at_all_is_refuted_and_an_empty_case_is_never() -> None:
    domain = Domain.from_box([-1], [1])
    assert by_phases(one(identity(), domain)).outlook is Outlook.REFUTED
    assert by_phases(one(identity(), domain, ())).outlook is not Outlook.REFUTED


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_strict_and_non_strict_thresholds_differ_by_one_point(threads: int) -> None:
    domain = Domain.from_box([-1], [1])
    reaches = by_phases(one(identity(), domain, (Atom(constant(1) - y()),)), threads=threads)
    assert reaches.outlook is Outlook.FOUND
    exceeds = by_phases(one(identity(), domain, (Atom(constant(1) - y(), strict=True),)), threads=threads)
    assert exceeds.outlook is not Outlook.FOUND


@pytest.mark.usefixtures("_blind")
def test_thresholds_nearer_than_rounding_are_not_decided_by_rounding() -> None:
    network = dense_network([np.array([[1 / 3]]), np.eye(1)], [np.zeros(1), np.zeros(1)])
    domain, highest = Domain.from_box([-1], [1]), Fraction(1 / 3)
    below = by_phases(one(network, domain, (Atom(constant(highest - Fraction(1, 10**30)) - y()),)))
    assert below.outlook is not Outlook.REFUTED


def test_types_groups_and_balls_count() -> None:
    network = dense_network([np.array([[1.0, 2.0, 3.0]]), np.eye(1)], [np.full(1, -1.5), np.zeros(1)])
    binary = Domain((Fraction(0),) * 3, (Fraction(1),) * 3, (VariableType.BINARY,) * 3)
    grouped = replace(binary, groups=((0, 1, 2),))
    most = (Atom(constant(2) - y()),)
    assert by_phases(one(network, binary, most)).outlook is Outlook.FOUND
    assert by_phases(one(network, grouped, most)).outlook is Outlook.REFUTED
    assert by_phases(one(network, grouped, (Atom(constant(Fraction(3, 2)) - y()),))).point == (0, 0, 1)
    ball = L1Ball((0, 1, 2), (Fraction(0),) * 3, Fraction(1))
    inside = replace(Domain.from_box([-1] * 3, [1] * 3), balls=(ball,))
    assert by_phases(one(network, inside, (Atom(constant(Fraction(7, 5)) - y()),))).outlook is not Outlook.REFUTED
    assert by_phases(one(network, inside, (Atom(constant(Fraction(8, 5)) - y()),))).outlook is not Outlook.FOUND


def rows_that_cancel(count: int) -> Iterator[tuple[Fraction, ...]]:
    """Yield coefficients of three atoms that add up to zero, and whose thirds do not in floats."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        first, second = (Fraction(int(w)) for w in rng.integers(-(2**51), 2**51, 2))
        yield first, second, -first - second


@pytest.mark.usefixtures("_blind")
@pytest.mark.parametrize("of", [x, y])
def test_atoms_whose_combination_cancels_prove_nothing(of: Callable[[], LinearExpression]) -> None:
    # All atoms hold, with equality, at 3/2; what is left of their combination is rounding alone.
    wrong = 0
    for weights in rows_that_cancel(40):
        atoms = tuple(Atom((of() - constant(Fraction(3, 2))) * w) for w in weights)
        query = one(identity(), Domain.from_box([1], [2]), atoms)
        assert query.violated_at((Fraction(3, 2),))
        wrong += by_phases(query).outlook is Outlook.REFUTED
    assert not wrong


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_atoms_over_the_inputs_whose_sum_overflows_prove_nothing() -> None:
    # 2 x 1.5e308 is infinite in floats and stays so when 3 x 1.5e308 is taken away.
    network = dense_network([np.eye(5), np.eye(5)], [np.zeros(5), np.zeros(5)])
    huge = Fraction(10**300)
    atom = Atom((x(0) + x(1)) * huge + (x(2) + x(3) + x(4)) * -huge)
    query = one(network, Domain.from_box([1.5e8] * 5, [1.6e8] * 5), (atom,))
    assert query.violated_at((Fraction(150_000_000),) * 5)
    assert by_phases(query).outlook is not Outlook.REFUTED


@pytest.mark.usefixtures("_blind")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("lowest", [-0.5, 0.25])
@pytest.mark.parametrize("weight", [1e9, 1e12, 1e13, 1e15, 1e18, 1e30, 1e100, 1e300])
def test_cancelling_huge_weights_prove_nothing_false(weight: float, lowest: float) -> None:
    network = dense_network(
        [np.array([[1.0], [1.0]]), np.array([[weight, -weight]]), np.eye(1)],
        [np.zeros(2), np.array([1e-3]), np.zeros(1)],
    )
    above = by_phases(one(network, Domain.from_box([lowest], [1.0]), (Atom(constant(Fraction(1, 2000)) - y()),)))
    assert above.outlook is not Outlook.REFUTED


@pytest.mark.usefixtures("_blind")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("lowest", [-0.5, 0.5])
def test_overflow_and_underflow_prove_nothing(lowest: float) -> None:
    network = dense_network(
        [np.array([[1e300], [1e300]]), np.array([[1e300, -1e300]]), np.eye(1)],
        [np.zeros(2), np.array([0.25]), np.zeros(1)],
    )
    query = one(network, Domain.from_box([lowest], [2.0]), (Atom(constant(Fraction(1, 8)) - y()),))
    assert by_phases(query).outlook is not Outlook.REFUTED
    network = dense_network([np.full((1, 1), 1e-200)] * 2, [np.array([1e100]), np.array([-1e-100])])
    query = one(network, Domain.from_box([-9e299], [9e299]), (Atom(y() + constant(Fraction(1, 10**104))),))
    assert query.violated_at((Fraction(-9e299),))
    assert by_phases(query).outlook is not Outlook.REFUTED


@pytest.mark.usefixtures("_blind")
def test_huge_weights_raise_no_warnings() -> None:
    network = dense_network(
        [np.array([[1.0], [1.0]]), np.array([[1e100, -1e100]]), np.eye(1)],
        [np.zeros(2), np.array([1e-3]), np.zeros(1)],
    )
    by_phases(one(network, Domain.from_box([-0.5], [1.0]), (Atom(constant(Fraction(1, 500)) - y()),)))


def test_several_regions_are_each_decided() -> None:
    network = random_dense(3, [4, 10, 10, 1])
    values = evaluate(network, np.random.default_rng(0).uniform(-1, 1, (4000, 4)))[:, 0]
    above = (Atom(constant(float(values.max() + np.ptp(values))) - y()),)
    below = (Atom(constant(float(np.median(values))) - y()),)
    box = Domain.from_box([-1] * 4, [1] * 4)
    left, right = (Domain.from_box([a, -1, -1, -1], [a + 1, 1, 1, 1]) for a in (-1, 0))
    options = VerifyOptions(engine="phase", falsify=False, timeout=20, cross_check_neurons=0)
    safe = Query(network, (Region(left, (above,)), Region(right, (above,))))
    assert verify_query(network, safe, options).answer is Answer.VERIFIED
    for regions in itertools.permutations((Region(left, (above,)), Region(box, (below,)), Region(right, (above,)))):
        verdict = verify_query(network, Query(network, regions), options)
        assert verdict.answer is Answer.VIOLATED
    hard_one = endless()
    small = Domain.from_box([-0.01] * 20, [0.01] * 20)
    for regions in itertools.permutations((hard_one.regions[0], Region(small, hard_one.regions[0].unsafe))):
        verdict = verify_query(hard_one.network, Query(hard_one.network, regions), replace(options, timeout=1.0))
        assert verdict.answer is Answer.UNKNOWN


def rescaled(network: Network, factors: np.ndarray) -> Network:
    """Return a network that takes its inputs multiplied by powers of two."""
    place, op = next((i, node.op) for i, node in enumerate(network.nodes) if isinstance(node.op, Affine))
    (first,) = op.maps
    assert isinstance(first, Dense)
    nodes = list(network.nodes)
    nodes[place] = replace(nodes[place], op=Affine((Dense(first.weights / factors),), op.bias))
    return Network(tuple(nodes), network.outputs)


@pytest.mark.usefixtures("_brief_falsifier")
@pytest.mark.parametrize("seed", range(5))
def test_what_does_not_change_the_function_does_not_change_the_verdict(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layers = [rng.integers(-8, 9, size=s) / 4.0 for s in ((6, 4), (6, 6), (1, 6))]
    network = dense_network(layers, [rng.integers(-4, 5, size=len(w)) / 4.0 for w in layers])
    factors = 2.0 ** rng.integers(-20, 20, size=4)
    box = Domain.from_box([-1] * 4, [1] * 4)
    scaled = Domain.from_box(-factors, factors)
    values = evaluate(network, rng.uniform(-1, 1, size=(4000, 4)))[:, 0]
    for share, expected in ((0.9, Outlook.FOUND), (1.3, Outlook.REFUTED)):
        threshold = Fraction(round(float(values.min() + share * np.ptp(values)) * 64), 64)
        atoms = (Atom(constant(threshold) - y()), Atom(constant(threshold - 1) - y()))
        asked = [
            one(n, domain, *cases)
            for n, domain in (
                (network, box),
                (permuted(network, rng), box),
                (duplicated(network), box),
                (rescaled(network, factors), scaled),
            )
            for cases in (
                (atoms,),
                (atoms[::-1],),
                (atoms, atoms[::-1]),
                (tuple(Atom(a.expression * 1024) for a in atoms),),
            )
        ]
        found = {by_phases(q, timeout=5, threads=1 + seed % 2, falsify=True).outlook for q in asked}
        assert found == {expected}
