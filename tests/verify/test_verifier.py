"""Verdicts against an independent oracle, and the promises that every verdict keeps."""

import time
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import domains, judged_query, networks, points_in
from verinet.errors import InputError, PropertyError
from verinet.model import (
    All,
    Atom,
    Domain,
    L1Ball,
    Linear,
    LinearExpression,
    Monotone,
    Norm,
    Query,
    Region,
    Robust,
    Side,
    Symbol,
    VariableType,
    dense_network,
    evaluate,
    evaluate_exact,
)
from verinet.program import Outcome, Status
from verinet.verify import Answer, Level, Verdict, VerifyOptions, verify_property, verify_query
from verinet.verify.falsify import SearchSpace, falsify
from verinet.verify.gradient import input_gradient
from verinet.verify.options import Deadline

CASES = 300
TYPED_CASES = 100

ENGINES = {
    "auto": VerifyOptions(timeout=60),
    "milp without falsifier": VerifyOptions(engine="milp", falsify=False, timeout=60, cross_check_neurons=0),
    "smt": VerifyOptions(engine="smt", falsify=False, timeout=60),
}


def y(index: int = 0) -> LinearExpression:
    return LinearExpression.from_terms([(Symbol(Side.OUTPUT, index), Fraction(1))])


def x(index: int = 0) -> LinearExpression:
    return LinearExpression.from_terms([(Symbol(Side.INPUT, index), Fraction(1))])


def constant(value: Fraction | int) -> LinearExpression:
    return LinearExpression((), Fraction(value))


def check(query: Query, truth: object, options: VerifyOptions) -> None:
    verdict = verify_query(query.network, query, options)
    assert verdict.answer is (Answer.VERIFIED if truth is None else Answer.VIOLATED), verdict
    if verdict.witness is not None:
        assert query.violated_at(verdict.witness.point)


@pytest.mark.usefixtures("_brief_falsifier")
@pytest.mark.parametrize("start", range(0, CASES, 25))
def test_milp_z3_and_enumeration_give_one_verdict(start: int) -> None:
    for seed in range(start, start + 25):
        query, truth = judged_query(seed)
        for options in ENGINES.values():
            check(query, truth, options)


@pytest.mark.usefixtures("_brief_falsifier")
@pytest.mark.parametrize("start", range(0, TYPED_CASES, 25))
def test_typed_domains_give_one_verdict_too(start: int) -> None:
    for seed in range(10_000 + start, 10_025 + start):
        query, truth = judged_query(seed, typed=True)
        for options in ENGINES.values():
            check(query, truth, options)


@pytest.mark.parametrize("start", range(0, 60, 20))
def test_highs_alone_is_enough(start: int) -> None:
    for seed in range(start, start + 20):
        query, truth = judged_query(seed)
        check(query, truth, VerifyOptions(solver="highs", falsify=False, timeout=60))


@given(data=st.data())
def test_monotone_agrees_with_sampled_pairs(data: st.DataObject) -> None:
    network = data.draw(networks(max_neurons=6))
    domain = Domain.from_box([-1] * network.size_in, [1] * network.size_in)
    prop = Monotone("m", (0,), 0, increasing=data.draw(st.booleans()))
    verdict = verify_property(network, domain, prop, VerifyOptions(timeout=30))
    assert verdict.answer in (Answer.VERIFIED, Answer.VIOLATED)
    sign = 1 if prop.increasing else -1
    if verdict.witness is not None:
        low, high = verdict.witness.points
        assert low.inputs[0] <= high.inputs[0]
        assert low.inputs[1:] == high.inputs[1:]
        assert sign * (high.outputs[0] - low.outputs[0]) < 0
        return
    for point in points_in(domain, np.random.default_rng(0), 20):
        for raised in (Fraction(1), (point[0] + 1) / 2):
            pair = (point, (raised, *point[1:]))
            below, above = (evaluate_exact(network, p)[0] for p in pair)
            assert sign * (above - below) >= 0


