"""What one engine found out about one region."""

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

__all__ = ["Finding", "Outlook"]


class Outlook(Enum):
    """How a region stands."""

    REFUTED = "no counterexample"
    FOUND = "counterexample"
    OPEN = "open"


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
    timed_out : bool
    bound : float or None
        For OPEN: a claimed lower bound of the violation's smallest expression.
    unstable : int or None
        Number of neurons that the bounds left open over the region; None if no bounds were computed.
    """

    outlook: Outlook
    point: tuple[Fraction, ...] | None = None
    evidence: tuple[str, ...] = ()
    reason: str = ""
    timed_out: bool = False
    bound: float | None = None
    unstable: int | None = None
