"""Planted counterexamples: the complete engines, falsifier off, never verify them away."""

import pytest

from tests.quality.tents import FAMILIES, plant
from verinet.verify import Answer, VerifyOptions, verify_query

CASES = 24
"""Of each family; `tests/performance/planted` runs a thousand."""

SECONDS = 0.4
"""For each: most are found in less, and the others are no worse than unknown."""

SECOND_ENGINE = 8
"""Of each family's cases, how many the phase engine and the MILP are asked too."""


pytestmark = pytest.mark.usefixtures("_branch_kernels", "_phase_kernels")


def options(engine: str, threads: int = 1) -> VerifyOptions:
    """Nothing but the engine: no falsifier before it, and no Z3 to correct it."""
    return VerifyOptions(
        engine=engine,
        falsify=False,
        timeout=SECONDS,
        threads=threads,
        cross_check_neurons=0,
        cross_check_seconds=0.1,
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_point_that_was_planted_is_a_counterexample(family: str) -> None:
    for seed in range(CASES):
        planted = plant(family, seed)
        assert planted.query.violated_at(planted.point)


def count_found(family: str, cases: int, engine: str, threads: int = 1) -> int:
    """Ask about counterexamples that were planted, none of which may be verified away; return how many were found."""
    found = 0
    for seed in range(cases):
        planted = plant(family, seed)
        verdict = verify_query(planted.query.network, planted.query, options(engine, threads=1 + seed % threads))
        assert verdict.answer in (Answer.VIOLATED, Answer.UNKNOWN), (family, seed, verdict)
        found += verdict.answer is Answer.VIOLATED
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_the_branch_engine_never_verifies_a_planted_counterexample_away(family: str) -> None:
    # An engine that answers "unknown" to all would pass too; it must find the most of them.
    assert count_found(family, CASES, "branch", threads=2) > CASES / 2


@pytest.mark.parametrize("family", FAMILIES)
def test_the_phase_engine_never_verifies_a_planted_counterexample_away(family: str) -> None:
    # Tents over few inputs are not what it is for; but it must not answer "unknown" to all.
    assert count_found(family, SECOND_ENGINE, "phase", threads=2)


@pytest.mark.parametrize("family", FAMILIES)
def test_bounds_of_phases_alone_never_verify_a_planted_counterexample_away(
    monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    # Nobody looks at the points where bounds are attained: what is left is the proof.
    monkeypatch.setattr("verinet.verify.phase._Minimisers.check", lambda *_: None)
    count_found(family, SECOND_ENGINE // 2, "phase", threads=2)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_milp_never_verifies_a_planted_counterexample_away(family: str) -> None:
    count_found(family, SECOND_ENGINE, "milp")
