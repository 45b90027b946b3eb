"""VNN-LIB files mean what an independent evaluator of their text says, and nothing is guessed."""

import gzip
import itertools
import random
import re
import time
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verinet.errors import FileFormatError, MissingFileError, PropertyError
from verinet.io.vnnlib import parse_vnnlib, read_vnnlib
from verinet.model import Domain, dense_network

HEADER = "(declare-const X_0 Real)(declare-const X_1 Real)\n(declare-const Y_0 Real) (declare-const Y_1 Real)\n"
BOX = "(assert (and (>= X_0 -2) (<= X_0 2.0) (>= X_1 (- 2)) (<= X_1 2e0)))\n"

# An evaluator of its own: recursive, on nested lists, straight from the text.


def nested(text: str) -> list:
    stack: list[list] = [[]]
    for token in text.replace("(", " ( ").replace(")", " ) ").split():
        if token == "(":
            stack.append([])
        elif token == ")":
            done = stack.pop()
            stack[-1].append(done)
        else:
            stack[-1].append(token)
    return stack[0]


def value(expression, point):
    if isinstance(expression, str):
        return point[expression] if expression in point else Fraction(expression)
    operator, *rest = expression
    if operator in ("and", "or"):
        return (all if operator == "and" else any)([value(part, point) for part in rest])
    numbers = [value(part, point) for part in rest]
    if operator in ("<=", "<", ">=", ">", "="):
        holds = {"<=": lambda a, b: a <= b, "<": lambda a, b: a < b, "=": lambda a, b: a == b}
        holds |= {">=": lambda a, b: a >= b, ">": lambda a, b: a > b}
        return all(holds[operator](a, b) for a, b in itertools.pairwise(numbers))
    if operator == "-" and len(numbers) == 1:
        return -numbers[0]
    total = numbers[0]
    for number in numbers[1:]:
        total = {"+": total + number, "-": total - number, "*": total * number, "/": total / (number or 1)}[operator]
    return total


