"""The command line of the suite."""

import argparse
import sys
from collections.abc import Sequence

from tests.performance.training_any_width import monotone, paths, suite
from verinet.errors import VerinetError

__all__ = ["main"]

DONE, BROKEN, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.performance.training_any_width",
        description="Measure any-width training; 'monotone' prints the monotone tables, 'path' draws a path instead.",
        epilog="Exit code: 0 done, 1 a network that is not monotone, 2 unusable input.",
    )
    suite.add_options(parser)
    modes = parser.add_subparsers(dest="mode", metavar="monotone | path")
    monotone.add_options(modes.add_parser("monotone", help="certified monotone networks beside the published ones"))
    paths.add_options(modes.add_parser("path", help="a regularisation path of the first selected row, as a picture"))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.mode == "monotone":
            return DONE if monotone.print_tables(options) else BROKEN
        if options.mode == "path":
            paths.draw(options)
            return DONE
        suite.print_table(options)
        return DONE
    except VerinetError as error:
        print(f"any-width training suite: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("any-width training suite: interrupted", file=sys.stderr)
        return INTERRUPTED
