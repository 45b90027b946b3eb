"""The command line of the suite."""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from tests.performance.verification.bench import Instance, bench_folders, read_bench, select
from tests.performance.verification.figures import Judgement
from tests.performance.verification.modes import Plan, compare, disagreements, peer_lines, run_all, scale
from tests.performance.verification.peers import read_peers, with_peers
from tests.performance.verification.report import Recorder
from tests.performance.verification.runs import Measurement, Version
from tests.performance.verification.widening import widened
from verinet.errors import InputError, VerinetError

__all__ = ["main"]

DONE, WRONG, BAD_INPUT, INTERRUPTED, NO_READER = 0, 1, 2, 130, 141


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.performance.verification",
        description="Measure the verifier on bench folders, every instance a process of its own.",
        epilog="Exit code: 0 no wrong verdict, 1 a wrong one, 2 unusable input.",
    )
    add = parser.add_argument
    add("--bench", nargs="+", action="extend", default=[], metavar="FOLDER", help="paths, or names in ../shared/bench")
    add("--select", action="append", default=[], metavar="TEXT", help="part of ' net property '; repeatable")
    add("--limit", type=_count, metavar="N", help="the first N instances only")
    add("--timeout", type=_seconds, metavar="S", help="seconds for each instance, in place of those listed")
    add("--widen", type=_factor, metavar="FACTOR", help="stretch every input's range, for longer searches")
    add("--engine", default="auto", help="as in verinet verify")
    add("--threads", type=_count, default=1, metavar="N")
    add("--no-falsify", action="store_true", help="no search for counterexamples before the proof")
    add("--repeat", type=_count, default=1, metavar="N", help="runs of each instance; pairs use medians")
    add("--out", type=Path, metavar="FILE", help="a .csv or .json of all runs, whole after every run")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--compare", type=Path, metavar="CHECKOUT", help="before: that checkout; after: this one")
    mode.add_argument("--scaling", type=_count, nargs="?", const=2, metavar="THREADS", help="default 2")
    mode.add_argument("--peers", action="store_true", help="the rows that other tools were measured on")
    return parser


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, found {text}")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, found {text}")
    return value


def _factor(text: str) -> Fraction:
    value = Fraction(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"expected a factor above 0, found {text}")
    return value


def _instances(options: argparse.Namespace, folder: Path) -> list[Instance]:
    found = [instance for folder in bench_folders(options.bench) for instance in read_bench(folder)]
    if options.peers:
        found = with_peers(found, read_peers())
        if not found:
            raise InputError("no instance of these bench folders stands in peers.csv; try --bench acasxu")
    chosen = select(found, options.select, options.limit)
    if options.widen is not None:
        chosen = [widened(one, options.widen, folder) for one in chosen]
    return chosen if options.timeout is None else [replace(one, limit=options.timeout) for one in chosen]


def _measure(options: argparse.Namespace, folder: Path) -> list[Measurement]:
    version = Version(engine=options.engine, threads=options.threads, falsify=not options.no_falsify)
    heading = "best peer" if options.peers else "best published"
    plan = Plan(_instances(options, folder), version, options.repeat, Recorder(options.out), heading)
    if options.compare is not None:
        return compare(plan, replace(version, folder=_checkout(options.compare)))
    if options.scaling is not None:
        return scale(plan, options.scaling)
    runs = run_all(plan)
    if options.peers:
        here = {(one.net, one.prop) for one in plan.instances}
        print("\n".join(peer_lines(runs, sum((row.net, row.prop) not in here for row in read_peers()))))
    return runs


def _checkout(folder: Path) -> Path:
    if not (folder / "verinet" / "__init__.py").is_file():
        raise InputError(f"--compare needs the folder of a checkout, which holds verinet/__init__.py; found {folder}")
    return folder.resolve()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            runs = _measure(options, Path(folder))
    except VerinetError as error:
        print(f"verification suite: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("verification suite: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left; the interpreter must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER
    wrong = any(run.judgement is Judgement.WRONG for run in runs) or disagreements(runs)
    return WRONG if wrong else DONE