literals = st.sampled_from(["0", "1", "-1", "0.5", "-0.5", "2", "1.5e0", "(- 1)", "(/ 1 2)", "(- 0.5 1)"])
factors = st.sampled_from(["2", "-1", "0.5", "(- 2)", "(/ 1 3)", "0"])
divisors = st.sampled_from(["2", "-1", "0.5", "(+ 1 2)"])
variables = st.sampled_from(["X_0", "X_1", "Y_0", "Y_1"])
terms = st.recursive(
    literals | variables,
    lambda inner: st.one_of(
        st.builds(lambda parts: f"(+ {' '.join(parts)})", st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: f"(- {' '.join(parts)})", st.lists(inner, min_size=1, max_size=3)),
        st.builds("(* {} {})".format, factors, inner),
        st.builds("(* {} {} 2)".format, inner, factors),
        st.builds("(/ {} {})".format, inner, divisors),
    ),
    max_leaves=4,
)
relations = st.sampled_from(["<=", "<", ">=", ">", "="])
comparisons = st.one_of(
    st.builds("({} {} {})".format, relations, st.sampled_from(["X_0", "X_1"]), literals),
    st.builds("({} {} {})".format, relations, terms, terms),
    st.builds("({} {} {} {})".format, relations, terms, terms, terms),
)
formulas = st.recursive(
    comparisons,
    lambda inner: st.builds(
        lambda word, parts: f"({word} {' '.join(parts)})",
        st.sampled_from(["and", "or"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=8,
)
GRID = [Fraction(n, 2) for n in range(-5, 6)]


def some_points(seed: int) -> list[list[Fraction]]:
    """Choose points of the grid, and points that miss it in some coordinates: from a seed, which is quick to draw."""
    rng = random.Random(seed)
    return [
        [rng.choice(GRID) + rng.choice([0, 0, Fraction(rng.randint(-5, 5), 12)]) for _ in range(4)] for _ in range(40)
    ]


@given(st.lists(formulas, min_size=1, max_size=3), st.integers(0, 2**32 - 1))
def test_regions_hold_exactly_where_the_text_does(assertions: list[str], seed: int) -> None:
    text = HEADER + BOX + "".join(f"(assert {formula})\n" for formula in assertions)
    commands = [command[1] for command in nested(text) if command[0] == "assert"]

    def expected(x0, x1, y0, y1) -> bool:
        point = {"X_0": x0, "X_1": x1, "Y_0": y0, "Y_1": y1}
        return all(value(command, point) for command in commands)

    try:
        regions = parse_vnnlib(text).regions
    except PropertyError:
        regions = ()  # No input meets the assertions, so that none of the samples may.
    for x0, x1, y0, y1 in some_points(seed):
        found = any(region.violated_at((x0, x1), (y0, y1)) for region in regions)
        assert found == expected(x0, x1, y0, y1), (text, x0, x1, y0, y1)


def test_a_point_question_becomes_one_box_with_alternatives() -> None:
    prop = parse_vnnlib(
        HEADER + BOX + "(assert (or (and (>= Y_0 1.1)) (and (<= Y_1 Y_0) (< Y_0 3)))) ; the end (not (closed"
    )
    assert (prop.size_in, prop.size_out) == (2, 2)
    (region,) = prop.regions
    assert region.domain == Domain.from_box([-2, -2], [2, 2])
    assert [[str(atom) for atom in conj] for conj in region.unsafe] == [
        ["-Y_0 + 1.1 <= 0"],
        ["-Y_0 + Y_1 <= 0", "Y_0 - 3 < 0"],
    ]
    assert region.unsafe[0][0].expression.constant == Fraction(11, 10)


def test_boxes_and_outputs_in_separate_assertions_become_a_region_a_box() -> None:
    boxes = " ".join(f"(and (>= X_0 {k}) (<= X_0 {k}.5) (>= X_1 0) (<= X_1 1))" for k in range(4))
    prop = parse_vnnlib(f"{HEADER}(assert (or {boxes}))(assert (or (<= Y_0 0) (<= Y_1 0) (= Y_0 Y_1)))")
    assert [region.domain.lower[0] for region in prop.regions] == [0, 1, 2, 3]
    assert {len(region.unsafe) for region in prop.regions} == {3}


def test_the_same_box_written_twice_becomes_one_region() -> None:
    box = "(>= X_0 0) (<= X_0 1) (<= 0 X_1) (<= (* 2 X_1) 2)"
    other = "(<= X_0 1.0) (>= X_0 0e0) (>= X_1 0) (<= X_1 (/ 4 4))"
    prop = parse_vnnlib(f"{HEADER}(assert (or (and {box} (<= Y_0 0)) (and {other} (<= Y_1 0)) (and {box} (<= Y_0 0))))")
    (region,) = prop.regions
    assert [str(conj[0]) for conj in region.unsafe] == ["Y_0 <= 0", "Y_1 <= 0"]


def test_a_strict_bound_is_a_condition_beside_the_closed_box() -> None:
    (region,) = parse_vnnlib(f"{HEADER}{BOX}(assert (< X_0 1))(assert (< X_1 5))(assert (<= Y_0 0))").regions
    assert region.domain.upper == (1, 2)
    assert [str(atom) for atom in region.domain.conditions] == ["X_0 - 1 < 0"]
    assert not region.domain.contains((Fraction(1), Fraction(0)))


@pytest.mark.parametrize("bounds", ["(<= X_0 1) (< X_0 1)", "(< X_0 1) (<= X_0 1)", "(> 1 X_0) (>= 2 (* 2 X_0))"])
def test_the_strict_one_of_two_equal_bounds_counts(bounds: str) -> None:
    (region,) = parse_vnnlib(f"{HEADER}{BOX}(assert (and {bounds} (<= Y_0 0)))").regions
    assert region.violated_at((Fraction("0.99"), Fraction(0)), (Fraction(0), Fraction(0)))
    assert not region.violated_at((Fraction(1), Fraction(0)), (Fraction(0), Fraction(0)))


def test_conditions_over_several_inputs_stay_conditions_and_mixed_atoms_are_unsafe() -> None:
    (region,) = parse_vnnlib(f"{HEADER}{BOX}(assert (<= X_0 X_1))(assert (<= X_0 Y_1))").regions
    assert [str(atom) for atom in region.domain.conditions] == ["X_0 - X_1 <= 0"]
    assert [[str(atom) for atom in conj] for conj in region.unsafe] == [["X_0 - Y_1 <= 0"]]


def test_a_question_about_inputs_alone_is_unsafe_everywhere() -> None:
    (region,) = parse_vnnlib(HEADER + BOX).regions
    assert region.unsafe == ((),)


def test_empty_cases_are_dropped_while_another_remains() -> None:
    text = f"{HEADER}{BOX}(assert (or (>= X_0 3) (and (< X_1 0) (>= X_1 0)) (<= Y_0 0)))"
    assert len(parse_vnnlib(text).regions) == 1


@pytest.mark.parametrize("extra", ["(>= X_0 3)", "(< X_0 -2)", "(or (>= X_0 3) (>= X_1 1e300))"])
def test_no_input_at_all_is_an_error(extra: str) -> None:
    with pytest.raises(PropertyError, match=r"file.vnnlib: the input box is empty: X_0"):
        parse_vnnlib(f"{HEADER}{BOX}(assert {extra})", "file.vnnlib")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(assert (and (>= X_0 0) (>= X_1 0)))", "X_0 has no upper bound"),
        ("(assert (and (<= X_0 0) (<= X_1 0) (>= X_0 -1)))", "X_1 has no lower bound .* unbounded inputs"),
        (f"{BOX}(assert (<= 1 0))", "contradict"),
    ],
)
def test_unusable_inputs_are_named(text: str, message: str) -> None:
    with pytest.raises(PropertyError, match=message):
        parse_vnnlib(HEADER + text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(assert (<= X_2 0))", r"line 3: .*'X_2'"),
        ("(assert (<= Z 0))", r"line 3: .*'Z'"),
        ("\n(assert (<= (* X_0\n Y_0) 0))", r"line 4: .*product of two variables"),
        ("(assert (<= (/ 1 X_0) 0))", "division by a variable"),
        ("(assert (<= (/ X_0 (- 1 1)) 0))", "division by zero"),
        ("(assert (<= (/ X_0) 0))", "at least two operands"),
        ("(assert (<= X_0))", "at least two terms"),
        ("(assert (not (<= X_0 0)))", r"operators .*'not'"),
        ("(assert (and))", "and with operands"),
        ("(assert (<= X_0 (<= X_1 0)))", "found a formula"),
        ("(assert (and X_0))", "found a number"),
        ("(assert (+ X_0 1))", "found a number"),
        ("(assert X_0)", "one formula"),
        ("(assert)", "one formula"),
        ("(assert (<= X_0 0) (<= X_1 0))", "one formula"),
        ("(assert ((<= X_0 0)))", "another parenthesis"),
        ("(assert ())", r"found \(\)"),
        ("()", r"found \(\)"),
        ("(assert (<= X_0 0)", r"line 3: .*never closed"),
        ("(assert (<= X_0 0)))", r"line 3: .*never opened"),
        ("assert", "opening parenthesis, found 'assert'"),
        ("(set-logic QF_LRA)", "'set-logic'"),
        ("(check-sat)", "'check-sat'"),
        ("(declare-const X_0 Real)", "declared twice"),
        ("(declare-const X_3 Real)", "not X_2"),
        ("(declare-const X_02 Real)", "'X_02'"),
        ("(declare-const Z_0 Real)", "'Z_0'"),
        ("(declare-const X_2 Int)", "declare-const NAME Real"),
        ("(declare-const X_2)", "declare-const NAME Real"),
        ("(vnnlib-version <2.0>)", "line 1: .*found 'declare-const'"),
        ("(declare-network N (declare-input X Real []))", "found 'declare-const'"),
        ("(assert (<= X_0 1e99999999999999))", "exponent"),
        ("(assert (<= X_0 1e400))", "2\\*\\*1023"),
        ("(assert (<= (* 1e200 1e200 X_0) 0))", "2\\*\\*1023"),
        ("(assert (<= (* 1e-200 X_0) 1e200))", "2\\*\\*1023"),
        ("(assert (<= X_0 0x10))", "decimal number"),
        ("(assert (<= X_0 1_0))", "decimal number"),
        ("(assert (<= X_0 -))", "decimal number"),
    ],
)
def test_what_is_not_the_language_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        parse_vnnlib(HEADER + text)


