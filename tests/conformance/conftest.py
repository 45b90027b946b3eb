"""Every test here runs on every backend that is installed and licensed."""

from collections.abc import Callable

import pytest

from verinet.errors import UnsupportedModelError
from verinet.program import Outcome, Programme, SolveOptions
from verinet.solve import Backend, Capability, backends


@pytest.fixture(params=backends(), ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Backend:
    chosen: Backend = request.param
    availability = chosen.probe()
    if not availability.usable:
        pytest.skip(availability.reason)
    if Capability.CONTINUOUS not in chosen.capabilities:
        monkeypatch.setattr(chosen, "solve", _skipping_continuous(chosen))
    return chosen


def _skipping_continuous(backend: Backend) -> Callable[[Programme, SolveOptions], Outcome]:
    """Return its `solve`, which skips a test once the backend has refused its continuous or unbounded variables."""
    solve = backend.solve

    def attempt(programme: Programme, options: SolveOptions) -> Outcome:
        try:
            return solve(programme, options)
        except UnsupportedModelError as error:
            if "multiples of a step" in str(error) or "finite bounds" in str(error):
                pytest.skip(str(error))
            raise

    return attempt
