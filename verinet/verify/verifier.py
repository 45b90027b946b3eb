"""The verifier: falsify, prove, cross-check; from a property or a query to a verdict."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, partial

from verinet.bounds import InputSet, bound_network
from verinet.errors import InputError
from verinet.model import Affine, Domain, Monotone, Network, Property, Query, Reduction, Region, reduce_property
from verinet.numeric import FloatArray
from verinet.solve import Z3Backend, get
from verinet.verify.atoms import refuted_at_once
from verinet.verify.cold_start import COMPILED_ENGINES, search_when_compiled
from verinet.verify.falsify import falsify, sample
from verinet.verify.finding import Finding, Outlook
from verinet.verify.milp import search_with_milp
from verinet.verify.monotone_copies import Copies
from verinet.verify.monotone_pieces import falling_pieces
from verinet.verify.options import Deadline, VerifyOptions
from verinet.verify.slopes import Sloped, SlopeSearch
from verinet.verify.smt import is_occupied, search_with_smt
from verinet.verify.verdict import Answer, Interrupted, Level, Verdict, Witness
from verinet.verify.witness import confirm, make_witness

__all__ = ["ENGINES", "verify_property", "verify_query"]

SLOPES_SHARE, SLOPES_SECONDS = 0.3, 20.0
"""Part of the time limit, and the most of a long one, in which derivatives may decide."""

PIECES_SHARE, PIECES_SECONDS = 0.5, 60.0
"""The same for the linear pieces of one hidden layer, which derivatives box by box left open."""

FALSIFIER_SHARE = 0.2
"""Part of the time limit that the falsifier may take before the proof begins."""

FALSIFIER_SECONDS = 10.0
"""And the most that it takes of a long one."""

MOST_MOVING_INPUTS = 12
"""Boxes halve one input at a time; beyond this many it is the ReLUs' turn."""

FEW_UNSTABLE = 16
"""A MILP with so few binaries takes a fraction of a second."""

BOXES_SHARE, BOXES_SECONDS = 0.2, 20.0
"""Part of the time, and the most of a long one, in which boxes are split before a solver is asked: boxes decide most
comparisons in a second, and never those that touch their threshold."""

FALSIFIER_ROUNDS = {"branch": 0}
"""Rounds of sampling before an engine starts, one if not named here; the branch engine goes on with them itself."""

WATCHFUL = frozenset({"phase"})
"""Engines that need no falsifier before them: theirs begins once cheap bounds have said where to look."""

MOST_UNSTABLE_FOR_Z3, MOST_PRODUCTS_FOR_Z3 = 60, 20_000
"""Unstable neurons, and products of one evaluation, beyond which Z3 decides nothing in some seconds."""

Engine = Callable[[Network, Region, VerifyOptions, Deadline], Finding]


def _smt_engine(network: Network, region: Region, options: VerifyOptions, deadline: Deadline) -> Finding:
    return search_with_smt(network, region, deadline)


def _boxes_then_milp(network: Network, region: Region, options: VerifyOptions, deadline: Deadline) -> Finding:
    """Split boxes for a while, then leave what touches its threshold to a solver."""
    share = deadline.within(min(BOXES_SHARE * deadline.left, BOXES_SECONDS))
    finding = ENGINES["branch"](network, region, options, share)
    if finding.outlook is not Outlook.OPEN or finding.interrupted or deadline.passed:
        return finding
    second = search_with_milp(network, region, options, deadline)
    # The bound of the boxes left holds as well as that of the solver.
    return finding if second.outlook is Outlook.OPEN and second.bound is None else second


ENGINES: Mapping[str, Engine] = {
    **{name: partial(search_when_compiled, name) for name in COMPILED_ENGINES},
    "milp": search_with_milp,
    "smt": _smt_engine,
}
"""The engines by name; ``auto`` chooses among them."""

_IN_TURN = "branch, then milp"
"""What ``auto`` may choose beside them."""


