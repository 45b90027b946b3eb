"""Tables are read as they stand, and an unusable cell is named with its row and column."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verinet.errors import DataError, FileFormatError, MissingFileError
from verinet.io.table import Dataset, read_csv


@pytest.fixture
def read(tmp_path: Path):
    def read_text(text: str | bytes, target: str = "y", features=None) -> Dataset:
        path = tmp_path / "data.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_csv(path, target, features)

    return read_text


def test_numbers(read) -> None:
    found = read("a, b ,y\n1,.5,0\r\n-2e1, 3 ,1\n\n")
    assert (found.feature_names, found.target_name) == (("a", "b"), "y")
    assert found.x.dtype == found.y.dtype == np.float64
    assert found.x.tolist() == [[1.0, 0.5], [-20.0, 3.0]]
    assert found.y.tolist() == [0.0, 1.0]


def test_chosen_features_come_in_the_chosen_order(read) -> None:
    found = read("a,b,text,y\n1,2,x,0\n3,4,y,1\n", features=["b", "a"])
    assert found.feature_names == ("b", "a")
    assert found.x.tolist() == [[2.0, 1.0], [4.0, 3.0]]


def test_a_target_may_have_class_names(read) -> None:
    found = read('\ufeffa,y\n1,good\n2," bad, really "\n')
    assert found.y.tolist() == ["good", "bad, really"]


@given(st.lists(st.tuples(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300)), min_size=1, max_size=6))
def test_floats_survive(tmp_path_factory, rows) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([("a", "y"), *rows])
    path = tmp_path_factory.getbasetemp() / "floats.csv"
    path.write_text(text.getvalue(), newline="")
    found = read_csv(path, "y", None)
    assert found.x[:, 0].tolist() == [a for a, _ in rows]
    assert found.y.tolist() == [y for _, y in rows]


@pytest.mark.parametrize(
    ("text", "target", "features", "kind", "message"),
    [
        ("a,y\n1,0\nx,1\n", "y", None, DataError, r"row 3, column 'a': expected a finite number, found 'x'"),
        ('a,y\n"1\n",0\n1_0,1\n', "y", None, DataError, r"row 4, column 'a': .*'1_0'"),
        ("a,y\n1,0\n,1\n", "y", None, DataError, r"row 3, column 'a': expected a value, found ''"),
        ("a,y\nNaN,0\n", "y", None, DataError, r"row 2, column 'a': expected a value, found 'NaN'"),
        ("a,y\n-inf,0\n", "y", None, DataError, "found '-inf'"),
        ("a,y\n1e999,0\n", "y", None, DataError, "found '1e999'"),
        ("a,y\n1,nan\n", "y", None, DataError, "column 'y'"),
        ("a,y\n1,\n", "y", None, DataError, "column 'y'"),
        (
            "a,y\n1,0\n1,good\n",
            "y",
            None,
            DataError,
            r"row 3, column 'y': expected a number as in other rows, found 'good'",
        ),
        ("a,y\n1,0,3\n", "y", None, FileFormatError, "row 2: expected 2 cells as in the header, found 3"),
        ("a,y\n1,0\n\n1\n", "y", None, FileFormatError, "row 4: expected 2 cells"),
        ("a,y\n1,0\n", "z", None, DataError, "no column 'z' .*'a', 'y'"),
        ("income,y\n1,0\n", "y", ["incom"], DataError, "no column 'incom' .did you mean 'income'"),
        ("a,y\n1,0\n", "y", ["y"], DataError, "distinct features"),
        ("a,y\n1,0\n", "y", ["a", "a"], DataError, "distinct features"),
        ("y\n0\n", "y", None, DataError, "at least one feature"),
        ("a,y\n", "y", None, DataError, "at least one row"),
        ("", "y", None, DataError, "at least one row"),
        ("a,a,y\n1,2,0\n", "y", None, FileFormatError, "two columns have the name 'a'"),
        ("a,,y\n1,2,0\n", "y", None, FileFormatError, "column 2 has no name"),
        ('a,y\n"1"x,0\n', "y", None, FileFormatError, "row 2: expected comma-separated values"),
        ('a,y\n"1,0\n', "y", None, FileFormatError, "comma-separated values"),
        (b"a,y\n\xff,0\n", "y", None, FileFormatError, "UTF-8"),
    ],
)
def test_an_unusable_table_is_refused_with_its_place(read, text, target, features, kind, message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        read(text, target, features)
    assert "data.csv" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"none\.csv"):
        read_csv(tmp_path / "none.csv", "y", None)
