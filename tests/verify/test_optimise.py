"""Optima against known answers, and the promises that every optimum keeps."""

import math
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import verinet.verify.optimise_milp as engine
from tests.verify.asking import constant, x, y
from tests.verify.optima import TIMED, F, at_least, box, unsafe
from verinet.errors import InputError, PropertyError
from verinet.model import (
    Atom,
    Domain,
    L1Ball,
    LinearExpression,
    Network,
    Query,
    Region,
    Side,
    Symbol,
    VariableType,
    dense_network,
    evaluate_exact,
)
from verinet.program import Outcome, Status
from verinet.solve import HighsBackend
from verinet.verify import (
    Basis,
    Distance,
    Metric,
    OptimiseOptions,
    Optimiser,
    Optimum,
    OptimumProgress,
    OptimumStatus,
    Sense,
    largest_violation,
    maximise,
    minimise,
    nearest_counterexample,
    output_range,
    robust_radius,
)
from verinet.verify.objectives import whole


@pytest.fixture
def tent() -> Network:
    """``y = x_0 - x_1 if positive, less half of (x_1 / 4 - 1 if positive)``."""
    return dense_network(
        [np.array([[1.0, -1.0], [0.0, 0.25]]), np.array([[1.0, -0.5]])], [np.array([0.0, -1.0]), np.zeros(1)]
    )


SQUARE = box((0, 10), (0, 10))


def test_the_range_of_an_output(tent: Network) -> None:
    ends = output_range(tent, SQUARE, y(), TIMED)
    assert (ends.minimum.value, ends.maximum.value) == (F(-3, 4), F(10))
    assert ends.minimum.status is ends.maximum.status is OptimumStatus.OPTIMAL
    assert ends.minimum.lower <= -0.75 <= ends.minimum.upper
    assert ends.maximum.lower <= 10 <= ends.maximum.upper
    assert ends.maximum.sense is Sense.MAXIMISE
    assert ends.maximum.bound - 10 == ends.maximum.gap < 1e-5


def test_expressions_may_mix_inputs_and_outputs_and_need_no_float_coefficients(tent: Network) -> None:
    expression = y() * F(1, 3) - x(0) * F(1, 10) + constant("0.7")
    found = minimise(tent, SQUARE, expression, TIMED)
    # At x_0 = x_1 = 10 the output is -3/4.
    assert found.value == F(-1, 4) - 1 + F(7, 10)
    assert found.status is OptimumStatus.OPTIMAL


def test_the_largest_violation_is_the_least_slack_of_the_best_case(tent: Network) -> None:
    # One case asks for y >= 2 and x_0 <= 5: at (5, 0) by margins 3 and 0, at (7/2, 0) both by 3/2.
    query = Query(tent, (Region(SQUARE, ((at_least(y(), 2), Atom(x(0) - constant(5))), (at_least(y(), 20),))),))
    found = largest_violation(query, TIMED)
    assert found.value == F(3, 2)
    assert found.point == (F(7, 2), F(0))
    assert found.status is OptimumStatus.OPTIMAL
    refuted = largest_violation(unsafe(tent, SQUARE, at_least(y(), 20)), TIMED)
    assert refuted.value == -10
    assert refuted.bound < -9.99


def test_the_nearest_counterexample_in_each_norm(tent: Network) -> None:
    query = unsafe(tent, SQUARE, at_least(y(), 2))
    centre = [0.5, 0.25]
    found = {m: nearest_counterexample(query, Distance.between(m, centre), TIMED) for m in Metric}
    assert {m: f.value for m, f in found.items()} == {Metric.LINF: F(3, 2), Metric.L1: F(7, 4), Metric.COUNT: F(1)}
    for result in found.values():
        assert result.status is OptimumStatus.OPTIMAL
        assert query.violated_at(result.point)
        assert result.bound <= result.value
    # x_1 alone cannot do it, so the changed feature is x_0.
    assert found[Metric.COUNT].point[1] == F(1, 4)


