"""The search over cells: rays by brute force, bounds that hold for networks, optima that programmes agree with."""

import itertools
import time
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verinet.errors import InputError
from verinet.program import SolveOptions, Status
from verinet.solve import get
from verinet.train import (
    Budget,
    Earlier,
    Loss,
    Objective,
    Specification,
    TrainingData,
    TrainOptions,
    UnitTightening,
    read_back,
    train,
)
from verinet.train.blocks import descend_by_blocks
from verinet.train.cells import find_rays, prepare_cells, ray_count, search_cells
from verinet.train.cells.rays import RAY_ERROR
from verinet.train.export import build_network, to_raw, to_scaled
from verinet.train.programme import Parameters, build_programme, predict
from verinet.verify import Deadline

EVERYTHING = Deadline(np.inf)


def drawn(seed: int, samples: int, features: int, loss: Loss = Loss.HINGE, digits: int = 2) -> TrainingData:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (samples, features)).round(digits)
    y = rng.permutation(np.where(np.arange(samples) % 2, 1.0, -1.0)) if loss.classifies else rng.normal(size=samples)
    return TrainingData.prepare(x, y, classes=loss.classifies, allow_constant=True)


def with_ones(x: np.ndarray) -> np.ndarray:
    return np.column_stack([x, np.ones(len(x))])


def test_rays_are_the_null_spaces_of_all_choices_of_hyperplanes() -> None:
    rows = with_ones(np.array([[0.0, 0.25], [0.5, 1.0], [0.5, 0.5], [1.0, 0.0]]))
    rays = find_rays(rows)
    assert rays is not None
    expected = []
    for one, other in itertools.combinations([*rows, *np.eye(3)], 2):
        direction = np.cross(one, other)
        if np.abs(direction).sum() > 0:
            expected += [direction / np.abs(direction).sum(), -direction / np.abs(direction).sum()]
    distances = np.abs(np.array(expected)[:, None] - rays.points[None]).sum(axis=2)
    assert distances.min(axis=1).max() < RAY_ERROR
    assert distances.min(axis=0).max() < RAY_ERROR
    assert len(rays.points) <= ray_count(4, 3)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from([0, 1, 3]))
def test_no_weights_of_a_cone_are_worth_more_than_its_best_ray(seed: int, features: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    rows = with_ones(rng.uniform(0, 1, (5, features)).round(digits))
    rays = find_rays(rows)
    assert rays is not None
    prices = rng.normal(size=5)
    weights = rng.normal(size=(300, features + 1))
    weights /= np.abs(weights).sum(axis=1, keepdims=True)
    cone = np.sign(rows @ weights[0]).astype(np.int64) * rng.integers(0, 2, 5)
    inside = ((weights @ rows.T) * cone >= 0).all(axis=1)
    best = (rays.heights[rays.within(cone)] @ prices).max(initial=0.0)
    worths = np.maximum(weights[inside] @ rows.T, 0) @ prices
    assert inside[0]
    assert worths.max() <= best + RAY_ERROR * np.abs(prices).sum() + 1e-12


def test_nearly_parallel_hyperplanes_meet_where_integers_say() -> None:
    rows = with_ones(np.array([[1.0, 0.5], [1.0, np.nextafter(0.5, 1)], [0.25, 0.75]]))
    rays = find_rays(rows)
    assert rays is not None
    # The first two agree exactly where the second coordinate is zero and the others cancel.
    assert np.abs(rays.points - np.array([0.5, 0.0, -0.5])).sum(axis=1).min() < RAY_ERROR


@pytest.mark.parametrize("loss", [Loss.HINGE, Loss.L1])
@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), skip=st.booleans())
def test_the_relaxation_bounds_every_network_of_its_cones(loss: Loss, seed: int, skip: bool) -> None:
    rng = np.random.default_rng(seed)
    data = drawn(seed, 6, 2, loss, int(rng.integers(0, 3)))
    specification = Specification(1, 2, skip, 3.0, Objective(loss, l1=float(rng.choice([0.0, 0.01, 0.1]))))
    relaxation = prepare_cells(data, specification)
    assert relaxation is not None
    for _ in range(3):
        weights = rng.normal(size=(3, 3)) * rng.uniform(0, 3, (3, 1))
        weights *= np.minimum(1.0, 3.0 / np.abs(weights).sum(axis=1, keepdims=True))
        p = rng.normal(size=2).clip(-3, 3) * skip
        parameters = Parameters(weights[:, :2], weights[:, 2], p, float(rng.normal()))
        f = predict(parameters, specification.signs, data.scaled_x)
        value = relaxation.bands.loss(f) + specification.objective.l1 * (np.abs(weights).sum() + np.abs(p).sum())
        products = data.scaled_x @ parameters.weights.T + parameters.biases
        cones = [np.sign(products[:, k]).astype(np.int64) * rng.integers(0, 2, len(data.y)) for k in range(3)]
        mixture = relaxation.solve(cones, np.inf, EVERYTHING)
        assert mixture is not None
        assert mixture.bound <= value + 1e-9
        # What a mixture seems to cost is no more than its bound, up to what further rays may save.
        assert mixture.bound >= relaxation.solve([0 * c for c in cones], np.inf, EVERYTHING).bound - 1e-6