def test_a_violation_on_the_diagonal_closure_only_is_none() -> None:
    # f(x) - f(x') is zero at x = x', which a strict question must not take for a counterexample.
    network = dense_network([np.array([[1.0], [1.0]]), np.array([[1.0, 2.0]])], [np.array([0.0, -0.5]), np.zeros(1)])
    domain = Domain.from_box([-1], [1])
    for engine in ("auto", "milp", "smt"):
        verdict = verify_property(network, domain, Monotone("m", (0,), 0, True), VerifyOptions(engine=engine))
        assert verdict.answer is Answer.VERIFIED, engine


def test_strict_and_non_strict_thresholds_differ_by_one_point() -> None:
    network = dense_network([np.eye(1), np.eye(1)], [np.zeros(1), np.zeros(1)])
    domain = Domain.from_box([-1], [1])
    reaches = Region(domain, ((Atom(constant(1) - y()),),))
    exceeds = Region(domain, ((Atom(constant(1) - y(), strict=True),),))
    for engine in ("auto", "milp", "smt"):
        options = VerifyOptions(engine=engine, falsify=False)
        assert verify_query(network, Query(network, (reaches,)), options).answer is Answer.VIOLATED
        assert verify_query(network, Query(network, (exceeds,)), options).answer is Answer.VERIFIED


def test_a_level_rises_only_with_a_second_engine() -> None:
    network = dense_network([np.eye(1), np.eye(1)], [np.zeros(1), np.zeros(1)])
    query = Query(network, (Region(Domain.from_box([-1], [1]), ((Atom(constant(2) - y()),),)),))
    assert verify_query(network, query).level is Level.CROSS_CHECKED
    assert verify_query(network, query, VerifyOptions(cross_check_neurons=0)).level is Level.CLAIMED
    assert verify_query(network, query, VerifyOptions(engine="smt")).level is Level.CLAIMED


def test_a_wrong_claim_is_caught_by_the_cross_check(monkeypatch: pytest.MonkeyPatch) -> None:
    network = dense_network([np.eye(1), np.eye(1)], [np.zeros(1), np.zeros(1)])
    query = Query(network, (Region(Domain.from_box([-1], [1]), ((Atom(constant(1) - y() * Fraction(2)),),)),))
    lie = Outcome(Status.INFEASIBLE, "liar", 0.0, bound=np.inf)
    monkeypatch.setattr("verinet.solve.backend.Backend.solve", lambda *_: lie)
    verdict = verify_query(network, query, VerifyOptions(falsify=False))
    assert verdict.answer is Answer.VIOLATED
    assert query.violated_at(verdict.witness.point)


@pytest.mark.parametrize("status", [Status.UNKNOWN, Status.UNBOUNDED])
def test_no_odd_status_becomes_verified(monkeypatch: pytest.MonkeyPatch, status: Status) -> None:
    network = dense_network([np.eye(1), np.eye(1)], [np.zeros(1), np.zeros(1)])
    query = Query(network, (Region(Domain.from_box([-1], [1]), ((Atom(constant(1) - y() * Fraction(2)),),)),))
    odd = Outcome(status, "odd", 0.0, reason="numerical trouble")
    monkeypatch.setattr("verinet.solve.backend.Backend.solve", lambda *_: odd)
    monkeypatch.setattr("verinet.solve.z3.Z3Backend.is_installed", lambda _: False)
    verdict = verify_query(network, query, VerifyOptions(falsify=False))
    assert verdict.answer is Answer.UNKNOWN
    assert verdict.reason


def test_an_empty_domain_is_vacuous_not_verified() -> None:
    network = dense_network([np.eye(1), np.eye(1)], [np.zeros(1), np.zeros(1)])
    impossible = (Atom(constant(1) - x() * Fraction(3)), Atom(x() * Fraction(3) - constant(1), strict=True))
    domain = replace(Domain.from_box([0], [1]), conditions=impossible)
    for engine in ("auto", "smt"):
        verdict = verify_query(network, Query(network, (Region(domain, ((),)),)), VerifyOptions(engine=engine))
        assert verdict.answer is Answer.VACUOUS


