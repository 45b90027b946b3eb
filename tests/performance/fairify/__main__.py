"""``python -m tests.performance.fairify``: ranges and thresholds of the Fairify networks, and whether engines agree."""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.performance.fairify.questions import EXPRESSIONS, FOLDER, MARGIN, NAMES, Model, exceeding, read_model
from verinet.model import LinearExpression
from verinet.verify import (
    Answer,
    OptimiseOptions,
    Optimum,
    OptimumStatus,
    OutputRange,
    VerifyOptions,
    output_range,
    verify_query,
)

DONE, WRONG, BAD_INPUT = 0, 1, 2


@dataclass(frozen=True)
class Asked:
    """An engine's answer to whether a threshold is reached.

    Parameters
    ----------
    text : str
    is_wrong : bool
    """

    text: str
    is_wrong: bool


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.performance.fairify",
        description="Ask for the ranges of the Fairify networks over their whole integer domains.",
        epilog="Exit code: 0 no wrong answer, 1 some, 2 the bench folder is absent.",
    )
    add = parser.add_argument
    add("--nets", nargs="+", default=list(NAMES), choices=NAMES, metavar="NAME", help="GC-1 to GC-5, BM-1 to BM-8")
    add("--timeout", type=float, default=15.0, metavar="S", help="seconds for each end and each threshold (default 15)")
    add("--engines", nargs="+", default=["auto", "phase"], help="that are asked about thresholds (default auto phase)")
    add("--threads", type=int, default=1, metavar="N")
    return parser.parse_args(arguments)


def _end(optimum: Optimum) -> str:
    value = "no point" if optimum.value is None else f"{float(optimum.value):.6g}"
    is_closed = optimum.status is OptimumStatus.OPTIMAL
    return f"{value} in {optimum.seconds:.1f} s" if is_closed else f"{value} (bound {optimum.bound:.6g}) open"


def _asked(model: Model, expression: LinearExpression, found: OutputRange, options: VerifyOptions) -> Iterator[Asked]:
    """Ask about thresholds a little above and a little below the greatest value."""
    greatest, least = found.maximum.value, found.minimum.value
    if greatest is None or least is None:
        return
    step = MARGIN * (greatest - least)
    # Of an open range nobody knows whether the network goes higher.
    above = Answer.VIOLATED if found.maximum.status is OptimumStatus.OPTIMAL else None
    for threshold, never in ((greatest + step, above), (greatest - step, Answer.VERIFIED)):
        query = exceeding(model, expression, threshold)
        started = time.monotonic()
        verdict = verify_query(query.network, query, options)
        yield Asked(f"{verdict.answer.value} {time.monotonic() - started:.1f} s", verdict.answer is never)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the questions, print a line for each and return the exit code."""
    options = _options(arguments)
    if not FOLDER.is_dir():
        print(f"fairify: there is no folder {FOLDER}", file=sys.stderr)
        return BAD_INPUT
    wrong = 0
    for name in options.nets:
        model = read_model(name)
        for title, expression in EXPRESSIONS.items():
            search = OptimiseOptions(timeout=options.timeout, threads=options.threads)
            found = output_range(model.network, model.domain, expression, search)
            print(f"{name} {title}: least {_end(found.minimum)}, greatest {_end(found.maximum)}", flush=True)
            for engine in options.engines:
                asked = VerifyOptions(engine=engine, timeout=options.timeout, threads=options.threads)
                answers = list(_asked(model, expression, found, asked))
                wrong += sum(answer.is_wrong for answer in answers)
                words = "; below ".join(answer.text for answer in answers)
                print(f"    {engine}: 2 % above {words}", flush=True)
    print(f"{wrong} wrong")
    return WRONG if wrong else DONE


if __name__ == "__main__":
    sys.exit(main())
