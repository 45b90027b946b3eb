"""``python -m tests.performance.planted``: ask an engine about planted counterexamples and count its answers."""

import argparse
import itertools
import sys
from collections import Counter
from collections.abc import Sequence

from tests.quality.tents import FAMILIES, MARGINS, plant
from verinet.verify import Answer, VerifyOptions, verify_query
from verinet.verify.verifier import ENGINES

DONE, WRONG = 0, 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.performance.planted",
        description="Ask an engine, falsifier off, about networks with a planted counterexample.",
        epilog="Exit code: 0 nothing was verified, 1 something was: a wrong proof.",
    )
    add = parser.add_argument
    add("--long", type=int, default=1000, metavar="N", help="how many cases, over all families (default 1000)")
    add("--first", type=int, default=0, metavar="SEED", help="the first seed (default 0)")
    add("--timeout", type=float, default=2.0, metavar="S", help="seconds for each (default 2)")
    add("--engine", default="branch", choices=["auto", *ENGINES])
    add("--threads", type=int, default=1, metavar="N")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases, print a table and return the exit code."""
    options = _options(arguments)
    # Nothing but the engine: no falsifier before it, and no Z3 to correct it.
    asked = VerifyOptions(
        engine=options.engine,
        falsify=False,
        timeout=options.timeout,
        threads=options.threads,
        cross_check_neurons=0,
        cross_check_seconds=0.1,
    )
    counts: Counter[tuple[str, float, Answer]] = Counter()
    wrong = 0
    seeds = itertools.count(options.first)
    cases = itertools.islice(((family, seed) for seed in seeds for family in FAMILIES), options.long)
    for number, (family, seed) in enumerate(cases, start=1):
        planted = plant(family, seed)
        assert planted.query.violated_at(planted.point)
        verdict = verify_query(planted.query.network, planted.query, asked)
        counts[family, float(planted.margin), verdict.answer] += 1
        if verdict.answer not in (Answer.VIOLATED, Answer.UNKNOWN):
            wrong += 1
            print(f"WRONG: {family} seed {seed}: {verdict.answer.value}, {verdict.evidence}", flush=True)
        if number % 100 == 0:
            print(f"{number} of {options.long} asked, {wrong} wrong", file=sys.stderr, flush=True)
    print(f"{'family':<12} {'margin':>8} {'violated':>9} {'unknown':>8} {'wrong':>6}")
    for family, margin in itertools.product(FAMILIES, MARGINS):
        row = {answer: counts[family, float(margin), answer] for answer in Answer}
        false = sum(row.values()) - row[Answer.VIOLATED] - row[Answer.UNKNOWN]
        print(f"{family:<12} {float(margin):>8.0e} {row[Answer.VIOLATED]:>9} {row[Answer.UNKNOWN]:>8} {false:>6}")
    return WRONG if wrong else DONE


sys.exit(main())
