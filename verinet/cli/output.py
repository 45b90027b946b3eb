"""Where text goes: results to stdout, everything else to stderr."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Reporter", "result"]


def result(text: str) -> None:
    """Write a line of the result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Reporter:
    """Writes progress on stderr: one line that renews itself on a terminal, nothing elsewhere; and notices.

    Parameters
    ----------
    quiet : bool
        Write nothing at all.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty() and not quiet
        self._width = 0

    def __call__(self, sentence: str) -> None:
        """Show a sentence in place of the last one."""
        if not self._live:
            return
        text = sentence[:120]
        sys.stderr.write("\r" + text.ljust(self._width))
        sys.stderr.flush()
        self._width = len(text)

    def notice(self, sentence: str) -> None:
        """Write a sentence to stay, on a terminal or elsewhere."""
        if self._quiet:
            return
        self.clear()
        sys.stderr.write(f"verinet: {sentence}\n")
        sys.stderr.flush()

    def clear(self) -> None:
        """Wipe the line."""
        if self._live and self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()
            self._width = 0


@contextmanager
def progress(quiet: bool = False) -> Iterator[Reporter]:
    """Give a reporter and wipe its line at the end."""
    reporter = Reporter(quiet)
    try:
        yield reporter
    finally:
        reporter.clear()
