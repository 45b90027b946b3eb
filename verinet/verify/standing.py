"""How a search by the phases of ReLUs stands: what is open, how much is done, and the worst of it, in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from verinet.numeric import FloatArray, IntArray
from verinet.verify.finding import OpenPhases

__all__ = ["Part", "Standing"]

SHOWN_CASES = 3
"""Conjunctions that a report gives the share of."""


class Part(Protocol):
    """Some open domains, a row each."""

    @property
    def phase(self) -> IntArray:
        """1, -1 and 0 for ReLUs that are split as active, as inactive, and not; shape (domains, open)."""

    @property
    def case(self) -> IntArray:
        """The conjunction of each."""

    @property
    def depth(self) -> IntArray:
        """Splits that led to each."""

    @property
    def bound(self) -> FloatArray:
        """A lower bound of each one's violation."""


@dataclass(frozen=True, eq=False)
class Standing:
    """All that is open at one moment; domains do not change, so that threads may go on meanwhile.

    Parameters
    ----------
    parts : sequence of Part
    cases : int
        Conjunctions that the search began with.
    known : float
        A bound of everything, for when there are no domains yet.
    """

    parts: Sequence[Part] = ()
    cases: int = 1
    known: float = -np.inf

    @property
    def count(self) -> int:
        """Number of open domains."""
        return sum(len(part.case) for part in self.parts)

    @cached_property
    def bound(self) -> float:
        """The smallest bound of any open domain, or what is known without any."""
        return min((float(part.bound.min()) for part in self.parts), default=self.known)

    @cached_property
    def done(self) -> FloatArray:
        """Share of each conjunction that is refuted, shape (cases,): each split halves what is left."""
        left = np.zeros(self.cases)
        for part in self.parts:
            left += np.bincount(part.case, weights=0.5**part.depth, minlength=self.cases)
        return np.asarray(np.maximum(1.0 - left, 0.0))

    def worst(self) -> OpenPhases | None:
        """Return the domain with the smallest bound."""
        if not self.parts:
            return None
        part = min(self.parts, key=lambda some: float(some.bound.min()))
        k = int(np.argmin(part.bound))
        phase = part.phase[k]
        active, inactive = int((phase > 0).sum()), int((phase < 0).sum())
        return OpenPhases(int(part.case[k]), active, inactive, len(phase) - active - inactive)

    def report(self, looked: int, deepest: int) -> str:
        """Say how far the search is.

        Parameters
        ----------
        looked : int
            Domains that were looked at.
        deepest : int
        """
        left = np.sort(self.done[self.done < 1.0])[::-1]
        first = ", ".join(f"{share:.1%}" for share in left[:SHOWN_CASES]) + (", ..." if len(left) > SHOWN_CASES else "")
        cases = f"{len(left)} of {self.cases} cases open: {first}" if self.cases > 1 and len(left) else ""
        # Without a domain that was looked at there is none open, and nothing done.
        done = self.done.mean() if looked else 0.0
        shares = f"{done:.2%} done" + (f" ({cases})" if cases else "")
        return f"{looked} domains, {self.count} open, depth {deepest}, {shares}"
