"""Written queries have the counterexamples of the originals, and assignments are exact."""

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verinet.errors import InputError, PropertyError
from verinet.io.vnnlib import read_vnnlib
from verinet.io.vnnlib_writer import format_assignment, write_vnnlib
from verinet.model import (
    Atom,
    Domain,
    L1Ball,
    LinearExpression,
    Query,
    Region,
    Side,
    Symbol,
    VariableType,
    dense_network,
)

NETWORK = dense_network([np.eye(2)], [np.zeros(2)])
SYMBOLS = [Symbol(side, i) for side in Side for i in range(2)]
numbers = st.sampled_from([Fraction(n, d) for d in (1, 2, 3, 10) for n in range(-2 * d, 2 * d + 1)])


def expressions(symbols):
    terms = st.lists(st.tuples(st.sampled_from(symbols), numbers), min_size=1, max_size=3)
    return st.builds(LinearExpression.from_terms, terms, numbers)


def atoms(symbols):
    return st.builds(Atom, expressions(symbols), st.booleans())


@st.composite
def regions(draw):
    ends = [sorted(draw(st.tuples(numbers, numbers))) for _ in range(2)]
    conditions = tuple(draw(st.lists(atoms(SYMBOLS[:2]), max_size=2)))
    domain = Domain(tuple(e[0] for e in ends), tuple(e[1] for e in ends), conditions=conditions)
    unsafe = draw(st.lists(st.lists(atoms(SYMBOLS), max_size=3), min_size=1, max_size=3))
    return Region(domain, tuple(tuple(conj) for conj in unsafe))


@given(st.lists(regions(), min_size=1, max_size=3), st.lists(st.tuples(*[numbers] * 4), min_size=8, max_size=16))
def test_a_written_query_has_the_same_counterexamples(tmp_path_factory, parts, samples) -> None:
    path = tmp_path_factory.getbasetemp() / "query.vnnlib"
    write_vnnlib(path, Query(NETWORK, tuple(parts)), "a name\nwith (a line")
    try:
        found = read_vnnlib(path).regions
    except PropertyError:
        found = ()
    corners = [(*point, *point) for part in parts for point in (part.domain.lower, part.domain.upper)]
    for x0, x1, y0, y1 in [*samples, *corners]:
        x, y = (x0, x1), (y0, y1)
        assert any(r.violated_at(x, y) for r in found) == any(r.violated_at(x, y) for r in parts)


@pytest.mark.parametrize("name", ["plain.vnnlib", "packed.vnnlib.gz"])
def test_a_usual_query_is_read_back_as_it_was(tmp_path: Path, name: str) -> None:
    difference = LinearExpression(((SYMBOLS[2], Fraction(-1)), (SYMBOLS[3], Fraction("0.1"))), Fraction("-2.5"))
    condition = Atom(
        LinearExpression(((SYMBOLS[0], Fraction(1)), (SYMBOLS[1], Fraction(-3))), Fraction(0)), strict=True
    )
    domain = Domain(
        (Fraction("0.1"), Fraction(-1)), (Fraction("0.30000000000000004"), Fraction(1)), conditions=(condition,)
    )
    other = Domain.from_box([0, 0], [0.1, 1e-300])
    query = Query(NETWORK, (Region(domain, ((Atom(difference),), (Atom(-difference, True),))), Region(other, ((),))))
    write_vnnlib(tmp_path / name, query)
    assert read_vnnlib(tmp_path / name).query(NETWORK).regions == query.regions


def test_what_the_language_lacks_is_refused(tmp_path: Path) -> None:
    box = Domain.from_box([0, 0], [1, 1])
    integer = Domain(box.lower, box.upper, (VariableType.INTEGER, VariableType.CONTINUOUS))
    ball = Domain(box.lower, box.upper, balls=(L1Ball((0, 1), box.lower, Fraction(1)),))
    cases = {"integer": ((Region(integer, ((),)),), "integer"), "ball": ((Region(ball, ((),)),), "L1 ball")}
    cases["none"] = ((Region(box, ()),), "trivially")
    for parts, message in cases.values():
        with pytest.raises(PropertyError, match=message):
            write_vnnlib(tmp_path / "query.vnnlib", Query(NETWORK, parts))


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=5), st.lists(st.floats(-1e300, 1e300), max_size=3))
def test_an_assignment_has_all_digits(inputs: list[float], outputs: list[float]) -> None:
    text = format_assignment([Fraction(v) for v in inputs], outputs)
    assert text.startswith("((X_0 ")
    assert text.endswith("))")
    found = re.findall(r"\(([XY]_\d+) (-?\d+\.\d+)\)", text)
    names = [f"X_{i}" for i in range(len(inputs))] + [f"Y_{i}" for i in range(len(outputs))]
    assert [name for name, _ in found] == names
    assert [Fraction(digits) for _, digits in found] == [Fraction(v) for v in inputs + outputs]


def test_an_assignment_is_laid_out_a_line_a_variable() -> None:
    assert format_assignment([Fraction(1, 2), Fraction(-3)], [0.25]) == "((X_0 0.5)\n (X_1 -3.0)\n (Y_0 0.25))"


def test_endless_digits_become_the_nearest_float_and_other_values_are_refused() -> None:
    (digits,) = re.findall(r"X_0 ([\d.]+)", format_assignment([Fraction(1, 3)], []))
    assert Fraction(digits) == Fraction(1 / 3)
    for value in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="Y_0"):
            format_assignment([Fraction(0)], [value])
