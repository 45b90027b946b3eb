"""What the suite can do with a list of instances: run them, compare two versions, scale with threads."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from tests.performance.verification.bench import Instance
from tests.performance.verification.figures import SOLVED, Judgement, geometric_mean, speedup, summarise
from tests.performance.verification.report import (
    Recorder,
    Table,
    names_of,
    plain,
    run_cells,
    run_table,
    seconds,
    summary_lines,
)
from tests.performance.verification.runs import Measurement, Version, run_side_by_side, warm_up

__all__ = ["Paired", "Plan", "compare", "disagreements", "peer_lines", "run_all", "scale"]

SCALING_GOAL = 0.85
"""Part of the throughput of as many single-thread runs side by side that one run with several threads should keep."""


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Parameters
    ----------
    instances : sequence of Instance
    version : Version
    repeats : int
    recorder : Recorder
    other : str
        Heading of the best other tool's column.
    """

    instances: Sequence[Instance]
    version: Version
    repeats: int
    recorder: Recorder
    other: str = "best published"


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


def run_all(plan: Plan) -> list[Measurement]:
    """Run every instance, print a line for each run, and a summary of each bench folder and of all."""
    warm_up(plan.version)
    table = run_table(plan.instances, plan.other)
    _say([table.header])
    runs: list[Measurement] = []
    for instance in plan.instances:
        for repeat in range(plan.repeats):
            runs += run_side_by_side([(instance, plan.version)], repeat)
            plan.recorder.write(runs)
            _say([table.line(run_cells(runs[-1])), *_complaint(runs[-1])])
    _say(_summaries(runs))
    return runs


def _complaint(run: Measurement) -> list[str]:
    return [f"    {run.reading.reason}"] if run.verdict == "error" else []


def _summaries(runs: Sequence[Measurement]) -> list[str]:
    benches = list(dict.fromkeys(run.instance.bench for run in runs))
    lines = [""]
    for bench in benches:
        lines += summary_lines(bench, summarise([run for run in runs if run.instance.bench == bench]))
    return lines + (summary_lines("all", summarise(runs)) if len(benches) > 1 else []) + _against_others(runs)


def _against_others(runs: Sequence[Measurement]) -> list[str]:
    both = [(run.wall, run.instance.other.seconds) for run in runs if run.judgement in SOLVED and run.instance.other]
    if not both:
        return []
    ours, others = (sum(times) for times in zip(*both, strict=True))
    return [f"  solved, with times of others: {len(both)}; wall s {ours:.2f}, each row's best other tool {others:.2f}"]


def peer_lines(runs: Sequence[Measurement], absent: int) -> list[str]:
    """Set our sums beside the sum of each row's best peer.

    Parameters
    ----------
    runs : sequence of Measurement
        Of instances whose `other` is the best peer.
    absent : int
        Rows of the table that were not run.
    """
    times = [(run, run.instance.other.seconds) for run in runs if run.instance.other is not None]
    alone = [run for run in runs if run.instance.other is None]
    lines = ["", f"runs of rows of the table: {len(runs)}; rows left out, not here or not selected: {absent}"]
    if times:
        solve, wall = sum(run.solve or run.wall for run, _ in times), sum(run.wall for run, _ in times)
        best = sum(other for _, other in times)
        unsolved = sum(run.judgement not in SOLVED for run, _ in times)
        lines += [
            f"on rows that a peer solved: {len(times)}; not solved by us: {unsolved} (counted as long as they ran)",
            f"  sum of each row's best peer, wall s: {best:.2f}",
            f"  ours, wall s:  {wall:.2f}, {wall / best:.1%} of it",
            f"  ours, solve s: {solve:.2f}, {solve / best:.1%} of it",
        ]
    lines += [
        f"no peer solved {run.instance.name}: we say {run.verdict} after {run.wall:.2f} s of wall time" for run in alone
    ]
    return lines


@dataclass(frozen=True)
class Paired:
    """Both versions' runs of one instance."""

    before: Sequence[Measurement]
    after: Sequence[Measurement]

    @property
    def decided(self) -> bool:
        """Whether every run decided and none is known to be wrong."""
        return all(run.judgement in SOLVED for run in (*self.before, *self.after))

    @property
    def solve(self) -> tuple[float, float]:
        """Median seconds before and after; what has no clock of its own counts by wall time."""
        return median(run.solve or run.wall for run in self.before), median(run.solve or run.wall for run in self.after)

    @property
    def wall(self) -> tuple[float, float]:
        return median(run.wall for run in self.before), median(run.wall for run in self.after)


def compare(plan: Plan, before: Version) -> list[Measurement]:
    """Run every instance with two versions in turn, and print pairs of medians with their ratios."""
    same = before.folder.resolve() == plan.version.folder.resolve()
    versions = replace(before, label="before"), replace(plan.version, label="after")
    for version in versions[: 1 if same else 2]:
        warm_up(version)
    what = "control: the same version against itself" if same else "before: the other checkout; after: this one"
    _say([f"{what}; ratio: seconds before / seconds after, above 1 is faster"])
    times = [("before", 8), ("after", 8), ("ratio", 7)]
    words = [("before", -9), ("after", -9)]
    table = Table(
        (*names_of(plan.instances), *words, *_titled("solve", times), *_titled("wall", times), *BOXES_COLUMNS)
    )
    _say([table.header])
    runs: list[Measurement] = []
    pairs: list[Paired] = []
    for number, instance in enumerate(plan.instances):
        own: list[Measurement] = []
        for repeat in range(plan.repeats):
            # Who goes first alternates, so that a machine that warms up or fills up favours neither.
            for version in versions if (number + repeat) % 2 == 0 else versions[::-1]:
                own += run_side_by_side([(instance, version)], repeat)
                plan.recorder.write([*runs, *own])
        runs += own
        pairs.append(Paired(*([run for run in own if run.version.label == version.label] for version in versions)))
        _say([table.line(_pair_cells(pairs[-1])), *(line for run in own for line in _complaint(run))])
    _say(_pair_summary(pairs))
    return runs


