"""Cuts at the root change how long a training takes, never its optimum."""

from dataclasses import replace

import numpy as np
import pytest

from tests.train.layered_cases import table
from verinet.encode import lower_programme
from verinet.train import Loss, Objective, Specification, TrainingData, TrainOptions, UnitTightening, train
from verinet.train.layered import (
    Architecture,
    DenseLayer,
    LayeredSpecification,
    ReluLayer,
    Tightening,
    train_layered,
)
from verinet.train.programme import build_programme
from verinet.train.root import with_root_cuts

QUICK = TrainOptions(solver="highs", time_limit=30, gap_tolerance=1e-7)

PLAIN = [UnitTightening.none(), UnitTightening(cells=False)]


def drawn(seed: int, samples: int = 6) -> TrainingData:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-1, 1, (samples, 2)).round(2), np.where(rng.random(samples) < 0.5, -1.0, 1.0)
    y[:2] = -1.0, 1.0
    return TrainingData.prepare(x, y, classes=True)


def test_they_are_off_by_default_and_in_the_plain_model() -> None:
    kinds = (UnitTightening(), UnitTightening.none(), Tightening(), Tightening.none())
    assert not any(tightening.root_cuts for tightening in kinds)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("tightening", PLAIN, ids=["plain", "tight"])
def test_the_optimum_of_units_stays(seed: int, tightening: UnitTightening) -> None:
    data, specification = drawn(seed), Specification(1, 1, objective=Objective(l1=0.01))
    found = [
        train(data, specification, QUICK, tightening=replace(tightening, root_cuts=on)).record for on in (False, True)
    ]
    assert float(found[1].objective) == pytest.approx(float(found[0].objective), abs=1e-6)
    assert found[1].status is found[0].status


@pytest.mark.parametrize(
    "tightening", [Tightening.none(), Tightening(signs=False, warm_start=False)], ids=["plain", "tight"]
)
def test_the_optimum_of_layers_stays(tightening: Tightening) -> None:
    architecture = Architecture((2,), (DenseLayer(2), ReluLayer(), DenseLayer(1)))
    data = table(architecture, 6, 3, Loss.HINGE)
    specification = LayeredSpecification(architecture, Objective(Loss.HINGE, margin=0.5, l1=0.01, l0=0.02))
    found = [
        train_layered(data, specification, QUICK, tightening=replace(tightening, root_cuts=on)).record
        for on in (False, True)
    ]
    assert float(found[1].objective) == pytest.approx(float(found[0].objective), abs=1e-6)
    assert found[1].status is found[0].status


def test_the_rows_cut_off_the_relaxation_and_no_network() -> None:
    data, specification = drawn(3, 12), Specification(1, 1, objective=Objective(l1=0.01))
    training = build_programme(specification, data, tightening=UnitTightening.none())
    lowered = lower_programme(training.programme)
    cut = with_root_cuts(lowered, 20.0)
    assert cut.programme.rows.expressions.size > lowered.programme.rows.expressions.size
    assert cut.completions is lowered.completions
    assert with_root_cuts(lowered, 0.0) is lowered
