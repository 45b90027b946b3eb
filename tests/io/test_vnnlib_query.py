"""VNN-LIB 2 text means what an evaluator of its own says, and what is not the language is refused with its line."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.io.vnnlib_text import entries, satisfied
from tests.strategies import points_in, queries
from verinet.errors import InputError
from verinet.io import VnnlibQuery, format_query
from verinet.io.cases import regions
from verinet.io.vnnlib import parse_vnnlib
from verinet.model import (
    Arithmetic,
    Atom,
    Domain,
    LinearExpression,
    Query,
    Reduction,
    Region,
    Side,
    Symbol,
    dense_network,
    evaluate_exact,
    identify_equal_inputs,
    join_networks,
)

HEAD = """(vnnlib-version <2.0>)
(declare-network f (declare-input X real [2]) (declare-output Y real [2]))
(assert (and (>= X[0] -2.0) (<= X[0] 2.0) (>= X[1] -2.0) (<= X[1] 2.0)))
"""

literals = st.sampled_from(["0.0", "1.0", "-1.0", "0.5", "2", "1.5e0", "(- 1.0)"])
leaves = st.sampled_from(["X[0]", "X [1]", "Y[ 0 ]", "Y[1]"])
terms = st.recursive(
    literals | leaves,
    lambda inner: st.one_of(
        st.builds("(+ {} {})".format, inner, inner),
        st.builds("(- {} {} {})".format, inner, inner, inner),
        st.builds("(- {})".format, inner),
        st.builds("(* {} {})".format, literals, inner),
    ),
    max_leaves=5,
)
comparisons = st.builds("({} {} {})".format, st.sampled_from(["<=", "<", ">=", ">", "==", "!="]), terms, terms)
formulas = st.recursive(
    comparisons,
    lambda inner: st.builds("({} {} {})".format, st.sampled_from(["and", "or"]), inner, inner),
    max_leaves=4,
)
grid = st.sampled_from([Fraction(n, 2) for n in range(-4, 5)])


@given(formula=formulas, x=st.tuples(grid, grid), y=st.tuples(grid, grid))
def test_a_query_holds_where_its_text_does(formula, x, y):
    text = f"{HEAD}(assert {formula})"
    query = parse_vnnlib(text)
    assert isinstance(query, VnnlibQuery)
    try:
        found = regions(query.form, query.entries(Side.INPUT))
    except InputError:
        found = ()
    expected = satisfied(text.replace("X [1]", "X[1]").replace("Y[ 0 ]", "Y[0]"), {"X": list(x), "Y": list(y)})
    assert any(region.violated_at(x, y) for region in found) is expected


@given(query=queries(typed=True), seed=st.integers(0, 2**32 - 1))
def test_an_exported_query_has_the_same_counterexamples(query, seed):
    sizes = [(query.network.size_in,)], [(query.network.size_out,)]
    reduction = Reduction(query, (tuple(range(query.network.size_in)),))
    declared = parse_vnnlib(format_query(reduction, *sizes, "a name\nof two lines"))
    assert isinstance(declared, VnnlibQuery)
    try:
        found = regions(declared.form, declared.entries(Side.INPUT))
    except InputError:
        found = ()
    again = Query(query.network, found)
    rng = np.random.default_rng(seed)
    for region in query.regions:
        for point in points_in(region.domain, rng, 5):
            moved = tuple(v + Fraction(int(rng.integers(-1, 2)), 3) for v in point)
            for x in (point, moved):
                assert again.violated_at(x) is query.violated_at(x)


def test_copies_and_hidden_nodes_are_numbered_in_the_order_of_their_declaration():
    text = """(declare-network f
  (declare-input A Real [1,2]) (declare-hidden H Real [2] "h (1)") (declare-output B Real []))
