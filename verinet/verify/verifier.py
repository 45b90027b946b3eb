"""The verifier: falsify, prove, cross-check; from a property or a query to a verdict."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

from verinet.bounds import InputSet, bound_network
from verinet.errors import InputError
from verinet.model import Affine, Domain, Monotone, Network, Property, Query, Reduction, Region, reduce_property
from verinet.solve import Z3Backend, get
from verinet.verify.cold_start import COMPILED_ENGINES, search_when_compiled
from verinet.verify.derivative import derivative_range
from verinet.verify.falsify import falsify, sample
from verinet.verify.finding import Finding, Outlook
from verinet.verify.milp import search_with_milp
from verinet.verify.options import Deadline, VerifyOptions
from verinet.verify.slopes import falling_pieces
from verinet.verify.smt import is_occupied, search_with_smt
from verinet.verify.verdict import Answer, Interrupted, Level, Verdict
from verinet.verify.witness import make_witness

__all__ = ["ENGINES", "verify_property", "verify_query"]

FALSIFIER_SHARE = 0.2
"""Part of the time limit that the falsifier may take before the proof begins."""

FALSIFIER_SECONDS = 10.0
"""And the most that it takes of a long one."""

MOST_MOVING_INPUTS = 12
"""Boxes halve one input at a time; beyond this many it is the ReLUs' turn."""

FEW_UNSTABLE = 16
"""A MILP with so few binaries takes a fraction of a second."""

FALSIFIER_ROUNDS = {"branch": 0}
"""Rounds of sampling before an engine starts, one if not named here; the branch engine goes on with them itself."""

WATCHFUL = frozenset({"phase"})
"""Engines that need no falsifier before them: theirs begins once cheap bounds have said where to look."""

SLOPES_SHARE, SLOPES_SECONDS = 0.5, 60.0
"""Part of the time limit for the slopes of a network's pieces, and the most that they take of a long one."""

MOST_UNSTABLE_FOR_Z3, MOST_PRODUCTS_FOR_Z3 = 60, 20_000
"""Unstable neurons, and products of one evaluation, beyond which Z3 decides nothing in some seconds."""

Engine = Callable[[Network, Region, VerifyOptions, Deadline], Finding]


def _smt_engine(network: Network, region: Region, options: VerifyOptions, deadline: Deadline) -> Finding:
    return search_with_smt(network, region, deadline)


ENGINES: Mapping[str, Engine] = {
    **{name: partial(search_when_compiled, name) for name in COMPILED_ENGINES},
    "milp": search_with_milp,
    "smt": _smt_engine,
}
"""The engines by name; ``auto`` chooses among them."""


@dataclass(frozen=True, eq=False)
class _Task:
    """One question with its options and its deadline.

    Parameters
    ----------
    network : Network
        The user's.
    reduction : Reduction
        The query and the way back.
    options : VerifyOptions
    deadline : Deadline
    started : float
    """

    network: Network
    reduction: Reduction
    options: VerifyOptions
    deadline: Deadline
    started: float

    @classmethod
    def start(cls, network: Network, reduction: Reduction, options: VerifyOptions) -> "_Task":
        if options.engine != "auto" and options.engine not in ENGINES:
            raise InputError(f"the engine must be one of auto, {', '.join(ENGINES)}, found {options.engine!r}")
        if options.solver != "auto":
            # An unknown name is a mistake even when no solver turns out to be needed.
            get(options.solver)
        now = time.monotonic()
        began = now if options.started is None else options.started
        # A region whose box is crossed holds no point; bounds over it would mean nothing.
        regions = tuple(r for r in reduction.query.regions if not r.domain.has_empty_box)
        live = replace(reduction, query=replace(reduction.query, regions=regions))
        return cls(network, live, options, Deadline(began + options.timeout), now)

    @property
    def searched(self) -> Network:
        """The query's network: the user's, or a product of copies."""
        return self.reduction.query.network

    @property
    def regions(self) -> tuple[Region, ...]:
        return self.reduction.query.regions

    def verdict(self, answer: Answer, engine: str, **details: object) -> Verdict:
        seconds = time.monotonic() - self.started
        return Verdict(answer, engine=engine, seconds=seconds, **details)  # type: ignore[arg-type]

    def violated(self, point: tuple[Fraction, ...], engine: str, evidence: tuple[str, ...]) -> Verdict:
        witness = make_witness(self.network, self.reduction, point, self.options.replay)
        return self.verdict(Answer.VIOLATED, engine, witness=witness, evidence=evidence)


def verify_property(network: Network, domain: Domain, prop: Property, options: VerifyOptions | None = None) -> Verdict:
    """Decide whether a property holds at every input of a domain.

    Parameters
    ----------
    network : Network
    domain : Domain
    prop : Property
    options : VerifyOptions or None

    Returns
    -------
    Verdict
        See `verify_query`. A monotone property whose derivatives all have the right sign is verified without search.

    Raises
    ------
    PropertyError
        If the property does not fit the network.
    """
    task = _Task.start(network, reduce_property(network, domain, prop), options or VerifyOptions())
    cheap_first = task.options.engine == "auto" and bool(task.regions)
    if isinstance(prop, Monotone) and cheap_first and _derivative_decides(network, domain, prop):
        sentence = "the derivative has the right sign on every linear piece, by rational interval arithmetic"
        return _confirmed(task, "derivative (auto: the cheap sufficient test first)", (sentence,), _unstable(task))
    if isinstance(prop, Monotone) and cheap_first:
        return _by_slopes(task, domain, prop) or _search(task)
    return _search(task)


