"""Queries and counterexamples as VNN-LIB 1.0 text, with exact decimals."""

import gzip
import math
import os
from collections.abc import Sequence
from fractions import Fraction

from verinet.errors import InputError, PropertyError
from verinet.io.decimals import finite_decimal
from verinet.io.files import write_atomically
from verinet.model import Atom, Domain, LinearExpression, Query, Side, Symbol

__all__ = ["format_assignment", "value_literal", "write_vnnlib"]


def format_assignment(inputs: Sequence[Fraction], outputs: Sequence[Fraction | float]) -> str:
    """Write a counterexample as VNN-COMP expects it below ``sat``.

    Parameters
    ----------
    inputs : sequence of Fraction
    outputs : sequence of Fraction or float

    Returns
    -------
    str
        ``((X_0 0.5)``, one line a variable, and a closing parenthesis; no line end. Each number has all its decimal
        digits. Where these never end, as for 1/3, it is the nearest float64 with all of its digits; the values of
        float inputs always end.

    Raises
    ------
    InputError
        If a value is infinite or not a number.
    """
    values = [(f"X_{i}", value) for i, value in enumerate(inputs)] + [(f"Y_{i}", v) for i, v in enumerate(outputs)]
    return "(" + "\n ".join(f"({name} {value_literal(name, value)})" for name, value in values) + ")"


def value_literal(name: str, value: Fraction | float) -> str:
    """Write a variable's value with a point and all its digits; the nearest float64 where these never end.

    Raises
    ------
    InputError
        If it is infinite or not a number.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"a counterexample needs finite values, found {name}={value}")
    exact = Fraction(value)
    text = finite_decimal(exact) or finite_decimal(Fraction(float(exact)))
    return _with_point(str(text))


def write_vnnlib(path: str | os.PathLike[str], query: Query, name: str = "") -> None:
    """Write a query as a VNN-LIB 1.0 file, compressed if the path ends in ``.gz``.

    Parameters
    ----------
    path : path-like
    query : Query
        Over continuous boxes and linear conditions.
    name : str
        Goes into a comment at the top.

    Raises
    ------
    PropertyError
        If a domain has integer inputs or L1 balls, which VNN-LIB 1.0 cannot express, or no region has an unsafe
        conjunction.

    Notes
    -----
    Soundness: what is written has the same counterexamples as the query. A bound or an atom with a coefficient like
    1/3 is multiplied by the denominators first.
    """
    text = "\n".join([*_comment(name), *_declarations(query), *_assertions(query), ""])
    data = text.encode()
    write_atomically(path, gzip.compress(data, mtime=0) if os.fspath(path).endswith(".gz") else data)


def _comment(name: str) -> list[str]:
    return [f"; {line}" for line in name.splitlines()]


def _declarations(query: Query) -> list[str]:
    sizes = {Side.INPUT: query.network.size_in, Side.OUTPUT: query.network.size_out}
    return [f"(declare-const {Symbol(side, i)} Real)" for side, size in sizes.items() for i in range(size)]


def _assertions(query: Query) -> list[str]:
    """Return one assertion for each atom of a shared domain, and one ``or`` of flat ``and``s, as most tools read it."""
    domains = [_domain_literals(region.domain) for region in query.regions]
    cases = [
        (domain, [_atom_literal(atom) for atom in conjunction])
        for domain, region in zip(domains, query.regions, strict=True)
        for conjunction in region.unsafe
    ]
    if not cases:
        raise PropertyError("expected a query with at least one unsafe conjunction, found none; it holds trivially")
    shared = all(domain == cases[0][0] for domain, _ in cases)
    common = cases[0][0] if shared else []
    own = [unsafe if shared else domain + unsafe for domain, unsafe in cases]
    if not all(own):
        # An empty conjunction always holds, and the others add nothing to it.
        alternatives: list[str] = []
    elif len(own) == 1:
        alternatives = [f"(assert {literal})" for literal in own[0]]
    else:
        alternatives = ["(assert (or", *(f"    (and {' '.join(literals)})" for literals in own), "))"]
    return [f"(assert {literal})" for literal in common] + alternatives


def _domain_literals(domain: Domain) -> list[str]:
    if domain.integral or domain.balls:
        what = "integer or categorical inputs" if domain.integral else "L1 balls"
        raise PropertyError(f"VNN-LIB 1.0 cannot express {what}; keep this property in a property file")
    bounds = [
        literal
        for i, (low, high) in enumerate(zip(domain.lower, domain.upper, strict=True))
        for literal in (_bound_literal(">=", i, low), _bound_literal("<=", i, high))
    ]
    return bounds + [_atom_literal(atom) for atom in domain.conditions]


def _bound_literal(relation: str, index: int, value: Fraction) -> str:
    text = finite_decimal(value)
    if text is not None:
        return f"({relation} X_{index} {_with_point(text)})"
    return f"({relation} (* {_literal(Fraction(value.denominator))} X_{index}) {_literal(Fraction(value.numerator))})"


def _atom_literal(atom: Atom) -> str:
    expression = _scaled(atom.expression)
    products = [
        str(symbol) if coefficient == 1 else f"(* {_literal(coefficient)} {symbol})"
        for symbol, coefficient in expression.terms
    ]
    left = f"(+ {' '.join(products)})" if len(products) > 1 else "".join(products) or "0.0"
    return f"({'<' if atom.strict else '<='} {left} {_literal(-expression.constant)})"


def _scaled(expression: LinearExpression) -> LinearExpression:
    """Multiply by the common denominator unless all numbers have finite decimals already."""
    numbers = [expression.constant, *(coefficient for _, coefficient in expression.terms)]
    if all(finite_decimal(number) is not None for number in numbers):
        return expression
    return expression * Fraction(math.lcm(*(number.denominator for number in numbers)))


def _literal(value: Fraction) -> str:
    return _with_point(str(finite_decimal(value)))


def _with_point(digits: str) -> str:
    return digits if "." in digits else f"{digits}.0"
