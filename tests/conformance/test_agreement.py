"""What one solver claims of a small programme, every other one has to claim."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.programmes import linear
from tests.integer_networks import integer_training
from verinet.encode import lower_programme
from verinet.program import Outcome, Programme, SolveOptions, Status
from verinet.solve import Backend, Capability, get

NAMES = ("highs", "scip", "cpsat", "gurobi")


def usable() -> list[Backend]:
    found = [get(name) for name in NAMES]
    return [backend for backend in found if backend.probe().usable]


def outcomes(programme: Programme) -> dict[str, Outcome]:
    chosen = [b for b in usable() if programme.integer.all() or Capability.CONTINUOUS in b.capabilities]
    return {backend.name: backend.solve(programme, SolveOptions(time_limit=30.0)) for backend in chosen}


def assert_agreement(found: dict[str, Outcome]) -> None:
    statuses = {name: outcome.status for name, outcome in found.items()}
    assert len(set(statuses.values())) == 1, statuses
    objectives = [outcome.objective for outcome in found.values() if outcome.objective is not None]
    assert objectives == pytest.approx([objectives[0]] * len(objectives), abs=1e-6) if objectives else True
    for outcome in found.values():
        assert outcome.status is not Status.UNKNOWN
        assert all(outcome.bound <= objective + 1e-6 for objective in objectives)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_small_programmes(data: st.DataObject) -> None:
    size, height = data.draw(st.integers(2, 6)), data.draw(st.integers(1, 5))
    number = st.integers(-9, 9)
    rows = [[data.draw(number) for _ in range(size)] for _ in range(height)]
    sides = [sorted((data.draw(number), data.draw(number))) for _ in range(height)]
    costs = [data.draw(number) / 4 for _ in range(size)]
    every = data.draw(st.booleans())
    integer = [every or data.draw(st.booleans()) for _ in range(size)]
    lower, upper = [low for low, _ in sides], [high for _, high in sides]
    assert_agreement(outcomes(linear(costs, rows, lower, upper, box=(-3, 3), integer=integer)))


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10**6), layers=st.integers(1, 2), scale=st.sampled_from([1.0, 0.1]))
def test_networks_with_integer_weights(seed: int, layers: int, scale: float) -> None:
    """CP-SAT proves that these continuous activations lie on a grid, and finds what the others find."""
    rng = np.random.default_rng(seed)
    inputs, labels = rng.integers(-2, 3, (4, 2)) * scale, rng.choice([-1.0, 1.0], 4)
    programme = lower_programme(integer_training(inputs, labels, layers=layers, step=scale)).programme
    assert not programme.integer.all()
    assert_agreement({b.name: b.solve(programme, SolveOptions(time_limit=30.0)) for b in usable()})
