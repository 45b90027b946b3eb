"""Kernels are compiled before tests begin, by two processes side by side: on a fresh checkout that takes a minute.

One of them compiles the search over boxes. What that needs of the columns' kernels, the other compiles first, so that
neither waits: whoever comes later finds them on disk. Where both compile the same, it only takes longer.
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from verinet.train.layered.enumerators import ENUMERATORS, compile_enumerator
from verinet.verify.cold_start import KERNEL_USERS, are_kernels_ready

__all__ = ["compile_all_kernels"]

LONGEST_USER = "branch"


def compile_all_kernels() -> None:
    """Compile every kernel that was not compiled before."""
    missing = [user for user in KERNEL_USERS if not are_kernels_ready(user)]
    if not missing and all(enumerator.is_ready for enumerator in ENUMERATORS):
        return
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        parts = [
            pool.submit(_use, [user for user in missing if user == LONGEST_USER]),
            pool.submit(_use_rest, [user for user in missing if user != LONGEST_USER]),
        ]
        for part in parts:
            part.result()


def _use(users: list[str]) -> None:
    """Use kernels without the lock under which one process would wait for the other."""
    for user in users:
        KERNEL_USERS[user].use()


def _use_rest(users: list[str]) -> None:
    _use(users)
    for enumerator in ENUMERATORS:
        if not enumerator.is_ready:
            compile_enumerator(enumerator)