@dataclass(frozen=True)
class _Glance:
    """What bounds alone say of a region.

    Parameters
    ----------
    unstable : int
        Open neurons.
    refuted : Finding or None
    """

    unstable: int
    refuted: Finding | None

    @classmethod
    def at(cls, network: Network, region: Region) -> "_Glance":
        bounds = bound_network(network, InputSet.of(region.domain))
        return cls(bounds.unstable, refuted_at_once(bounds, region))


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
    is_comparison : bool
        Whether copies of a network, or several networks, are compared.
    """

    network: Network
    reduction: Reduction
    options: VerifyOptions
    deadline: Deadline
    started: float
    is_comparison: bool

    @classmethod
    def start(
        cls, network: Network, reduction: Reduction, options: VerifyOptions, is_comparison: bool = False
    ) -> "_Task":
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
        is_comparison = is_comparison or reduction.compares
        return cls(network, live, options, Deadline(began + options.timeout), now, is_comparison)

    @property
    def searched(self) -> Network:
        """The query's network: the user's, or a product of copies."""
        return self.reduction.query.network

    @property
    def regions(self) -> tuple[Region, ...]:
        return self.reduction.query.regions

    @cached_property
    def glances(self) -> tuple[_Glance, ...]:
        """What bounds say of each region; the bounds themselves are not kept, there may be thousands of regions."""
        return tuple(_Glance.at(self.searched, region) for region in self.regions)

    @property
    def unstable(self) -> int:
        """Open neurons of all regions together."""
        return sum(glance.unstable for glance in self.glances)

    def verdict(
        self,
        answer: Answer,
        engine: str,
        *,
        level: Level | None = None,
        witness: Witness | None = None,
        evidence: tuple[str, ...] = (),
        reason: str = "",
    ) -> Verdict:
        seconds = time.monotonic() - self.started
        return Verdict(answer, level, witness, engine=engine, evidence=evidence, reason=reason, seconds=seconds)

    def violated(self, point: tuple[Fraction, ...], engine: str, evidence: tuple[str, ...]) -> Verdict:
        witness = make_witness(self.network, self.reduction, point, self.options.replay)
        return self.verdict(Answer.VIOLATED, engine, witness=witness, evidence=evidence)


def verify_property(
    network: Network,
    domain: Domain,
    prop: Property,
    options: VerifyOptions | None = None,
    references: Mapping[str, Network] | None = None,
) -> Verdict:
    """Decide whether a property holds at every input of a domain.

    Parameters
    ----------
    network : Network
    domain : Domain
    prop : Property
    options : VerifyOptions or None
    references : Mapping or None
        Other networks that a property may compare with, by name.

    Returns
    -------
    Verdict
        See `verify_query`. A monotone or Lipschitz property is first put to the derivatives of the linear pieces.

    Raises
    ------
    PropertyError
        If the property does not fit the network.
    """
    task = _Task.start(network, reduce_property(network, domain, prop, references), options or VerifyOptions())
    searches = (SlopeSearch(network, domain, prop),) if isinstance(prop, Sloped) else ()
    return _search(task, _Slopes(searches, task.reduction))


def verify_query(
    network: Network,
    query: Query,
    options: VerifyOptions | None = None,
    *,
    is_comparison: bool = False,
    copies: Copies | None = None,
) -> Verdict:
    """Decide whether a query has a counterexample.

    Parameters
    ----------
    network : Network
        The user's network; that of the query.
    query : Query
    options : VerifyOptions or None
    is_comparison : bool
        Whether the network holds several that the query compares; it then suits other engines.
    copies : Copies or None
        Where it holds two copies of one network: what asks whether that is monotone is first put to its derivatives.

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
    task = _Task.start(network, identity, options or VerifyOptions(), is_comparison or copies is not None)
    if copies is None:
        return _search(task)
    questions = copies.questions(task.regions)
    searches = tuple(SlopeSearch(copies.network, domain, prop) for domain, prop in questions)
    return _search(task, _Slopes(searches, Reduction(query, (copies.first, copies.second))))


@dataclass(frozen=True, eq=False)
class _Slopes:
    """Questions about derivatives that together decide a comparison of two inputs.

    Parameters
    ----------
    searches : tuple of SlopeSearch
        Empty where derivatives decide nothing.
    pair : Reduction
        How the query holds the compared inputs.
    """

    searches: tuple[SlopeSearch, ...]
    pair: Reduction


def _by_slopes(task: _Task, slopes: _Slopes) -> Verdict | None:
    """Decide by derivatives, box by box and then piece by piece, what they can; None for the rest."""
    if task.options.engine != "auto" or not task.regions or not slopes.searches:
        return None
    return _by_boxes(task, slopes) or _by_pieces(task, slopes)


def _by_boxes(task: _Task, slopes: _Slopes) -> Verdict | None:
    """Decide by derivatives what they can decide: hold everywhere, or propose a counterexample."""
    engine = "derivative (auto: the cheap sufficient test first)"
    task.options.on_progress("bounding derivatives")
    within = task.deadline.within(min(SLOPES_SHARE * task.options.timeout, SLOPES_SECONDS))
    failed = next((search for search in slopes.searches if not search.holds(within)), None)
    if failed is None:
        boxes = sum(search.boxes for search in slopes.searches)
        sentence = f"the derivative is right on every linear piece, by rational interval arithmetic on {boxes} box(es)"
        # Of many boxes the whole says little about how hard the question is: no second engine is asked.
        return _confirmed(task, engine, (sentence,), task.unstable if boxes == len(slopes.searches) else None)
    sentence = "a linear piece with a wrong derivative led to the counterexample"
    return _confronted(task, failed.proposals(slopes.pair), engine, sentence)


