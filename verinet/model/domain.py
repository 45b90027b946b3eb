"""Typed input domains: a box with continuous and integer coordinates, one-hot groups, linear conditions, L1 balls."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

import numpy as np

from verinet.errors import PropertyError
from verinet.model.linear import LARGEST_NUMBER, Atom, Side
from verinet.numeric import FloatArray, float_down, float_up, readable

__all__ = ["Domain", "L1Ball", "VariableType"]


class VariableType(Enum):
    """What values an input may take within its range."""

    CONTINUOUS = "continuous"
    INTEGER = "integer"
    BINARY = "binary"


@dataclass(frozen=True)
class L1Ball:
    """``sum_i |x_i - centre_i| <= radius`` over some coordinates.

    Parameters
    ----------
    coordinates : tuple of int
    centre : tuple of Fraction
        One for each coordinate.
    radius : Fraction
        Not negative.
    """

    coordinates: tuple[int, ...]
    centre: tuple[Fraction, ...]
    radius: Fraction

    def __post_init__(self) -> None:
        if self.radius < 0:
            raise PropertyError(f"an L1 ball needs a radius of at least 0, found radius={readable(self.radius)}")
        if len(self.coordinates) != len(self.centre):
            raise PropertyError("an L1 ball needs one centre coordinate for each of its coordinates")

    def norm(self, x: Sequence[Fraction]) -> Fraction:
        """Return the distance of a point from the centre, exactly."""
        return sum((abs(x[i] - c) for i, c in zip(self.coordinates, self.centre, strict=True)), Fraction(0))


@dataclass(frozen=True)
class Domain:
    """The set of inputs that a question is about.

    Parameters
    ----------
    lower, upper : tuple of Fraction
        The box; both ends belong to it. Read through `box`, it is cut to integers where the type says so and to the
        L1 balls.
    types : tuple of VariableType
        One for each coordinate; empty means continuous throughout.
    groups : tuple of tuple of int
        One-hot groups: binary coordinates of which exactly one is 1.
    conditions : tuple of Atom
        Linear conditions over the inputs, all of which hold.
    balls : tuple of L1Ball

    Raises
    ------
    PropertyError
        If sizes do not fit, or the box is empty.
    """

    lower: tuple[Fraction, ...]
    upper: tuple[Fraction, ...]
    types: tuple[VariableType, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()
    conditions: tuple[Atom, ...] = ()
    balls: tuple[L1Ball, ...] = ()

    def __post_init__(self) -> None:
        if not self.types:
            object.__setattr__(self, "types", (VariableType.CONTINUOUS,) * len(self.lower))
        if not len(self.lower) == len(self.upper) == len(self.types):
            raise PropertyError("a domain needs as many lower bounds as upper bounds and types")
        for i, (low, high) in enumerate(zip(self.lower, self.upper, strict=True)):
            if max(abs(low), abs(high)) >= LARGEST_NUMBER:
                raise PropertyError(
                    f"the range of input {i} needs numbers that a float64 can hold, found {readable(low)} to "
                    f"{readable(high)}; rescale the input"
                )
            if self.types[i] is not VariableType.CONTINUOUS:
                low, high = Fraction(math.ceil(low)), Fraction(math.floor(high))
            if low > high:
                kind = "" if self.types[i] is VariableType.CONTINUOUS else f" ({self.types[i].value})"
                raise PropertyError(
                    f"the input box is empty: input {i}{kind} has lower bound {readable(self.lower[i])} and "
                    f"upper bound {readable(self.upper[i])}; check its range"
                )
            if self.types[i] is VariableType.BINARY and not 0 <= low <= high <= 1:
                raise PropertyError(f"binary input {i} needs bounds within 0 and 1, found {low} and {high}")
        for what, indices in [("one-hot group", group) for group in self.groups] + [
            ("L1 ball", ball.coordinates) for ball in self.balls
        ]:
            if any(not 0 <= i < self.size for i in indices):
                raise PropertyError(f"the {what} over {indices} may name the inputs 0..{self.size - 1} only")
        for group in self.groups:
            if not group:
                raise PropertyError("a one-hot group needs at least one input, found none")
            if any(self.types[i] is not VariableType.BINARY for i in group):
                raise PropertyError(f"the one-hot group {group} needs binary inputs")
        for atom in self.conditions:
            if any(s.side is not Side.INPUT or not 0 <= s.index < self.size for s, _ in atom.expression.terms):
                raise PropertyError(f"the condition {atom} may speak of the {self.size} inputs only")

    @classmethod
    def from_box(cls, lower: Iterable[float | Fraction], upper: Iterable[float | Fraction]) -> "Domain":
        """Build a continuous box from floats (taken exactly) or fractions."""
        return cls(tuple(Fraction(v) for v in lower), tuple(Fraction(v) for v in upper))

    @property
    def size(self) -> int:
        """Number of inputs."""
        return len(self.lower)

    @property
    def integral(self) -> tuple[int, ...]:
        """Indices of the integer and binary inputs."""
        return tuple(i for i, kind in enumerate(self.types) if kind is not VariableType.CONTINUOUS)

    @property
    def is_box(self) -> bool:
        """Whether the domain is a continuous box and nothing else."""
        return not (self.integral or self.groups or self.conditions or self.balls)

    @property
    def has_empty_box(self) -> bool:
        """Whether types and balls leave nothing of the box; other empty domains are not so easily seen."""
        return any(low > high for low, high in zip(*self.exact_box(), strict=True))

    def exact_box(self) -> tuple[tuple[Fraction, ...], tuple[Fraction, ...]]:
        """Return the tightest box that types and L1 balls give, exactly; crossed where they leave nothing."""
        lower, upper = list(self.lower), list(self.upper)
        for ball in self.balls:
            for i, centre in zip(ball.coordinates, ball.centre, strict=True):
                lower[i] = max(lower[i], centre - ball.radius)
                upper[i] = min(upper[i], centre + ball.radius)
        for i in self.integral:
            lower[i], upper[i] = Fraction(math.ceil(lower[i])), Fraction(math.floor(upper[i]))
        return tuple(lower), tuple(upper)

    def box(self) -> tuple[FloatArray, FloatArray]:
        """Return a float64 box that contains the domain, rounded outward."""
        lower, upper = self.exact_box()
        return np.array([float_down(v) for v in lower]), np.array([float_up(v) for v in upper])

    def contains(self, x: Sequence[Fraction]) -> bool:
        """Decide membership, exactly."""
        return (
            len(x) == self.size
            and all(low <= v <= high for low, v, high in zip(self.lower, x, self.upper, strict=True))
            and all(x[i].denominator == 1 for i in self.integral)
            and all(sum(x[i] for i in group) == 1 for group in self.groups)
            and all(atom.holds(x) for atom in self.conditions)
            and all(ball.norm(x) <= ball.radius for ball in self.balls)
        )

    def nearest(self, x: Sequence[float | Fraction]) -> tuple[Fraction, ...]:
        """Return a point of the typed box near `x`: clipped exactly, integers rounded, groups one-hot.

        Conditions and balls are not considered: ask `contains`.
        """
        lower, upper = self.exact_box()
        point = [min(max(Fraction(v), low), high) for v, low, high in zip(x, lower, upper, strict=True)]
        for i in self.integral:
            point[i] = min(max(Fraction(round(point[i])), lower[i]), upper[i])
        for group in self.groups:
            allowed = [i for i in group if upper[i] == 1]
            chosen = max(allowed, key=lambda i: (lower[i], x[i])) if allowed else group[0]
            for i in group:
                point[i] = Fraction(int(i == chosen))
        return tuple(point)
