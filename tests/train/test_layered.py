"""Stacks of layers reach the optimum of brute force, keep budgets, and are exported without what is not in use."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.every_network import brute_force
from tests.train.layered_cases import (
    ARCHITECTURES,
    CLASSES,
    DENSE,
    GATED,
    IMAGE,
    QUICK,
    needs,
    random_values,
    solve,
    table,
)
from verinet.encode import lower_programme
from verinet.errors import InputError, SolverError
from verinet.model import evaluate_exact_batch
from verinet.program import Status
from verinet.train import Budget, Loss, Objective, TrainingData
from verinet.train.layered import (
    Architecture,
    AveragePoolLayer,
    Continuous,
    ConvolutionLayer,
    DenseLayer,
    FlattenLayer,
    GatedLayer,
    Goal,
    LayeredSpecification,
    LayerValues,
    MaxPoolLayer,
    ReluLayer,
    Tightening,
    binary,
    build_layered,
    build_layers,
    integer,
    ternary,
    train_layered,
)
from verinet.train.layered.forward import outputs_of
from verinet.train.layered.network import prune
from verinet.train.layered.programme import in_order, samples_of
from verinet.train.layered.scoring import goals_of


@pytest.mark.parametrize("solver", ["gurobi", "highs"])
@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("loss", [Loss.HINGE, Loss.ZERO_ONE])
def test_the_programme_has_the_optimum_of_brute_force(name: str, solver: str, loss: Loss) -> None:
    needs(solver)
    architecture = ARCHITECTURES[name]
    data = table(architecture, 6, 3, loss)
    specification = LayeredSpecification(
        architecture, Objective(loss, margin=0.5, l1=0.01, l0=0.02, unit_penalty=0.01), layer_penalty=0.03, l2=0.005
    )
    best = brute_force(specification, data)[0]
    for tightening in (Tightening(), Tightening.none()):
        assert solve(specification, data, solver, tightening) == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("loss", [Loss.L1, Loss.PINBALL, Loss.EPSILON_INSENSITIVE, Loss.SQUARED])
@pytest.mark.parametrize("name", ["dense", "deep"])
def test_regression_reaches_the_optimum_of_brute_force(name: str, loss: Loss) -> None:
    architecture = ARCHITECTURES[name]
    data = table(architecture, 7, 5, loss)
    specification = LayeredSpecification(architecture, Objective(loss, l1=0.01))
    result = train_layered(data, specification, replace(QUICK, gap_tolerance=1e-4, solver="highs"))
    assert float(result.record.objective) == pytest.approx(brute_force(specification, data)[0], abs=1e-4)
    assert result.record.status is Status.OPTIMAL


@pytest.mark.parametrize("weights", [ternary(0.5), integer(2), binary()], ids=["ternary", "integer", "binary"])
def test_kinds_of_weights_reach_the_optimum_of_brute_force(weights: object) -> None:
    architecture = Architecture((1,), (DenseLayer(1, weights), ReluLayer(), DenseLayer(1, weights)))
    data = table(architecture, 8, 2)
    specification = LayeredSpecification(architecture, Objective(Loss.HINGE, margin=0.5, l1=0.02))
    best = brute_force(specification, data)[0]
    for solver in ("auto", "highs"):
        result = train_layered(data, specification, replace(QUICK, solver=solver))
        assert float(result.record.objective) == pytest.approx(best, abs=1e-6)
        assert result.record.status is Status.OPTIMAL


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 10**6), loss=st.sampled_from([Loss.HINGE, Loss.L1, Loss.PINBALL]), units=st.integers(1, 2))
def test_enumeration_of_units_is_brute_force(seed: int, loss: Loss, units: int) -> None:
    features = 2 if units == 1 else 1
    architecture = Architecture((features,), (DenseLayer(units), ReluLayer(), DenseLayer(1)))
    data = table(architecture, 9, seed, loss)
    specification = LayeredSpecification(architecture, Objective(loss, margin=0.5, l1=0.01, l0=0.02))
    result = train_layered(data, specification, replace(QUICK, time_limit=20))
    assert "enumeration" in result.record.basis or result.record.objective == 0
    assert float(result.record.objective) == pytest.approx(brute_force(specification, data)[0], abs=1e-9)
    assert result.record.bound <= float(result.record.objective)
    assert result.record.status is Status.OPTIMAL


def test_enumeration_bounds_from_below_when_time_is_up() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(40, 6)).round(2)
    data = TrainingData.prepare(x, np.where(rng.random(40) < 0.5, -1.0, 1.0), classes=True)
    specification = LayeredSpecification(
        Architecture((6,), (DenseLayer(2), ReluLayer(), DenseLayer(1))), Objective(Loss.HINGE, margin=0.5, l0=1e-3)
    )
    whole = train_layered(data, specification, replace(QUICK, time_limit=60))
    assert whole.record.status is Status.OPTIMAL
    cut = train_layered(data, specification, replace(QUICK, time_limit=0.05))
    assert cut.record.bound <= float(whole.record.objective) <= float(cut.record.objective) + 1e-12


def test_several_classes_are_told_apart_with_their_margins() -> None:
    data = table(CLASSES, 8, 11)
    specification = LayeredSpecification(CLASSES, Objective(Loss.HINGE, margin=0.5, l1=0.01))
    result = train_layered(data, specification, QUICK)
    assert float(result.record.objective) == pytest.approx(brute_force(specification, data)[0], abs=1e-6)
    assert not any("differs" in note for note in result.record.notes)


def test_goals_are_reached_one_after_the_other() -> None:
    data = table(DENSE, 8, 1)
    objective = Objective(Loss.ZERO_ONE, margin=0.25, l1=0.0)
    goals = (Goal.ERRORS, Goal.NONZEROS, Goal.MARGIN)
    specification = LayeredSpecification(DENSE, objective, goals=goals)
    result = train_layered(data, specification, QUICK)
    reached = tuple(float(g.value) for g in result.goals)
    assert reached == pytest.approx(brute_force(specification, data), abs=1e-6)
    assert all(g.proven for g in result.goals)


def test_a_high_price_of_weights_gives_the_empty_network() -> None:
    for architecture in (DENSE, IMAGE, GATED):
        data = table(architecture, 6, 0)
        specification = LayeredSpecification(architecture, Objective(Loss.HINGE, l0=100.0, l1=0.0))
        result = train_layered(data, specification, QUICK)
        assert result.record.nonzeros == 0
        assert len(result.network.nodes) == 2
        outputs = evaluate_exact_batch(result.network, data.x)
        assert len({row[0] for row in outputs}) == 1


@pytest.mark.parametrize("budget", [Budget(nonzeros=2), Budget(units=1), Budget(features=1)])
def test_budgets_are_kept(budget: Budget) -> None:
    architecture = Architecture((3,), (DenseLayer(2), ReluLayer(), DenseLayer(1)))
    data = table(architecture, 12, 4)
    specification = LayeredSpecification(architecture, Objective(Loss.HINGE, margin=0.5, l1=0.0), budget)
    result = train_layered(data, specification, replace(QUICK, time_limit=20))
    record = result.record
    assert budget.nonzeros is None or record.nonzeros <= budget.nonzeros
    assert budget.units is None or record.units <= budget.units
    assert budget.features is None or len(record.features) <= budget.features


STACKS = {
    "dense": Architecture((3,), (DenseLayer(4), ReluLayer(), DenseLayer(3), ReluLayer(), DenseLayer(2))),
    "gated": Architecture((3,), (DenseLayer(3), ReluLayer(), GatedLayer(), GatedLayer(), DenseLayer(1))),
    "image": Architecture(
        (1, 6, 6),
        (
            ConvolutionLayer(3, (3, 3), padding=1),
            ReluLayer(),
            MaxPoolLayer(),
            ConvolutionLayer(2, (2, 2)),
            ReluLayer(),
            AveragePoolLayer(),
            FlattenLayer(),
            DenseLayer(2),
        ),
    ),
}


@pytest.mark.parametrize("name", STACKS)
def test_what_is_left_out_has_no_effect(name: str) -> None:
    architecture = STACKS[name]
    rng = np.random.default_rng(0)
    for seed in range(25):
        values = random_values(architecture, seed)
        data = table(architecture, 6, seed)
        whole = build_layers(architecture, values, data.scaling, pruned=False)
        small = build_layers(architecture, values, data.scaling)
        x = rng.uniform(-2, 6, size=(40, whole.size_in)).round(3)
        assert evaluate_exact_batch(small, x) == evaluate_exact_batch(whole, x)
        smaller, kept = prune(architecture, values)
        assert sum(v.weights.size for v in kept.values()) <= sum(v.weights.size for v in values.values())
        assert smaller.outputs == architecture.outputs


@pytest.mark.parametrize("name", STACKS)
def test_units_that_trade_places_leave_the_function(name: str) -> None:
    architecture = STACKS[name]
    x = np.random.default_rng(1).uniform(size=(20, int(np.prod(architecture.input_shape))))
    for seed in range(10):
        values = random_values(architecture, seed)
        for by_outputs in (False, True):
            ordered = in_order(architecture, values, by_outputs)
            np.testing.assert_allclose(
                outputs_of(architecture, x, ordered), outputs_of(architecture, x, values), atol=1e-12
            )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_points_of_weights_are_feasible_and_have_their_objective(name: str) -> None:
    architecture = ARCHITECTURES[name]
    data = table(architecture, 7, 9)
    specification = LayeredSpecification(architecture, Objective(Loss.HINGE, l1=0.01, l0=0.02), l2=0.01)
    samples = samples_of(data, specification)
    for seed in range(10):
        values = in_order(architecture, random_values(architecture, seed))
        values = {
            p: v if v.gate else LayerValues(np.zeros_like(v.weights), np.zeros_like(v.biases), False)
            for p, v in values.items()
        }
        if name == "image":
            values[0] = LayerValues(values[0].weights, np.zeros(1))
        if name == "deep":
            values[4] = LayerValues(values[4].weights, np.zeros(1))
        for tightening in (Tightening(), Tightening.none()):
            layered = build_layered(specification, data, tightening)
            lowered = lower_programme(layered.programme)
            point = lowered.extend(layered.point(values))
            programme = lowered.programme
            rows = programme.rows.expressions.value(point)
            assert (rows >= programme.rows.lower - 1e-9).all()
            assert (rows <= programme.rows.upper + 1e-9).all()
            assert (point >= programme.lower - 1e-9).all()
            assert (point <= programme.upper + 1e-9).all()
            outputs = outputs_of(architecture, data.scaled_x, values)
            expected = goals_of(specification, samples, values, outputs)[0]
            assert programme.objective.value(point)[0] == pytest.approx(expected, abs=1e-9)


def test_continuous_first_weights_are_at_least_as_good_as_ternary_ones() -> None:
    data = table(DENSE, 10, 6)
    objective = Objective(Loss.HINGE, margin=0.5, l1=1e-3)
    layers = (DenseLayer(1, Continuous(3.0)), ReluLayer(), DenseLayer(1))
    real = train_layered(data, LayeredSpecification(Architecture((2,), layers), objective), QUICK)
    whole = train_layered(data, LayeredSpecification(DENSE, objective), QUICK)
    assert real.record.status is Status.OPTIMAL
    assert float(real.record.objective) <= float(whole.record.objective) + 1e-6


def test_continuous_weights_of_two_layers_need_a_bilinear_solver() -> None:
    needs("scip")
    data = table(DENSE, 4, 6)
    objective = Objective(Loss.HINGE, margin=0.5, l1=1e-2)
    layers = (DenseLayer(1, Continuous(3.0)), ReluLayer(), DenseLayer(1, Continuous(2.0)))
    specification = LayeredSpecification(Architecture((2,), layers), objective)
    both = train_layered(data, specification, replace(QUICK, solver="scip", gap_tolerance=1e-2, time_limit=20))
    behind = LayeredSpecification(Architecture((2,), (layers[0], ReluLayer(), DenseLayer(1))), objective)
    whole = train_layered(data, behind, QUICK)
    assert both.record.status is Status.OPTIMAL
    assert both.record.bound <= float(both.record.objective) <= float(whole.record.objective) + 1e-4
    with pytest.raises(SolverError, match="scip or gurobi"):
        train_layered(data, specification, replace(QUICK, solver="highs"))


def test_interrupting_and_resuming() -> None:
    data = table(DENSE, 10, 6)
    specification = LayeredSpecification(DENSE, Objective(Loss.HINGE, margin=0.5, l0=1e-3))
    calls = []

    def interrupt(progress: object) -> None:
        calls.append(progress)
        raise KeyboardInterrupt

    cut = train_layered(data, specification, replace(QUICK, solver="highs", on_progress=interrupt))
    assert calls
    assert cut.record.status is Status.UNKNOWN
    assert any("interrupted" in note for note in cut.record.notes)
    resumed = train_layered(data, specification, QUICK, start=cut.values)
    assert resumed.record.objective <= cut.record.objective


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: Architecture((2,), (ReluLayer(),)), "ends with a dense layer"),
        (lambda: Architecture((2,), (ConvolutionLayer(1), DenseLayer(1))), "needs an image"),
        (lambda: Architecture((1, 4, 4), (ConvolutionLayer(1), DenseLayer(1))), "flatten"),
        (lambda: Architecture((1, 2, 2), (ConvolutionLayer(1, (3, 3)), FlattenLayer(), DenseLayer(1))), "exceeds"),
        (lambda: Architecture((2,), (DenseLayer(0), ReluLayer(), DenseLayer(1))), "units >= 1"),
        (lambda: integer(0), "lower < upper"),
        (lambda: ternary(0.0), "scale > 0"),
        (lambda: LayeredSpecification(DENSE, Objective(Loss.L1), goals=(Goal.ERRORS,)), "of classes"),
        (lambda: LayeredSpecification(CLASSES, Objective(Loss.L1)), "several outputs"),
        (lambda: LayeredSpecification(DENSE, goals=()), "at least one goal"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(build: object, match: str) -> None:
    with pytest.raises(InputError, match=match):
        build()


def test_data_that_does_not_fit_is_refused() -> None:
    specification = LayeredSpecification(Architecture((3,), (DenseLayer(1), ReluLayer(), DenseLayer(1))))
    with pytest.raises(InputError, match="takes 3 inputs"):
        train_layered(table(DENSE, 6, 0), specification, QUICK)
    with pytest.raises(InputError, match="3 outputs needs targets"):
        train_layered(table(GATED, 6, 0), LayeredSpecification(CLASSES), QUICK)
