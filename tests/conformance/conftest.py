"""Every test here runs on every backend that is installed and licensed."""

import pytest

from verinet.solve import Backend, backends


@pytest.fixture(params=backends(), ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest) -> Backend:
    chosen: Backend = request.param
    availability = chosen.probe()
    if not availability.usable:
        pytest.skip(availability.reason)
    return chosen
