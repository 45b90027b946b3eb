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
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

__all__ = ["forget_old_kernels", "is_compiled", "jit", "kernel_folder"]

PACKAGE = Path(__file__).resolve().parents[1]

ROOMS = ("bounds", "verify")
"""Where kernels are written."""

PREFIX = "verinet-kernels-"

Function = TypeVar("Function", bound=Callable[..., Any])


def jit(function: Function) -> Function:
    """Compile a kernel: cached on disk, without the GIL; sums may be reordered and contracted, NaN and inf stay."""
    import numba
    from numba.core import config

    folder = kernel_folder()
    # Numba asks for the folder once, here; functions of other packages keep theirs.
    before, config.CACHE_DIR = config.CACHE_DIR, str(folder or "")
    try:
        decorator = numba.njit(
            cache=folder is not None, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"}
        )
        return cast(Function, decorator(function))
    finally:
        config.CACHE_DIR = before


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
    """Hash every source that kernels are written in, and the compiler's version."""
    digest = hashlib.sha256(importlib.metadata.version("numba").encode())
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
