"""Helpers of an engine that are brief or look away."""

from collections.abc import Sequence

import pytest

from verinet.verify import phase


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
