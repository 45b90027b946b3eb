"""The input set that bounds are taken over: a float64 box with L1 balls, containing the exact domain."""

from dataclasses import dataclass

import numpy as np

from verinet.bounds.interval import Interval
from verinet.model import Domain
from verinet.numeric import FloatArray, IntArray, float_down, float_up, gamma

__all__ = ["Ball", "InputSet"]


@dataclass(frozen=True, eq=False)
class Ball:
    """``sum |x_i - centre_i| <= radius`` over the coordinates, with a float64 centre and a radius rounded up.

    Parameters
    ----------
    coordinates : ndarray of int
    centre : ndarray of float
    radius : float
    """

    coordinates: IntArray
    centre: FloatArray
    radius: float


@dataclass(frozen=True, eq=False)
class InputSet:
    """A float64 relaxation of a domain: every point of the domain lies in it.

    Parameters
    ----------
    box : Interval
    balls : tuple of Ball
    """

    box: Interval
    balls: tuple[Ball, ...] = ()

    @classmethod
    def of(cls, domain: Domain) -> "InputSet":
        """Enclose a domain; types, groups and linear conditions are dropped."""
        balls = []
        for ball in domain.balls:
            centre = [float_down(c) for c in ball.centre]
            # The float centre is off by at most one unit in the last place; the radius takes it in, exactly.
            shift = sum(abs(c - type(c)(f)) for c, f in zip(ball.centre, centre, strict=True))
            balls.append(Ball(np.array(ball.coordinates), np.array(centre), float_up(ball.radius + shift)))
        return cls(Interval(*domain.box()), tuple(balls))

    def minimum(self, rows: FloatArray) -> FloatArray:
        """Bound ``rows @ x`` from below over the set.

        Parameters
        ----------
        rows : ndarray, shape (rows, size)

        Returns
        -------
        ndarray, shape (rows,)
            Valid for the exact product; the better of the box and of each ball together with the rest of the box.
        """
        positive, negative = np.maximum(rows, 0.0), np.minimum(rows, 0.0)
        smallest = positive @ self.box.lower + negative @ self.box.upper
        best = smallest - 2 * gamma(2 * rows.shape[1]) * (np.abs(rows) @ self.box.magnitude) - np.finfo(float).tiny
        for ball in self.balls:
            best = np.maximum(best, self._minimum_over(ball, rows))
        return best

    def _minimum_over(self, ball: Ball, rows: FloatArray) -> FloatArray:
        inside = rows[:, ball.coordinates]
        outside = np.ones(rows.shape[1], dtype=bool)
        outside[ball.coordinates] = False
        positive, negative = np.maximum(rows[:, outside], 0.0), np.minimum(rows[:, outside], 0.0)
        steepest = np.abs(inside).max(axis=1, initial=0.0)
        value = inside @ ball.centre - steepest * ball.radius
        value = value + positive @ self.box.lower[outside] + negative @ self.box.upper[outside]
        reach = np.abs(inside) @ np.abs(ball.centre) + steepest * ball.radius
        reach = reach + np.abs(rows[:, outside]) @ self.box.magnitude[outside]
        return np.asarray(value - 2 * gamma(2 * rows.shape[1] + 4) * reach - np.finfo(float).tiny)