def _by_slopes(task: _Task, domain: Domain, prop: Monotone) -> Verdict | None:
    """Decide a network of one hidden layer piece by piece; None for what that leaves open."""
    engine = "slopes (auto: one hidden layer, piece by piece)"
    within = task.deadline.within(min(SLOPES_SHARE * task.options.timeout, SLOPES_SECONDS))
    report = falling_pieces(task.network, domain, prop, within, enough=1)
    if report is None:
        return None
    if report.proves:
        sentence = f"every linear piece has the right slope, by {report.branches} branches on the phases of ReLUs"
        return _confirmed(task, engine, (sentence,), _unstable(task))
    for piece in report.pieces:
        first, second = piece.pair
        point = tuple(Fraction(float(v)) for v in (*first, second[piece.feature]))
        # Only where one input rises does the query's last entry stand for it.
        if len(prop.inputs) == 1 and task.reduction.query.violated_at(point):
            return task.violated(point, engine, ("the counterexample lies on a falling linear piece",))
    return None


def verify_query(network: Network, query: Query, options: VerifyOptions | None = None) -> Verdict:
    """Decide whether a query has a counterexample.

    Parameters
    ----------
    network : Network
        The user's network; that of the query.
    query : Query
    options : VerifyOptions or None

    Returns
    -------
    Verdict
        VIOLATED with a witness that exact evaluation confirms; VERIFIED at the level that its evidence supports;
        VACUOUS if every region is empty; UNKNOWN with the reason otherwise.

    Notes
    -----
    Soundness: VERIFIED is claimed only if an engine refuted every conjunction of every region; a limit, an error or an
    answer nearer to the threshold than the solver's tolerance leaves the region open, and the verdict UNKNOWN.
    """
    identity = Reduction(query, (tuple(range(network.size_in)),))
    return _search(_Task.start(network, identity, options or VerifyOptions()))


def _derivative_decides(network: Network, domain: Domain, prop: Monotone) -> bool:
    lower, upper = derivative_range(bound_network(network, InputSet.of(domain)), prop.output)
    moved = list(prop.inputs)
    # Each input of the pair may rise by itself, so each needs the sign: their sum says too little.
    return bool((lower[moved] >= 0).all() if prop.increasing else (upper[moved] <= 0).all())


def _unstable(task: _Task) -> int:
    return sum(bound_network(task.searched, InputSet.of(region.domain)).unstable for region in task.regions)


def _search(task: _Task) -> Verdict:
    """Falsify, then prove region by region; an interrupt says what was known by then."""
    try:
        return _searched(task)
    except Interrupted:
        raise
    except KeyboardInterrupt:
        raise Interrupted(task.verdict(Answer.UNKNOWN, "", reason="interrupted")) from None


def _searched(task: _Task) -> Verdict:
    if not task.regions:
        return task.verdict(Answer.VACUOUS, "none needed", evidence=("the input domain holds no point",))
    name, why = _chosen(task)
    engine = f"{name} ({why})"
    if task.options.falsify and name not in WATCHFUL:
        point = _falsified(task, FALSIFIER_ROUNDS.get(name, 1))
        if point is not None:
            return task.violated(point, "falsifier", ("the falsifier found the counterexample",))
    findings: list[Finding] = []
    for region in task.regions:
        finding = _examined(task, name, region)
        if finding.point is not None:
            return task.violated(finding.point, engine, finding.evidence)
        findings.append(finding)
        if finding.interrupted:
            raise Interrupted(_unknown(task, engine, findings))
    if any(f.outlook is Outlook.OPEN for f in findings):
        return _unknown(task, engine, findings)
    evidence = tuple(dict.fromkeys(sentence for f in findings for sentence in f.evidence))
    counts = [f.unstable for f in findings if f.unstable is not None]
    return _confirmed(task, engine, evidence, sum(counts) if len(counts) == len(findings) else None)


def _unknown(task: _Task, engine: str, findings: Sequence[Finding]) -> Verdict:
    """Say what is left open; a bound holds for all of it, or there is none."""
    left_open = [f for f in findings if f.outlook is Outlook.OPEN]
    worst = min(left_open, key=_bound)
    # A region that nobody looked at says less than one that is half done.
    telling = min((f for f in left_open if f.box is not None), key=_bound, default=worst)
    unseen = len(task.regions) - len(findings)
    return task.verdict(
        Answer.UNKNOWN,
        engine,
        reason=telling.reason,
        timed_out=any(f.timed_out for f in left_open),
        bound=None if unseen else worst.bound,
        box=telling.box,
    )


