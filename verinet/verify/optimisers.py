"""The optimiser's engines: what is tried first, which one searches, and who settles what it leaves open."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from verinet.model import Conjunction, Region
from verinet.solve import Z3Backend
from verinet.verify.cold_start import are_kernels_ready
from verinet.verify.falsify import falsify
from verinet.verify.optimise_cone import fits_cones, optimise_with_cones
from verinet.verify.optimise_milp import optimise_with_milp
from verinet.verify.optimise_smt import optimise_with_smt
from verinet.verify.search import Engine, Report, Search

__all__ = ["OPTIMISERS", "examine"]

INTERRUPTED = "interrupted"


def _branch_engine(search: Search) -> Report:
    # The compiler behind the kernels takes a while to import; an easy question does not need it.
    from verinet.verify.optimise_branch import optimise_with_branching

    return optimise_with_branching(search)


OPTIMISERS: Mapping[str, Engine] = {
    "branch": _branch_engine,
    "cone": optimise_with_cones,
    "milp": optimise_with_milp,
    "smt": optimise_with_smt,
}
"""The engines by name; ``auto`` chooses among them."""

MOST_MOVING_INPUTS = 12
"""Boxes halve one input at a time; beyond this many a MILP is asked."""

MOST_BINARIES = 16
"""A MILP with so few open neurons takes a fraction of a second."""

FALSIFIER_SHARE, FALSIFIER_SECONDS = 0.1, 2.0
"""What the falsifier may take of the time to find a first point, as a share and in all."""

FEW_UNSTABLE = 40
"""Open neurons up to which Z3 is asked about what the solver's tolerance leaves open."""

CROSS_CHECK_SECONDS = 10.0
"""How long Z3 may take for that."""


def examine(search: Search) -> tuple[Report, str]:
    """Try what is cheap, then let an engine work; Ctrl-C keeps what was found. Also say what searched, and why."""
    engine = "none needed"
    try:
        if search.beaten:
            return Report(), engine
        if not search.is_finished:
            _first_points(search)
        if search.is_finished:
            return Report(evidence=("rounding-safe bounds decide",) if not search.beaten else ()), engine
        search.report()
        name, why = _chosen(search)
        engine = f"{name} ({why})"
        report = OPTIMISERS[name](search)
        if search.options.engine == "auto":
            if name == "branch" and _is_stuck(search, report):
                engine, tried = f"{engine}, then milp", report.evidence
                report = optimise_with_milp(search)
                report = replace(report, evidence=tried + report.evidence)
            report = _settled(search, report)
        return report, engine
    except KeyboardInterrupt:
        return Report(INTERRUPTED), engine


def _chosen(search: Search) -> tuple[str, str]:
    """Return the engine, and why: branching where few inputs move, a MILP where few neurons are open or many move."""
    if search.options.engine != "auto":
        return search.options.engine, "as requested"
    problem = search.problem
    cases = tuple(item.case for item in search.open_cases)
    if fits_cones(problem.network, problem.domain, cases) and are_kernels_ready("cones"):
        return "cone", "auto: one hidden layer over an L1 ball"
    moving = int(np.count_nonzero(problem.space.box[0] < problem.space.box[1]))
    unstable = problem.bounds.unstable
    if any(item.case.objective.changes for item in search.open_cases):
        return "milp", "auto: changes are counted"
    if moving > MOST_MOVING_INPUTS:
        return "milp", f"auto: {moving} inputs move"
    if unstable <= MOST_BINARIES:
        return "milp", f"auto: {unstable} unstable neurons"
    if not are_kernels_ready("branch"):
        return "milp", "auto: the search kernels are not compiled, `verinet doctor --warm` does it"
    return "branch", f"auto: {moving} inputs move and {unstable} neurons are unstable"


def _is_stuck(search: Search, report: Report) -> bool:
    """Return whether splitting boxes leads no further, although there is time."""
    return bool(report.reason) and report.reason != INTERRUPTED and not (search.is_finished or search.deadline.passed)


def _settled(search: Search, report: Report) -> Report:
    """Ask Z3 about a small problem that a solver's tolerance left open: sets that touch, or strict conditions."""
    small = search.problem.bounds.unstable <= FEW_UNSTABLE
    if report.reason or search.is_finished or not small or not Z3Backend.is_installed():
        return report
    own, within = search.deadline, search.deadline.within(CROSS_CHECK_SECONDS)
    search.deadline = within
    try:
        exact = optimise_with_smt(search)
    finally:
        search.deadline = own
    return Report(exact.reason, report.evidence + exact.evidence)


def _first_points(search: Search) -> None:
    """Look for a point to begin with: among samples, or by the falsifier where that fails."""
    search.try_samples()
    conjunctions: tuple[Conjunction, ...] = tuple(dict.fromkeys(item.case.conjunction for item in search.open_cases))
    if search.incumbent.point is None and () not in conjunctions:
        within = search.deadline.within(min(FALSIFIER_SECONDS, FALSIFIER_SHARE * search.options.timeout))
        region = Region(search.problem.domain, conjunctions)
        point = falsify(search.problem.network, region, within, search.options.seed, rounds=0)
        if point is not None:
            search.incumbent.offer(point)
