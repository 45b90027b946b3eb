"""The falsifier beside a search: a fixed share of the work goes to looking for counterexamples."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from verinet.numeric import FloatArray
from verinet.verify.falsify import Falsifier
from verinet.verify.options import Deadline

__all__ = ["Boxes", "Watch"]

Boxes = tuple[FloatArray, FloatArray]
"""Lower and upper ends of boxes, a row each."""

FIRST_RATIO, LAST_RATIO, RATIO_GROWTH = 1.0, 10.0, 1.25
"""Products that the search gets for each one of the falsifier, whose products are the faster ones: most counterexamples
are found early, so the falsifier's share shrinks from turn to turn."""


@dataclass(eq=False)
class Watch:
    """Runs the falsifier beside a search.

    Work is counted in products, not in seconds, so that a search repeats itself exactly.

    Parameters
    ----------
    falsifier : Falsifier
    evaluation : int
        Products of one evaluation of the network.
    enabled : bool
    """

    falsifier: Falsifier
    evaluation: int
    enabled: bool
    due: float = 0.0
    turns: int = 0
    ratio: float = FIRST_RATIO

    def look(
        self, work: float, deadline: Deadline, open_boxes: Callable[[], Boxes | None]
    ) -> tuple[Fraction, ...] | None:
        """Start anew in the whole domain, or sample the open boxes, by turns, once the search has had its share.

        Parameters
        ----------
        work : float
            Products that the search has taken so far.
        deadline : Deadline
        open_boxes : callable

        Returns
        -------
        tuple of Fraction or None
            Confirmed.
        """
        if not self.enabled or work < self.due:
            return None
        self.due = work + self.ratio * self.falsifier.evaluations * self.evaluation
        self.ratio = min(LAST_RATIO, self.ratio * RATIO_GROWTH)
        self.turns += 1
        boxes = None if self.turns % 2 else open_boxes()
        # In the whole domain a few random points, each followed downhill, find more than the best of many do.
        return self.falsifier.start(deadline) if boxes is None else self.falsifier.round(deadline, boxes)
