"""Encodings say what the network says: with fixed inputs they have one feasible point, the evaluation."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import boxes, domains, networks, points_in
from verinet.bounds import InputSet, bound_network
from verinet.encode import (
    Places,
    encode_domain,
    encode_query,
    exact_row,
    fix_pattern,
    linear_row,
    lower_programme,
)
from verinet.encode.lowering import LOWERINGS
from verinet.errors import UnsupportedModelError
from verinet.model import Atom, Domain, LinearExpression, Side, Symbol, evaluate, evaluate_exact
from verinet.program import (
    Expressions,
    Indicator,
    Maximum,
    Product,
    ProgrammeBuilder,
    Semantic,
    SolveOptions,
    Status,
    VariableKind,
)
from verinet.solve import exact_values, first_violation, get


def intervals_of(network, domain):
    bounds = bound_network(network, InputSet.of(domain))
    return {name: (v.lower, v.upper) for name, v in bounds.intervals.items()}


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
@settings(max_examples=25)
@given(data=st.data())
def test_the_lowered_encoding_with_fixed_inputs_is_the_evaluation(solver: str, data: st.DataObject) -> None:
    if not get(solver).is_installed():
        pytest.skip(f"{solver} is not installed")
    network = data.draw(networks())
    domain = data.draw(boxes(network))
    point = points_in(domain, np.random.default_rng(0), 1)[0]
    fixed = Domain.from_box([float(v) for v in point], [float(v) for v in point])
    # Bounds of the whole box, inputs fixed inside it: the binaries have to choose.
    query = encode_query(network, domain, intervals_of(network, domain))
    builder = ProgrammeBuilder.extending(query.programme)
    builder.rows(query.places.expressions[Side.INPUT], *fixed.box())
    outputs = query.places.expressions[Side.OUTPUT]
    truth = evaluate(network, fixed.box()[0])
    for i, sign in ((0, 1.0), (0, -1.0)):
        programme = builder.build().with_objective(outputs[i].scaled(sign))
        outcome = get(solver).solve(lower_programme(programme).programme, SolveOptions())
        assert outcome.status is Status.OPTIMAL
        assert sign * outcome.objective == pytest.approx(truth[i], abs=1e-5)


@given(data=st.data())
def test_exact_points_satisfy_the_semantic_form_exactly(data: st.DataObject) -> None:
    network = data.draw(networks())
    domain = data.draw(boxes(network))
    query = encode_query(network, domain)
    for point in points_in(domain, np.random.default_rng(0), 3):
        values = complete(query, network, point)
        assert first_violation(query.programme, values) == ""
        outputs = exact_values(query.places.expressions[Side.OUTPUT], values)
        assert tuple(outputs) == evaluate_exact(network, point)


def complete(query, network, point):
    """Compute every variable of a query's programme from the inputs, in rational arithmetic."""
    programme = query.programme
    values = [None] * programme.size
    for index, value in zip(query.inputs, point, strict=True):
        values[index] = value
    maxima = {int(r): (c, j) for c in programme.semantic for j, r in enumerate(c.results)}
    equations = {}
    rows = programme.rows
    for row in np.flatnonzero((rows.lower == 0) & (rows.upper == 0)):
        part = programme.matrix[[row]]
        equations[int(max(part.indices))] = (part, rows.expressions.constant[row])
    for j in range(programme.size):
        if values[j] is not None:
            continue
        if j in maxima:
            constraint, k = maxima[j]
            group = constraint.arguments[slice(int(constraint.offsets[k]), int(constraint.offsets[k + 1]))]
            values[j] = max(exact_partial(group, values))
        else:
            part, constant = equations[j]
            coefficient = dict(zip(part.indices, part.data, strict=True))
            own = Fraction(float(coefficient.pop(j)))
            rest = sum((Fraction(float(c)) * values[i] for i, c in coefficient.items()), Fraction(float(constant)))
            values[j] = -rest / own
    return tuple(values)


def exact_partial(expressions, values):
    for row in range(expressions.size):
        part = expressions.matrix[[row]]
        yield sum(
            (Fraction(float(c)) * values[i] for i, c in zip(part.indices, part.data, strict=True)),
            Fraction(float(expressions.constant[row])),
        )


@given(data=st.data())
def test_lowering_extends_and_restricts_points(data: st.DataObject) -> None:
    network = data.draw(networks())
    domain = data.draw(boxes(network))
    query = encode_query(network, domain, intervals_of(network, domain))
    lowered = lower_programme(query.programme)
    for point in points_in(domain, np.random.default_rng(0), 3):
        exact = complete(query, network, point)
        values = np.array([float(v) for v in exact])
        extended = lowered.extend(values)
        assert lowered.restrict(extended) == pytest.approx(values)
        programme = lowered.programme
        activity = programme.matrix @ extended + programme.rows.expressions.constant
        assert (activity >= programme.rows.lower - 1e-7).all()
        assert (activity <= programme.rows.upper + 1e-7).all()
        integers = extended[programme.integer]
        assert (integers == np.round(integers)).all()


@given(data=st.data())
def test_a_pattern_is_one_piece_through_its_point(data: st.DataObject) -> None:
    network = data.draw(networks())
    domain = data.draw(boxes(network))
    query = encode_query(network, domain)
    point = points_in(domain, np.random.default_rng(0), 1)[0]
    values = complete(query, network, point)
    piece = fix_pattern(query.programme, np.array([float(v) for v in values]))
    assert piece.is_linear
    activity = piece.matrix @ np.array([float(v) for v in values]) + piece.rows.expressions.constant
    assert (activity >= piece.rows.lower - 1e-7).all()
    assert (activity <= piece.rows.upper + 1e-7).all()