def _by_pieces(task: _Task, slopes: _Slopes) -> Verdict | None:
    """Decide whether a network of one hidden layer is monotone, however narrow its pieces."""
    search = slopes.searches[0]
    if not isinstance(search.prop, Monotone) or len(slopes.searches) > 1:
        return None
    engine = "slopes (auto: one hidden layer, piece by piece)"
    within = task.deadline.within(min(PIECES_SHARE * task.options.timeout, PIECES_SECONDS))
    report = falling_pieces(search.network, search.domain, search.prop, within, enough=1)
    if report is None:
        return None
    if report.proves:
        sentence = f"every linear piece has the right slope, by {report.branches} branches on the phases of ReLUs"
        return _confirmed(task, engine, (sentence,), task.unstable)
    points = (p for piece in report.pieces for p in search.joined(slopes.pair, *map(_exact, piece.pair)))
    return _confronted(task, points, engine, "the counterexample lies on a falling linear piece")


def _exact(point: FloatArray) -> tuple[Fraction, ...]:
    return tuple(map(Fraction, point.tolist()))


def _confronted(task: _Task, points: Iterable[tuple[Fraction, ...]], engine: str, sentence: str) -> Verdict | None:
    """Report the first point that exact evaluation confirms."""
    for point in points:
        for region in task.regions:
            found = confirm(task.searched, region, point)
            if found is not None:
                return task.violated(found, engine, (sentence,))
    return None


def _search(task: _Task, slopes: _Slopes | None = None) -> Verdict:
    """Ask derivatives, falsify, then prove region by region; an interrupt says what was known by then."""
    try:
        by_slopes = None if slopes is None else _by_slopes(task, slopes)
        return _searched(task) if by_slopes is None else by_slopes
    except Interrupted:
        raise
    except KeyboardInterrupt:
        raise Interrupted(task.verdict(Answer.UNKNOWN, "", reason="interrupted")) from None


def _searched(task: _Task) -> Verdict:
    if not task.regions:
        return task.verdict(Answer.VACUOUS, "none needed", evidence=("the input domain holds no point",))
    name, why = _chosen(task)
    engine = f"{name} ({why})"
    if task.options.engine == "auto" and name not in WATCHFUL:
        refuted = [glance.refuted for glance in task.glances if glance.refuted is not None]
        if len(refuted) == len(task.regions):
            return _confirmed(task, engine, _evidence(refuted), task.unstable)
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
    counts = [f.unstable for f in findings if f.unstable is not None]
    unstable = sum(counts) if len(counts) == len(findings) else None
    return _confirmed(task, engine, _evidence(findings), unstable)


def _evidence(findings: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sentence for finding in findings for sentence in finding.evidence))


def _unknown(task: _Task, engine: str, findings: Sequence[Finding]) -> Verdict:
    """Say what is left open; a bound holds for all of it, or there is none."""
    left_open = [f for f in findings if f.outlook is Outlook.OPEN]
    worst = min(left_open, key=_bound)
    # A region that nobody looked at says less than one that is half done.
    telling = min((f for f in left_open if f.box is not None), key=_bound, default=worst)
    unseen = len(task.regions) - len(findings)
    return replace(
        task.verdict(Answer.UNKNOWN, engine, reason=telling.reason),
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
    if task.is_comparison:
        unstable = task.unstable
        if unstable <= FEW_UNSTABLE:
            return "milp", f"auto: a comparison with {unstable} unstable neurons"
        return _IN_TURN, "auto: a comparison, which may touch its threshold where boxes cannot tell"
    moving = max(sum(low < high for low, high in zip(*r.domain.exact_box(), strict=True)) for r in task.regions)
    if moving > MOST_MOVING_INPUTS:
        if any(r.domain.integral for r in task.regions):
            return "milp", f"auto: {moving} inputs move, some in whole steps, which a MILP knows best"
        return "phase", f"auto: {moving} inputs move, so ReLUs are split"
    unstable = task.unstable
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
    engine = _boxes_then_milp if name == _IN_TURN else ENGINES[name]
    finding = engine(task.searched, region, task.options, task.deadline)
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
