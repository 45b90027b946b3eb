"""Training under properties of property files: the optimum under them, or an honest word that none passed."""

import itertools
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest

from verinet.errors import InputError, PropertyError, SolverError
from verinet.model import (
    Any,
    Atom,
    Domain,
    Equivalent,
    Fair,
    LinearExpression,
    Lipschitz,
    Monotone,
    Network,
    Norm,
    Property,
    Range,
    Robust,
    Rule,
    Side,
    Symbol,
    dense_network,
    evaluate_exact,
    requirement_of,
)
from verinet.program import Status
from verinet.train import (
    AnyWidthSpecification,
    Loss,
    Objective,
    Specification,
    TrainingData,
    TrainOptions,
    UniversalProperty,
)
from verinet.train.certified import train_certified
from verinet.train.certified.search import Solution, Task, search_certified
from verinet.train.layered import Architecture, DenseLayer, LayeredSpecification, ReluLayer
from verinet.verify import Answer, VerifyOptions, verify_property

SQUARE = Domain.from_box([0, 0], [1, 1])
LINE = Domain.from_box([0], [1])
UP = Monotone("more x0 never lowers the score", (0,), 0, True)
TERNARY = LayeredSpecification(
    Architecture((2,), (DenseLayer(2), ReluLayer(), DenseLayer(1))), Objective(Loss.HINGE, margin=0.5, l1=0.01)
)
ONE_UNIT = replace(TERNARY, architecture=Architecture((2,), (DenseLayer(1), ReluLayer(), DenseLayer(1))))
QUICK = TrainOptions(time_limit=60, gap_tolerance=1e-7)


def output(index: int = 0) -> LinearExpression:
    return LinearExpression.from_terms([(Symbol(Side.OUTPUT, index), Fraction(1))])


def at_least(expression: LinearExpression, limit: Fraction) -> Atom:
    return Atom(LinearExpression((), limit) - expression)


def wanted(*properties: Property, domain: Domain = SQUARE) -> list[UniversalProperty]:
    return [UniversalProperty(prop, domain) for prop in properties]


def toy() -> TrainingData:
    """Eight points for which signs of weights are too strong: 0.435 by them, 0.36125 under the property, 0.31 without.

    They lie on quarters of the unit square, so that every number of a ternary network is exact.
    """
    grid = np.array(list(itertools.product(np.arange(5) / 4, repeat=2)))
    y = np.array([1, 1, -1, 1, -1, -1, 1, 1], dtype=float)
    return TrainingData.prepare(grid[[0, 24, 3, 2, 12, 17, 1, 5]], y, classes=True)


def line() -> TrainingData:
    x = np.linspace(0, 1, 9)[:, None]
    return TrainingData.prepare(x, np.where(x[:, 0] > 0.4, 1.0, 0.0) + 0.3 * x[:, 0], classes=False)


class Exhaustive:
    """All 19683 ternary networks of two inputs and two units, and which of them never fall along the first input."""

    def __init__(self, data: TrainingData) -> None:
        every = np.array(list(itertools.product([-1.0, 0.0, 1.0], repeat=9)))
        self.units, self.outputs, self.offset = every[:, :6].reshape(-1, 2, 3), every[:, 6:8], every[:, 8]
        margins = data.y * self.values(data.x)
        size = np.abs(self.units).sum(axis=(1, 2)) + np.abs(self.outputs).sum(axis=1)
        self.objective = np.maximum(0.5 - margins, 0.0) @ data.weights + 0.01 * size
        # Kinks lie on the two diagonals and on the sides: the four triangles between them are linear pieces.
        inside, step = np.array([[0.5, 0.2], [0.5, 0.8], [0.2, 0.5], [0.8, 0.5]]), np.array([0.0625, 0.0])
        self.rises = (self.values(inside + step) >= self.values(inside - step) - 1e-9).all(axis=1)
        self.one_unit = ~(self.units[:, 1].any(axis=1) | (self.outputs[:, 1] != 0))
        self.by_signs = (self.units[:, :, 0] >= 0).all(axis=1) & (self.outputs >= 0).all(axis=1)

    def values(self, x: np.ndarray) -> np.ndarray:
        z = np.column_stack([x, np.ones(len(x))])
        hidden = np.maximum(np.einsum("kuj,nj->kun", self.units, z), 0.0)
        return np.einsum("ku,kun->kn", self.outputs, hidden) + self.offset[:, None]


def test_counterexamples_find_the_best_ternary_network_where_sufficient_rows_are_too_strong() -> None:
    data = toy()
    every = Exhaustive(data)
    best, by_signs = every.objective[every.rises].min(), every.objective[every.by_signs].min()
    free = every.objective.min()
    assert free < best < by_signs
    rounds = []
    found = train_certified(data, TERNARY, wanted(UP), replace(QUICK, on_round=rounds.append))
    assert found.result is not None
    record = found.result.record
    assert record.status is Status.OPTIMAL
    assert not found.reason
    assert float(record.objective) == pytest.approx(best, abs=1e-9)
    assert found.bound == pytest.approx(best, abs=1e-6)
    universal = found.universal
    assert universal.constructed_objective == pytest.approx(by_signs, abs=1e-9)
    assert universal.price[0] == pytest.approx(best - free, abs=1e-6)
    assert universal.counterexamples > 0
    assert [each.number for each in rounds] == list(range(1, len(rounds) + 1))
    assert [each.bound for each in rounds] == sorted(each.bound for each in rounds)
    assert universal.kept[0].verdict.startswith("verified")
    verdict = verify_property(found.result.network, SQUARE, UP, VerifyOptions(timeout=20))
    assert verdict.answer is Answer.VERIFIED


