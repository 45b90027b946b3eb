"""The fewest weights at so many errors: counting up is brute force, and annealing comes near."""

import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verinet.program import Progress
from verinet.train import Budget, Loss, Objective, TrainingData, TrainOptions
from verinet.train.layered import (
    Architecture,
    DenseLayer,
    FlattenLayer,
    Goal,
    LayeredSpecification,
    LayerValues,
    Quantised,
    ReluLayer,
    Tightening,
    binary,
    integer,
    ternary,
    train_layered,
)
from verinet.train.layered.fewest import can_count_up, count_up
from verinet.train.layered.forward import outputs_of
from verinet.train.layered.programme import samples_of
from verinet.train.layered.scoring import goals_of
from verinet.train.layered.sparse_search import can_anneal, search_sparse

GOALS = (Goal.ERRORS, Goal.NONZEROS)

SHAPES = {
    "one unit": (2, 1, integer(2), integer(2), True),
    "two units": (2, 2, ternary(), ternary(), True),
    "no zero bias": (2, 1, Quantised(-1, 2), Quantised(-2, 3, 1, 0.5), True),
    "without biases": (2, 2, integer(1), integer(2), False),
    "three inputs": (3, 1, ternary(), integer(2, 0.25), True),
    "three units": (1, 3, ternary(), ternary(), True),
}
"""Inputs, units, weights of the first and of the last layer, and whether there are biases."""


def specification_of(name: str, margin: float = 0.3) -> LayeredSpecification:
    inputs, units, first, last, bias = SHAPES[name]
    layers = DenseLayer(units, first, bias), ReluLayer(), DenseLayer(1, last, bias)
    return LayeredSpecification(Architecture((inputs,), layers), Objective(Loss.ZERO_ONE, margin, l1=0.0), goals=GOALS)


def table(inputs: int, samples: int, seed: int) -> TrainingData:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 5, (samples, inputs)).astype(np.float64)
    x[0], x[1] = 0.0, 4.0
    y = np.where(x @ rng.integers(-2, 3, inputs) + rng.integers(-3, 4, samples) > rng.integers(-2, 5), 1.0, -1.0)
    y[:2] = -1.0, 1.0
    return TrainingData.prepare(x, y, classes=True, sample_weight=rng.integers(1, 4, samples).astype(np.float64))


def brute_force(specification: LayeredSpecification, data: TrainingData) -> np.ndarray:
    """Return the errors and the non-zeros of every network of one hidden layer, shape (networks, 2)."""
    architecture = specification.architecture
    first, last = architecture.layers[0], architecture.layers[2]
    inputs, units = architecture.input_shape[0], first.units
    samples, x = samples_of(data, specification), data.scaled_x
    one = [first.weights.values] * inputs + [first.weights.values if first.bias else np.zeros(1)]
    unit = np.array(list(itertools.product(*one)))
    hidden = np.maximum(unit[:, :-1] @ x.T + unit[:, -1:], 0.0)
    cost = (unit[:, :-1] != 0).sum(axis=1)
    read, costs = np.zeros((1, len(x))), np.zeros(1)
    for _ in range(units):
        choices = np.concatenate([v * hidden for v in last.weights.values])
        price = np.concatenate([cost + (v != 0) for v in last.weights.values])
        read, costs = (read[:, None] + choices).reshape(-1, len(x)), np.add.outer(costs, price).ravel()
    results = []
    for constant in last.weights.values if last.bias else np.zeros(1):
        missed = (read + constant) * data.y < specification.objective.margin * (1 - 1e-6)
        results.append(np.column_stack([missed @ samples.weights, costs]))
    return np.concatenate(results)


def judged(
    specification: LayeredSpecification, data: TrainingData, values: Mapping[int, LayerValues]
) -> tuple[float, ...]:
    outputs = outputs_of(specification.architecture, data.scaled_x, values)
    return goals_of(specification, samples_of(data, specification), values, outputs)


