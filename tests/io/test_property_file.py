"""Property files become property sets exactly, wrong ones are named with their place, and what is written is read."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verinet.errors import FileFormatError, InputError, MissingFileError, PropertyError
from verinet.io.property_file import BUILDERS, SUPPORTED_KINDS, read_property_file
from verinet.io.property_schema import property_schema
from verinet.io.property_writer import BUILDERS as WRITERS
from verinet.io.property_writer import write_property_file
from verinet.model import (
    All,
    Any,
    Atom,
    Equivalent,
    Fair,
    Feature,
    Linear,
    LinearExpression,
    Lipschitz,
    Monotone,
    Norm,
    Property,
    PropertySet,
    Range,
    Robust,
    Rule,
    Side,
    Symbol,
    VariableType,
    disjunctive_form,
)

EXAMPLES = Path(__file__).resolve().parents[2] / "properties"

INPUTS = """
[inputs.income]
range = [0, 250000.5]
[inputs.age]
type = "integer"
range = [18, 100]
[inputs.member]
type = "binary"
[inputs.color]
type = "categorical"
values = ["red", "light blue"]
[outputs]
names = ["score", "other one"]
"""
MONOTONE = '[[property]]\nname = "m"\nkind = "monotone"\ninput = "income"\noutput = "score"\ndirection = "increasing"\n'
LINEAR = '[[property]]\nname = "l"\nkind = "linear"\nrequire = "score <= 1"\n'
POINT = '{income = 1.1, age = 20, member = 0, color = "red"}'
ROBUST = f'[[property]]\nname = "r"\nkind = "robust"\nat = {POINT}\nradius = 0.1\n'
FAIR = '[[property]]\nname = "f"\nkind = "fair"\nprotected = "color"\n'
RANGE = '[[property]]\nname = "g"\nkind = "range"\noutput = "score"\n'
LIPSCHITZ = '[[property]]\nname = "z"\nkind = "lipschitz"\noutput = "score"\nconstant = 3.5\n'
EQUIVALENT = '[[property]]\nname = "e"\nkind = "equivalent"\nreference = "old"\n'
RULE = '[[property]]\nname = "u"\nkind = "rule"\nif = "income > 1"\n'


@pytest.fixture
def read(tmp_path: Path):
    def read_text(text: str) -> PropertySet:
        path = tmp_path / "file.toml"
        path.write_text(text, encoding="utf-8")
        return read_property_file(path)

    return read_text


def test_inputs_and_outputs_keep_their_order_types_and_exact_ranges(read) -> None:
    found = read(INPUTS + MONOTONE)
    assert found.outputs == ("score", "other one")
    assert found.features == (
        Feature("income", Fraction(0), Fraction("250000.5")),
        Feature("age", Fraction(18), Fraction(100), VariableType.INTEGER),
        Feature("member", Fraction(0), Fraction(1), VariableType.BINARY),
        Feature("color", Fraction(0), Fraction(1), VariableType.BINARY, ("red", "light blue")),
    )
    assert found.domain.groups == ((3, 4),)


def test_decimals_never_pass_through_floats(read) -> None:
    (prop,) = read(INPUTS + ROBUST.replace("1.1", "0.1000000000000000000001")).properties
    assert isinstance(prop, Robust)
    assert prop.centre[0] == Fraction("0.1000000000000000000001")
    assert prop.radius[0] == Fraction(1, 10)


def test_a_monotone_property(read) -> None:
    where = 'where = ["age <= 0.1 * income", "color != \'red\'"]'
    (prop,) = read(INPUTS + MONOTONE + where).properties
    assert isinstance(prop, Monotone)
    assert (prop.inputs, prop.output, prop.increasing) == ((0,), 0, True)
    assert [str(atom) for atom in prop.where] == ["-0.1 X_0 + X_1 <= 0", "X_3 <= 0"]
    several = MONOTONE.replace('"income"', '["income", "age"]').replace("increasing", "decreasing")
    (prop,) = read(INPUTS + several.replace('"score"', '"other one"')).properties
    assert prop == Monotone("m", (0, 1), 1, increasing=False)


def test_a_linear_property_holds_all_of_its_texts(read) -> None:
    (prop,) = read(
        INPUTS + LINEAR.replace('"score <= 1"', '["score <= 1", "score > \'other one\' or age < 20"]')
    ).properties
    assert isinstance(prop, Linear)
    assert isinstance(prop.require, All)
    first, second = prop.require.parts
    assert str(first) == "Y_0 - 1 <= 0"
    assert isinstance(second, Any)
    assert [str(part) for part in second.parts] == ["-Y_0 + Y_1 < 0", "X_1 - 20 < 0"]


def test_a_robust_property_changes_continuous_inputs(read) -> None:
    (prop,) = read(INPUTS + ROBUST).properties
    assert prop == Robust(
        "r",
        (Fraction("1.1"), Fraction(20), Fraction(0), Fraction(1), Fraction(0)),
        (Fraction("0.1"), Fraction(0), Fraction(0), Fraction(0), Fraction(0)),
    )


def test_a_robust_property_with_named_radii_norm_and_class(read) -> None:
    text = ROBUST.replace(
        "radius = 0.1", 'radius = {age = 2}\nnorm = "l1"\nclass = "other one"\nwhere = "income <= 1.2"'
    )
    (prop,) = read(INPUTS + text).properties
    assert isinstance(prop, Robust)
    assert (prop.radius[:2], prop.norm, prop.label, len(prop.where)) == ((0, 2), Norm.L1, 1, 1)
    (prop,) = read(INPUTS + ROBUST + "band = 0.25").properties
    assert isinstance(prop, Robust)
    assert prop.band == Fraction(1, 4)


def test_several_points_become_a_property_each(read) -> None:
    points = f'[[1.5, 20, 1, "light blue"], {POINT}]'
    found = read(INPUTS + ROBUST.replace(POINT, points)).properties
    assert [prop.name for prop in found] == ["r [1]", "r [2]"]
    assert isinstance(found[0], Robust)
    assert found[0].centre == (Fraction(3, 2), 20, 1, 0, 1)
    (single,) = read(INPUTS + ROBUST.replace(POINT, '[1.5, 20, 1, "light blue"]')).properties
    assert isinstance(single, Robust)
    assert (single.name, single.centre) == ("r", found[0].centre)


def test_points_may_stand_in_a_data_file(read, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("id,color,age,income,member\n7,red,20,0.1,1\n8,light blue,30,2e3,0\n")
    text = INPUTS + ROBUST.replace(f"at = {POINT}", 'data = "people.csv"')
    found = read(text).properties
    assert [prop.name for prop in found] == ["r [1]", "r [2]"]
    centres = [prop.centre for prop in found if isinstance(prop, Robust)]
    assert centres == [(Fraction(1, 10), 20, 1, 1, 0), (2000, 30, 0, 0, 1)]
    assert [prop.name for prop in read(text + "rows = [2]").properties] == ["r [2]"]
    for rows, message in (("[3]", "there is no row 3"), ("[0]", "rows")):
        with pytest.raises(InputError, match=message):
            read(text + f"rows = {rows}")
    (tmp_path / "people.csv").write_text("color,age,income,member\nred,20,much,1\n")
    with pytest.raises(InputError, match=r"row 1 of data, column 'income': .*'much'"):
        read(text)
    (tmp_path / "people.csv").write_text("color,age,member\nred,20,1\n")
    with pytest.raises(InputError, match="no column 'income'"):
        read(text)
    (tmp_path / "people.csv").unlink()
    with pytest.raises(MissingFileError, match=r"people\.csv"):
        read(text)


def test_the_kinds_that_compare_and_restrict(read) -> None:
    zero, one = Fraction(0), Fraction(1)
    (fair,) = read(INPUTS + FAIR + "tolerance = {age = 2}\nband = 0.5").properties
    assert fair == Fair("f", (3, 4), (zero, Fraction(2), zero, zero, zero), Fraction(1, 2))
    assert read(INPUTS + FAIR).properties == (Fair("f", (3, 4)),)
    assert read(INPUTS + RANGE + "at_most = 1").properties == (Range("g", 0, None, one),)
    assert read(INPUTS + LIPSCHITZ).properties == (Lipschitz("z", (0, 1, 2), 0, Fraction(7, 2)),)
    (gentle,) = read(INPUTS + LIPSCHITZ + 'input = "age"\nnorm = "l1"').properties
    assert gentle == Lipschitz("z", (1,), 0, Fraction(7, 2), Norm.L1)
    assert read(INPUTS + EQUIVALENT).properties == (Equivalent("e", "old"),)
    (rule,) = read(INPUTS + RULE + 'class = ["other one", 0]\nthen = "score > income"').properties
    assert isinstance(rule, Rule)
    assert (str(rule.condition), str(rule.conclusion), rule.classes) == ("-X_0 + 1 < 0", "X_0 - Y_0 < 0", (1, 0))


def test_copies_have_inputs_and_outputs_of_their_own(read) -> None:
    text = LINEAR.replace("score <= 1", "a.score <= b.score or income > 5").replace("name", 'shared = "income"\nname')
    where = "where = [\"'b.age' >= a.age\", \"a.color == 'red'\", \"b.color != 'light blue'\"]"
    (prop,) = read(INPUTS + text + 'copies = ["a", "b"]\n' + where).properties
    assert isinstance(prop, Linear)
    assert (prop.copies, prop.shared) == (("a", "b"), (0,))
    assert isinstance(prop.require, Any)
    # Five inputs and two outputs a copy.
    assert [str(part) for part in prop.require.parts] == ["Y_0 - Y_2 <= 0", "-X_0 + 5 < 0"]
    assert [str(atom) for atom in prop.where] == ["X_1 - X_6 <= 0", "-X_3 + 1 <= 0", "X_9 <= 0"]


def test_many_alike_inputs_are_counted(read) -> None:
    text = f"[inputs]\ncount = 784\nrange = [0, 1]\n{LINEAR.replace('score <= 1', 'Y_3 <= 2 * X_783')}"
    found = read(text)
    assert (len(found.features), found.features[783].name, found.outputs) == (784, "X_783", ())
    (prop,) = found.properties
    assert isinstance(prop, Linear)
    assert str(prop.require) == "-2 X_783 + Y_3 <= 0"


def test_an_input_may_be_named_count(read) -> None:
    found = read(f"[inputs.count]\nrange = [0, 1]\n{LINEAR.replace('score', 'Y_0')}")
    assert [feature.name for feature in found.features] == ["count"]


def test_one_named_output_is_the_default(read) -> None:
    one = INPUTS.replace(', "other one"', "")
    unnamed = INPUTS.split("[outputs]")[0]
    for text, output in (
        (one + MONOTONE.replace('output = "score"\n', ""), 0),
        (unnamed + MONOTONE.replace('"score"', '"Y_2"'), 2),
    ):
        (prop,) = read(text).properties
        assert isinstance(prop, Monotone)
        assert prop.output == output


BAD = {
    # What the schema says.
    "": (FileFormatError, "inputs is missing"),
    "x = ": (FileFormatError, r"file\.toml: expected a TOML file"),
    "x = " + "[" * 5000: (FileFormatError, "TOML"),
    INPUTS: (FileFormatError, "property is missing"),
    INPUTS + "property = 3": (FileFormatError, "unknown key 'property'"),
    "property = 3" + INPUTS: (FileFormatError, "property: expected a list, found 3"),
    INPUTS + MONOTONE + "wher = 3": (FileFormatError, r"property\[1\]: unknown key 'wher' \(did you mean 'where'"),
    INPUTS + LINEAR + MONOTONE.replace('"income"', "3"): (
        FileFormatError,
        r"property\[2\]\.input: expected a list, found 3",
    ),
    INPUTS + MONOTONE.replace('"income"', "[]"): (FileFormatError, r"property\[1\]\.input: expected at least 1"),
    INPUTS + MONOTONE.replace("increasing", "up"): (
        FileFormatError,
        r"direction: expected 'increasing' or .* found 'up'",
    ),
    INPUTS + MONOTONE.replace('direction = "increasing"', ""): (FileFormatError, "direction is missing"),
    INPUTS + MONOTONE.replace('kind = "monotone"', ""): (FileFormatError, r"property\[1\]: expected a 'kind'"),
    INPUTS + MONOTONE.replace('"monotone"', "3"): (FileFormatError, r"property\[1\]: expected one of 'linear'"),
    INPUTS + MONOTONE.replace('name = "m"', 'name = ""'): (FileFormatError, r"name: expected a text that is not empty"),
    INPUTS.replace("250000.5", '"x"') + LINEAR: (
        FileFormatError,
        r"inputs\.income\.range\[2\]: expected a number, found 'x'",
    ),
    INPUTS.replace("250000.5", "true") + LINEAR: (FileFormatError, r"range\[2\]: expected a number, found true"),
    INPUTS.replace("250000.5", "inf") + LINEAR: (FileFormatError, "'inf'"),
    INPUTS.replace("250000.5", "1e999999999") + LINEAR: (FileFormatError, "exponent"),
    INPUTS.replace("250000.5", "9" * 400) + LINEAR: (FileFormatError, r"range\[2\].*2\*\*1023"),
    INPUTS.replace(", 250000.5", "") + LINEAR: (FileFormatError, "at least 2 entries"),
    INPUTS.replace('"integer"', '"int"') + LINEAR: (FileFormatError, r"inputs\.age\.type: .*found 'int'"),
    "inputs = 3\n" + LINEAR: (FileFormatError, "inputs: expected a table"),
    "[inputs]\n" + LINEAR: (FileFormatError, "inputs: expected at least 1"),
    "[inputs]\ncount = 0\nrange = [0, 1]\n" + LINEAR: (FileFormatError, r"inputs\.count: .*found 0"),
    "[inputs]\ncount = 2\n" + LINEAR: (FileFormatError, r"inputs\.range is missing"),
    INPUTS + ROBUST.replace("0.1", '"x"'): (FileFormatError, r"radius: expected a number, found 'x'"),
    INPUTS + ROBUST.replace("radius = 0.1", "radius = {age = [1]}"): (
        FileFormatError,
        r"radius\.age: expected a number",
    ),
    INPUTS + ROBUST.replace(POINT, "3"): (FileFormatError, r"\.at: expected a list, found 3"),
    INPUTS + ROBUST.replace(POINT, "[[true]]"): (FileFormatError, r"\.at\[1\]\[1\]: expected a number, found true"),
    INPUTS + ROBUST + "class = -1": (FileFormatError, "class"),
    INPUTS + ROBUST + "class = true": (FileFormatError, "class"),
    INPUTS + ROBUST + 'norm = "l2"': (FileFormatError, "norm: expected 'linf' or 'l1', found 'l2'"),
    # What the kinds are.
    INPUTS + MONOTONE.replace('"monotone"', '"x"'): (
        PropertyError,
        r"property\[1\]: kind 'x' is unknown; supported kinds",
    ),
    # What the names and numbers say together.
    INPUTS + MONOTONE.replace('"income"', '"incom"'): (
        PropertyError,
        "property 'm': there is no input 'incom'.*'income'",
    ),
    INPUTS + MONOTONE.replace('"income"', '"color"'): (PropertyError, "categorical input 'color' has no order"),
    INPUTS + MONOTONE.replace('"income"', '["age", "age"]'): (PropertyError, "'age' is used twice"),
    INPUTS + MONOTONE.replace('"score"', '"scor"'): (PropertyError, "no output 'scor'.*'score'"),
    INPUTS + MONOTONE.replace('output = "score"\n', ""): (PropertyError, "output is missing.*found 2"),
    INPUTS.split("[outputs]")[0] + MONOTONE: (PropertyError, "no output 'score'.*Y_0"),
    INPUTS + MONOTONE + 'where = "score <= 1"': (PropertyError, "inputs only"),
    INPUTS + MONOTONE + 'where = "age <= 1 or income <= 1"': (PropertyError, "needs an 'or'"),
    INPUTS + LINEAR.replace("score <=", "scor <="): (PropertyError, "property 'l': the condition 'scor <= 1'"),
    INPUTS + LINEAR.replace("score", "Y_0"): (PropertyError, "unknown name"),
    INPUTS + LINEAR + LINEAR: (PropertyError, "property name 'l' is used twice"),
    INPUTS.replace("250000.5", "-1") + LINEAR: (PropertyError, "range of input 'income' is empty: 0 exceeds -1"),
    INPUTS.replace("[18, 100]", "[18.1, 18.9]") + LINEAR: (PropertyError, "empty"),
    INPUTS.replace('"binary"', '"binary"\nrange = [0, 2]') + LINEAR: (PropertyError, "binary"),
    INPUTS.replace("range = [0, 250000.5]", "") + LINEAR: (PropertyError, "'income': a range is missing"),
    INPUTS.replace('["red", "light blue"]', '["red", "red"]') + LINEAR: (PropertyError, "'red' is used twice"),
    INPUTS.replace('"categorical"', '"integer"') + LINEAR: (PropertyError, "values are for a categorical input"),
    INPUTS.replace('values = ["red", "light blue"]', "range = [0, 1]") + LINEAR: (PropertyError, "needs values"),
    INPUTS.replace('"other one"', '"income"') + LINEAR: (PropertyError, "'income' is used twice"),
    INPUTS.replace('"other one"', '"color=red"') + LINEAR: (PropertyError, "'color=red' is used twice"),
    INPUTS.replace('"other one"', '"color"') + LINEAR: (PropertyError, "'color' is used twice"),
    INPUTS + ROBUST.replace("income = 1.1, ", ""): (PropertyError, "no value for input 'income'"),
    INPUTS + ROBUST.replace("income = 1.1", "income = 1.1, x = 1"): (PropertyError, "no input 'x'"),
    INPUTS + ROBUST.replace("1.1", "-1.1"): (
        PropertyError,
        r"gives -1.1 for input 'income', outside of its range \[0, 250000.5\]",
    ),
    INPUTS + ROBUST.replace("age = 20", "age = 20.5"): (PropertyError, "whole number for input 'age', found 20.5"),
    INPUTS + ROBUST.replace("age = 20", 'age = "x"'): (PropertyError, "number for input 'age', found 'x'"),
    INPUTS + ROBUST.replace('"red"', '"green"'): (
        PropertyError,
        "'red', 'light blue' for input 'color', found 'green'",
    ),
    INPUTS + ROBUST.replace('"red"', "1"): (PropertyError, "for input 'color', found '1'"),
    INPUTS + ROBUST.replace(POINT, "[1, 20]"): (PropertyError, "needs 4 values, .* found 2"),
    INPUTS + ROBUST.replace("0.1", "-0.1"): (PropertyError, "radius must be at least 0"),
    INPUTS + ROBUST.replace("0.1", "{color = 1}"): (PropertyError, "'color' cannot have a radius"),
    INPUTS + ROBUST.replace("0.1", "{x = 1}"): (PropertyError, "no input 'x'"),
    INPUTS + ROBUST.replace("0.1", '{income = 1, age = 2}\nnorm = "l1"'): (PropertyError, "l1 norm needs one radius"),
    INPUTS + ROBUST + "class = 2": (PropertyError, "class 2 does not exist"),
    INPUTS + ROBUST + 'class = "x"': (PropertyError, "no output 'x'"),
    INPUTS.replace(', "other one"', "") + ROBUST + 'class = "score"': (PropertyError, "class is 1 .positive. or 0"),
    INPUTS + ROBUST + "class = 1\nband = 1": (PropertyError, "a class or a band"),
    INPUTS + ROBUST + "band = -1": (PropertyError, "band must be at least 0"),
    INPUTS + FAIR.replace('"color"', '"colour"'): (PropertyError, "no input 'colour'.*'color'"),
    INPUTS + FAIR.replace('"color"', '["age", "age"]'): (PropertyError, "'age' is used twice"),
    INPUTS + FAIR + "tolerance = {color = 1}": (PropertyError, "'color' cannot have a radius"),
    INPUTS + FAIR.replace('"color"', '"age"') + "tolerance = {age = 1}": (PropertyError, "'age' may change freely"),
    INPUTS + FAIR + "band = -1": (PropertyError, "band must be at least 0"),
    INPUTS + RANGE: (PropertyError, "at_least, at_most or both, found neither"),
    INPUTS + RANGE + "at_least = 2\nat_most = 1": (PropertyError, "no more than at_most, found 2 and 1"),
    INPUTS + LIPSCHITZ.replace("3.5", "-1"): (PropertyError, "constant must be at least 0"),
    INPUTS + LIPSCHITZ + 'input = "color"': (PropertyError, "'color' has no distance"),
    INPUTS + LIPSCHITZ + 'norm = "l2"': (FileFormatError, "norm: expected 'linf' or 'l1'"),
    INPUTS + EQUIVALENT.replace('reference = "old"\n', ""): (FileFormatError, "reference is missing"),
    INPUTS + EQUIVALENT + "band = -1": (PropertyError, "band must be at least 0"),
    INPUTS + RULE: (PropertyError, "then, class or both, found neither"),
    INPUTS + RULE.replace("income", "score") + "class = 1": (PropertyError, "a rule may speak of inputs only"),
    INPUTS + RULE + "class = 2": (PropertyError, "class 2 does not exist"),
    INPUTS + RULE + 'class = ["score", 0]': (PropertyError, "must be distinct"),
    INPUTS + RULE + "class = [true]": (FileFormatError, "class"),
    INPUTS + LINEAR + 'shared = "age"': (PropertyError, "add copies"),
    INPUTS + LINEAR + 'copies = ["a"]': (FileFormatError, "at least 2 entries"),
    INPUTS + LINEAR + 'copies = ["a", "a"]': (PropertyError, "'a' is used twice"),
    INPUTS + LINEAR + 'copies = ["a", "b"]': (PropertyError, "unknown name .*'score'"),
    INPUTS.split("[outputs]")[0] + LINEAR + 'copies = ["a", "b"]': (PropertyError, "copies need named outputs"),
    INPUTS + ROBUST.replace(f"at = {POINT}\n", ""): (PropertyError, "found neither"),
    INPUTS + ROBUST + 'data = "x.csv"': (PropertyError, "found both"),
    INPUTS + ROBUST + "rows = [1]": (PropertyError, "add data"),
    INPUTS + ROBUST + "top = 2": (PropertyError, "less than the number of outputs, 2"),
    INPUTS + ROBUST + "top = 0": (FileFormatError, "top"),
    '[inputs.n]\ntype = "integer"\nrange = [0, 9]\n' + ROBUST.replace(POINT, "[1]"): (
        PropertyError,
        "continuous inputs, found none",
    ),
}


@pytest.mark.parametrize(("text", "kind", "message"), [(text, *what) for text, what in BAD.items()])
def test_a_wrong_file_is_refused_with_its_place(read, text: str, kind: type[InputError], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        read(text)
    assert "file.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_other_bytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"none\.toml"):
        read_property_file(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(FileFormatError, match="TOML"):
        read_property_file(tmp_path / "bytes.toml")


def test_tables_cover_every_kind() -> None:
    assert set(WRITERS) == set(Property.__args__)
    assert len(BUILDERS) == len(SUPPORTED_KINDS) == len(WRITERS)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_examples_are_read_and_written(path: Path, tmp_path: Path) -> None:
    found = read_property_file(path)
    write_property_file(tmp_path / "copy.toml", found)
    assert read_property_file(tmp_path / "copy.toml") == found


def test_there_are_examples() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.toml")} >= {"credit", "medical", "control", "image"}


def test_the_committed_schema_is_the_one_that_is_checked() -> None:
    assert json.loads((EXAMPLES / "property.schema.json").read_text(encoding="utf-8")) == property_schema()


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
decimals = st.builds(lambda n, k: Fraction(n, 10**k), st.integers(-(10**6), 10**6), st.integers(0, 8))
thirds = decimals | st.fractions(-5, 5, max_denominator=9)


INPUT_SYMBOLS = [Symbol(Side.INPUT, i) for i in range(4)]
OUTPUT_SYMBOL = Symbol(Side.OUTPUT, 0)
# The second copy shares the second input, so that it has no symbol of its own.
COPIED_SYMBOLS = [Symbol(Side.INPUT, i) for i in range(8) if i != 5]


def atoms(symbols: list[Symbol]) -> st.SearchStrategy[Atom]:
    terms = st.lists(st.tuples(st.sampled_from(symbols), thirds), min_size=1, max_size=3)
    expressions = st.builds(LinearExpression.from_terms, terms, thirds).filter(lambda e: e.terms)
    return st.builds(Atom, expressions, st.booleans())


def speaks_of_inputs(formula) -> bool:
    return not any(atom.expression.indices(Side.OUTPUT) for case in disjunctive_form(formula) for atom in case)


formulas = st.recursive(
    atoms([*INPUT_SYMBOLS, OUTPUT_SYMBOL]),
    lambda inner: st.builds(
        lambda kind, parts: kind(tuple(parts)), st.sampled_from([All, Any]), st.lists(inner, min_size=2, max_size=3)
    ),
    max_leaves=5,
)
conditions = formulas.filter(speaks_of_inputs)
wheres = st.lists(atoms(INPUT_SYMBOLS), max_size=2).map(tuple)
copied_atoms = atoms([*COPIED_SYMBOLS, OUTPUT_SYMBOL, Symbol(Side.OUTPUT, 1)])
copied_wheres = st.lists(atoms(COPIED_SYMBOLS), max_size=2).map(tuple)
bands = st.none() | st.builds(abs, decimals)
maybe_formulas = st.none() | formulas


@st.composite
def property_sets(draw) -> PropertySet:
    names = draw(st.lists(texts, min_size=4, max_size=4, unique=True))
    names = [name.replace("=", "-") + str(i) for i, name in enumerate(names)]
    low, high = sorted(draw(st.tuples(decimals, decimals)))
    features = (
        Feature(names[0], low, high),
        Feature(names[1], Fraction(-2), Fraction(7), VariableType.INTEGER),
        Feature(names[2], Fraction(0), Fraction(1), VariableType.BINARY, ("x", draw(texts) + "y")),
    )
    where = draw(wheres)
    radius = (abs(draw(decimals)), Fraction(0), Fraction(0), Fraction(0))
    centre = (low, Fraction(3), Fraction(0), Fraction(1))
    properties = (
        Linear(draw(texts) + "1", draw(formulas), where),
        Monotone(draw(texts) + "2", (0, 1), 0, draw(st.booleans()), where),
        Robust(
            draw(texts) + "3",
            centre,
            radius,
            draw(st.sampled_from(Norm)),
            draw(st.sampled_from([None, 0, 1])),
            None,
            where,
        ),
        Robust(draw(texts) + "4", centre, radius, band=abs(draw(decimals))),
        Fair(draw(texts) + "5", (2, 3), draw(st.sampled_from([(), radius])), draw(bands), where),
        Range(draw(texts) + "6", 0, low, draw(st.sampled_from([None, high])), where),
        Lipschitz(draw(texts) + "7", (0, 1), 0, abs(draw(decimals)), draw(st.sampled_from(Norm)), where),
        Equivalent(draw(texts) + "8", draw(texts), draw(bands), where),
        Rule(
            draw(texts) + "9",
            draw(conditions),
            draw(maybe_formulas),
            draw(st.sampled_from([(0,), (1, 0)])),
            where,
        ),
        Linear(draw(texts) + "10", draw(copied_atoms), draw(copied_wheres), ("a", "b"), (1,)),
    )
    return PropertySet(features, (names[3],), properties)


def normal(atom: Atom) -> Atom:
    """Scale an atom to a leading coefficient of one, for writing may multiply it."""
    return Atom(atom.expression * abs(1 / atom.expression.terms[0][1]), atom.strict)


def normal_formula(formula):
    return normal(formula) if isinstance(formula, Atom) else type(formula)(tuple(map(normal_formula, formula.parts)))


@given(property_sets())
def test_what_is_written_is_read_back(tmp_path_factory, original: PropertySet) -> None:
    path = tmp_path_factory.getbasetemp() / "written.toml"
    write_property_file(path, original)
    found = read_property_file(path)
    assert (found.features, found.outputs) == (original.features, original.outputs)
    for new, old in zip(found.properties, original.properties, strict=True):
        assert list(map(normal, new.where)) == list(map(normal, old.where))
        if isinstance(old, Linear):
            assert isinstance(new, Linear)
            assert normal_formula(new.require) == normal_formula(old.require)
            assert (new.copies, new.shared) == (old.copies, old.shared)
        elif isinstance(old, Rule):
            assert isinstance(new, Rule)
            assert normal_formula(new.condition) == normal_formula(old.condition)
            assert (new.conclusion is None) == (old.conclusion is None)
            if old.conclusion is not None:
                assert normal_formula(new.conclusion) == normal_formula(old.conclusion)
            assert new.classes == old.classes
        else:
            assert {**vars(new), "where": ()} == {**vars(old), "where": ()}


def test_what_a_file_cannot_say_is_refused(tmp_path: Path) -> None:
    features = (
        Feature("a", Fraction(0), Fraction(1)),
        Feature("c", Fraction(0), Fraction(1), VariableType.BINARY, ("x", "y")),
    )
    always = Linear("always", All(()))
    constant = Linear("constant", Atom(LinearExpression((), Fraction(-1))))
    unnamed = Linear("unnamed", Atom(LinearExpression(((Symbol(Side.OUTPUT, 3), Fraction(1)),))))
    zeros = Robust("zeros", (Fraction(0),) * 3, (Fraction(0),) * 3)
    moving = Robust("moving", (Fraction(0), Fraction(1), Fraction(0)), (Fraction(0), Fraction(1), Fraction(1)))
    for prop in (always, constant, unnamed, zeros, moving):
        with pytest.raises(PropertyError):
            write_property_file(tmp_path / "file.toml", PropertySet(features, ("y",), (prop,)))
    with pytest.raises(InputError, match="finitely many"):
        write_property_file(tmp_path / "file.toml", PropertySet((Feature("a", Fraction(0), Fraction(1, 3)),), (), ()))
    assert not (tmp_path / "file.toml").exists()