(declare-network g (equal-to f) (declare-input C Real [1,2]) (declare-output D Real []))
(assert (< (+ A[0,1] C[0,0] H[1]) D)) ; a comment ( with [ brackets
"""
    query = parse_vnnlib(text)
    assert query.entries(Side.INPUT) == ["A[0,0]", "A[0,1]", "C[0,0]", "C[0,1]"]
    assert query.entries(Side.OUTPUT) == ["H[0]", "H[1]", "B", "D"]
    assert entries("A", (1, 2)) == query.entries(Side.INPUT)[:2]
    assert query.networks[0].variables[1].node == "h (1)"
    (case,) = query.form.cases
    ((atom,),) = case.unsafe
    assert atom.strict
    assert {str(symbol) for symbol, _ in atom.expression.terms} == {"X_1", "X_2", "Y_1", "Y_3"}


@pytest.mark.parametrize(
    ("assertion", "arithmetic"),
    [
        ("(<= X[0] 1.0)", Arithmetic.DIRECT),
        ("(or (!= Y[0] (- Y[1])) (> 0.5 Y[0]))", Arithmetic.DIRECT),
        ("(<= (+ (* 0.5 Y[0]) Y[1] 2.0) X[0])", Arithmetic.PLAIN),
        ("(<= (- Y[0] Y[1]) 1.0)", Arithmetic.PLAIN),
        ("(<= (* 2.0 X[0]) 1.0)", Arithmetic.OTHER),
        ("(<= (+ Y[0] 1.0) 2.0)", Arithmetic.OTHER),
        ("(<= (+ Y[0] Y[0]) 2.0)", Arithmetic.OTHER),
        ("(<= (* 2.0 (+ Y[0] Y[1])) 2.0)", Arithmetic.OTHER),
        ("(<= Y[0] Y[0])", Arithmetic.OTHER),
    ],
)
def test_the_arithmetic_of_a_comparison_is_seen(assertion, arithmetic):
    assert parse_vnnlib(f"{HEAD}(assert {assertion})").arithmetic is arithmetic


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("<2.0>", "<3.0>"), "line 1: expected VNN-LIB version 2.0 or 2.1, found 3.0"),
        (("<2.0>", "2.0"), "line 1: expected \\(vnnlib-version"),
        (("(declare-input X real [2]) ", ""), "at least one declare-input"),
        (("(declare-output Y real [2])", ""), "at least one declare-output"),
        (("network f ", "network "), "a name of letters"),
        (("Y real", "X real"), "declared twice"),
        (("X real [2]", "X real 2"), "a shape such as"),
        (("X real [2]", "X real [0]"), "1 to 16777216"),
        (("X real [2]", "X real [99999,99999]"), "1 to 16777216"),
        (("X real [2]", "X real"), "found 2 words"),
        (("X real [2]", "X number [2]"), "an element type"),
        (("X real [2]", 'X real [2] "x"'), "after the shape"),
        (("(declare-output", "(declare-hidden H real [2]) (declare-output"), "with a name in quotes"),
        (("(declare-output", "(equal-to g) (declare-output"), "found 'equal-to'"),
        (("network f ", "network f (equal-to g) "), "declared before"),
        (("X[1] 2.0", "X[2] 2.0"), "line 3: expected a declared variable or a number, found 'X\\[2\\]'"),
        (("X[1] 2.0", "X[1,0] 2.0"), "line 3: .*'X\\[1,0\\]'"),
        (("X[1] 2.0", "X[1 0] 2.0"), "indices such as"),
        (("X[1] 2.0", "X 2.0"), "line 3: .*'X'"),
        (("X[1] 2.0", "(* X[1] X[0]) 2.0"), "product of two variables"),
        (("(assert", "(assert (not (<= X[0] 1.0)))\n(assert"), "found 'not'"),
        (("(assert", "(check-sat)\n(assert"), "found 'check-sat'"),
        (("(assert", '(assert "'), "line 3"),
        (("(assert", "]\n(assert"), "an opening parenthesis"),
    ],
)
def test_what_is_not_the_language_is_refused_with_its_line(change, message):
    text = HEAD.replace(*change, 1)
    assert text != HEAD
    with pytest.raises(InputError, match=message):
        parse_vnnlib(text)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("(equal-to f) (declare-input U real [3]) (declare-output V real [2])", "same declare-input shapes and types"),
        (
            "(equal-to f) (declare-input U float32 [2]) (declare-output V real [2])",
            "same declare-input shapes and types",
        ),
        ("(isomorphic-to f) (declare-input U real [2]) (declare-output V real [1])", "same declare-output shapes"),
        ("(equal-to f) (equal-to f) (declare-input U real [2]) (declare-output V real [2])", "at most one"),
        ("(equal-to g) (declare-input U real [2]) (declare-output V real [2])", "declared before"),
        ("(declare-input X real [2]) (declare-output V real [2])", "declared twice"),
    ],
)
def test_copies_declare_what_their_original_does(second, message):
    with pytest.raises(InputError, match=message):
        parse_vnnlib(HEAD.split("(assert")[0] + f"(declare-network g {second})")


def test_types_do_not_mix_in_a_comparison():
    text = HEAD.replace("Y real", "Y float32")
    assert parse_vnnlib(text + "(assert (<= Y[0] 1.0))").element_types == {"real", "float32"}
    with pytest.raises(InputError, match=r"line 4: .*'float32' and 'real'"):
        parse_vnnlib(text + "(assert (<= Y[0] X[0]))")


def test_bounds_follow_from_conditions():
    text = HEAD.split("(assert")[0] + "(assert (<= X[0] 1.0))(assert (>= X[0] (- X[1])))(assert (<= 0.0 X[1]))"
    text += "(assert (<= (+ (* 2.0 X[1]) X[0]) 3.0))"
    with pytest.raises(InputError, match="has no"):
        parse_form(text)
    (region,) = parse_form(text + "(assert (<= X[1] 4.0))")
    assert region.domain.lower == (-4, 0)
    assert region.domain.upper == (1, 4)
    (region,) = parse_form(text, reach=Fraction(10))
    assert region.domain.lower[1] == 0


def parse_form(text: str, **options) -> tuple[Region, ...]:
    query = parse_vnnlib(text)
    return regions(query.form, query.entries(Side.INPUT), **options)


def test_networks_side_by_side_compute_what_each_does():
    rng = np.random.default_rng(0)
    first = dense_network([rng.normal(size=(3, 2)), rng.normal(size=(1, 3))], [rng.normal(size=3), np.zeros(1)])
    second = dense_network([rng.normal(size=(2, 3))], [rng.normal(size=2)])
    whole = join_networks([first, second, first], [(2, 0), (0, 1, 2), (1, 1)], 4)
    x = [Fraction(n, 7) for n in (3, -5, 2, 9)]
    expected = [
        *evaluate_exact(first, [x[2], x[0]]),
        *evaluate_exact(second, x[:3]),
        *evaluate_exact(first, [x[1], x[1]]),
    ]
    assert list(evaluate_exact(whole, x)) == expected
    assert whole.by_name["copy0/affine_1"].op.maps[0] is whole.by_name["copy2/affine_1"].op.maps[0]


def test_equal_inputs_become_one():
    def difference(i: int, j: int) -> LinearExpression:
        return LinearExpression.from_terms(
            [(Symbol(Side.INPUT, i), Fraction(1)), (Symbol(Side.INPUT, j), Fraction(-1))]
        )

    equal = [Atom(difference(0, 2)), Atom(difference(2, 0)), Atom(difference(1, 0))]
    domain = Domain(tuple(map(Fraction, (0, 0, 1))), tuple(map(Fraction, (2, 2, 3))), conditions=tuple(equal))
    unsafe = ((Atom(difference(0, 2), strict=True),), (Atom(difference(1, 2)),))
    found = identify_equal_inputs([Region(domain, unsafe)], 3)
    assert found.columns == (0, 1, 0)
    (region,) = found.regions
    assert (region.domain.lower, region.domain.upper) == ((1, 0), (2, 2))
    assert region.domain.conditions == (Atom(difference(1, 0)),)
    assert region.unsafe == ((Atom(difference(1, 0)),),)
    assert found.invert((Fraction(1), Fraction(0))) == (1, 0, 1)
    apart = Domain(tuple(map(Fraction, (0, 0, 3))), tuple(map(Fraction, (2, 2, 3))), conditions=tuple(equal))
    assert identify_equal_inputs([Region(apart, unsafe)], 3).regions == ()
    other = Domain(domain.lower, domain.upper)
    assert identify_equal_inputs([Region(domain, unsafe), Region(other, unsafe)], 3).columns == (0, 1, 2)
