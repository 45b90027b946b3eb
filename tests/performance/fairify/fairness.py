"""``python -m tests.performance.fairify.fairness``: fairness over whole integer domains, beside a published table."""

import argparse
import csv
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from tests.performance.fairify.questions import FOLDER, Model, fair_question, fair_questions
from verinet.model import Fair, evaluate, evaluate_exact
from verinet.verify import Answer, Verdict, VerifyOptions, verify_property

DONE, WRONG, BAD_INPUT = 0, 1, 2

WORDS = {"SAT": "unfair", "UNSAT": "fair", "UNK": "unknown"}
"""How the published table spells its verdicts, in ours."""

SAMPLES = 20_000
"""Pairs that say how far a band must at least reach."""

FACTORS = (Fraction(4), Fraction(2), Fraction(3, 2))
"""Bands that are asked about, as multiples of the largest change among the sampled pairs."""


@dataclass(frozen=True)
class Line:
    """A row of the table.

    Parameters
    ----------
    net, attribute : str
    ours : str
    seconds : float
    engine : str
    published : str
    coverage : str
    is_wrong : bool
    """

    net: str
    attribute: str
    ours: str
    seconds: float
    engine: str
    published: str
    coverage: str
    is_wrong: bool

    def __str__(self) -> str:
        left = f"{self.net:<6} {self.attribute:<4} {self.ours:<8} {self.seconds:6.2f} s  {self.engine:<12}"
        return f"{left} {self.published:<8} {self.coverage:>6} %{'  WRONG' if self.is_wrong else ''}"


HEADER = f"{'net':<6} {'of':<4} {'ours':<8} {'time':>8}  {'by':<12} {'theirs':<8} covered"


def _published() -> Mapping[tuple[str, str], Mapping[str, str]]:
    with (FOLDER / "published.csv").open(encoding="utf-8", newline="") as file:
        return {(row["model"], row["attribute"]): row for row in csv.DictReader(file)}


def _discriminates(model: Model, verdict: Verdict) -> bool:
    """Return whether the witness meets the published definition: logits on both sides of zero, one attribute apart."""
    assert verdict.witness is not None
    first, second = verdict.witness.points
    logits = [evaluate_exact(model.network, point.inputs)[0] for point in (first, second)]
    apart = [i for i, (a, b) in enumerate(zip(first.inputs, second.inputs, strict=True)) if a != b]
    inside = all(model.domain.contains(point.inputs) for point in (first, second))
    return inside and len(apart) == 1 and min(logits) < 0 < max(logits)


def _judged(name: str, attribute: str, row: Mapping[str, str], options: VerifyOptions) -> Line:
    model, prop = fair_question(name, attribute)
    started = time.monotonic()
    verdict = verify_property(model.network, model.domain, prop, options)
    seconds = time.monotonic() - started
    ours = {Answer.VIOLATED: "unfair", Answer.VERIFIED: "fair"}.get(verdict.answer, "unknown")
    theirs = WORDS[row["verdict"]]
    contradicts = {ours, theirs} == {"fair", "unfair"}
    is_wrong = contradicts or (ours == "unfair" and not _discriminates(model, verdict))
    engine = verdict.engine.split(" (")[0]
    return Line(name, attribute, ours, seconds, engine, theirs, row["coverage_percent"], is_wrong)


def _largest_change(model: Model, prop: Fair) -> float:
    """Return the largest change of the score among sampled pairs."""
    rng = np.random.default_rng(0)
    lower, upper = model.domain.box()
    x = np.round(rng.uniform(lower, upper, size=(SAMPLES, len(lower))))
    (protected,) = prop.protected
    one, other = x.copy(), x.copy()
    one[:, protected], other[:, protected] = lower[protected], upper[protected]
    return float(np.abs(evaluate(model.network, one) - evaluate(model.network, other)).max())


def _bands(name: str, attribute: str, options: Sequence[VerifyOptions]) -> Iterator[str]:
    """Ask engines by how much the attribute may change the score."""
    model, prop = fair_question(name, attribute)
    change = _largest_change(model, prop)
    for factor in FACTORS:
        band = Fraction(f"{change * float(factor):.6g}")
        words = []
        for asked in options:
            started = time.monotonic()
            verdict = verify_property(model.network, model.domain, Fair(prop.name, prop.protected, (), band), asked)
            words.append(f"{asked.engine} {verdict.answer.value} {time.monotonic() - started:.1f} s")
        yield f"{name:<6} {attribute:<4} within {float(band):<9.6g} {'; '.join(words)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.performance.fairify.fairness",
        description="Ask whether a protected attribute can change the class, over whole integer domains.",
        epilog="Exit code: 0 no wrong answer, 1 some, 2 the bench folder is absent.",
    )
    parser.add_argument("--nets", nargs="+", metavar="NAME", help="GC-1 to GC-5, BM-1 to BM-8; default all")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="S", help="for each question (default 60)")
    parser.add_argument("--threads", type=int, default=2, metavar="N")
    parser.add_argument("--bands", nargs="+", metavar="ENGINE", help="ask these how much the score may change, instead")
    given = parser.parse_args(arguments)
    if not FOLDER.is_dir():
        print(f"fairify: there is no folder {FOLDER}", file=sys.stderr)
        return BAD_INPUT
    questions = [(name, attribute) for name, attribute in fair_questions() if given.nets is None or name in given.nets]
    if given.bands:
        asked = [
            VerifyOptions(engine=engine, timeout=given.timeout, threads=given.threads, falsify=False)
            for engine in given.bands
        ]
        for name, attribute in questions:
            for line in _bands(name, attribute, asked):
                print(line, flush=True)
        return DONE
    published, lines = _published(), []
    print(HEADER)
    for name, attribute in questions:
        options = VerifyOptions(timeout=given.timeout, threads=given.threads)
        lines.append(_judged(name, attribute, published[name, attribute], options))
        print(lines[-1], flush=True)
    decided = sum(line.ours != "unknown" for line in lines)
    theirs = sum(line.published != "unknown" for line in lines)
    wrong = sum(line.is_wrong for line in lines)
    print(f"{decided} of {len(lines)} decided, {theirs} in the published table; {wrong} wrong")
    return WRONG if wrong else DONE


if __name__ == "__main__":
    sys.exit(main())
