"""Commands run in this process, and the files that several of their tests write."""

from pathlib import Path

import numpy as np

from verinet import cli as command_line

PROPERTIES = """
[inputs.income]
range = [0, 10]

[inputs.debt]
range = [0, 10]

[outputs]
names = ["score"]

[[property]]
name = "income helps"
kind = "monotone"
input = "income"
output = "score"
direction = "increasing"

[[property]]
name = "debt hurts"
kind = "monotone"
input = "debt"
output = "score"
direction = "{direction}"
"""

VNNLIB = """
(declare-const X_0 Real)
(declare-const X_1 Real)
(declare-const Y_0 Real)
(assert (>= X_0 0.0))
(assert (<= X_0 1.0))
(assert (>= X_1 0.0))
(assert (<= X_1 1.0))
(assert (>= Y_0 {threshold}))
"""

TABLE = "a,b,label\n" + "".join(f"{a},{b},{'yes' if a > b else 'no'}\n" for a in range(4) for b in range(4))

WRITTEN = [
    "network.html",
    "network.onnx",
    "network.svg",
    "network.txt",
    "progress.svg",
    "record.json",
    "rules.txt",
    "units.svg",
]

WEIGHTS = [np.array([[1.0, -1.0], [0.0, 0.25]]), np.array([[1.0, -0.5]])]
BIASES = [np.array([0.0, -1.0]), np.zeros(1)]


def run(*arguments: str | Path) -> int:
    """Run the command line in this process and return its exit code."""
    return command_line.run([str(argument) for argument in arguments])


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
