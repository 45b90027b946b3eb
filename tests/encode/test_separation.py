"""Ideal cuts of ReLUs: no feasible point is cut off, and what brute force over all subsets finds broken is found."""

from fractions import Fraction
from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from verinet.encode import Encoded, ReluCuts, lower_programme, relu
from verinet.numeric import FloatArray
from verinet.program import Expressions, ProgrammeBuilder, Rows

NUMBERS = st.floats(-3, 3)


class Unit:
    """``h = max(a . v + b, 0)`` over a box, with or without a budget ``c . v <= side``."""

    def __init__(self, data: st.DataObject) -> None:
        size = data.draw(st.integers(1, 4))
        draw = lambda numbers: np.array(data.draw(st.lists(numbers, min_size=size, max_size=size)))  # noqa: E731
        self.a, self.b = draw(NUMBERS), data.draw(NUMBERS)
        self.lower = draw(st.floats(-2, 0))
        self.upper = self.lower + draw(st.floats(0.25, 2))
        self.c = draw(st.floats(0.25, 2)) if data.draw(st.booleans()) else None
        builder = ProgrammeBuilder()
        v = builder.variables("v", self.lower, self.upper)
        before = Expressions.variables(v).linear(self.a[None, :]).shifted(self.b)
        if self.c is not None:
            least, most = self.c @ self.lower, self.c @ self.upper
            self.side = least + data.draw(st.floats(0.1, 0.9)) * (most - least)
            builder.rows(Expressions.variables(v).linear(self.c[None, :]), upper=self.side)
        low, high = builder.enclosure(before)
        relu(builder, "h", Encoded(before, low, high))
        self.lowered = lower_programme(builder.build())
        self.cuts = ReluCuts.of(self.lowered)
        self.is_open = bool(low[0] < 0 < high[0])

    def extreme(self, kept: float) -> list[FloatArray]:
        """Return points of the box, and on its edges those where the budget is met."""
        corners = [np.array(p) for p in product(*zip(self.lower, self.upper, strict=True))]
        if self.c is None:
            return corners
        middle = self.lower * (1 - kept) + self.upper * kept
        shrunk = [self.lower + (p - self.lower) * min(1.0, self._room(p)) for p in [*corners, middle]]
        return [p for p in shrunk if self.c @ p <= self.side]

    def _room(self, point: FloatArray) -> float:
        used = float(self.c @ (point - self.lower)) if self.c is not None else 0.0
        return 1.0 if used <= 0 else float(self.side - self.c @ self.lower) / used

    def point(self, v: FloatArray, h: float, z: float) -> FloatArray:
        point = np.zeros(self.lowered.programme.size)
        point[: len(v)] = v
        point[self.cuts.results], point[self.cuts.binaries] = h, z
        return point

    def subset_bound(self, v: FloatArray, z: float, subset: tuple[bool, ...]) -> float:
        """Return what the ideal cut of a subset of the inputs says of h, over the box alone."""
        least = np.where(self.a > 0, self.lower, self.upper)
        most = np.where(self.a > 0, self.upper, self.lower)
        inside = np.array(subset)
        return float((self.a * np.where(inside, v - least * (1 - z), most * z)).sum() + self.b * z)


def exceeds(rows: Rows, values: dict[int, Fraction]) -> bool:
    """Tell whether a point breaks some row, in rational arithmetic."""
    matrix = rows.expressions.matrix
    for k in range(matrix.shape[0]):
        span = slice(matrix.indptr[k], matrix.indptr[k + 1])
        pairs = zip(matrix.indices[span], matrix.data[span], strict=True)
        if sum((values[int(j)] * Fraction(float(w)) for j, w in pairs), Fraction(0)) > Fraction(float(rows.upper[k])):
            return True
    return False


@given(st.data())
def test_no_feasible_point_is_cut_off(data: st.DataObject) -> None:
    unit = Unit(data)
    if not unit.is_open:
        assert not len(unit.cuts.results)
        return
    weight = data.draw(st.floats(0, 1))
    broken = unit.cuts.separate(unit.point(unit.lower * (1 - weight) + unit.upper * weight, 50.0, weight), 0.0)
    any_shift = np.array([data.draw(NUMBERS) if unit.c is not None else 0.0])
    inside = np.array([[data.draw(st.booleans()) for _ in unit.a]])
    either = unit.cuts.rows(np.array([0]), any_shift, inside)
    for v in unit.extreme(weight):
        exact = [Fraction(float(x)) for x in v]
        before = sum((Fraction(float(a)) * x for a, x in zip(unit.a, exact, strict=True)), Fraction(float(unit.b)))
        values = dict(enumerate(exact))
        for z, h in ((1, before), (0, Fraction(0))):
            values |= {int(unit.cuts.results[0]): h, int(unit.cuts.binaries[0]): Fraction(z)}
            assert not exceeds(broken, values)
            assert not exceeds(either, values)


@given(st.data())
def test_what_a_subset_breaks_is_found(data: st.DataObject) -> None:
    unit = Unit(data)
    if not unit.is_open:
        return
    z, share = data.draw(st.floats(0, 1)), data.draw(st.floats(0, 1))
    v = unit.lower * (1 - share) + unit.upper * share
    allowed = min(unit.subset_bound(v, z, subset) for subset in product((False, True), repeat=len(v)))
    above = unit.cuts.separate(unit.point(v, allowed + 1e-4, z), 1e-6)
    assert above.expressions.size == 1
    assert exceeds(above, dict(enumerate(map(Fraction, unit.point(v, allowed + 1e-4, z).tolist()))))
    if unit.c is None:
        # Of the box alone no cut says more.
        assert not unit.cuts.separate(unit.point(v, allowed - 1e-4, z), 1e-6).expressions.size
