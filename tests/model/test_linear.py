from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verinet.errors import PropertyError
from verinet.model import All, Any, Atom, LinearExpression, Side, Symbol, disjunctive_form, negate
from verinet.model.formula import MOST_DISJUNCTS

X0, X1, Y0 = Symbol(Side.INPUT, 0), Symbol(Side.INPUT, 1), Symbol(Side.OUTPUT, 0)

# Few distinct values, so that expressions often vanish at a point and strictness decides.
numbers = st.fractions(-2, 2, max_denominator=3)
symbols = st.builds(Symbol, st.sampled_from(list(Side)), st.integers(0, 2))
term_lists = st.lists(st.tuples(symbols, numbers), max_size=5)
expressions = st.builds(LinearExpression.from_terms, term_lists, numbers)
points = st.tuples(*[numbers] * 3)
atoms = st.builds(Atom, expressions, st.booleans())
formulas = st.recursive(
    atoms,
    lambda parts: st.one_of(
        *(st.lists(parts, max_size=3).map(lambda p, kind=kind: kind(tuple(p))) for kind in (All, Any))
    ),
    max_leaves=6,
)


def holds(formula, x, y):
    match formula:
        case Atom():
            return formula.holds(x, y)
        case All():
            return all(holds(part, x, y) for part in formula.parts)
        case Any():
            return any(holds(part, x, y) for part in formula.parts)


@given(term_lists, numbers, points, points)
def test_from_terms_adds_up_repeated_symbols(terms, constant, x, y):
    expression = LinearExpression.from_terms(terms, constant)
    vectors = {Side.INPUT: x, Side.OUTPUT: y}
    assert expression.value(x, y) == constant + sum(c * vectors[s.side][s.index] for s, c in terms)
    named = [s for s, _ in expression.terms]
    assert named == sorted(set(named), key=str)
    assert all(c for _, c in expression.terms)
    # One canonical form: equal functions are equal objects.
    assert expression == LinearExpression.from_terms(reversed(terms), constant)


@given(expressions, expressions, numbers, points, points)
def test_algebra_is_that_of_values(a, b, factor, x, y):
    assert (a + b).value(x, y) == a.value(x, y) + b.value(x, y)
    assert (a - b).value(x, y) == a.value(x, y) - b.value(x, y)
    assert (a * factor).value(x, y) == a.value(x, y) * factor
    assert (-a).value(x, y) == -a.value(x, y)
    assert a - a == LinearExpression(())


@given(expressions, st.lists(expressions, min_size=6, max_size=6), points, points)
def test_substitution_composes(a, images, x, y):
    table = {Symbol(side, i): images[3 * k + i] for k, side in enumerate(Side) for i in range(3)}
    inner_x = [table[Symbol(Side.INPUT, i)].value(x, y) for i in range(3)]
    inner_y = [table[Symbol(Side.OUTPUT, i)].value(x, y) for i in range(3)]
    assert a.substitute(table.__getitem__).value(x, y) == a.value(inner_x, inner_y)


def test_indices_of_one_side():
    expression = LinearExpression.from_terms([(Y0, Fraction(1)), (X1, Fraction(2)), (X0, Fraction(-1))])
    assert expression.indices(Side.INPUT) == (0, 1)
    assert expression.indices(Side.OUTPUT) == (0,)


@pytest.mark.parametrize(
    ("terms", "constant", "text"),
    [
        ([], 0, "0"),
        ([], Fraction(-1, 2), "-0.5"),
        ([(X0, 1)], 0, "X_0"),
        ([(X0, -1)], 0, "-X_0"),
        ([(X0, -1), (Y0, 1)], 3, "-X_0 + Y_0 + 3"),
        ([(X0, Fraction(5, 2)), (X1, Fraction(-1, 10))], Fraction(-7), "2.5 X_0 - 0.1 X_1 - 7"),
        ([(X0, Fraction(1, 3))], 0, "0.333333333 X_0"),
    ],
)
def test_rendering(terms, constant, text):
    expression = LinearExpression.from_terms([(s, Fraction(c)) for s, c in terms], Fraction(constant))
    assert str(expression) == text
    assert str(Atom(expression)) == f"{text} <= 0"
    assert str(Atom(expression, strict=True)) == f"{text} < 0"
    assert expression.render({X0: "income"}) == text.replace("X_0", "income")


@given(expressions, points, points)
def test_strictness_matters_at_zero_only(expression, x, y):
    loose, strict = Atom(expression).holds(x, y), Atom(expression, strict=True).holds(x, y)
    value = expression.value(x, y)
    assert (loose, strict) == (value <= 0, value < 0)


@given(formulas, points, points)
def test_negation_holds_exactly_where_the_formula_does_not(formula, x, y):
    assert holds(negate(formula), x, y) is not holds(formula, x, y)
    assert negate(negate(formula)) == formula


@given(formulas, points, points)
def test_the_disjunctive_form_means_the_formula(formula, x, y):
    form = disjunctive_form(formula)
    assert any(all(atom.holds(x, y) for atom in conjunction) for conjunction in form) is holds(formula, x, y)


def test_the_empty_combinations():
    assert disjunctive_form(All(())) == ((),)
    assert disjunctive_form(Any(())) == ()


def test_a_disjunctive_form_that_explodes_is_refused():
    either = Any((Atom(LinearExpression(())), Atom(LinearExpression(()), strict=True)))
    assert len(disjunctive_form(All((either,) * 10))) == 2**10
    with pytest.raises(PropertyError, match=f"at most {MOST_DISJUNCTS} cases"):
        disjunctive_form(All((either,) * 18))
