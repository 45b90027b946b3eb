"""Vehicle drives our command from a specification of two lines, where it is installed (the package vehicle-lang)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from verinet.io import write_onnx
from verinet.model import dense_network

SPECIFICATION = """@network
f : Tensor Real [2] -> Tensor Real [1]

@property
monotone : Bool
monotone = forall x y . (forall i . 0 <= x ! i <= 1 and 0 <= y ! i <= 1) and x ! 0 <= y ! 0 and x ! 1 == y ! 1 =>
  f x ! 0 <= f y ! 0
"""


@pytest.mark.parametrize(("slope", "said"), [(1.0, "proved no counterexample exists"), (-1.0, "counterexample")])
def test_a_monotone_specification_is_decided(tmp_path, slope, said):
    vehicle = shutil.which("vehicle", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if vehicle is None:
        pytest.skip("vehicle-lang is not installed")
    network = dense_network([np.array([[slope, 0.5]]), np.array([[1.0]])], [np.zeros(1), np.zeros(1)])
    write_onnx(network, tmp_path / "f.onnx")
    (tmp_path / "monotone.vcl").write_text(SPECIFICATION)
    solver = tmp_path / "verinet"
    root = Path(__file__).resolve().parents[2]
    solver.write_text(f'#!/bin/sh\nPYTHONPATH={root} exec {sys.executable} -m verinet "$@"\n')
    solver.chmod(0o755)
    done = subprocess.run(
        [vehicle, "verify", "-s", "monotone.vcl", "-n", "f:f.onnx", "-v", str(solver)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert said in done.stdout, done.stdout + done.stderr
    assert ("proved no" in done.stdout) is (slope > 0)