def _bound(finding: Finding) -> float:
    return -math.inf if finding.bound is None else finding.bound


def _chosen(task: _Task) -> tuple[str, str]:
    """Return the engine, and why: branching where few inputs move, a MILP where few neurons are open or many move."""
    if task.options.engine != "auto":
        return task.options.engine, "as requested"
    if len(task.reduction.copies) > 1:
        return "milp", "auto: a comparison of two inputs touches its threshold, which boxes cannot"
    moving = max(sum(low < high for low, high in zip(*r.domain.exact_box(), strict=True)) for r in task.regions)
    if moving > MOST_MOVING_INPUTS:
        if any(r.domain.integral for r in task.regions):
            return "milp", f"auto: {moving} inputs move, some in whole steps, which a MILP knows best"
        return "phase", f"auto: {moving} inputs move, so ReLUs are split"
    unstable = _unstable(task)
    if unstable <= FEW_UNSTABLE:
        return "milp", f"auto: {unstable} unstable neurons"
    return "branch", f"auto: {moving} inputs move and {unstable} neurons are unstable"


def _falsified(task: _Task, rounds: int) -> tuple[Fraction, ...] | None:
    task.options.on_progress("looking for a counterexample")
    within = task.deadline.within(min(FALSIFIER_SHARE * task.options.timeout, FALSIFIER_SECONDS))
    for region in task.regions:
        if within.passed:
            return None
        point = falsify(task.searched, region, within, task.options.seed, rounds)
        if point is not None:
            return point
    return None


def _examined(task: _Task, name: str, region: Region) -> Finding:
    """Let the engine decide a region, and Z3 where the engine's tolerance leaves it open."""
    if task.deadline.passed:
        return Finding(Outlook.OPEN, reason="the time limit was reached", timed_out=True)
    finding = ENGINES[name](task.searched, region, task.options, task.deadline)
    if (
        finding.outlook is Outlook.OPEN
        and not finding.cut_short
        and name != "smt"
        and _has_z3_a_chance(task, finding.unstable or 0)
    ):
        task.options.on_progress("too close for a floating-point solver: asking Z3")
        within = task.deadline.within(task.options.cross_check_seconds)
        exact = search_with_smt(task.searched, region, within)
        if exact.outlook is not Outlook.OPEN:
            # Its own `unstable` is None: Z3 alone decided this region, so asking it again would be no second opinion.
            return exact
    return finding


def _has_z3_a_chance(task: _Task, unstable: int) -> bool:
    """Return whether Z3 may decide a region within the seconds that it gets."""
    affine = [node.op for node in task.searched.nodes if isinstance(node.op, Affine)]
    products = sum(m.size_out * m.longest_row for op in affine for m in op.maps)
    is_small = products <= MOST_PRODUCTS_FOR_Z3 and unstable <= MOST_UNSTABLE_FOR_Z3
    return is_small and Z3Backend().is_installed()


def _occupied(task: _Task) -> bool | None:
    """Return whether some region holds a point: True and False are certain, None means that nobody knows."""
    domains = [region.domain for region in task.regions]
    if any(domain.is_box or sample(domain, task.options.seed) is not None for domain in domains):
        return True
    within = task.deadline.within(task.options.cross_check_seconds)
    answers = [is_occupied(domain, within) for domain in domains]
    if any(answers):
        return True
    return None if None in answers else False


def _confirmed(task: _Task, engine: str, evidence: tuple[str, ...], unstable: int | None) -> Verdict:
    """Turn a refutation of all regions into a verdict: check for emptiness, then ask a second engine.

    Parameters
    ----------
    unstable : int or None
        Open neurons of the search; None if no second engine is wanted.
    """
    occupied = _occupied(task)
    if occupied is None:
        reason = "no input that meets the conditions was found, and none is proved to exist or to be missing"
        return task.verdict(Answer.UNKNOWN, engine, reason=reason)
    if not occupied:
        return task.verdict(Answer.VACUOUS, engine, evidence=("the input domain holds no point",))
    verdict = task.verdict(Answer.VERIFIED, engine, level=Level.CLAIMED, evidence=evidence)
    if unstable is None or unstable > task.options.cross_check_neurons or not _has_z3_a_chance(task, unstable):
        return verdict
    task.options.on_progress("cross-checking with Z3")
    within = task.deadline.within(task.options.cross_check_seconds)
    for region in task.regions:
        finding = search_with_smt(task.searched, region, within)
        if finding.point is not None:
            sentence = "Z3 found a counterexample although the engine claimed that there is none"
            return task.violated(finding.point, engine, (sentence,))
        if finding.outlook is Outlook.OPEN:
            return task.verdict(
                Answer.VERIFIED,
                engine,
                level=Level.CLAIMED,
                evidence=(*evidence, f"no cross-check: {finding.reason}"),
            )
    agreed = (*evidence, "Z3 agrees, in rational arithmetic on the semantic form")
    return task.verdict(Answer.VERIFIED, engine, level=Level.CROSS_CHECKED, evidence=agreed)
