"""Kernels are compiled before tests begin, by two processes side by side: on a fresh checkout that takes a minute.

What the search over boxes needs of the phase engine's kernels, the other process compiles first: whoever comes later
finds them on disk. Where both compile the same, it only takes longer.
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from verinet.train.layered.compiled import KERNELS
from verinet.verify.cold_start import KERNEL_USERS, are_kernels_ready

__all__ = ["compile_all_kernels"]

BOXES = "branch"


def compile_all_kernels() -> None:
    """Compile every kernel that was not compiled before."""
    if all(map(are_kernels_ready, KERNEL_USERS)) and all(kernels.is_ready for kernels in KERNELS):
        return
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for half in [pool.submit(_boxes_and_training), pool.submit(_phases_and_cones)]:
            half.result()


def _boxes_and_training() -> None:
    _use(BOXES)
    for kernels in KERNELS:
        if not kernels.is_ready:
            kernels.compile()


def _phases_and_cones() -> None:
    for user in KERNEL_USERS:
        if user != BOXES:
            _use(user)


def _use(user: str) -> None:
    """Use kernels that are missing, without the lock under which one process would wait for the other."""
    if not are_kernels_ready(user):
        KERNEL_USERS[user].use()
