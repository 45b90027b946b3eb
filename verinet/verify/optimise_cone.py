"""The cone engine of the optimiser: one-hidden-layer networks without hidden biases over an L1 ball around zero.

Their ReLUs may be max-pooled, before or after. Such a network is what prices the units of training, with the weights
as its inputs. See `verinet.verify.cone_search`.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from verinet.errors import InputError
from verinet.model import Affine, Domain, Input, Maximum, Network, Relu, Side
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


SHAPES = (
    (Input, Affine, Relu, Affine),
    (Input, Affine, Relu, Maximum, Affine),
    (Input, Affine, Maximum, Relu, Affine),
)
"""The operations that a network may consist of: the greatest of ReLUs is the ReLU of the greatest."""


@dataclass(frozen=True, eq=False)
class _Sum:
    """``outputs = weights max(0, greatest of each term's rows x) + constants`` over a ball of a radius.

    Parameters
    ----------
    rows : ndarray, shape (rows, inputs)
    ends : ndarray of int, shape (terms,)
        Where each term's rows end.
    weights : ndarray, shape (outputs, terms)
    constants : ndarray, shape (outputs,)
    radius : Fraction
    allowed : ndarray of bool, shape (inputs, 2)
        Whether an input may be positive, and negative.
    """

    rows: FloatArray
    ends: IntArray
    weights: FloatArray
    constants: FloatArray
    radius: Fraction
    allowed: BoolArray


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
            "the engine cone needs one hidden layer of ReLUs without biases, max-pooled or not, an L1 ball around zero "
            "over all inputs, and a linear objective of outputs without conditions; choose another engine"
        )
    prepared = ConeSearch(read.rows, np.arange(read.rows.shape[1])[None, :], read.ends)
    search.incumbent.offer([0.0] * read.rows.shape[1])
    for number, item in enumerate(search.open_cases):
        if search.is_finished or search.deadline.passed:
            break
        _solve_case(search, number, item.case, read, prepared)
        search.report()
    return Report("the time limit was reached" if search.deadline.passed else "")


def _solve_case(search: Search, number: int, case: Case, read: _Sum, prepared: ConeSearch) -> None:
    expression = case.objective.expression
    assert expression is not None
    exact = [Fraction(0)] * len(read.ends)
    constant = expression.constant
    for symbol, coefficient in expression.terms:
        constant += coefficient * Fraction(float(read.constants[symbol.index]))
        for t in np.flatnonzero(read.weights[symbol.index]):
            exact[t] -= coefficient * Fraction(float(read.weights[symbol.index, t]))
    weights = np.array([float(v) for v in exact])
    error = [abs(v - Fraction(float(w))) for v, w in zip(exact, weights, strict=True)]
    rounding = float_up(sum((e * Fraction(float(r)) for e, r in zip(error, prepared.reach, strict=True)), Fraction(0)))
    ceiling = search.ceiling
    cutoff = 0.0 if ceiling is None else max(0.0, float_down((constant - ceiling) / read.radius))
    options = ConeOptions(
        cutoff, max(1e-12, SHARE_OF_GAP * search.options.relative_gap), threads=search.options.threads
    )
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


def _read(network: Network, domain: Domain) -> _Sum | None:
    """Read a network and a domain of the engine's kind; None for any other."""
    allowed = _allowed(domain)
    ops = [node.op for node in network.nodes]
    if allowed is None or tuple(type(op) for op in ops) not in SHAPES:
        return None
    hidden, output = ops[1], ops[-1]
    assert isinstance(hidden, Affine)
    assert isinstance(output, Affine)
    chain = all(
        after.arguments == (before.name,) for before, after in zip(network.nodes, network.nodes[1:], strict=False)
    )
    if not chain or network.outputs != (network.nodes[-1].name,) or hidden.bias.any():
        return None
    rows, weights = (op.maps[0].to_sparse().matrix.toarray() for op in (hidden, output))
    ends = np.arange(1, len(rows) + 1)
    for pool in ops:
        if isinstance(pool, Maximum):
            rows, ends = rows[pool.members], pool.offsets[1:]
    return _Sum(rows, ends, weights, output.bias, domain.balls[0].radius, allowed)


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