@pytest.mark.parametrize("text", ["", "; nothing", "(declare-const X_0 Real)", "(declare-const Y_0 Real)"])
def test_inputs_and_outputs_must_be_declared(text: str) -> None:
    with pytest.raises(FileFormatError, match="at least one variable"):
        parse_vnnlib(text)


def test_declarations_may_follow_assertions() -> None:
    assert parse_vnnlib(f"{BOX}(assert (<= Y_0 0)){HEADER}") == parse_vnnlib(f"{HEADER}{BOX}(assert (<= Y_0 0))")


DEPTH = 10_000
DEEP = {
    "and": "(and (<= Y_1 0) " * DEPTH + "(<= Y_0 0)" + ")" * DEPTH,
    "or": "(or (<= Y_1 0) " * DEPTH + "(<= Y_0 0)" + ")" * DEPTH,
    "in turn": "(and (or " * DEPTH + "(<= Y_0 0)" + "))" * DEPTH,
    "sum": "(<= " + "(+ Y_1 " * DEPTH + "Y_0" + ")" * DEPTH + " 0)",
    "minus": "(<= " + "(- " * DEPTH + "Y_0" + ")" * DEPTH + " 0)",
}


@pytest.mark.parametrize("formula", DEEP.values(), ids=DEEP.keys())
def test_deep_nesting_is_read(formula: str) -> None:
    (region,) = parse_vnnlib(f"{HEADER}{BOX}(assert {formula})").regions
    assert region.violated_at((Fraction(0), Fraction(0)), (Fraction(0), Fraction(0)))
    assert not region.violated_at((Fraction(0), Fraction(0)), (Fraction(1), Fraction(1)))


