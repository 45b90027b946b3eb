"""What a cut-off of the objective says about inputs alone: a smaller box, and for plain L1 distances a ball."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np

from verinet.bounds import InputSet
from verinet.model import Domain, L1Ball, LinearExpression, Side
from verinet.numeric import FloatArray, float_down, float_up
from verinet.verify.objectives import Objective

__all__ = ["Reach"]


@dataclass(frozen=True, eq=False)
class Reach:
    """Where an objective can be below a cut-off.

    Parameters
    ----------
    domain : Domain
        Its box is not empty.
    objective : Objective
        Of every case.
    """

    domain: Domain
    objective: Objective

    def box(self, cutoff: Fraction) -> tuple[FloatArray, FloatArray]:
        """Return a box of all points of the domain with a value of at most the cut-off, crossed if there are none.

        Every member of every maximum is at most the cut-off less what the other maxima are at least; where that speaks
        of one input only, it bounds it. In rational arithmetic, rounded outward.
        """
        lower, upper = (list(side) for side in self.domain.exact_box())
        least = self._least
        if least is None:
            return self.domain.box()
        total = sum(least, Fraction(0))
        for part, own in zip(self.objective.parts, least, strict=True):
            for e in part:
                if len(e.terms) != 1:
                    continue
                (symbol, c), limit = e.terms[0], cutoff - (total - own) - e.constant
                if c > 0:
                    upper[symbol.index] = min(upper[symbol.index], limit / c)
                else:
                    lower[symbol.index] = max(lower[symbol.index], limit / c)
        for i in self.domain.integral:
            lower[i], upper[i] = Fraction(math.ceil(lower[i])), Fraction(math.floor(upper[i]))
        return np.array([float_down(v) for v in lower]), np.array([float_up(v) for v in upper])

    @cached_property
    def _least(self) -> list[Fraction] | None:
        """The least value of each maximum over the box, or less; None if one speaks of outputs."""
        parts = self.objective.parts
        if any(symbol.side is not Side.INPUT for part in parts for e in part for symbol, _ in e.terms):
            return None
        ends = self.domain.exact_box()
        return [max(_least(e, *ends) for e in part) for part in parts]

    @cached_property
    def _ball(self) -> tuple[L1Ball, Fraction] | None:
        """The ball of radius zero and the price of a unit, if the objective is a distance with one price."""
        found: dict[int, Fraction] = {}
        prices = set()
        for part in self.objective.parts if len(self.objective.parts) > 1 else ():
            sides = [e for e in part if e.terms]
            if len(sides) != 2 or sides[0] != -sides[1] or LinearExpression(()) not in part:
                return None
            if len(sides[0].terms) != 1 or sides[0].terms[0][0].side is not Side.INPUT:
                return None
            ((symbol, price),) = sides[0].terms
            if symbol.index in found:
                return None
            found[symbol.index] = -sides[0].constant / price
            prices.add(abs(price))
        if len(prices) != 1:
            return None
        return L1Ball(tuple(found), tuple(found.values()), Fraction(0)), prices.pop()

    @property
    def widened(self) -> Domain:
        """The domain with the distance's ball, of a radius that leaves nothing out, as the last of its balls."""
        if self._ball is None:
            return self.domain
        ball, _ = self._ball
        lower, upper = self.domain.exact_box()
        around = zip(ball.coordinates, ball.centre, strict=True)
        radius = sum((max(abs(lower[i] - c), abs(upper[i] - c)) for i, c in around), Fraction(1))
        return replace(self.domain, balls=(*self.domain.balls, replace(ball, radius=radius)))

    def radius(self, cutoff: Fraction) -> float | None:
        """Return the radius of this ball at a cut-off, rounded like those of `InputSet`; None if there is none."""
        if self._ball is None or cutoff < 0:
            return None
        ball, price = self._ball
        alone = replace(self.domain, balls=(replace(ball, radius=cutoff / price),))
        return InputSet.of(alone).balls[0].radius


def _least(expression: LinearExpression, lower: Sequence[Fraction], upper: Sequence[Fraction]) -> Fraction:
    return sum((min(c * lower[s.index], c * upper[s.index]) for s, c in expression.terms), expression.constant)
