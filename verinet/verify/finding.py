"""What one engine found out about one region."""

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

__all__ = ["Finding", "OpenBox", "OpenPhases", "Outlook"]

SHOWN_SIDES = 8
"""Sides of a box that a sentence names."""


class Outlook(Enum):
    """How a region stands."""

    REFUTED = "no counterexample"
    FOUND = "counterexample"
    OPEN = "open"


@dataclass(frozen=True)
class OpenBox:
    """A part of a region's box, in its own inputs, that is neither refuted nor shown to hold a counterexample.

    Parameters
    ----------
    lower, upper : tuple of float
        Rounded outward where the domain's ends are no floats.
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def __str__(self) -> str:
        sides = [_side(low, high) for low, high in zip(self.lower, self.upper, strict=True)]
        more = [f"and {len(sides) - SHOWN_SIDES} more"] if len(sides) > SHOWN_SIDES else []
        return " x ".join(sides[:SHOWN_SIDES] + more)


@dataclass(frozen=True)
class OpenPhases:
    """A part of a region in which some ReLUs have a known phase, that is neither refuted nor shown to hold a point.

    Parameters
    ----------
    case : int
        Which of the region's conjunctions it belongs to, from 0.
    active, inactive : int
        ReLUs that were split, by the phase that they have in this part.
    undecided : int
        ReLUs that the bounds of the whole region left open and that were not split.
    """

    case: int
    active: int
    inactive: int
    undecided: int

    @property
    def depth(self) -> int:
        """Splits that lead to it."""
        return self.active + self.inactive

    def __str__(self) -> str:
        return (
            f"case {self.case + 1} at depth {self.depth}: {self.active} ReLUs split as active and {self.inactive} as "
            f"inactive, {self.undecided} undecided"
        )


def _side(low: float, high: float) -> str:
    short = f"{low:.9g}", f"{high:.9g}"
    # Nine digits, unless they make one number of two.
    low_text, high_text = short if short[0] != short[1] or low == high else (repr(low), repr(high))
    return f"[{low_text}, {high_text}]"


@dataclass(frozen=True)
class Finding:
    """An engine's result for a region.

    Parameters
    ----------
    outlook : Outlook
        REFUTED is a claim of this engine.
    point : tuple of Fraction or None
        For FOUND: a counterexample that exact evaluation confirms.
    evidence : tuple of str
        What was done, one sentence each.
    reason : str
        For OPEN: why.
    timed_out, interrupted, exhausted : bool
        For OPEN: whether the clock, the user, or want of memory ended the search.
    bound : float or None
        For OPEN: a claimed lower bound of the violation's smallest expression; a positive one would have refuted.
    box : OpenBox or OpenPhases or None
        For OPEN: the part of the region that has this bound, as the engine splits it.
    unstable : int or None
        Number of neurons that the bounds left open over the region; None if no bounds were computed.
    """

    outlook: Outlook
    point: tuple[Fraction, ...] | None = None
    evidence: tuple[str, ...] = ()
    reason: str = ""
    timed_out: bool = False
    interrupted: bool = False
    exhausted: bool = False
    bound: float | None = None
    box: OpenBox | OpenPhases | None = None
    unstable: int | None = None

    @property
    def cut_short(self) -> bool:
        """Whether more time or memory might have decided, so that no other engine should be asked instead."""
        return self.timed_out or self.interrupted or self.exhausted
