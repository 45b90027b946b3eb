"""The cheap sufficient test of a query about two copies of a network: that raising inputs lowers an output."""

import time
from collections.abc import Sequence
from fractions import Fraction

from verinet.bounds import InputSet, bound_network
from verinet.model import Atom, Domain, LinearExpression, Network, Region, Side, Symbol
from verinet.verify.derivative import derivative_range
from verinet.verify.verdict import Answer, Level, Verdict

__all__ = ["verify_monotone_copies"]


def verify_monotone_copies(
    network: Network, first: Sequence[int], second: Sequence[int], regions: Sequence[Region]
) -> Verdict | None:
    """Verify a query about two copies by the sign of derivatives.

    Parameters
    ----------
    network : Network
        Of which the query's network holds two copies, and nothing else; its outputs are the first's, then the second's.
    first, second : sequence of int
        Which of the query's inputs each copy takes.
    regions : sequence of Region
        Of the query, on continuous inputs.

    Returns
    -------
    Verdict or None
        VERIFIED, or None if the test does not tell.

    Notes
    -----
    Soundness: a region is excluded if its conditions demand that every input that differs rises from the first copy to
    the second, all others are one entry of the query, and each of its conjunctions demands that some output falls
    (or rises) strictly, while bounds on the derivative over a box that holds both copies' inputs exclude that. Other
    conditions and atoms only shrink the region.
    """
    began = time.monotonic()
    if not regions or not all(_is_excluded(network, first, second, region) for region in regions):
        return None
    return Verdict(
        Answer.VERIFIED,
        level=Level.CLAIMED,
        engine="derivative (auto: the cheap sufficient test first)",
        evidence=("the derivative has the right sign on every linear piece, by rational interval arithmetic",),
        seconds=time.monotonic() - began,
    )


def _is_excluded(network: Network, first: Sequence[int], second: Sequence[int], region: Region) -> bool:
    raised = [k for k, (i, j) in enumerate(zip(first, second, strict=True)) if i != j]
    conditions = {atom.expression for atom in region.domain.conditions}
    if not all(_difference(Side.INPUT, first[k], second[k]) in conditions for k in raised):
        return False
    lower, upper = (
        [choose(bounds[i], bounds[j]) for i, j in zip(first, second, strict=True)]
        for choose, bounds in ((min, region.domain.lower), (max, region.domain.upper))
    )
    found = bound_network(network, InputSet.of(Domain(tuple(lower), tuple(upper))))
    changes: dict[int, tuple[bool, bool]] = {}

    def is_impossible(atom: Atom) -> bool:
        """Decide whether an atom demands a strict fall or rise that the derivative excludes."""
        if not atom.strict:
            return False
        for output in range(network.size_out):
            falls = atom.expression == _difference(Side.OUTPUT, network.size_out + output, output)
            if falls or atom.expression == _difference(Side.OUTPUT, output, network.size_out + output):
                if output not in changes:
                    low, high, _ = derivative_range(found, output)
                    # Each input may rise by an amount of its own, so no derivative makes up for another one.
                    changes[output] = bool((low[raised] >= 0).all()), bool((high[raised] <= 0).all())
                return changes[output][0 if falls else 1]
        return False

    return all(any(map(is_impossible, conjunction)) for conjunction in region.unsafe)


def _difference(side: Side, i: int, j: int) -> LinearExpression:
    return LinearExpression.from_terms([(Symbol(side, i), Fraction(1)), (Symbol(side, j), Fraction(-1))])
