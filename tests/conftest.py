"""What every test runs under: how hypothesis draws, and where the optional benchmark folder lies."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.kernels import compile_all_kernels
from verinet.verify.cold_start import KERNEL_USERS

settings.register_profile("default", max_examples=60, deadline=None)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The benchmark folder beside the repository; a test that needs it is skipped where it is absent."""
    folder = Path(__file__).resolve().parents[1].parent / "shared"
    if not folder.is_dir():
        pytest.skip("../shared is absent")
    return folder


@pytest.fixture(scope="session")
def _branch_kernels() -> None:
    """Load the kernels of the branch engine before any clock starts."""
    KERNEL_USERS["branch"].use()


@pytest.fixture(scope="session")
def _phase_kernels() -> None:
    """Load the kernels of the phase engine before any clock starts."""
    KERNEL_USERS["phase"].use()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile all kernels before workers begin: one that waits for another's compiler would look like a slow search."""
    if hasattr(session.config, "workerinput") or session.config.option.collectonly:
        return
    compile_all_kernels()
