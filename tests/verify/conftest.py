"""What tests of the engines share: kernels that are loaded, and helpers of an engine that are brief or look away."""

from collections.abc import Sequence
from fractions import Fraction

import pytest

from tests.verify.asking import above_the_samples, by_branching, by_phases, constant, identity, one, random_dense, y
from verinet.model import Atom, Domain
from verinet.verify import phase


@pytest.fixture(scope="session")
def _branch_kernels() -> None:
    """Load the kernels of the branch engine before any clock starts."""
    by_branching(one(identity(), Domain.from_box([-1], [1]), (Atom(constant(Fraction(1, 2)) - y()),)), timeout=600)


@pytest.fixture(scope="session")
def _phase_kernels() -> None:
    """Load the kernels of the phase engine before any clock starts."""
    by_phases(above_the_samples(random_dense(0, [3, 8, 8, 1]), 0.1), timeout=600)


@pytest.fixture
def _brief_falsifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the falsifier be brief: small networks need no more, and hundreds of queries take time."""
    for name, value in {"SAMPLES": 256, "POINTS": 16, "STEPS": 8}.items():
        monkeypatch.setattr(f"verinet.verify.falsify.{name}", value)


@pytest.fixture
def _blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody look at the points where bounds are attained: the proof alone must not go wrong."""

    def look_away(minimisers: object, workers: Sequence[object]) -> None:
        return None

    monkeypatch.setattr(phase._Minimisers, "check", look_away)
