"""Whatever is done to a file, only the package's own errors come out of its readers."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verinet.errors import VerinetError
from verinet.io.nnet import read_nnet
from verinet.io.property_file import read_property_file
from verinet.io.table import read_csv
from verinet.io.training_file import read_training_file
from verinet.io.vnnlib import read_vnnlib

EXAMPLES = Path(__file__).resolve().parents[2] / "properties"
VNNLIB = (
    "; comment\n(declare-const X_0 Real)\n(declare-const Y_0 Real)\n(assert (and (>= X_0 -1) (<= X_0 1.5)))\n"
    "(assert (or (and (<= (+ X_0 (* 2 Y_0)) 1e-3) (> Y_0 0)) (= (/ Y_0 3) (- X_0) (- 1 2))))\n"
)
TRAINING = (
    '[data]\nfile = "a.csv"\ntarget = "y"\nfeatures = ["a", "b"]\n[model]\nunits = 2\n[objective]\nl1 = 0.1\n'
    '[constraints]\nmonotone = {a = "increasing"}\n[solver]\ntime_limit = 1e1\n'
)
VNNLIB_2 = """(vnnlib-version <2.1>) ; comment
(declare-network f (declare-input X Real [1,2]) (declare-input Z Real [] initialized)
  (declare-hidden H Real [2] "a (node)") (declare-output Y Real [1]))
(declare-network g (equal-to f) (declare-input U Real [1,2]) (declare-input V Real [] initialized)
  (declare-output W Real [1]))
(assert (and (>= X[0,0] -1) (<= X [0,0] 1.5) (== U[0,0] X[0,0])))
(assert (or (and (<= (+ X[0,0] (* 2 Y[0])) 1e-3) (> Y[0] W[0])) (!= H[1] (- Z))))
"""
NNET = "// c\n1,2,1,2,\n2,1,\n0,\n-1,-1,\n1,1,\n0,0,0,\n1,1,1,\n1.5,-2e-1,\n0.5,\n"
READERS: dict[str, tuple[Callable[[Path], object], bytes]] = {
    "vnnlib": (read_vnnlib, VNNLIB.encode()),
    "vnnlib2": (read_vnnlib, VNNLIB_2.encode()),
    "nnet": (read_nnet, NNET.encode()),
    "training": (read_training_file, TRAINING.encode()),
    "csv": (lambda path: read_csv(path, "y"), b'a,b,y\n1,"2",0\n-.5,1e3,1\n'),
    "credit": (read_property_file, (EXAMPLES / "credit.toml").read_bytes()),
    "image": (read_property_file, (EXAMPLES / "image.toml").read_bytes()),
    "control": (read_property_file, (EXAMPLES / "control.toml").read_bytes()),
}
PIECES = [
    b"(",
    b")",
    b"[",
    b"]",
    b"[[",
    b"{",
    b"}",
    b"'",
    b'"',
    b"=",
    b",",
    b"\n",
    b"-",
    b"1e9999",
    b"1e99999999999",
    b"nan",
]
PIECES += [
    b"inf",
    b"0",
    b"true",
    b"X_0",
    b"Y_0",
    b"score",
    b"\xff",
    b"\x00",
    b"\\",
    b"#",
    b";",
    b" or ",
    b"!=",
    b"<",
    b"*",
    b"/",
]
PIECES += [b"9" * 5000, b"(" * 3000, b"[" * 3000, b"-" * 3000, b"1979-05-27", b"range = [1, 0]", b"", b"\x1f\x8b"]
edits = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 30), st.sampled_from(PIECES) | st.binary(max_size=4)),
    min_size=1,
    max_size=4,
)


def edited(content: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    """Replace some bytes at relative positions."""
    for place, length, piece in changes:
        start = int(place * len(content))
        content = content[:start] + piece + content[start + length :]
    return content


@pytest.mark.parametrize("name", READERS)
@given(changes=edits)
def test_an_edited_file_is_read_or_refused(tmp_path_factory, name: str, changes) -> None:
    reader, content = READERS[name]
    path = tmp_path_factory.getbasetemp() / f"hostile.{name}"
    path.write_bytes(edited(content, changes))
    with contextlib.suppress(VerinetError):
        reader(path)


@pytest.mark.parametrize("name", READERS)
def test_the_untouched_file_is_read(tmp_path: Path, name: str) -> None:
    reader, content = READERS[name]
    (tmp_path / "file").write_bytes(content)
    assert reader(tmp_path / "file")