def test_nothing_is_verified_over_a_domain_that_nobody_found_a_point_in(monkeypatch: pytest.MonkeyPatch) -> None:
    network = dense_network([np.eye(1), np.eye(1)], [np.zeros(1), np.zeros(1)])
    impossible = (Atom(constant(1) - x() * Fraction(3)), Atom(x() * Fraction(3) - constant(1), strict=True))
    domain = replace(Domain.from_box([0], [1]), conditions=impossible)
    query = Query(network, (Region(domain, ((Atom(constant(5) - y()),),)),))
    monkeypatch.setattr("verinet.solve.z3.Z3Backend.is_installed", lambda *_: False)
    verdict = verify_query(network, query)
    assert verdict.answer is Answer.UNKNOWN
    assert "meets the conditions" in verdict.reason


def test_what_z3_alone_decided_is_not_called_cross_checked() -> None:
    # The strict threshold is reached exactly: the MILP solver cannot tell, and Z3 answers by itself.
    network = dense_network([np.eye(1), np.eye(1)], [np.zeros(1), np.zeros(1)])
    exceeds = Region(Domain.from_box([-1], [1]), ((Atom(constant(1) - y(), strict=True),),))
    verdict = verify_query(network, Query(network, (exceeds,)), VerifyOptions(engine="milp", falsify=False))
    assert verdict.answer is Answer.VERIFIED
    assert verdict.level is Level.CLAIMED or "bounds" in verdict.evidence[0]


def test_a_ball_outside_its_box_is_vacuous() -> None:
    network = dense_network([np.eye(1), np.eye(1)], [np.zeros(1), np.zeros(1)])
    ball = L1Ball((0,), (Fraction(5),), Fraction(1))
    domain = replace(Domain.from_box([0], [1]), balls=(ball,))
    assert verify_query(network, Query(network, (Region(domain, ((),)),))).answer is Answer.VACUOUS
    assert verify_property(network, domain, Monotone("m", (0,), 0, True)).answer is Answer.VACUOUS


def test_an_integer_domain_excludes_points_between() -> None:
    network = dense_network([np.eye(1), np.eye(1)], [np.zeros(1), np.zeros(1)])
    domain = Domain((Fraction(0),), (Fraction(3),), (VariableType.INTEGER,))
    between = (Atom(constant(Fraction(3, 2)) - y()), Atom(y() - constant(Fraction(7, 4))))
    assert verify_query(network, Query(network, (Region(domain, (between,)),))).answer is Answer.VERIFIED


def test_the_time_limit_is_kept_and_said() -> None:
    rng = np.random.default_rng(0)
    sizes = [8, 60, 60, 60, 1]
    weights = [rng.normal(size=(b, a)) / np.sqrt(a) for a, b in pairwise(sizes)]
    network = dense_network(weights, [rng.normal(size=len(w)) * 0.1 for w in weights])
    domain = Domain.from_box([-2] * 8, [2] * 8)
    highest = evaluate(network, rng.uniform(-2, 2, size=(20000, 8))).max()
    unsafe = ((Atom(constant(Fraction(float(highest * 3))) - y()),),)
    started = time.monotonic()
    verdict = verify_query(network, Query(network, (Region(domain, unsafe),)), VerifyOptions(timeout=2, solver="highs"))
    assert time.monotonic() - started < 4
    assert verdict.answer is Answer.UNKNOWN
    assert verdict.timed_out
    assert "time limit" in verdict.reason


