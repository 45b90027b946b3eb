"""Questions about small networks, asked of one engine alone."""

from fractions import Fraction
from itertools import pairwise

import numpy as np

from verinet.model import Atom, Domain, LinearExpression, Network, Query, Region, Side, Symbol, dense_network, evaluate
from verinet.verify import Answer, Deadline, Finding, Outlook, VerifyOptions, verify_query
from verinet.verify.branch import search_with_branching
from verinet.verify.phase import search_with_phases

TYPED_SEEDS = 10_000

BRANCH_PATIENCE = 1.0
"""Seconds for one small query: it is decided in milliseconds, or its threshold is touched and it never is."""

PHASE_PATIENCE = 2.0
"""Seconds for one small query: it is decided in milliseconds."""


def y(index: int = 0) -> LinearExpression:
    return LinearExpression.from_terms([(Symbol(Side.OUTPUT, index), Fraction(1))])


def x(index: int = 0) -> LinearExpression:
    return LinearExpression.from_terms([(Symbol(Side.INPUT, index), Fraction(1))])


def constant(value: Fraction | float | str) -> LinearExpression:
    return LinearExpression((), Fraction(value))


def one(network: Network, domain: Domain, *conjunctions: tuple[Atom, ...]) -> Query:
    return Query(network, (Region(domain, conjunctions),))


def identity() -> Network:
    """Return relu, the network of one neuron."""
    return dense_network([np.eye(1), np.eye(1)], [np.zeros(1), np.zeros(1)])


def by_branching(
    query: Query,
    *,
    threads: int = 1,
    timeout: float = BRANCH_PATIENCE,
    falsify: bool = False,
    memory: float | None = None,
) -> Finding:
    """Ask the branch engine alone: no falsifier before it, and no Z3 after it that would correct a wrong claim."""
    (region,) = query.regions
    options = VerifyOptions(engine="branch", threads=threads, timeout=timeout, falsify=falsify, memory=memory)
    return search_with_branching(query.network, region, options, Deadline.after(timeout))


def by_phases(
    query: Query, *, threads: int = 1, timeout: float = PHASE_PATIENCE, falsify: bool = False, solver: str = "auto"
) -> Finding:
    """Ask the phase engine alone: no falsifier before it, and no Z3 after it that would correct a wrong claim."""
    (region,) = query.regions
    options = VerifyOptions(engine="phase", threads=threads, timeout=timeout, falsify=falsify, solver=solver)
    return search_with_phases(query.network, region, options, Deadline.after(timeout))


def random_dense(seed: int, sizes: list[int]) -> Network:
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(after, before)) * np.sqrt(2 / before) for before, after in pairwise(sizes)]
    return dense_network(weights, [rng.normal(size=len(w)) * 0.1 for w in weights])


def above_the_samples(network: Network, share: float) -> Query:
    """Ask for outputs beyond all that sampling shows, by a share of their spread."""
    size = network.size_in
    values = evaluate(network, np.random.default_rng(0).uniform(-1, 1, size=(4000, size)))[:, 0]
    threshold = float(values.max() + share * np.ptp(values))
    return one(network, Domain.from_box([-1] * size, [1] * size), (Atom(constant(threshold) - y()),))


def endless(seed: int = 0) -> Query:
    """Return a question that no engine answers within seconds."""
    return above_the_samples(random_dense(seed, [20, 60, 60, 60, 1]), 1.5)


def assert_right(query: Query, truth: object, finding: Finding) -> bool:
    """Check a finding against the truth; return whether it is open."""
    if finding.outlook is Outlook.OPEN:
        assert finding.reason
        return True
    assert (finding.outlook is Outlook.FOUND) == (truth is not None), finding
    if finding.point is not None:
        assert query.violated_at(finding.point)
    return False


def assert_verdict_right(query: Query, truth: object, options: VerifyOptions) -> None:
    """Check the whole verifier's verdict against the truth, and that Z3 did not have to overrule a claim."""
    verdict = verify_query(query.network, query, options)
    assert verdict.answer is (Answer.VERIFIED if truth is None else Answer.VIOLATED), verdict
    assert not any("although" in sentence for sentence in verdict.evidence), verdict
    if verdict.witness is not None:
        assert query.violated_at(verdict.witness.point)