def test_prices_and_forbidden_changes_shape_the_nearest_counterexample(tent: Network) -> None:
    query = unsafe(tent, SQUARE, at_least(y(), 2))
    centre = (F(3), F(2))
    free = nearest_counterexample(query, Distance(Metric.L1, centre), TIMED)
    assert free.value == 1
    dear = nearest_counterexample(query, Distance.between(Metric.L1, centre, [5, 1]), TIMED)
    assert (dear.value, dear.point) == (F(1), (F(3), F(1)))
    frozen = nearest_counterexample(query, Distance.between(Metric.L1, centre, [3, math.inf]), TIMED)
    assert (frozen.value, frozen.point) == (F(3), (F(4), F(2)))
    upward_only = nearest_counterexample(query, Distance.between(Metric.L1, centre, [7, 1], [7, math.inf]), TIMED)
    assert (upward_only.value, upward_only.point) == (F(7), (F(4), F(2)))
    nothing = nearest_counterexample(query, Distance.between(Metric.L1, centre, [math.inf] * 2), TIMED)
    assert nothing.status is OptimumStatus.INFEASIBLE
    assert nothing.bound == math.inf
    assert nothing.point is None


def test_a_radius_is_enclosed_and_scales(tent: Network) -> None:
    query = unsafe(tent, SQUARE, at_least(y(), 2))
    plain = robust_radius(query, Distance(Metric.LINF, (F(3), F(2))), TIMED)
    assert plain.value == F(1, 2)
    assert plain.lower <= 0.5 <= plain.upper
    # x_0 moves by twice the radius, x_1 stays: (3 + 2 r) - 2 >= 2.
    scaled = robust_radius(query, Distance.between(Metric.LINF, [3, 2], [F(1, 2), math.inf]), TIMED)
    assert scaled.value == F(1, 2)
    assert scaled.point == (F(4), F(2))
    within = robust_radius(query, Distance(Metric.L1, (F(9), F(0))), TIMED)
    assert (within.value, within.point) == (F(0), (F(9), F(0)))
    assert within.status is OptimumStatus.OPTIMAL
    with pytest.raises(InputError, match="norm linf or l1"):
        robust_radius(query, Distance(Metric.COUNT, (F(3), F(2))))


def test_a_distance_is_never_below_zero(tent: Network) -> None:
    query = unsafe(tent, SQUARE, at_least(y(), 2))
    stopped = robust_radius(query, Distance(Metric.LINF, (F(3), F(2))), OptimiseOptions(timeout=0.0))
    assert stopped.status is OptimumStatus.LIMIT
    assert "time limit" in stopped.reason
    assert stopped.lower == 0


def test_a_centre_outside_of_the_domain_still_has_a_distance(tent: Network) -> None:
    query = unsafe(tent, SQUARE, at_least(y(), 2))
    found = nearest_counterexample(query, Distance(Metric.L1, (F(3), F(-5))), TIMED)
    assert (found.value, found.point) == (F(5), (F(3), F(0)))
    counted = nearest_counterexample(query, Distance(Metric.COUNT, (F(3), F(-5))), TIMED)
    assert counted.value == 1
    frozen = Distance.between(Metric.L1, [3, -5], [1, math.inf])
    assert nearest_counterexample(query, frozen, TIMED).status is OptimumStatus.INFEASIBLE


def test_an_open_unsafe_set_is_approached_by_a_confirmed_point(tent: Network) -> None:
    query = unsafe(tent, SQUARE, Atom(constant(2) - y(), strict=True))
    found = nearest_counterexample(query, Distance(Metric.LINF, (F(3), F(2))), TIMED)
    assert found.status is OptimumStatus.OPTIMAL
    assert F(1, 2) < found.value < F(1, 2) + F(1, 10**6)
    assert query.violated_at(found.point)


