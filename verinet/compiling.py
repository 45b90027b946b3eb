"""How kernels are compiled, and where compiled kernels are kept.

Numba notices that a function's own file has changed, but not that a file of a function it calls has. So compiled
kernels are kept in a folder whose name holds a hash of all sources with kernels: after any change it is a new one.
"""

import hashlib
import importlib.metadata
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

__all__ = ["compiling_alone", "forget_old_kernels", "is_compiled", "jit", "kernel_folder"]

SOURCE = Path(__file__).resolve()
PACKAGE = SOURCE.parent

ROOMS = ("bounds", "train/layered", "verify")
"""Where kernels are written."""

PREFIX = "verinet-kernels-"

LOCK = "compiling.lock"
"""In the folder of the kernels: whoever compiles holds it."""

Function = TypeVar("Function", bound=Callable[..., Any])


def jit(function: Function) -> Function:
    """Compile a kernel: cached on disk, without the GIL; sums may be reordered and contracted, NaN and inf stay.

    Kernels whose names begin with an underscore are for other kernels only; Python cannot call them. A tape and its
    buffers are some sixty arrays, and code that hands them over from Python or C would be a third of all that is
    compiled.
    """
    import numba
    from numba.core import config

    folder = kernel_folder()
    # Numba asks for the folder once, here; functions of other packages keep theirs.
    before, config.CACHE_DIR = config.CACHE_DIR, str(folder or "")
    try:
        decorator = numba.njit(
            cache=folder is not None,
            nogil=True,
            error_model="numpy",
            fastmath={"reassoc", "contract"},
            no_cfunc_wrapper=True,
            no_cpython_wrapper=function.__name__.startswith("_"),
        )
        return cast(Function, _with_one_version(decorator(function)))
    finally:
        config.CACHE_DIR = before


def _with_one_version(kernel: Any) -> Any:
    """Let constants that other kernels pass count as what they are types of: each would get a version of its own."""
    from numba.core.types.misc import unliteral

    template = kernel.get_call_template

    def get_call_template(arguments: Any, keywords: Any) -> Any:
        return template([unliteral(a) for a in arguments], {name: unliteral(a) for name, a in keywords.items()})

    kernel.get_call_template = get_call_template
    return kernel


@cache
def kernel_folder() -> Path | None:
    """Return the folder of the compiled kernels, made and writable, or None if no place for it can be written.

    The first that can be written of: ``NUMBA_CACHE_DIR`` where it is set, the package's own ``__pycache__``, the user's
    folder of caches.
    """
    for place in _places():
        folder = place / (PREFIX + _version())
        if _is_writable(folder):
            return folder
    return None


def _places() -> Iterator[Path]:
    if os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(os.environ["NUMBA_CACHE_DIR"]).absolute()
    yield Path(__file__).resolve().parent / "__pycache__"
    own = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    # Nobody's home cannot be expanded; the folder must not end up wherever the command was started.
    if os.path.isabs(own):
        yield Path(own)


def _version() -> str:
    """Hash every source that kernels are written in, this one with its options, and the compiler's version."""
    digest = hashlib.sha256(importlib.metadata.version("numba").encode() + SOURCE.read_bytes())
    for room in ROOMS:
        for path in sorted((PACKAGE / room).glob("*.py")):
            source = path.read_bytes()
            if b"\n@jit" in source:
                digest.update(path.name.encode() + b"\0" + source)
    return digest.hexdigest()[:16]


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Numba tries it in the same way: permissions alone do not tell on every file system.
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def is_compiled(name: str) -> bool:
    """Return whether a kernel of that name has been compiled by this version of everything."""
    folder = kernel_folder()
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    return folder is not None and any(folder.glob(f"*/*.{name}-*.{python}.*.nbc"))


@contextmanager
def compiling_alone() -> Iterator[None]:
    """Wait until no other process compiles into the folder; the next one finds what this one leaves there.

    The system takes the lock from a process that ends, however it ends. Where there are no such locks, two may compile
    the same, which only takes longer.
    """
    folder = kernel_folder()
    if folder is None:
        yield
        return
    with open(folder / LOCK, "ab") as file:
        _lock(file.fileno())
        yield


def _lock(descriptor: int) -> None:
    """Wait for the lock on an open file, which holds until that is closed."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except (ImportError, OSError):
        # Another system than Unix, or a network's file system.
        return


def forget_old_kernels() -> int:
    """Delete compiled kernels of other versions beside those of this one; return how many folders."""
    folder = kernel_folder()
    if folder is None:
        return 0
    old = [other for other in folder.parent.glob(PREFIX + "*") if other != folder]
    for other in old:
        _delete(other)
    return len(old)


def _delete(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