@given(data=st.data())
def test_every_point_of_a_domain_is_feasible_for_its_encoding(data: st.DataObject) -> None:
    domain = data.draw(domains(data.draw(st.integers(1, 4))))
    builder = ProgrammeBuilder()
    inputs = encode_domain(builder, domain)
    programme = builder.build()
    index = inputs.expressions.matrix.indices
    for point in points_in(domain, np.random.default_rng(0), 10):
        values = [Fraction(0)] * programme.size
        for i, value in zip(index, point, strict=True):
            values[i] = value
        free = [j for j in range(programme.size) if j not in set(index)]
        for ball in domain.balls:
            for i, centre in zip(ball.coordinates, ball.centre, strict=True):
                values[free.pop(0)] = abs(point[i] - centre)
        feasible = first_violation(programme, tuple(values)) == ""
        assert feasible == domain.contains(point)


@given(
    coefficients=st.lists(st.fractions(-5, 5), min_size=1, max_size=3),
    constant=st.fractions(-5, 5),
    point=st.lists(st.fractions(-3, 3), min_size=3, max_size=3),
)
def test_a_float_row_is_never_above_its_expression(coefficients, constant, point) -> None:
    terms = [(Symbol(Side.INPUT, i), c / 10**17 if i else c) for i, c in enumerate(coefficients)]
    atom = Atom(LinearExpression.from_terms(terms, constant))
    places = Places(
        {Side.INPUT: Expressions.variables(range(3))},
        {Side.INPUT: np.full(3, -3.0)},
        {Side.INPUT: np.full(3, 3.0)},
    )
    row = linear_row(atom.expression, places, np.full(3, -3.0), np.full(3, 3.0))
    assert exact_values(row, point)[0] <= atom.expression.value(point)
    exact = exact_row(atom, places)
    assert sum((c * point[j] for j, c in exact.terms), exact.constant) == atom.expression.value(point)


@given(
    weights=st.lists(st.lists(st.floats(-4, 4), min_size=3, max_size=3), min_size=1, max_size=4),
    data=st.data(),
)
def test_expressions_that_share_variables_add_up_exactly(weights, data) -> None:
    size = len(weights)
    point = data.draw(st.lists(st.fractions(-3, 3), min_size=3, max_size=3))
    coefficients = data.draw(st.lists(st.fractions(-5, 5), min_size=size, max_size=size))
    outputs = Expressions.variables(range(3)).linear(np.array(weights))
    places = Places({Side.OUTPUT: outputs}, {}, {})
    terms = [(Symbol(Side.OUTPUT, i), c) for i, c in enumerate(coefficients)]
    expression = LinearExpression.from_terms(terms)
    row = linear_row(expression, places, np.full(3, -3.0), np.full(3, 3.0))
    assert exact_values(row, point)[0] <= expression.value((), exact_values(outputs, point))


@pytest.mark.parametrize("solver", ["highs", "gurobi", "z3"])
@given(low=st.integers(-5, 0), high=st.integers(0, 6), a=st.integers(-4, 4), weight=st.integers(-5, 6))
@settings(max_examples=20)
def test_products_equal_multiplication(solver: str, low: int, high: int, a: int, weight: int) -> None:
    backend = get(solver)
    if not backend.is_installed():
        pytest.skip(f"{solver} is not installed")
    weight = min(max(weight, low), high)
    builder = ProgrammeBuilder()
    w = builder.variables("w", [low], [high], VariableKind.INTEGER)
    x = builder.variables("x", [-4.0], [4.0])
    z = builder.variables("z", [-100.0], [100.0])
    builder.rows(Expressions.variables(w), float(weight), float(weight))
    builder.rows(Expressions.variables(x), float(a), float(a))
    builder.semantic(Product(z, w, Expressions.variables(x), np.array([-4.0]), np.array([4.0])))
    builder.objective = Expressions.variables(z)
    programme = builder.build()
    lowered = programme if solver == "z3" else lower_programme(programme).programme
    outcome = backend.solve(lowered, SolveOptions())
    assert outcome.status is Status.OPTIMAL
    assert outcome.objective == pytest.approx(weight * a, abs=1e-6)


@pytest.mark.parametrize("active", [True, False])
def test_an_indicator_binds_only_when_active(active: bool) -> None:
    for value in (0.0, 1.0):
        builder = ProgrammeBuilder()
        z = builder.binaries("z", 1)
        x = builder.variables("x", [-2.0], [3.0])
        builder.rows(Expressions.variables(z), value, value)
        builder.semantic(Indicator(z, Expressions.variables(x), np.array([np.inf]), active))
        builder.objective = -Expressions.variables(x)
        outcome = get("highs").solve(lower_programme(builder.build()).programme, SolveOptions())
        assert -outcome.objective == pytest.approx(0.0 if bool(value) == active else 3.0)


def test_a_maximum_without_finite_bounds_cannot_be_lowered() -> None:
    builder = ProgrammeBuilder()
    x, y = builder.variables("x", [-np.inf], [np.inf]), builder.variables("y", [0.0], [np.inf])
    unbounded = np.array([np.inf])
    builder.semantic(Maximum.relu(y, Expressions.variables(x), -unbounded, unbounded))
    with pytest.raises(UnsupportedModelError, match="finite bounds"):
        lower_programme(builder.build())


def test_every_semantic_constraint_has_a_lowering() -> None:
    assert set(LOWERINGS) == set(Semantic.__args__)
