"""The master problem: the best output weights of the hidden units found so far, and the prices of the samples.

``minimise  loss(f) + sum_j cost_j v_j  with  f = design v``, where each column of the design is the values of one
structural variable at all points: the constant, the linear skip, the units. What a master returns are claims; the
bound is made from its prices by `verinet.train.any_width.dual`.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.sparse as sp

from verinet.errors import SolverError
from verinet.numeric import BoolArray, FloatArray, IntArray
from verinet.solve import GrowingProgramme
from verinet.train.any_width.band import Bands

__all__ = ["Columns", "Fit", "LinearMaster", "Master", "PointRows"]

SMALL = 3000
"""Up to so many samples all enter the linear programme at once."""

SAMPLE = 1500
"""More samples begin with the optimum of a random part of them, and with the rows nearest to a kink."""

FEWEST_NEW, SHARE_NEW = 300, 0.1
"""How many of the rows on an unforeseen side of their band enter at a time, at least, and as a share of those."""


@dataclass(frozen=True, eq=False)
class Columns:
    """Structural variables.

    Parameters
    ----------
    design : ndarray, shape (points, variables)
    costs : ndarray, shape (variables,)
    free : ndarray of bool, shape (variables,)
        Whether a variable may be negative.
    """

    design: FloatArray
    costs: FloatArray
    free: BoolArray

    def joined(self, other: "Columns") -> "Columns":
        """Return these columns followed by others."""
        return Columns(
            np.column_stack([self.design, other.design]),
            np.concatenate([self.costs, other.costs]),
            np.concatenate([self.free, other.free]),
        )


@dataclass(frozen=True, eq=False)
class PointRows:
    """Conditions on outputs: ``low <= weights f <= high``.

    Breaking one costs `price` for each unit: more than any multiplier that an optimum needs, so that none is broken
    there, and a master problem whose units cannot meet them yet has an optimum all the same.

    Parameters
    ----------
    weights : ndarray, shape (conditions, points)
    low, high : ndarray, shape (conditions,)
    price : float
    margin : ndarray, shape (conditions,), or 0
        How far within the sides the master's network keeps. The bound is about the sides themselves.
    """

    weights: FloatArray
    low: FloatArray
    high: FloatArray
    price: float = 1e3
    margin: FloatArray | float = 0.0

    @property
    def sides(self) -> tuple[FloatArray, FloatArray]:
        """The sides that the master keeps within."""
        return self.low + self.margin, self.high - self.margin

    def broken(self, f: FloatArray) -> float:
        """Return by how much outputs break the conditions, at most."""
        values, (low, high) = self.weights @ f, self.sides
        return float(np.maximum(low - values, values - high).max(initial=0.0))

    def cost(self, f: FloatArray) -> float:
        """Return what breaking the conditions costs."""
        values, (low, high) = self.weights @ f, self.sides
        return self.price * float((np.maximum(low - values, 0.0) + np.maximum(values - high, 0.0)).sum())

    def clip(self, multipliers: FloatArray) -> FloatArray:
        """Return the nearest multipliers that the sides and the price allow."""
        return np.clip(
            multipliers,
            np.where(np.isfinite(self.high), -self.price, 0.0),
            np.where(np.isfinite(self.low), self.price, 0.0),
        )

    def value(self, multipliers: FloatArray) -> float:
        """Return the dual objective's part of the conditions."""
        positive, negative = multipliers > 0, multipliers < 0
        return float(multipliers[positive] @ self.low[positive] + multipliers[negative] @ self.high[negative])


@dataclass(frozen=True, eq=False)
class Fit:
    """An optimum of a master problem.

    Parameters
    ----------
    values : ndarray, shape (variables,)
    outputs : ndarray, shape (points,)
    prices : ndarray, shape (points,)
        What a small rise of the output at each sample saves, and what the conditions' multipliers make of it at the
        points behind the samples.
    multipliers : ndarray, shape (conditions,)
        Of the conditions.
    objective : float
    """

    values: FloatArray
    outputs: FloatArray
    prices: FloatArray
    multipliers: FloatArray
    objective: float


