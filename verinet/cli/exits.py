"""Exit codes, and how every error becomes one sentence."""

import os
import sys
import traceback
from collections.abc import Callable
from enum import IntEnum

from verinet.errors import VerinetError

__all__ = ["Exit", "guarded"]

TRACEBACK_VARIABLE = "VERINET_TRACEBACK"
"""Set it to see where an error came from."""


class Exit(IntEnum):
    """What the command line returns; a contract."""

    DONE = 0
    VIOLATED = 1
    BAD_INPUT = 2
    UNKNOWN = 3
    INTERNAL_ERROR = 4
    INTERRUPTED = 130
    NO_READER = 141


def guarded(run: Callable[[], Exit]) -> Exit:
    """Run a command; print one sentence on stderr for an error, and return the exit code."""
    try:
        return run()
    except VerinetError as error:
        _complain(str(error))
        return Exit.BAD_INPUT
    except KeyboardInterrupt:
        _complain("interrupted")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left; the interpreter must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.NO_READER
    except MemoryError:
        _complain("the machine's memory is exhausted; use a smaller network or a tighter domain")
        return Exit.INTERNAL_ERROR
    except Exception as error:
        _complain(
            f"internal error ({type(error).__name__}: {error}); please report it with the command and its files, and "
            f"set {TRACEBACK_VARIABLE}=1 to see where it comes from"
        )
        return Exit.INTERNAL_ERROR


def _complain(sentence: str) -> None:
    if os.environ.get(TRACEBACK_VARIABLE):
        traceback.print_exc(file=sys.stderr)
    sys.stderr.write(f"verinet: {' '.join(sentence.split())}\n")
