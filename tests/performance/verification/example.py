"""A bench folder of two tiny questions that take a few splits: it warms up compiled code, and tests use it."""

from pathlib import Path

import numpy as np

from verinet.io import write_onnx
from verinet.model import dense_network

__all__ = ["write_example"]

QUESTION = """\
(declare-const X_0 Real)
(declare-const X_1 Real)
(declare-const Y_0 Real)
(assert (>= X_0 -1.0))
(assert (<= X_0 1.0))
(assert (>= X_1 -1.0))
(assert (<= X_1 1.0))
(assert (>= Y_0 {threshold}))
"""

FIRST = np.array([[1.0, -1.0], [-1.0, 1.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
SECOND = np.array([[1.0, 1.0, -1.0, -1.0, -1.0, -1.0]])
"""The triangle inequality: ``|a - b| - |a| - |b|`` is never positive, which no single linear bound shows."""


def write_example(folder: Path) -> Path:
    """Write the bench folder, first ``unsat``, then ``sat``, and return it."""
    for name in ("onnx", "vnnlib"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    write_onnx(dense_network([FIRST, SECOND], [np.zeros(6), np.zeros(1)]), folder / "onnx" / "triangle.onnx")
    answers = {"above": ("0.25", "unsat"), "touching": ("-0.25", "sat")}
    rows = []
    for name, (threshold, answer) in answers.items():
        (folder / "vnnlib" / f"{name}.vnnlib").write_text(QUESTION.format(threshold=threshold), encoding="utf-8")
        rows.append(("onnx/triangle.onnx", f"vnnlib/{name}.vnnlib", answer))
    instances = "".join(f"{net},{prop},60\n" for net, prop, _ in rows)
    expected = "".join(f"{net},{prop},{answer}\n" for net, prop, answer in rows)
    (folder / "instances.csv").write_text(instances, encoding="utf-8")
    (folder / "expected.csv").write_text(f"onnx,vnnlib,result\n{expected}", encoding="utf-8")
    return folder