def test_robustness_of_a_linear_classifier_is_its_margin() -> None:
    network = dense_network([np.array([[1.0, -1.0], [0.0, 1.0]]), np.eye(2)], [np.full(2, 5.0), np.full(2, -5.0)])
    domain = Domain.from_box([-2, -2], [2, 2])
    centre = (Fraction(1), Fraction(0))
    # Scores differ by x0 - 2 x1 = 1 at the centre: the class holds while 3 r < 1, and in the L1 norm while 2 r < 1.
    for norm, radius, answer in (
        (Norm.LINF, Fraction(33, 100), Answer.VERIFIED),
        (Norm.LINF, Fraction(34, 100), Answer.VIOLATED),
        (Norm.L1, Fraction(49, 100), Answer.VERIFIED),
        (Norm.L1, Fraction(51, 100), Answer.VIOLATED),
    ):
        verdict = verify_property(network, domain, Robust("r", centre, (radius, radius), norm))
        assert verdict.answer is answer, (norm, radius)


def test_a_linear_property_with_conditions() -> None:
    network = dense_network([np.array([[1.0, 1.0]]), np.eye(1)], [np.zeros(1), np.zeros(1)])
    domain = Domain.from_box([0, 0], [1, 1])
    where = (Atom(x(0) + x(1) - constant(1)),)
    holds = Linear("l", All((Atom(y() - constant(1)),)), where)
    fails = Linear("l", All((Atom(y() - constant(Fraction(99, 100))),)), where)
    assert verify_property(network, domain, holds).answer is Answer.VERIFIED
    assert verify_property(network, domain, fails).answer is Answer.VIOLATED


def test_unfitting_requests_are_refused_in_a_sentence() -> None:
    network = dense_network([np.eye(1), np.eye(1)], [np.zeros(1), np.zeros(1)])
    domain = Domain.from_box([0], [1])
    with pytest.raises(PropertyError, match="output 3"):
        verify_property(network, domain, Monotone("m", (0,), 3, True))
    with pytest.raises(InputError, match="engine"):
        verify_property(network, domain, Monotone("m", (0,), 0, True), VerifyOptions(engine="magic"))
    with pytest.raises(PropertyError, match="takes 1 inputs"):
        verify_property(network, Domain.from_box([0, 0], [1, 1]), Linear("l", All(())))


def test_verdicts_keep_their_promise_by_construction() -> None:
    with pytest.raises(AssertionError):
        Verdict(Answer.VIOLATED)
    with pytest.raises(AssertionError):
        Verdict(Answer.VERIFIED)
    with pytest.raises(AssertionError):
        Verdict(Answer.UNKNOWN)


@given(data=st.data())
def test_gradients_are_those_of_the_piece(data: st.DataObject) -> None:
    network = data.draw(networks())
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    points = rng.normal(size=(4, network.size_in))
    rows = rng.normal(size=(4, network.size_out))
    gradient = input_gradient(network, points, rows)
    step = 1e-7 * rng.normal(size=points.shape)
    change = ((evaluate(network, points + step) - evaluate(network, points)) * rows).sum(axis=1)
    assert change == pytest.approx((gradient * step).sum(axis=1), abs=1e-11)


@given(data=st.data())
def test_projection_meets_types_and_groups(data: st.DataObject) -> None:
    domain = data.draw(domains(data.draw(st.integers(1, 4))))
    space = SearchSpace(domain)
    rng = np.random.default_rng(0)
    projected = space.project(rng.normal(scale=5, size=(20, domain.size)))
    lower, upper = space.box
    assert (projected >= lower).all()
    assert (projected <= upper).all()
    for point in projected:
        exact = domain.nearest(point)
        assert all(exact[i].denominator == 1 for i in domain.integral)
        assert all(sum(exact[i] for i in group) == 1 for group in domain.groups)


def test_the_falsifier_finds_a_planted_corner() -> None:
    weights = [np.ones((1, 10)), np.eye(1)]
    network = dense_network(weights, [np.array([-9.5]), np.zeros(1)])
    region = Region(Domain.from_box([0] * 10, [1] * 10), ((Atom(constant(Fraction(49, 100)) - y()),),))
    point = falsify(network, region, Deadline.after(10))
    assert point is not None
    assert region.violated_at(point, evaluate_exact(network, point))