def test_a_choice_of_rows_is_made_by_binaries() -> None:
    data = toy()
    # At every x0 >= 1/2 the score is at least 1 or at most -1.
    condition = at_least(LinearExpression.from_terms([(Symbol(Side.INPUT, 0), Fraction(1))]), Fraction(3, 4))
    decided = Rule("decided", condition, Any((at_least(output(), Fraction(1)), at_least(-output(), Fraction(1)))))
    corner = Domain.from_box([0, 0], [1, 0])
    found = train_certified(data, ONE_UNIT, wanted(decided, domain=corner), QUICK)
    assert found.result is not None
    assert found.result.record.status is Status.OPTIMAL
    every = Exhaustive(data)
    # Along this side networks are linear between 0 and 1.
    ends = every.values(np.array([[0.75, 0.0], [1.0, 0.0]]))
    holds = every.one_unit & ((ends >= 1).all(axis=1) | (ends <= -1).all(axis=1))
    assert float(found.result.record.objective) == pytest.approx(every.objective[holds].min(), abs=1e-9)
    assert every.objective[holds].min() > every.objective[every.one_unit].min()
    with pytest.raises(InputError, match="a choice of what to demand"):
        train_certified(data, AnyWidthSpecification(), wanted(decided), QUICK)


BANDED = Robust("steady", (Fraction(2, 5),), (Fraction(1, 5),), Norm.LINF, None, Fraction(1, 4))


