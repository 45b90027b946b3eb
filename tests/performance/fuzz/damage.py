"""What can be done to a file, and what the command line may say about the result."""

import contextlib
import io
import os
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from verinet.cli import run
from verinet.io import write_onnx
from verinet.model import dense_network

WORDS = ["sat", "unsat", "unknown", "timed-out"]
ANSWERS = ("violated", "verified", "vacuous", "unknown")

QUERY = """(vnnlib-version <2.0>)
(declare-network f (declare-input X {type} [2]) (declare-output Y {type} [1]))
(declare-network g (equal-to f) (declare-input U {type} [2]) (declare-output V {type} [1]))
(assert (and (>= X[0] 0.0) (<= X[0] 1.0) (>= X[1] -1.0) (<= X[1] 1.0)))
(assert (and (<= X[0] U[0]) (<= U[0] 1.0) (== U[1] X[1])))
(assert (or (< V[0] Y[0]) (and (!= Y[0] 0.25) (> (+ Y[0] (* 2.0 X[1])) 3.5))))
"""

PROPERTIES = """[inputs.a]
range = [0, 1]
[inputs.b]
type = "integer"
range = [-1, 1]
[outputs]
names = ["s"]
[[property]]
name = "up"
kind = "monotone"
input = "a"
direction = "increasing"
[[property]]
name = "low"
kind = "linear"
require = "s <= 3 * a + 5 or b < 1"
where = ["a + b <= 1"]
"""

NNET = "// c\n2,2,1,2,\n2,2,1,\n0,\n-1,-1,\n1,1,\n0,0,0,\n1,1,1,\n1.5,-0.25,\n0.5,1.0,\n0.5,\n0.0,\n1.0,-1.0,\n0.25,\n"

PIECES = [b"(", b")", b"[", b"]", b'"', b";", b"<", b">", b"=", b"-", b"/", b",", b".", b" ", b"\n", b"\x00", b"\xff"]
PIECES += [b"0", b"1", b"-1.5", b"1e9", b"1e400", b"1e999999999", b"nan", b"inf", b"9" * 5000, b"(" * 2000, b"0.1"]
PIECES += [b"X", b"U[0]", b"Y[0]", b"X[9]", b"real", b"float32", b"float64", b"equal-to", b"isomorphic-to", b"f", b"g"]
PIECES += [b"and", b"or", b"!=", b"==", b"<=", b"*", b"+", b"assert", b"initialized", b"declare-hidden", b"", b""]

TIME_LIMIT = 2.0
"""Seconds that a question gets; the whole of a call may take `PATIENCE` more."""

PATIENCE = 30.0


@dataclass(frozen=True)
class Case:
    """A file to damage, its name, and the arguments of the command with the good files beside it."""

    kind: str
    name: str
    content: bytes
    arguments: tuple[str, ...]


def cases(folder: Path) -> tuple[Case, ...]:
    """Write the good files and return what can be damaged."""
    network = dense_network(
        [np.array([[1.0, -0.5], [0.25, 1.0]]), np.array([[1.0, 0.5]])], [np.array([0.5, 0.0]), np.zeros(1)]
    )
    write_onnx(network, folder / "f.onnx")
    (folder / "q.vnnlib").write_text(QUERY.format(type="real"))
    (folder / "p.toml").write_text(PROPERTIES)
    good = str(folder / "f.onnx")
    limit = ("--timeout", str(TIME_LIMIT), "--quiet")
    return (
        Case("vnnlib", "d.vnnlib", QUERY.format(type="real").encode(), ("{}", "--network", f"f={good}", *limit)),
        Case("vnnlib32", "d.txt", QUERY.format(type="float32").encode(), ("{}", "--network", f"f={good}", *limit)),
        Case("toml", "d.toml", PROPERTIES.encode(), ("{}", "--network", good, *limit)),
        Case("nnet", "d.nnet", NNET.encode(), (str(folder / "q.vnnlib"), "--network", "f={}", *limit)),
        Case("onnx", "d.onnx", (folder / "f.onnx").read_bytes(), (str(folder / "p.toml"), "--network", "{}", *limit)),
    )


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Replace some bytes, or swap, repeat or drop lines."""
    for _ in range(rng.randint(1, 3)):
        start = rng.randrange(len(content) + 1)
        match rng.randrange(5):
            case 0:
                content = content[:start] + rng.choice(PIECES) + content[start + rng.randint(0, 12) :]
            case 1:
                content = content[:start] + bytes([rng.randrange(256)]) + content[start + 1 :]
            case 2:
                lines = content.split(b"\n")
                i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
                lines[i], lines[j] = lines[j], lines[i]
                content = b"\n".join(lines)
            case 3:
                end = start + rng.randint(1, 60)
                content = content[:end] + content[start:]
            case _:
                words = content.split(b" ")
                words[rng.randrange(len(words))] = rng.choice(PIECES)
                content = b" ".join(words)
    return content


def complaint(case: Case, folder: Path, content: bytes) -> str:
    """Run the command on damaged content and say what is wrong with its behaviour; nothing if all is well."""
    path = folder / case.name
    path.write_bytes(content)
    out, err = io.StringIO(), io.StringIO()
    began = time.monotonic()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(["verify", *(argument.format(path) for argument in case.arguments)])
    seconds = time.monotonic() - began
    first = out.getvalue().split("\n")[0]
    if seconds > 2 * TIME_LIMIT + PATIENCE:
        return f"took {seconds:.0f} s"
    if "Traceback" in err.getvalue():
        return "a traceback"
    if code == 2:
        return "" if not out.getvalue() and len(err.getvalue().splitlines()) == 1 else f"exit 2 with {first!r}"
    if case.kind in ("toml", "onnx"):
        return (
            "" if code in (0, 1, 3) and (not first or first.startswith(ANSWERS)) else f"exit {code}: {err.getvalue()}"
        )
    return "" if code == 0 and first in WORDS else f"exit {code} with {first!r}: {err.getvalue()}"


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """Give a folder for the files."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("VERINET_TRACEBACK", "")
        yield Path(folder)