@pytest.mark.parametrize(
    ("specification", "samples", "features"),
    [
        (Specification(1, 1, objective=Objective(l1=0.01)), 10, 2),
        (Specification(2, 1, objective=Objective(l1=0.02)), 8, 2),
        (Specification(1, 0, skip=False, objective=Objective(Loss.L1, l1=0.003)), 10, 2),
        (Specification(0, 2, weight_bound=2.0, objective=Objective(l1=0.003)), 8, 3),
    ],
)
def test_the_plain_programme_agrees(specification: Specification, samples: int, features: int) -> None:
    if not get("gurobi").is_installed():
        pytest.skip("the plain programme takes long without Gurobi")
    data = drawn(samples, samples, features, specification.objective.loss)
    options = TrainOptions(time_limit=30, gap_tolerance=1e-6)
    searched = train(data, specification, options)
    assert searched.record.status is Status.OPTIMAL
    assert searched.record.basis == "rounding-safe bounds"
    plain = train(data, specification, replace(options, solver="gurobi"), tightening=UnitTightening.none())
    assert searched.record.bound <= float(plain.record.objective) + 1e-9
    assert plain.record.bound <= float(searched.record.objective) + 1e-5
    if plain.record.status is Status.OPTIMAL:
        assert float(searched.record.objective) == pytest.approx(float(plain.record.objective), rel=2e-5)
    sizes = np.abs(searched.parameters.weights * data.scaling.width).sum(axis=1)
    assert (sizes <= specification.weight_bound + 1e-6).all()


def test_fifty_points_and_four_units_are_solved_at_once() -> None:
    data = drawn(3, 50, 2)
    record = train(data, Specification(2, 2, objective=Objective(l1=0.01)), TrainOptions(time_limit=20)).record
    assert record.status is Status.OPTIMAL
    assert record.bound <= record.objective
    assert record.gap <= 1e-4


def test_a_deadline_keeps_network_and_bound() -> None:
    data = drawn(4, 20, 2)
    specification = Specification(2, 2, objective=Objective(l1=1e-3))
    relaxation = prepare_cells(data, specification)
    start = Parameters(np.zeros((4, 2)), np.zeros(4), np.zeros(2), 0.0)
    found = search_cells(relaxation, start, 1e-6, Deadline(0.0))
    assert found.reason == "the time limit was reached"
    assert found.bound == -np.inf
    assert found.objective == pytest.approx(1.0)


def test_an_interrupt_keeps_network_and_bound() -> None:
    data = drawn(4, 20, 2)
    specification = Specification(1, 1, objective=Objective(l1=1e-3))
    seen: list[tuple[float, float]] = []

    def stop(objective: float, bound: float) -> None:
        seen.append((objective, bound))
        raise KeyboardInterrupt

    start = Parameters(np.zeros((2, 2)), np.zeros(2), np.zeros(2), 0.0)
    found = search_cells(prepare_cells(data, specification), start, 1e-9, EVERYTHING, stop)
    assert found.reason == "interrupted"
    assert (found.objective, found.bound) == seen[0]
    assert found.bound <= found.objective < 1.0


@pytest.mark.parametrize(
    "specification",
    [
        Specification(objective=Objective(l0=0.1)),
        Specification(objective=Objective(Loss.ZERO_ONE)),
        Specification(budget=Budget(units=1)),
        Specification(monotone={0: 1}),
        Specification(0, 0),
    ],
)
def test_what_counts_is_left_to_the_programme(specification: Specification) -> None:
    assert prepare_cells(drawn(0, 8, 2), specification) is None


def test_too_many_rays_are_left_to_the_programme() -> None:
    assert prepare_cells(drawn(0, 40, 12), Specification()) is None