@pytest.mark.parametrize(
    ("prop", "solver"),
    [
        (Range("range", 0, Fraction(1, 10), Fraction(9, 10)), "any width"),
        (Range("range", 0, Fraction(1, 10), Fraction(9, 10)), "milp"),
        (Lipschitz("slope", (0,), 0, Fraction(3, 2), Norm.LINF), "any width"),
        (BANDED, "any width"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_rows_of_properties_bound_continuous_weights(prop: Property, solver: str) -> None:
    data = line()
    objective = Objective(Loss.L1, l1=1e-2)
    specification = (
        AnyWidthSpecification(objective, 1)
        if solver == "any width"
        else Specification(1, 1, weight_bound=20.0, objective=objective)
    )
    options = TrainOptions(time_limit=30, gap_tolerance=1e-2)
    found = train_certified(data, specification, wanted(prop, domain=LINE), options)
    assert found.result is not None
    record = found.result.record
    assert found.bound <= float(record.objective) <= found.bound * 1.2
    assert found.universal.free_bound < found.bound
    verdict = verify_property(found.result.network, LINE, prop, VerifyOptions(timeout=20))
    assert verdict.answer is Answer.VERIFIED
    assert found.universal.kept[0].name == prop.name


def test_no_network_under_a_certified_name_where_none_passed() -> None:
    data = toy()
    # The score must be at least 1 on one side and at most -1 on the other: no constant, and no time for more.
    high = Rule("high", at_least(LinearExpression.from_terms([(Symbol(Side.INPUT, 0), Fraction(1))]), Fraction(1)))
    high = replace(high, conclusion=at_least(output(), Fraction(1)))
    low = Rule("low", Atom(LinearExpression.from_terms([(Symbol(Side.INPUT, 0), Fraction(1))])))
    low = replace(low, conclusion=at_least(-output(), Fraction(1)))
    for specification in (ONE_UNIT, AnyWidthSpecification(Objective(l1=0.01))):
        found = train_certified(data, specification, wanted(high, low), replace(QUICK, time_limit=1e-3))
        assert found.result is None
        assert found.reason
        assert found.universal.kept == ()
        assert found.bound < np.inf
    found = train_certified(data, ONE_UNIT, wanted(high, low), QUICK)
    assert found.result is None
    assert found.bound == np.inf


def test_what_no_ternary_network_has_is_said_to_be_impossible() -> None:
    found = train_certified(toy(), ONE_UNIT, wanted(Range("high", 0, Fraction(20))), QUICK)
    assert found.result is None
    assert found.bound == np.inf
    assert "no network of the specification" in found.reason


def test_properties_that_do_not_fit_are_refused() -> None:
    for specification in (TERNARY, Specification(), AnyWidthSpecification()):
        with pytest.raises(InputError, match="2"):
            train_certified(toy(), specification, wanted(UP, domain=LINE), QUICK)
    with pytest.raises(PropertyError, match="not given"):
        train_certified(toy(), TERNARY, wanted(Equivalent("same", "other")), QUICK)


PAIRS = (
    UP,
    Fair("fair", (1,), (), Fraction(1, 2)),
    Fair("class", (1,)),
    Range("range", 0, Fraction(-1), Fraction(1, 3)),
    Lipschitz("slope", (0, 1), 0, Fraction(1), Norm.L1),
    Robust("band", (Fraction(1, 2),) * 2, (Fraction(1, 4),) * 2, Norm.LINF, None, Fraction(1, 4)),
    Robust("kept", (Fraction(1, 2),) * 2, (Fraction(1, 4),) * 2),
    Equivalent("same", "other", Fraction(1)),
)


@pytest.mark.parametrize("prop", PAIRS, ids=lambda prop: prop.name)
def test_a_demand_is_broken_by_the_network_that_led_to_it_and_met_by_one_with_the_property(prop: Property) -> None:
    rng = np.random.default_rng(1)
    references = {"other": dense_network([np.zeros((1, 2))], [np.array([0.25])])}
    constant = dense_network([np.zeros((1, 2))], [np.zeros(1)])
    options, broken = VerifyOptions(timeout=10, cross_check_neurons=0), 0
    assert verify_property(constant, SQUARE, prop, options, references).answer is Answer.VERIFIED
    for _ in range(3):
        weights = [rng.normal(size=(3, 2)).round(2), 4.0 * rng.normal(size=(1, 3)).round(2)]
        network = dense_network(weights, [np.zeros(3), np.array([0.1])])
        verdict = verify_property(network, SQUARE, prop, options, references)
        if verdict.witness is None:
            continue
        broken += 1
        demand = requirement_of(network, SQUARE, prop, references).at(verdict.witness.point)
        assert not demand.met_by(network)
        assert demand.met_by(constant)
    assert broken


def test_quantised_networks_that_rounding_alone_breaks_are_left_out_one_by_one() -> None:
    x = np.arange(11.0)[:, None]
    # One tenth is rounded up, so that relu(x / 10) is above one at ten.
    data = TrainingData.prepare(x, np.clip(x[:, 0] / 10, 0, 1), classes=False)
    specification = LayeredSpecification(
        Architecture((1,), (DenseLayer(1), ReluLayer(), DenseLayer(1))), Objective(Loss.L1, l1=0.001)
    )
    prop, domain = Range("scale", 0, Fraction(0), Fraction(1)), Domain.from_box([0], [10])
    found = train_certified(data, specification, wanted(prop, domain=domain), replace(QUICK, time_limit=30))
    assert found.result is not None
    assert found.result.record.status is Status.OPTIMAL
    outputs = [evaluate_exact(found.result.network, (Fraction(k, 7),))[0] for k in (0, 35, 70)]
    assert all(0 <= value <= 1 for value in outputs)
    assert found.universal.free_objective == pytest.approx(0.002)
    assert found.bound == pytest.approx(0.003)


def test_a_limit_returns_the_best_network_that_passed() -> None:
    data = toy()
    flat = Lipschitz("flat", (0, 1), 0, Fraction(1, 10), Norm.L1)
    found = train_certified(data, ONE_UNIT, wanted(flat), replace(QUICK, most_rounds=1))
    assert found.result is not None
    constants = [float(np.maximum(0.5 - data.y * value, 0.0) @ data.weights) for value in (-1, 0, 1)]
    assert found.universal.constructed_objective == pytest.approx(min(constants))
    assert float(found.result.record.objective) == pytest.approx(min(constants))
    assert found.universal.kept[0].verdict.startswith("verified")
    assert found.result.record.status is Status.UNKNOWN
    assert "1 rounds" in found.result.record.notes[0]


@dataclass(frozen=True)
class Failing:
    """A master whose second programme fails in a given way, after one whose network never falls, but may be better."""

    failure: BaseException

    can_exclude, scope = False, "nothing"

    def sufficient(self, properties: object, seconds: float) -> None:
        return None

    def constant(self, seconds: float) -> Solution:
        return Solution(Trained(dense_network([np.zeros((1, 2))], [np.zeros(1)])), (Fraction(1),), (-np.inf,), "")

    def solve(self, task: Task, seconds: float) -> Solution:
        if task.demands:
            raise self.failure
        falling = Trained(dense_network([np.array([[-1.0, 0.0]])], [np.zeros(1)]))
        return Solution(falling, (Fraction(0),), (0.0,), "")

    def conclude(self, result: object, conclusion: object) -> object:
        return result


@dataclass(frozen=True)
class Trained:
    """A result with a network."""

    network: Network


@pytest.mark.parametrize("failure", [SolverError("the solver is ill"), KeyboardInterrupt()], ids=["solver", "Ctrl-C"])
def test_what_passed_survives_a_solver_that_fails_and_an_interrupt(failure: BaseException) -> None:
    found = search_certified(Failing(failure), wanted(UP), QUICK)
    assert found.result is not None
    assert not found.result.network.nodes[-1].op.maps[0].weights.any()
    assert found.bound == 0.0
    assert found.reason == (str(failure) or "interrupted")
    assert found.universal.price == (0.0, 1.0)
