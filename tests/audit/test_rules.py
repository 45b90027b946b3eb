"""Rules partition the rows, say exactly what the network says, and keep their truth at every row when written."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import Weights, networks, random_network
from verinet.audit import Sample, Target, extract_rules, rules_text
from verinet.audit.conditions import Condition, Rows, Simplifier
from verinet.audit.rounding import decimal_text, round_condition, signed_sum
from verinet.errors import DataError
from verinet.model import Affine, Dense, Input, Maximum, Network, Node, dense_network, evaluate_exact_batch


def sample_of(network, x):
    return Sample(x, tuple(f"x{i}" for i in range(network.size_in)), tuple(f"y{i}" for i in range(network.size_out)))


def points_of(x):
    return [[Fraction(float(v)) for v in row] for row in x]


def check_rules(network, x):
    """Check everything that rules promise, with rationals and the plain exact evaluator."""
    rules = extract_rules(network, sample_of(network, x))
    outputs = evaluate_exact_batch(network, x)
    sizes = [len(rule.rows) for rule in rules.rules]
    assert sum(sizes) == len(x)
    assert sizes == sorted(sizes, reverse=True)
    for i, point in enumerate(points_of(x)):
        exact = [rule for rule in rules.rules if all(c.holds(point) for c in rule.conditions)]
        written = [rule for rule in rules.rules if all(c.holds(point) for c in rule.written_conditions)]
        assert len(exact) == 1
        assert exact == written
        assert i in exact[0].rows
        assert tuple(form.value(point) for form in exact[0].forms) == outputs[i]
        off = [abs(a.value(point) - b) for a, b in zip(exact[0].written_forms, outputs[i], strict=True)]
        assert float(max(off)) <= rules.deviation
    return rules


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_row_meets_one_rule_that_is_exact(data):
    network = data.draw(networks())
    # Quarters meet the kinks and the ties of maxima of a network of quarters.
    quarters = st.integers(-8, 8).map(lambda k: k / 4)
    row = st.lists(quarters, min_size=network.size_in, max_size=network.size_in)
    check_rules(network, np.array(data.draw(st.lists(row, min_size=1, max_size=12))))


@pytest.mark.parametrize("seed", range(8))
def test_rules_of_weights_and_rows_that_use_every_bit(seed):
    network = random_network(seed, weights=Weights.FLOATS, max_neurons=10)
    check_rules(network, np.random.default_rng(seed).normal(size=(25, network.size_in)) * 10.0 ** (seed - 4))


@pytest.mark.parametrize("seed", range(6))
def test_leaving_out_conditions_changes_no_point_of_the_box(seed):
    network = random_network(seed + 100, max_neurons=12)
    rng = np.random.default_rng(seed)
    x = rng.integers(-4, 5, (6, network.size_in)) / 2
    rules = extract_rules(network, sample_of(network, x))
    others = np.clip(rng.integers(-8, 9, (150, network.size_in)) / 4, x.min(axis=0), x.max(axis=0))
    every = np.concatenate([x, others])
    fine = extract_rules(network, sample_of(network, every))
    for rule in rules.rules:
        members = {i for i, p in enumerate(points_of(every)) if all(c.holds(p) for c in rule.conditions)}
        (same,) = [r for r in fine.rules if rule.rows[0] in r.rows]
        assert members == set(same.rows.tolist())


def test_a_step_of_known_rules():
    """relu(x - 3) - relu(x - 5): three regions, of which two inequalities say everything."""
    network = dense_network([np.array([[1.0], [1.0]]), np.array([[1.0, -1.0]])], [np.array([-3.0, -5.0]), np.zeros(1)])
    x = np.arange(10.0)[:, None]
    target = Target("y", np.array([0, 0, 0, 0, 1, 2, 2, 2, 2, 4], dtype=float))
    rules = extract_rules(network, Sample(x, ("income",), ("y",), target))
    assert [rule.rows.tolist() for rule in rules.rules] == [[0, 1, 2, 3], [6, 7, 8, 9], [4, 5]]
    text = rules_text(rules)
    assert "3 linear regions hold the 10 rows" in text
    assert "IF   income <= 3\n  THEN y = 0\n" in text
    assert "IF   income > 5\n  THEN y = 2" in text
    assert "IF   income > 3\n  AND  income <= 5\n  THEN y = income - 3" in text
    assert "Rule 2: 4 rows (40.0%), mean y 2.5, mean absolute error 0.5" in text


def test_which_member_wins_is_part_of_a_rule():
    network = Network(
        (Node("input", Input(2)), Node("pool", Maximum(np.array([0, 1]), np.array([0, 2]), 2), ("input",))), ("pool",)
    )
    x = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]])
    rules = check_rules(network, x)
    assert [rule.rows.tolist() for rule in rules.rules] == [[1, 2], [0]]
    assert "x0 - x1 >= 0\n  THEN y0 = x0" in rules_text(rules)


def test_classes_are_judged_by_the_sign():
    network = dense_network([np.array([[2.0]])], [np.array([-1.0])])
    target = Target("label", np.array([-1.0, 1.0, -1.0, 1.0]), ("no", "yes"))
    rules = extract_rules(network, Sample(np.array([[0.0], [0.1], [0.9], [1.0]]), ("a",), ("label",), target))
    assert "Rule 1: 4 rows (100.0%), 50.0% of them yes, 50.0% misjudged\n  IF   always" in rules_text(rules)


def test_what_several_conditions_imply_is_left_out():
    """x > 0 and y > 0 imply x + y > 0, strict or not, and not x + y > 1."""
    rows = Rows.of(np.array([[-4.0, -4.0], [4.0, 4.0]]))
    x, y = Condition.of((1, 0), 0, True), Condition.of((0, 1), 0, False)
    implied, needed = Condition.of((1, 1), 1, True), Condition.of((1, 1), -1, False)
    assert Simplifier(rows).simplify((x, implied, y)) == (x, y)
    assert set(Simplifier(rows).simplify((x, needed, y))) == {x, needed, y}
    assert set(Simplifier(rows).simplify((x, implied, y), thorough=False)) == {x, implied, y}


@pytest.mark.parametrize("sign", [1, -1])
def test_what_needs_hundreds_of_digits_is_written_in_full(sign):
    """Decimals of Python round to 28 digits whatever is done to them."""
    x = np.array([[1.1, 0.0, 5.050255739281308e-287], [0.0, 0.0, 1.1]])
    edge = -sum(points_of(x)[0], Fraction(0))
    condition = Condition((sign, 0, sign), sign * edge, False)
    truth = [condition.holds(point) for point in points_of(x)]
    written = round_condition(condition, Rows.of(x))
    assert [written.holds(point) for point in points_of(x)] == truth


def test_long_numbers_are_written_to_the_last_digit():
    long = Decimal("1." + 40 * "0" + "1")
    assert signed_sum([(long, "a")], long.copy_negate()) == f"{long} * a - {long}"


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_the_truth_at_rows_is_exact_and_survives_rounding(data):
    """Thresholds within one rounding error of the rows, where floats alone are wrong."""
    coefficients = data.draw(st.lists(st.integers(-(2**70), 2**70), min_size=1, max_size=3).filter(any))
    x = np.array(
        data.draw(
            st.lists(
                st.lists(st.floats(-100, 100), min_size=len(coefficients), max_size=len(coefficients)),
                min_size=1,
                max_size=6,
            )
        )
    )
    rows = Rows.of(x)
    edge = -sum((c * v for c, v in zip(coefficients, points_of(x)[0], strict=True)), Fraction(0))
    shift = data.draw(st.sampled_from([Fraction(0), Fraction(1, 2**200), Fraction(-1, 2**200)]))
    condition = Condition(tuple(coefficients), edge + shift, data.draw(st.booleans()))
    truth = [condition.holds(point) for point in points_of(x)]
    assert rows.truth(condition).tolist() == truth
    assert [round_condition(condition, rows).holds(point) for point in points_of(x)] == truth


def test_thresholds_are_as_short_as_the_rows_allow():
    condition = Condition.of((3,), -10, True)
    assert round_condition(condition, Rows.of(np.array([[3.0], [4.0]]))).render(["a"]) == "a > 3.33"
    assert round_condition(condition, Rows.of(np.array([[3.3125], [3.34375]]))).render(["a"]) == "a > 3.33"
    assert round_condition(condition, Rows.of(np.array([[3.330078125], [3.33349609375]]))).render(["a"]) == "a > 3.333"


@pytest.mark.parametrize(
    ("number", "text"), [("1000", "1000"), ("0.00120", "0.0012"), ("1.5e-9", "1.5e-9"), ("0", "0")]
)
def test_decimals_read_well(number, text):
    assert decimal_text(Decimal(number)) == text


@pytest.mark.parametrize("x", [np.zeros((3, 2)), np.zeros((0, 1)), np.array([[np.nan]])])
def test_rows_that_do_not_fit_are_refused(x):
    network = dense_network([np.array([[2.0]])], [np.array([-1.0])])
    with pytest.raises(DataError, match=r"rules need"):
        extract_rules(network, Sample(x, ("a",), ("y",)))


def test_a_target_needs_one_output():
    network = dense_network([np.ones((2, 1))], [np.zeros(2)])
    with pytest.raises(DataError, match="one output"):
        extract_rules(network, Sample(np.ones((1, 1)), ("a",), ("y", "z"), Target("y", np.ones(1))))


def test_a_network_without_units_has_one_rule():
    network = Network(
        (Node("input", Input(2)), Node("output", Affine((Dense(np.zeros((1, 2))),), np.array([2.5])), ("input",))),
        ("output",),
    )
    assert "IF   always\n  THEN y0 = 2.5" in rules_text(check_rules(network, np.array([[0.0, 1.0], [2.0, 3.0]])))


def test_units_that_lead_to_no_output_part_no_regions():
    network = dense_network([np.eye(2), np.array([[1.0, 0.0]])], [np.zeros(2), np.zeros(1)])
    x = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    rules = extract_rules(network, sample_of(network, x)).rules
    assert [rule.rows.tolist() for rule in rules] == [[0, 1], [2, 3]]
    assert all(condition.features == (0,) for rule in rules for condition in rule.conditions)