def test_a_form_that_cannot_be_written_out_is_refused_soon() -> None:
    formula = "(and (<= Y_1 0) (or (<= Y_0 3) " * DEPTH + "(<= Y_0 0)" + "))" * DEPTH
    many = "".join(f"(assert (or (<= Y_0 {k}) (>= Y_1 {k})))" for k in range(60))
    for text in (f"(assert {formula})", many):
        with pytest.raises(PropertyError, match="split the file"):
            parse_vnnlib(HEADER + BOX + text)


def test_deep_unbalanced_and_deep_products_are_refused() -> None:
    with pytest.raises(FileFormatError, match="still open at the end: 100000"):
        parse_vnnlib("(" * 100_000)
    with pytest.raises(FileFormatError, match="bits"):
        parse_vnnlib(f"{HEADER}{BOX}(assert (<= {'(* 1e-300 ' * 2000} Y_0 {')' * 2000} 0))")


def test_thousands_of_cases_take_linear_time() -> None:
    def seconds(count: int) -> float:
        cases = " ".join(
            f"(and (>= X_0 0.{k}1) (<= X_0 1.{k}) (>= X_1 0) (<= X_1 1) (<= Y_0 {k}))" for k in range(count)
        )
        start = time.process_time()
        prop = parse_vnnlib(f"{HEADER}(assert (or {cases}))(assert (or (<= Y_1 1) (<= Y_1 Y_0)))")
        assert len(prop.regions) == count
        return time.process_time() - start

    assert seconds(4000) < 16 * seconds(1000) + 1.0


def test_compressed_files_are_known_by_suffix_or_content(tmp_path: Path) -> None:
    text = (HEADER + BOX).encode()
    for name, data in {
        "a.vnnlib": text,
        "b.vnnlib.gz": gzip.compress(text, mtime=0),
        "c.vnnlib": gzip.compress(text),
    }.items():
        (tmp_path / name).write_bytes(data)
        assert read_vnnlib(tmp_path / name) == parse_vnnlib(HEADER + BOX)


@pytest.mark.parametrize(
    "data", [b"(assert)", gzip.compress(b"x" * 1000, mtime=0)[:-9], b"\x1f\x8bxxxxxxxxxxxxxxxxxxxx"]
)
def test_damaged_compressed_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.vnnlib.gz"
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match="gzip"):
        read_vnnlib(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"none\.vnnlib"):
        read_vnnlib(tmp_path / "none.vnnlib")


def test_bytes_that_are_no_text_are_allowed_in_comments_only(tmp_path: Path) -> None:
    path = tmp_path / "a.vnnlib"
    path.write_bytes(b"\xef\xbb\xbf; \xff\xfe\n" + (HEADER + BOX).encode())
    assert read_vnnlib(path).size_in == 2
    path.write_bytes((HEADER + BOX).encode() + b"(assert (<= \xff 0))")
    with pytest.raises(FileFormatError, match="declared variable"):
        read_vnnlib(path)


def test_a_query_needs_a_network_of_the_declared_size() -> None:
    prop = parse_vnnlib(HEADER + BOX + "(assert (<= Y_0 0))")
    fitting = dense_network([np.eye(2)], [np.zeros(2)])
    assert prop.query(fitting).regions == prop.regions
    for wrong in (dense_network([np.ones((2, 3))], [np.zeros(2)]), dense_network([np.ones((1, 2))], [np.zeros(1)])):
        with pytest.raises(PropertyError, match="declares 2 inputs and 2 outputs"):
            prop.query(wrong)


NUMBER = re.compile(rb"[-+]?0(\.0?)?([eE][-+]?0)?")


def telling(files: Iterable[Path]) -> Iterator[Path]:
    """Yield one of the files that differ in their numbers only, and each that writes a number as none before it."""
    shapes, forms = set(), set()
    for file in files:
        content = file.read_bytes()
        text = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
        text = re.sub(rb"\d+", b"0", text)
        shape, own = NUMBER.sub(b"0", text), {found.group() for found in NUMBER.finditer(text)}
        if shape not in shapes or not own <= forms:
            shapes.add(shape)
            forms |= own
            yield file


def test_every_kind_of_published_file_is_read(shared: Path) -> None:
    files = sorted(shared.glob("bench/**/*.vnnlib*"))
    if not files:
        pytest.skip("../shared/bench has no VNN-LIB files")
    for file in telling(files):
        prop = read_vnnlib(file)
        assert prop.regions
        assert all(region.unsafe for region in prop.regions)