def test_typed_domains() -> None:
    # y = 10 a + 20 b + 30 c + relu(n - 5/2): a one-hot group and an integer.
    network = dense_network([np.eye(4), np.array([[10.0, 20.0, 30.0, 1.0]])], [np.array([0, 0, 0, -2.5]), np.zeros(1)])
    types = (VariableType.BINARY,) * 3 + (VariableType.INTEGER,)
    domain = box((0, 1), (0, 1), (0, 1), ("0.5", "7.5"), types=types, groups=((0, 1, 2),))
    ends = output_range(network, domain, y(), TIMED)
    assert (ends.minimum.value, ends.maximum.value) == (F(10), F(30) + F(9, 2))
    fewer = replace(domain, conditions=(Atom(x(3) + x(2) * F(5) - constant(6)),))
    assert maximise(network, fewer, y(), TIMED).value == F(30)
    # From (a, n = 1), reach 24: b and n >= 13/2, or c; as features, one change of the group.
    centre, features = (F(1), F(0), F(0), F(1)), ((0, 1, 2), (3,))
    query = unsafe(network, domain, at_least(y(), 24))
    count = nearest_counterexample(query, Distance(Metric.COUNT, centre, features=features), TIMED)
    assert count.value == 1
    assert count.point[2] == 1
    held = Distance.between(Metric.L1, centre, [1, 1, 10, 1])
    found = nearest_counterexample(query, held, TIMED)
    assert (found.value, found.point) == (F(8), (F(0), F(1), F(0), F(7)))


def test_an_l1_ball_is_optimised_over_exactly(tent: Network) -> None:
    ball = L1Ball((0, 1), (F(1), F(1, 3)), F(1, 10))
    largest = F(2, 3) + F(1, 10)
    quick = maximise(tent, replace(SQUARE, balls=(ball,)), y(), TIMED)
    assert quick.basis is Basis.ROUNDING_SAFE
    assert quick.value <= largest <= quick.bound <= quick.value + F(1, 10**6)
    no_gap = replace(TIMED, absolute_gap=0.0, relative_gap=0.0)
    assert maximise(tent, replace(SQUARE, balls=(ball,)), y(), no_gap).value == largest


def test_an_empty_domain_has_no_optimum(tent: Network) -> None:
    typed = box((0, 1), ("0.25", "0.75"))
    empty = replace(typed, balls=(L1Ball((0,), (F(5),), F(1)),))
    found = minimise(tent, empty, y(), TIMED)
    assert (found.status, found.basis, found.bound) == (OptimumStatus.INFEASIBLE, Basis.EXACT, math.inf)
    assert maximise(tent, empty, y(), TIMED).bound == -math.inf
    hidden = replace(typed, conditions=(Atom(x(0) + x(1) + constant(1)),))
    assert minimise(tent, hidden, y(), TIMED).status is OptimumStatus.INFEASIBLE