@settings(deadline=None, max_examples=12)
@given(
    name=st.sampled_from(list(SHAPES)),
    seed=st.integers(0, 10**6),
    samples=st.integers(3, 12),
    share=st.sampled_from([0.0, 0.0, 0.1, 0.25]),
)
def test_counting_up_is_brute_force(name: str, seed: int, samples: int, share: float) -> None:
    specification = specification_of(name)
    data = table(specification.architecture.input_shape[0], samples, seed)
    every = brute_force(specification, data)
    # The fewest errors, and more than that.
    errors = max(share, every[:, 0].min()) + 1e-9
    fewest = int(every[every[:, 0] <= errors, 1].min())
    found = count_up(specification, samples_of(data, specification), data.scaled_x, errors, fewest + 1, lambda: True)
    assert found.bound == fewest
    reached = judged(specification, data, found.values)
    assert reached[0] <= errors
    assert reached[1] == fewest
    # What is known to suffice is not looked for.
    known = count_up(specification, samples_of(data, specification), data.scaled_x, errors, fewest, lambda: True)
    assert (known.bound, known.values) == (fewest, None)


def test_what_no_network_reaches_is_ruled_out_to_the_end() -> None:
    specification = specification_of("two units", margin=50.0)
    data = table(2, 8, 1)
    found = count_up(specification, samples_of(data, specification), data.scaled_x, 0.0, 7, lambda: True)
    assert (found.bound, found.values) == (7, None)


def test_when_time_is_up_the_bound_is_what_was_ruled_out() -> None:
    specification = specification_of("two units")
    data, bounds, looks = table(2, 12, 3), [], iter([True, True, False, False, False])
    found = count_up(
        specification, samples_of(data, specification), data.scaled_x, 0.0, 7, lambda: next(looks), bounds.append
    )
    assert found.values is None
    assert found.bound == bounds[-1] < 7


@pytest.mark.parametrize("name", list(SHAPES))
def test_annealing_reaches_brute_force_on_small_networks(name: str) -> None:
    specification, seed = specification_of(name), 408824
    data = table(specification.architecture.input_shape[0], 8, seed)
    best = min(map(tuple, brute_force(specification, data).round(12)))
    reached = [(1.0, np.inf)]
    search_sparse(
        specification, samples_of(data, specification), data.scaled_x, 0, lambda: True,
        lambda: min(reached)[0], lambda values: reached.append(judged(specification, data, values)), runs=16,
    )  # fmt: skip
    # Never better than the best; and where errors vanish, as good.
    assert min(reached)[0] >= best[0] - 1e-12
    if best[0] == 0:
        assert min(reached) == pytest.approx(best)


DEEP = Architecture(
    (1, 2, 2),
    (FlattenLayer(), DenseLayer(4, integer(2)), ReluLayer(), DenseLayer(3, integer(2)), ReluLayer(), DenseLayer(3)),
)


