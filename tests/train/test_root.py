"""Cuts at the root change no optimum, and raise the bound of relaxations that they are made for."""

from dataclasses import replace

import numpy as np
import pytest

from verinet.encode import Encoded, lower_programme, relu
from verinet.program import Expressions, ProgrammeBuilder, SolveOptions
from verinet.solve import choose
from verinet.train import Loss, Objective, Specification, TrainingData, TrainOptions, UnitTightening, train
from verinet.train.layered import (
    Architecture,
    DenseLayer,
    LayeredSpecification,
    ReluLayer,
    Tightening,
    integer,
    ternary,
    train_layered,
)
from verinet.train.root import with_root_cuts
from verinet.verify import Deadline


def table(samples: int, features: int, seed: int) -> TrainingData:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (samples, features)).round(2)
    return TrainingData.prepare(x, np.where(x[:, 0] * x[:, 1] > 0, 1.0, -1.0), classes=True)


@pytest.mark.parametrize("seed", range(3))
def test_the_relaxation_of_a_wide_relu_becomes_its_hull(seed: int) -> None:
    # The largest `relu(a . v + b) - (a . v) / 2` over a box, of which big-M knows little.
    rng = np.random.default_rng(seed)
    builder = ProgrammeBuilder()
    v = Expressions.variables(builder.variables("v", -np.ones(6), np.ones(6)))
    before = v.linear(rng.normal(size=(1, 6))).shifted(0.1)
    low, high = builder.enclosure(before)
    after = relu(builder, "h", Encoded(before, low, high))
    aside = v.linear(rng.normal(size=(1, 6)))
    builder.objective = (aside - after.expressions).total()
    lowered = lower_programme(builder.build())
    cut = with_root_cuts(lowered, "highs", Deadline.after(10.0))
    values = []
    for programme in (lowered.programme, cut.programme):
        whole = choose(programme, "highs").backend.solve(programme, SolveOptions()).objective
        relaxed = replace(programme, integer=np.zeros(programme.size, dtype=np.bool_))
        values.append((whole, choose(relaxed, "highs").backend.solve(relaxed, SolveOptions()).objective))
    (whole, loose), (same, tight) = values
    assert same == pytest.approx(whole, abs=1e-6)
    assert tight == pytest.approx(whole, abs=1e-5)
    assert loose < whole - 1e-3


@pytest.mark.parametrize("any_width", [False, True])
def test_networks_of_so_many_units_have_the_same_optimum(any_width: bool) -> None:
    data = table(14, 2, 0)
    specification = Specification(1, 1, objective=Objective(Loss.HINGE, l1=0.01))
    options = TrainOptions(time_limit=30, solver="highs", gap_tolerance=1e-4)
    plain = UnitTightening(cells=False, any_width=any_width)
    found = [
        train(data, specification, options, tightening=tightening).record
        for tightening in (plain, replace(plain, root_cuts=True))
    ]
    assert all(record.gap <= 1e-3 for record in found)
    assert float(found[0].objective) == pytest.approx(float(found[1].objective), rel=1e-3)


def test_stacks_of_layers_have_the_same_optimum() -> None:
    data = table(6, 2, 1)
    architecture = Architecture((2,), (DenseLayer(1, ternary()), ReluLayer(), DenseLayer(1, integer(2))))
    specification = LayeredSpecification(architecture, Objective(Loss.HINGE, margin=0.5, l1=0.0, l0=0.01))
    options = TrainOptions(time_limit=30, solver="highs")
    found = [
        train_layered(data, specification, options, tightening=tightening).record
        for tightening in (Tightening(), Tightening(root_cuts=True))
    ]
    assert found[0].objective == found[1].objective
    assert all(record.gap <= 1e-6 for record in found)