def test_an_unsafe_set_that_cannot_be_reached_leaves_an_infinite_radius(tent: Network) -> None:
    for threshold in (11, 1000):
        found = robust_radius(unsafe(tent, SQUARE, at_least(y(), threshold)), Distance(Metric.L1, (F(1), F(1))), TIMED)
        assert found.status is OptimumStatus.INFEASIBLE
        assert found.lower == math.inf
    nothing = nearest_counterexample(Query(tent, (Region(SQUARE, ()),)), Distance(Metric.L1, (F(1), F(1))), TIMED)
    assert (nothing.status, nothing.basis) == (OptimumStatus.INFEASIBLE, Basis.EXACT)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Distance.between(Metric.L1, [math.nan, 0]), "finite numbers"),
        (lambda: Distance.between(Metric.L1, [0, 0], [-1, 0]), "at least 0"),
        (lambda: Distance.between(Metric.L1, [0, 0], [math.nan, 0]), "NaN"),
        (lambda: Distance.between(Metric.L1, [0, 0], [1]), "one price for each"),
        (lambda: Distance.between(Metric.COUNT, [0, 0], features=((0,),)), "each of its 2 inputs once"),
    ],
)
def test_distances_that_mean_nothing_are_refused(build: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build()


def test_questions_that_do_not_fit_are_refused(tent: Network) -> None:
    with pytest.raises(PropertyError, match="Y_3"):
        minimise(tent, SQUARE, y(3))
    with pytest.raises(PropertyError, match="takes 2 inputs"):
        minimise(tent, box((0, 1)), y())
    with pytest.raises(InputError, match="engine must be one of"):
        minimise(tent, SQUARE, y(), OptimiseOptions(engine="magic"))
    with pytest.raises(InputError, match="solver needs to be one of"):
        minimise(tent, SQUARE, y(), OptimiseOptions(solver="magic"))
    with pytest.raises(InputError, match="absolute_gap"):
        minimise(tent, SQUARE, y(), OptimiseOptions(absolute_gap=-1.0))
    with pytest.raises(InputError, match="2 numbers"):
        nearest_counterexample(unsafe(tent, SQUARE, at_least(y(), 2)), Distance(Metric.L1, (F(1),)))
    with pytest.raises(InputError, match="cut-off"):
        Optimiser.prepare(tent, SQUARE).minimise(y(), cutoff=math.nan)
    with pytest.raises(InputError, match="starting point"):
        Optimiser.prepare(tent, SQUARE).minimise(y(), starts=[(0,)])
    with pytest.raises(InputError, match="case without conditions"):
        largest_violation(Query(tent, (Region(SQUARE, ((),)),)))


def test_a_cut_off_ends_the_search_on_either_side(tent: Network) -> None:
    optimiser = Optimiser.prepare(tent, SQUARE, TIMED)
    beaten = optimiser.maximise(y(), cutoff=F(9))
    assert beaten.status in (OptimumStatus.BEATEN, OptimumStatus.OPTIMAL)
    assert beaten.value > 9
    for hopeless in (F(10), 10.5, 1e6):
        found = optimiser.maximise(y(), cutoff=hopeless)
        assert found.status in (OptimumStatus.CUT_OFF, OptimumStatus.OPTIMAL)
        assert found.bound <= float(hopeless) + 1e-5
        assert found.value is None or found.value <= hopeless
    assert optimiser.maximise(y(), cutoff=1e6).basis is Basis.ROUNDING_SAFE
    with_start = optimiser.maximise(y(), cutoff=F(1), starts=[(5, 0), (99, 99)])
    assert with_start.status is OptimumStatus.BEATEN
    assert (with_start.value, with_start.point) == (F(5), (F(5), F(0)))


def test_the_cut_off_itself_is_not_beaten(tent: Network) -> None:
    optimiser = Optimiser.prepare(tent, SQUARE, TIMED)
    found = optimiser.minimise(y(), cutoff=F(-3, 4))
    assert found.status is not OptimumStatus.BEATEN
    assert optimiser.minimise(y(), cutoff=F(-3, 4) + F(1, 10**9)).value == F(-3, 4)


def test_a_deadline_keeps_what_was_found() -> None:
    rng = np.random.default_rng(0)
    sizes = [(60, 10), (60, 60), (1, 60)]
    hard = dense_network([rng.normal(size=size) for size in sizes], [np.zeros(rows) for rows, _ in sizes])
    domain = Domain.from_box([-1] * 10, [1] * 10)
    reports: list[OptimumProgress] = []
    options = OptimiseOptions(timeout=1.0, on_progress=reports.append)
    found = minimise(hard, domain, y(), options)
    assert found.status is OptimumStatus.LIMIT
    assert "time limit" in found.reason
    assert found.seconds < 8
    assert evaluate_exact(hard, found.point) == (found.value,)
    assert found.bound <= found.value
    assert reports
    assert all(r.bound <= r.value for r in reports if r.value is not None)


def test_ctrl_c_keeps_what_was_found(tent: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "choose", interrupted)
    found = minimise(tent, SQUARE, x(0) * F(-1) - y() + x(1) * F(1, 8), TIMED)
    assert found.status is OptimumStatus.LIMIT
    assert found.reason == "interrupted"
    assert found.point is not None
    assert found.bound <= found.value


def test_progress_is_in_the_sense_of_the_question(tent: Network) -> None:
    reports: list[OptimumProgress] = []
    maximise(tent, SQUARE, y(), OptimiseOptions(on_progress=reports.append))
    assert reports
    assert all(r.bound >= 10 - 1e-9 for r in reports)
    assert "bound" in str(reports[-1])


def test_a_claim_that_an_exact_point_refutes_is_not_believed(tent: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    def lies(self: object, programme: object, options: object) -> Outcome:
        return Outcome(Status.OPTIMAL, "liar", 0.0, None, None, 5.0)

    monkeypatch.setattr(HighsBackend, "solve", lies)
    found = minimise(tent, SQUARE, -y(), OptimiseOptions(solver="highs"))
    assert found.status is OptimumStatus.LIMIT
    assert found.basis is Basis.ROUNDING_SAFE
    assert "liar" in found.reason
    assert found.bound <= -10


def test_a_solver_that_fails_leaves_safe_bounds(tent: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HighsBackend, "solve", lambda *_: Outcome(Status.UNKNOWN, "ill", 0.0, reason="numbers"))
    found = minimise(tent, SQUARE, -y(), OptimiseOptions(solver="highs"))
    assert (found.status, found.reason) == (OptimumStatus.LIMIT, "numbers")
    assert found.basis is Basis.ROUNDING_SAFE
    assert found.bound <= -10


def test_sums_of_outputs_that_round_lose_no_point() -> None:
    """The unsafe set touches one point exactly; adding up the outputs' weights in floats would lose it."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        network = dense_network([rng.normal(size=(3, 2)), rng.normal(size=(3, 3))], [rng.normal(size=3)] * 2)
        point = (F(1), F(2))
        outputs = evaluate_exact(network, point)
        total = y(0) * F(-1, 2) - y(1) - y(2) * F(3, 2)
        touching = Atom(total - constant(total.value(point, outputs)))
        domain = Domain(point, point)
        for name in ("smt", "milp"):
            found = minimise(network, Region(domain, ((touching,),)), y(), OptimiseOptions(engine=name))
            assert found.value == outputs[0], name


def test_an_objective_rounds_down_and_drops_what_solvers_would(tent: Network) -> None:
    expression = y() * F(1, 3) + x(0) * F(1, 3 * 10**14)
    found = minimise(tent, SQUARE, expression, OptimiseOptions(absolute_gap=0.0, relative_gap=0.0))
    assert found.value == F(-1, 4)
    assert found.bound <= -0.25
    with_inputs = maximise(tent, SQUARE, expression, TIMED)
    assert with_inputs.value == F(10, 3) + F(10, 3 * 10**14)
    assert with_inputs.status is OptimumStatus.OPTIMAL


@given(
    weights=st.lists(st.fractions(-3, 3, max_denominator=6), min_size=2, max_size=2),
    limit=st.fractions(-9, 9, max_denominator=6),
    strict=st.booleans(),
)
def test_atoms_of_whole_numbers_lose_nothing_but_their_strictness(
    weights: list[Fraction], limit: Fraction, strict: bool
) -> None:
    terms = [(Symbol(Side.INPUT, i), w) for i, w in enumerate(weights)]
    atom = Atom(LinearExpression.from_terms(terms, limit), strict)
    tightened = whole(atom, (0, 1))
    assert not tightened.strict or not atom.expression.terms
    for point in product(range(-4, 5), repeat=2):
        assert tightened.holds([F(v) for v in point]) == atom.holds([F(v) for v in point])
    assert whole(atom, (0,)) == atom or 1 not in atom.expression.indices(Side.INPUT)


def test_several_regions_give_the_least_of_their_optima(tent: Network) -> None:
    near, far = box((4, 5), (0, 10)), box((0, 2), (0, 10))
    query = Query(tent, (Region(near, ((at_least(y(), 2),),)), Region(far, ((at_least(y(), 1),),))))
    found = nearest_counterexample(query, Distance(Metric.L1, (F(0), F(0))), TIMED)
    assert (found.value, found.point) == (F(1), (F(1), F(0)))
    assert found.status is OptimumStatus.OPTIMAL
    assert found.bound <= 1
    assert largest_violation(query, TIMED).value == 3


def test_a_prepared_optimiser_answers_as_a_fresh_one(tent: Network) -> None:
    optimiser = Optimiser.prepare(tent, SQUARE, TIMED)
    for weight in range(-3, 4):
        expression = y() + x(1) * F(weight, 4)
        prepared, fresh = optimiser.minimise(expression), minimise(tent, SQUARE, expression, TIMED)
        assert prepared.value == fresh.value
        assert prepared.status is fresh.status


def test_an_optimum_contradicts_nothing() -> None:
    with pytest.raises(AssertionError):
        Optimum(OptimumStatus.OPTIMAL, Sense.MINIMISE, F(1), None, 0.0, Basis.EXACT)
    with pytest.raises(AssertionError):
        Optimum(OptimumStatus.LIMIT, Sense.MINIMISE, None, None, 0.0, Basis.EXACT)