@pytest.mark.parametrize("field", ["any_width", "one_sided", "ball_bounds", "symmetry", "cutoff", "warm_start"])
def test_no_tightening_changes_the_optimum(field: str) -> None:
    if not get("highs").is_installed():
        pytest.skip("needs HiGHS")
    data = drawn(5, 6, 1)
    specification = Specification(2, 1, objective=Objective(l1=0.01))
    alone = replace(UnitTightening.none(), **{field: True})
    options = TrainOptions(solver="highs", time_limit=30, gap_tolerance=1e-7)
    optimum = train(data, specification, replace(options, solver="auto")).record.objective
    found = train(data, specification, options, tightening=alone).record
    assert abs(found.objective - optimum) <= Fraction(1, 10**6)


@pytest.mark.parametrize("solver", ["auto", "highs"])
def test_resuming_goes_on_from_network_and_bound(solver: str) -> None:
    if solver != "auto" and not get(solver).is_installed():
        pytest.skip("needs HiGHS")
    data = drawn(6, 7, 2)
    specification = Specification(1, 1, objective=Objective(l1=0.01))
    first = train(data, specification, TrainOptions(solver=solver, time_limit=20, gap_tolerance=0.3))
    exact = TrainOptions(solver=solver, time_limit=20, gap_tolerance=1e-6)
    second = train(data, specification, exact, earlier=Earlier.of(first))
    fresh = train(data, specification, exact)
    assert first.record.bound <= second.record.bound <= second.record.objective <= first.record.objective
    assert float(second.record.objective) == pytest.approx(float(fresh.record.objective), rel=1e-5)
    again = train(data, specification, TrainOptions(time_limit=20, gap_tolerance=1e-6), earlier=Earlier.of(fresh))
    assert again.record.objective <= fresh.record.objective
    assert again.record.bound == fresh.record.bound
    assert again.record.solver.endswith("0 nodes)")
    assert again.record.basis == fresh.record.basis


def test_resuming_another_training_is_refused() -> None:
    data = drawn(6, 7, 2)
    specification = Specification(1, 1, objective=Objective(l1=0.01))
    earlier = Earlier.of(train(data, specification))
    with pytest.raises(InputError, match="objective"):
        train(data, replace(specification, objective=Objective(l1=0.02)), earlier=earlier)
    if earlier.parameters.units:
        with pytest.raises(InputError, match="units of sign"):
            train(data, replace(specification, positive_units=0, negative_units=0), earlier=earlier)
    with pytest.raises(InputError, match="inputs"):
        train(drawn(6, 7, 3), specification, earlier=earlier)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_networks_are_read_back_as_they_were_written(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = drawn(7, 8, 2, Loss.L1)
    parameters = Parameters(
        rng.normal(size=(3, 2)), rng.normal(size=3), rng.normal(size=2) * rng.integers(0, 2), float(rng.normal())
    )
    signs = (1, 1, -1)
    raw = to_raw(parameters, signs, {}, data.scaling)
    back = read_back(build_network(raw))
    for one, other in zip(vars(raw).values(), vars(back).values(), strict=True):
        assert np.array_equal(one, other)
    scaled = to_scaled(back, signs, data.scaling)
    assert predict(scaled, signs, data.scaled_x) == pytest.approx(predict(parameters, signs, data.scaled_x))


@pytest.mark.parametrize(("positive", "negative"), [(1, 0), (1, 1)])
def test_descent_by_blocks_ends_where_no_unit_improves(positive: int, negative: int) -> None:
    if not get("highs").is_installed():
        pytest.skip("needs HiGHS")
    data = drawn(8, 8, 1)
    specification = Specification(positive, negative, objective=Objective(l1=0.01))
    training = build_programme(specification, data)
    nothing = Parameters(np.zeros((positive + negative, 1)), np.zeros(positive + negative), np.zeros(1), 0.0)
    deadline = time.monotonic() + 30
    found = descend_by_blocks(training, 1.0, nothing, SolveOptions(), "highs", deadline)
    optimum = train(data, specification, TrainOptions(gap_tolerance=1e-6)).record
    assert found.settled
    assert float(optimum.bound) - 1e-6 <= found.objective < 1.0
    if positive + negative == 1:
        assert found.objective == pytest.approx(float(optimum.objective), rel=2e-4)
    again = descend_by_blocks(training, found.objective, found.parameters, SolveOptions(), "highs", deadline)
    assert again.objective == found.objective
    late = descend_by_blocks(training, 1.0, nothing, SolveOptions(), "highs", time.monotonic())
    assert (late.objective, late.settled) == (1.0, False)