class Master(Protocol):
    """What the training loop asks of a master problem."""

    def add(self, columns: Columns) -> None:
        """Add structural variables."""

    def solve(self, time_limit: float) -> Fit:
        """Return the optimum over the variables so far."""

    def central(self) -> Fit:
        """Return the last optimum with prices from the middle of those that prove it."""


class LinearMaster:
    """Losses with bands, as a linear programme that grows.

    Only the rows of samples near a kink of their loss need to stand in it. Every other sample is taken for linear: it
    is assumed to stay below, in or above its band, and its slope enters the costs. After each solve the assumptions
    are looked at, and samples that broke theirs enter as rows, so the optimum is that of all rows. The prices of a
    programme with wrong assumptions would be dual feasible all the same.

    Parameters
    ----------
    bands : Bands
        Of the first points; further ones carry conditions only.
    columns : Columns
    unit_cost : float
        Of the variables that will be added, about.
    seed : int
    rows : PointRows or None
    """

    def __init__(
        self, bands: Bands, columns: Columns, unit_cost: float = 1.0, seed: int = 0, rows: PointRows | None = None
    ) -> None:
        self._bands = bands
        self._columns = columns
        self._rows = rows
        self._samples = len(bands.low)
        self._programme = GrowingProgramme()
        # In units of the cheapest variable's cost: HiGHS's tolerance of reduced costs is absolute.
        self._scale = 1.0 / unit_cost
        self._inside = np.zeros(self._samples, dtype=np.bool_)
        self._row_of = np.full(self._samples, -1)
        self._assumed = np.zeros(self._samples)
        self._order = np.arange(self._samples)
        self._last: Fit | None = None
        count = len(columns.costs)
        self._places = self._programme.add_columns(
            self._scale * columns.costs,
            np.where(columns.free, -np.inf, 0.0),
            np.full(count, np.inf),
            np.zeros((0, count)),
        )
        self._conditions: IntArray = np.zeros(0, dtype=np.int64)
        if rows is not None:
            self._conditions = self._add_conditions(rows)
        if self._samples <= SMALL:
            self._enter(np.arange(self._samples))
        else:
            self._begin(seed)

    def _add_conditions(self, rows: PointRows) -> IntArray:
        """Give conditions their rows, with variables for by how much they are broken."""
        count = len(rows.low)
        self._programme.add_columns(
            np.full(2 * count, self._scale * rows.price),
            np.zeros(2 * count),
            np.full(2 * count, np.inf),
            np.zeros((0, 2 * count)),
        )
        block = np.hstack([rows.weights @ self._columns.design, np.eye(count), -np.eye(count)])
        return self._programme.add_rows(*rows.sides, block)

    def _begin(self, seed: int) -> None:
        """Assume what the optimum of a random part of the samples says, and enter the rows nearest to a kink."""
        part = np.random.default_rng(seed).choice(self._samples, SAMPLE, replace=False)
        share = self._samples / SAMPLE
        bands, columns = self._bands, self._columns
        small = LinearMaster(
            Bands(bands.low[part], bands.high[part], share * bands.under[part], share * bands.over[part]),
            Columns(columns.design[part], columns.costs, columns.free),
            1.0 / self._scale,
        )
        f = columns.design[: self._samples] @ small.solve(np.inf).values
        self._assumed = bands.state(f)
        with np.errstate(invalid="ignore"):
            distance = np.minimum(np.abs(f - bands.low), np.abs(f - bands.high))
        self._order = np.argsort(distance, kind="stable")
        self._enter(self._order[:SAMPLE])

    def _enter_more(self) -> None:
        """Enter as many rows again: those that are linear pull harder than those in the programme hold.

        Raises
        ------
        SolverError
            If all rows are in it: the problem itself has no limit.
        """
        waiting = self._order[~self._inside[self._order]]
        if not len(waiting):
            raise SolverError("the master problem is unbounded; report this data")
        self._enter(waiting[: np.count_nonzero(self._inside)])

    def _enter(self, samples: IntArray) -> None:
        """Give samples their rows, with variables for what lies outside of the band."""
        bands = self._bands
        self._inside[samples] = True
        self._recost()
        under, over = samples[bands.under[samples] > 0], samples[bands.over[samples] > 0]
        width = self._programme.columns
        self._programme.add_columns(
            self._scale * np.concatenate([bands.under[under], bands.over[over]]),
            np.zeros(len(under) + len(over)),
            np.full(len(under) + len(over), np.inf),
            np.zeros((self._programme.rows, len(under) + len(over))),
        )
        place = {int(n): i for i, n in enumerate(samples)}
        block = np.zeros((len(samples), width))
        block[:, self._places] = self._columns.design[samples]
        signs = sp.csr_array(
            (
                np.concatenate([np.ones(len(under)), -np.ones(len(over))]),
                ([place[int(n)] for n in np.concatenate([under, over])], np.arange(len(under) + len(over))),
            ),
            shape=(len(samples), len(under) + len(over)),
        )
        rows = self._programme.add_rows(
            bands.low[samples], bands.high[samples], sp.hstack([sp.csr_array(block), signs], format="csr")
        )
        self._row_of[samples] = rows

    def _outside_prices(self) -> FloatArray:
        return np.where(self._inside, 0.0, self._bands.slope(self._assumed))

    def _recost(self) -> None:
        saved = self._outside_prices() @ self._columns.design[: self._samples]
        self._programme.set_costs(self._places, self._scale * (self._columns.costs - saved))

    def add(self, columns: Columns) -> None:
        """Add structural variables."""
        saved = self._outside_prices() @ columns.design[: self._samples]
        block = np.zeros((self._programme.rows, len(columns.costs)))
        inside = np.flatnonzero(self._inside)
        block[self._row_of[inside]] = columns.design[inside]
        if self._rows is not None:
            block[self._conditions] = self._rows.weights @ columns.design
        places = self._programme.add_columns(
            self._scale * (columns.costs - saved),
            np.where(columns.free, -np.inf, 0.0),
            np.full(len(columns.costs), np.inf),
            block,
        )
        self._places = np.concatenate([self._places, places])
        self._columns = self._columns.joined(columns)

    def solve(self, time_limit: float) -> Fit:
        """Return the optimum over the variables so far."""
        while True:
            solved = self._programme.solve(time_limit)
            if solved is None:
                self._enter_more()
                continue
            values, duals = solved[0], solved[1] / self._scale
            v = values[self._places]
            f = self._columns.design @ v
            state = self._bands.state(f[: self._samples])
            broken = np.flatnonzero(~self._inside & (state != self._assumed))
            if not len(broken):
                break
            miss = np.maximum(self._bands.low - f[: self._samples], f[: self._samples] - self._bands.high)[broken]
            most = max(FEWEST_NEW, int(SHARE_NEW * np.count_nonzero(self._inside)))
            self._enter(broken[np.argsort(-np.abs(miss), kind="stable")[:most]])
        return self._fit(v, f, duals)

    def central(self) -> Fit:
        """Return the last optimum with prices from the middle of those that prove it, or as it was."""
        assert self._last is not None, "solve first"
        duals = self._programme.central_duals()
        return self._last if duals is None else self._fit(self._last.values, self._last.outputs, duals / self._scale)

    def _fit(self, v: FloatArray, f: FloatArray, duals: FloatArray) -> Fit:
        prices = np.zeros(len(f))
        own = self._outside_prices()
        own[self._inside] = duals[self._row_of[self._inside]]
        prices[: self._samples] = self._bands.clip(own)
        multipliers = duals[self._conditions]
        objective = self._bands.loss(f[: self._samples]) + float(self._columns.costs @ v)
        if self._rows is not None:
            multipliers = self._rows.clip(multipliers)
            prices += multipliers @ self._rows.weights
            objective += self._rows.cost(f)
        self._last = Fit(v, f, prices, multipliers, objective)
        return self._last
