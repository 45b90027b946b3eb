"""The cone engine of the optimiser: one hidden layer without biases over an L1 ball around zero, max-pooled or not.

Such a network is what prices the units of training, with the weights as its inputs. See `verinet.verify.cone_search`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import takewhile

import numpy as np

from verinet.errors import InputError
from verinet.model import Affine, Domain, LinearExpression, Maximum, Network, Op, Relu, Side
from verinet.numeric import BoolArray, FloatArray, IntArray, float_down, float_up
from verinet.verify.cone_search import ConeOptions, ConeSearch
from verinet.verify.objectives import Case
from verinet.verify.optimum import Basis
from verinet.verify.search import Report, Search

__all__ = ["fits_cones", "optimise_with_cones"]

MOST_INPUTS = 8
"""Inputs up to which the engine is chosen by itself."""

SHARE_OF_GAP = 0.25
"""Of the wanted gap, for the search: the rest is for rounding."""


@dataclass(frozen=True, eq=False)
class _Pooled:
    """``heights = max(0, greatest of each term's rows x)`` over a ball of a radius, and affine maps of them.

    Parameters
    ----------
    rows : ndarray, shape (rows, inputs)
        Term after term.
    ends : ndarray of int, shape (terms,)
        Where each term's rows end.
    maps : tuple of Affine
        One after another, from the heights to the outputs.
    radius : Fraction
    allowed : ndarray of bool, shape (inputs, 2)
        Whether an input may be positive, and negative.
    """

    rows: FloatArray
    ends: IntArray
    maps: tuple[Affine, ...]
    radius: Fraction
    allowed: BoolArray

    def pull_back(self, expression: LinearExpression) -> tuple[list[Fraction], Fraction]:
        """Write an expression of the outputs as one of the heights: their coefficients and a constant, exactly."""
        constant = expression.constant
        coefficients = {symbol.index: coefficient for symbol, coefficient in expression.terms}
        for op in reversed(self.maps):
            matrix, before = op.maps[0].to_sparse().matrix, dict[int, Fraction]()
            for i, coefficient in coefficients.items():
                constant += coefficient * Fraction(float(op.bias[i]))
                row = slice(matrix.indptr[i], matrix.indptr[i + 1])
                for j, value in zip(matrix.indices[row].tolist(), matrix.data[row].tolist(), strict=True):
                    before[j] = before.get(j, Fraction(0)) + coefficient * Fraction(value)
            coefficients = before
        return [coefficients.get(t, Fraction(0)) for t in range(len(self.ends))], constant


def fits_cones(network: Network, domain: Domain, cases: tuple[Case, ...]) -> bool:
    """Return whether the engine takes a question, and is chosen for it."""
    return network.size_in <= MOST_INPUTS and _read(network, domain) is not None and all(map(_is_plain, cases))


def optimise_with_cones(search: Search) -> Report:
    """Optimise the open cases by a search over cones.

    Parameters
    ----------
    search : Search
        Its incumbent improves, and so do its floors, by rounding-safe bounds.

    Returns
    -------
    Report

    Raises
    ------
    InputError
        If the network has another shape, or the domain is no L1 ball around zero.
    """
    read = _read(search.problem.network, search.problem.domain)
    if read is None or not all(_is_plain(item.case) for item in search.open_cases):
        raise InputError(
            "the engine cone needs one hidden layer of ReLUs, max-pooled or not, without biases, an L1 ball around "
            "zero over all inputs, and a linear objective of outputs without conditions; choose another engine"
        )
    prepared = ConeSearch(read.rows, np.arange(read.rows.shape[1])[None, :], read.ends)
    search.incumbent.offer([0.0] * read.rows.shape[1])
    for number, item in enumerate(search.open_cases):
        if search.is_finished or search.deadline.passed:
            break
        _solve_case(search, number, item.case, read, prepared)
        search.report()
    return Report("the time limit was reached" if search.deadline.passed else "")


def _solve_case(search: Search, number: int, case: Case, read: _Pooled, prepared: ConeSearch) -> None:
    expression = case.objective.expression
    assert expression is not None
    coefficients, constant = read.pull_back(expression)
    # The search is for the greatest value.
    exact = [-coefficient for coefficient in coefficients]
    weights = np.array([float(v) for v in exact])
    error = [abs(v - Fraction(float(w))) for v, w in zip(exact, weights, strict=True)]
    rounding = float_up(sum((e * Fraction(float(r)) for e, r in zip(error, prepared.reach, strict=True)), Fraction(0)))
    target = search.target
    cutoff = 0.0 if target is None else max(0.0, float_down((constant - target) / read.radius))
    relative = max(1e-12, SHARE_OF_GAP * search.options.relative_gap)
    options = ConeOptions(cutoff, relative, threads=search.options.threads)
    found = prepared.maximise(weights, options, allowed=read.allowed, deadline=search.deadline)
    direction = [Fraction(float(v)) for v in found.points[0]]
    norm = sum(map(abs, direction), Fraction(0))
    if norm:
        search.incumbent.offer([read.radius * v / norm for v in direction])
    most = Fraction(max(0.0, float(found.bounds[0]))) + Fraction(rounding)
    search.floors.add(number, float_down(constant - read.radius * most), Basis.ROUNDING_SAFE)


def _is_plain(case: Case) -> bool:
    expression = case.objective.expression
    if case.conjunction or expression is None:
        return False
    return all(symbol.side is Side.OUTPUT for symbol, _ in expression.terms)


def _read(network: Network, domain: Domain) -> _Pooled | None:
    """Read a network and a domain of the engine's kind; None for any other."""
    allowed = _allowed(domain)
    chain = all(
        after.arguments == (before.name,) for before, after in zip(network.nodes, network.nodes[1:], strict=False)
    )
    if allowed is None or not chain or network.outputs != (network.nodes[-1].name,):
        return None
    ops = [node.op for node in network.nodes]
    pooling = list(takewhile(lambda op: isinstance(op, Relu | Maximum), ops[2:]))
    maps = tuple(op for op in ops[2 + len(pooling) :] if isinstance(op, Affine))
    if len(ops) != 2 + len(pooling) + len(maps) or not any(isinstance(op, Relu) for op in pooling):
        return None
    hidden = ops[1]
    if not isinstance(hidden, Affine) or hidden.bias.any():
        return None
    groups = _groups(pooling, hidden.size_out)
    rows = hidden.maps[0].to_sparse().matrix.toarray()[np.concatenate(groups)]
    ends = np.cumsum([len(group) for group in groups])
    return _Pooled(rows, ends, maps, domain.balls[0].radius, allowed)


def _groups(pooling: Sequence[Op], size: int) -> list[IntArray]:
    """Return the rows of each term. ReLUs change none: the greatest of some ReLUs is the ReLU of the greatest."""
    groups = list(np.arange(size)[:, None])
    for op in pooling:
        if isinstance(op, Maximum):
            groups = [np.concatenate([groups[i] for i in members]) for members in op.groups]
    return groups


def _allowed(domain: Domain) -> BoolArray | None:
    """Return which signs inputs may have in an L1 ball around zero; None for another domain."""
    if len(domain.balls) != 1 or domain.integral or domain.groups or domain.conditions:
        return None
    ball = domain.balls[0]
    if sorted(ball.coordinates) != list(range(domain.size)) or any(ball.centre) or not ball.radius:
        return None
    sides = np.ones((domain.size, 2), dtype=np.bool_)
    for i, (low, high) in enumerate(zip(domain.lower, domain.upper, strict=True)):
        if (high < ball.radius and high) or (low > -ball.radius and low):
            return None
        sides[i] = high > 0, low < 0
    return sides
