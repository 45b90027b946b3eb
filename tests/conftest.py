"""What every test runs under: how hypothesis draws, and where the optional benchmark folder lies."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

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


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile all kernels before workers begin: one that waits for another's compiler would look like a slow search."""
    if hasattr(session.config, "workerinput") or session.config.option.collectonly:
        return
    from verinet.train.layered.compiled import KERNELS
    from verinet.verify.cold_start import KERNEL_USERS, are_kernels_ready, compile_kernels

    for user in KERNEL_USERS:
        if not are_kernels_ready(user):
            compile_kernels(user)
    for kernels in KERNELS:
        if not kernels.is_ready:
            kernels.compile()