@pytest.mark.parametrize("goal", [Goal.NONZEROS, Goal.UNITS, Goal.SIZE])
def test_deep_networks_of_several_classes_are_annealed(goal: Goal) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 5, (30, 4)).astype(np.float64)
    data = TrainingData.prepare(x, np.clip(x[:, 2] // 2, 0, 2), classes=False, shared=True)
    specification = LayeredSpecification(DEEP, Objective(Loss.ZERO_ONE, 0.1, l1=0.0), goals=(Goal.ERRORS, goal))
    reached = [(1.0, np.inf)]
    search_sparse(
        specification, samples_of(data, specification), data.scaled_x, 0, lambda: True,
        lambda: min(reached)[0], lambda values: reached.append(judged(specification, data, values)), runs=6,
    )  # fmt: skip
    assert min(reached)[0] == 0.0
    assert min(reached)[1] <= {Goal.NONZEROS: 10, Goal.UNITS: 4, Goal.SIZE: 14}[goal]


def test_equal_seeds_find_equal_networks() -> None:
    specification, data = specification_of("two units"), table(2, 10, 5)
    runs = []
    for _ in range(2):
        found: list[Mapping[int, LayerValues]] = []
        search_sparse(
            specification, samples_of(data, specification), data.scaled_x, 7, lambda: True, lambda: 1.0,
            found.append, runs=2,
        )  # fmt: skip
        runs.append([values[p].weights.tolist() for values in found for p in (0, 2)])
    assert runs[0] == runs[1]
    assert runs[0]


def planted() -> tuple[TrainingData, LayeredSpecification]:
    """Return twelve features of which one decides, far from its threshold, and a network that is large enough."""
    x = np.random.default_rng(0).random((60, 12))
    x = x[np.abs(x[:, [3, 7]] - [0.5, 0.4]).min(axis=1) > 0.1]
    data = TrainingData.prepare(x, np.where(x[:, 3] > 0.5, 1.0, -1.0), classes=True)
    architecture = Architecture((12,), (DenseLayer(4, integer(3)), ReluLayer(), DenseLayer(1, integer(3))))
    return data, LayeredSpecification(architecture, Objective(Loss.ZERO_ONE, margin=0.1, l1=0.0), goals=GOALS)


def test_the_planted_weights_are_proven_to_be_the_fewest() -> None:
    result = train_layered(*planted(), TrainOptions(time_limit=30))
    assert [float(goal.value) for goal in result.goals] == [0.0, 2.0]
    assert all(goal.proven for goal in result.goals)
    assert "ruled out" in result.goals[1].basis
    assert result.record.features == ("x3",)


def test_an_interrupt_keeps_what_was_ruled_out() -> None:
    def stop(progress: Progress) -> None:
        # The weight of errors is less than one.
        if progress.bound >= 1:
            raise KeyboardInterrupt

    result = train_layered(*planted(), TrainOptions(time_limit=30, on_progress=stop))
    assert [float(goal.value) for goal in result.goals] == [0.0, 2.0]
    assert (result.goals[1].bound, result.goals[1].proven) == (1.0, False)
    assert any("interrupted" in note for note in result.record.notes)


@pytest.mark.parametrize(("name", "bound"), [("two units", 0), ("without biases", 2)])
def test_samples_of_one_class_are_no_pairs(name: str, bound: int) -> None:
    # A last bias is enough; without one a weight has to be read.
    specification, data = specification_of(name), table(2, 8, 1)
    same = replace(data, y=np.ones(len(data.y)))
    found = count_up(specification, samples_of(same, specification), same.scaled_x, 0.0, 7, lambda: True)
    assert found.bound == bound
    assert (found.values is None) == (bound > 0)


def test_each_says_what_it_is_for() -> None:
    plain = specification_of("two units")
    assert can_count_up(plain)
    assert can_anneal(plain)
    for other in (
        replace(plain, goals=(Goal.NONZEROS,)),
        replace(plain, budget=Budget(units=1)),
        replace(plain, architecture=Architecture((2,), (DenseLayer(2, binary()), ReluLayer(), DenseLayer(1)))),
        replace(plain, architecture=Architecture((2,), (DenseLayer(2), DenseLayer(1)))),
    ):
        assert not can_count_up(other)
        assert not can_anneal(other)
    assert not can_count_up(replace(plain, architecture=DEEP))
    assert not can_count_up(replace(plain, goals=(Goal.ERRORS, Goal.UNITS)))
    assert can_anneal(replace(plain, goals=(Goal.ERRORS, Goal.UNITS)))
    # Of errors alone, few weights are as good as any; a margin is not counted.
    assert can_anneal(replace(plain, goals=(Goal.ERRORS,)))
    assert not can_anneal(replace(plain, goals=(Goal.ERRORS, Goal.MARGIN)))


def test_a_solver_that_is_asked_for_bounds_as_before() -> None:
    specification = specification_of("one unit")
    data = TrainingData.prepare(np.arange(8.0).reshape(4, 2), np.array([-1.0, -1.0, 1.0, 1.0]), classes=True)
    asked, counted = (
        train_layered(data, specification, TrainOptions(time_limit=30, solver=name), tightening=plain)
        for name, plain in (("highs", Tightening(signs=False, warm_start=False)), ("auto", None))
    )
    assert [float(goal.value) for goal in asked.goals] == [float(goal.value) for goal in counted.goals] == [0.0, 2.0]
    assert asked.goals[1].basis == "a solver's claim"
    assert counted.goals[1].basis != "a solver's claim"