BOXES_COLUMNS = (("boxes before", 12), ("after", 10))


def _titled(kind: str, columns: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    (first, width), *rest = columns
    return [(f"{kind} {first}", width + len(kind) + 1), *rest]


def _pair_cells(pair: Paired) -> list[str]:
    first, last = pair.before[0], pair.after[0]
    cells = [first.instance.net, first.instance.prop, _verdicts(pair.before), _verdicts(pair.after)]
    for before, after in (pair.solve, pair.wall):
        cells += [seconds(before), seconds(after), f"{speedup(before, after):.2f}x" if pair.decided else "-"]
    return [*cells, plain(first.boxes), plain(last.boxes)]


def _verdicts(runs: Sequence[Measurement]) -> str:
    wrong = any(run.judgement is Judgement.WRONG for run in runs)
    words = "/".join(dict.fromkeys(run.verdict for run in runs))
    return f"{words}!" if wrong else words


def _pair_summary(pairs: Sequence[Paired]) -> list[str]:
    decided = [pair for pair in pairs if pair.decided]
    lines = ["", f"decided by all runs of both: {len(decided)} of {len(pairs)}; the others are in no figure below"]
    for kind, times in (("solve", [pair.solve for pair in decided]), ("wall", [pair.wall for pair in decided])):
        ratios = [speedup(before, after) for before, after in times]
        if ratios:
            sums = [sum(side) for side in zip(*times, strict=True)]
            lines.append(
                f"  {kind:<5} s: sum {sums[0]:.2f} -> {sums[1]:.2f} ({speedup(*sums):.2f}x), geometric mean "
                f"{geometric_mean(ratios):.3f}x, range {min(ratios):.2f}x to {max(ratios):.2f}x"
            )
    for label, runs in (
        ("before", [run for pair in pairs for run in pair.before]),
        ("after", [run for pair in pairs for run in pair.after]),
    ):
        lines += summary_lines(label, summarise(runs))
    return lines + [f"WRONG: {name} was answered both sat and unsat" for name in disagreements(runs_of(pairs))]


def runs_of(pairs: Iterable[Paired]) -> list[Measurement]:
    return [run for pair in pairs for run in (*pair.before, *pair.after)]


def disagreements(runs: Iterable[Measurement]) -> list[str]:
    """Name the instances that runs answered both ``sat`` and ``unsat``: one of the two is wrong, whatever is known."""
    answers: dict[Instance, set[str]] = {}
    for run in runs:
        answers.setdefault(run.instance, set()).add(run.verdict)
    return [instance.name for instance, words in answers.items() if {"sat", "unsat"} <= words]


def scale(plan: Plan, threads: int) -> list[Measurement]:
    """Set one run with several threads against as many runs with one thread at the same time."""
    one = replace(plan.version, label="side by side", threads=1, falsify=False)
    many = replace(one, label=f"{threads} threads", threads=threads)
    warm_up(one)
    _say([f"boxes a second: one run with {threads} threads, and {threads} runs with one thread side by side"])
    words = [(f"{threads} threads", -10), ("boxes/s", 10), ("side by side", -12), ("boxes/s", 10), ("ratio", 7)]
    table = Table((*names_of(plan.instances), *words))
    _say([table.header])
    runs: list[Measurement] = []
    ratios = []
    for instance in plan.instances:
        alone: list[Measurement] = []
        beside: list[list[Measurement]] = []
        for repeat in range(plan.repeats):
            alone += run_side_by_side([(instance, many)], repeat)
            beside.append(run_side_by_side([(instance, one)] * threads, repeat))
            runs += [alone[-1], *beside[-1]]
            plan.recorder.write(runs)
        rates = throughput([run.rate for run in alone]), throughput([_total(group) for group in beside])
        ratio = rates[0] / rates[1] if rates[0] and rates[1] else None
        ratios += [] if ratio is None else [ratio]
        together = [run for group in beside for run in group]
        cells = [_verdicts(alone), plain(rates[0]), _verdicts(together), plain(rates[1]), plain(ratio, ".1%")]
        complaints = [line for run in (*alone, *together) for line in _complaint(run)]
        _say([table.line([instance.net, instance.prop, *cells]), *complaints])
    _say(_scaling_summary(ratios, len(plan.instances)))
    return runs


def throughput(rates: Sequence[float | None]) -> float | None:
    """Return the median of rates, none if any is unknown."""
    known = [rate for rate in rates if rate is not None]
    return median(known) if len(known) == len(rates) else None


def _total(group: Sequence[Measurement]) -> float | None:
    rates = [run.rate for run in group if run.rate is not None]
    return sum(rates) if len(rates) == len(group) else None


def _scaling_summary(ratios: Sequence[float], instances: int) -> list[str]:
    mean = geometric_mean(ratios)
    if mean is None:
        return [
            "",
            "no run said how many boxes it looked at; choose --engine branch and an instance that needs a search",
        ]
    met = "met" if mean >= SCALING_GOAL else "missed"
    return [
        "",
        f"geometric mean over {len(ratios)} of {instances}: {mean:.1%}; the goal of {SCALING_GOAL:.0%} is {met}",
    ]
