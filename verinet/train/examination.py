"""One property and one network: a verdict, and what its worst counterexample asks of every network.

Soundness: a demand is met by every network with the property, wherever it was found; its points lie in the property's
domain, exactly, because the counterexample was confirmed in rational arithmetic.
"""

from dataclasses import dataclass
from fractions import Fraction

from verinet.model import Demand, Lipschitz, Monotone, Network, Query, reduce_property, requirement_of
from verinet.train.specification import UniversalProperty
from verinet.verify import (
    Answer,
    Deadline,
    OptimiseOptions,
    Verdict,
    VerifyOptions,
    largest_violation,
    verify_property,
)

__all__ = ["CROSS_CHECK_SECONDS", "Examined", "examine_property", "worst_point"]

CROSS_CHECK_SECONDS = 2.0
"""For Z3, where floating point is too coarse: in the loop a better network is worth more."""

WORST_SECONDS = 5.0
"""For the search for the worst counterexample, once one is known."""

SLOPED = (Monotone, Lipschitz)
"""Kinds that derivatives decide, which come first with the engine ``auto``."""


@dataclass(frozen=True, eq=False)
class Examined:
    """What the verifier says about a property of a network.

    Parameters
    ----------
    verdict : Verdict
    demands : tuple of Demand
        Met by every network with the property; not by this one.
    """

    verdict: Verdict
    demands: tuple[Demand, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the property holds."""
        return self.verdict.answer in (Answer.VERIFIED, Answer.VACUOUS)


def examine_property(
    network: Network, wanted: UniversalProperty, deadline: Deadline, solver: str = "auto", threads: int = 1
) -> Examined:
    """Verify a property; where it is violated, say what the counterexample and the worst one ask for.

    Parameters
    ----------
    network : Network
    wanted : UniversalProperty
    deadline : Deadline
    solver : str
        Of the verifier's programmes.
    threads : int
    """
    options = VerifyOptions(
        # The best network touches its limits, where splitting boxes tells nothing.
        engine="auto" if isinstance(wanted.prop, SLOPED) else "milp",
        solver=solver,
        timeout=deadline.left,
        threads=threads,
        cross_check_seconds=CROSS_CHECK_SECONDS,
    )
    verdict = verify_property(network, wanted.domain, wanted.prop, options, wanted.references)
    if verdict.witness is None:
        return Examined(verdict)
    requirement = requirement_of(network, wanted.domain, wanted.prop, wanted.references)
    query = reduce_property(network, wanted.domain, wanted.prop, wanted.references).query
    points = (worst_point(query, verdict, deadline, threads), verdict.witness.point)
    demands = (requirement.at(point) for point in dict.fromkeys(points))
    return Examined(verdict, tuple(dict.fromkeys(demands)))


def worst_point(query: Query, verdict: Verdict, deadline: Deadline, threads: int) -> tuple[Fraction, ...]:
    """Return the worst counterexample of a query, or the verdict's where time is short."""
    assert verdict.witness is not None
    within = deadline.within(WORST_SECONDS)
    found = largest_violation(query, OptimiseOptions(timeout=within.left, threads=threads, polish=False))
    if found.point is None or found.value is None or found.value <= 0:
        return verdict.witness.point
    return found.point
