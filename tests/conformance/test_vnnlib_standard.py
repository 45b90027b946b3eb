"""The standard's own suites against our command line: every claim of ``supports`` is tested, every ``sat`` checked."""

import json
import re
import subprocess
import sys
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.io.vnnlib_text import read_assignment, satisfied, variables
from verinet.cli import run
from verinet.io import read_onnx
from verinet.model import evaluate_exact

pytest.importorskip("vnntest", reason="vnnlib-satisfactory is not installed")

REFUSED_BY_THE_STANDARD = {"network_isomorphic/network_isomorphic01": "float16"}
"""Cases that declare another type than their model file has: the standard demands an error, the suite an answer."""

FEWEST_CASES = 100


def ours(capsys, *arguments: str | Path) -> tuple[int, str, str]:
    code = run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Build every case of the suite."""
    place = tmp_path_factory.mktemp("satisfactory")
    program = "from vnntest.core.generator import generate_all_tests; generate_all_tests()"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], cwd=place, check=True, capture_output=True)
    return place / ".vnnlib-satisfactory"


def supported(capsys, option: str) -> set[str]:
    code, out, err = ours(capsys, "supports", option)
    assert (code, err) == (0, "")
    return set(out.splitlines())


def test_the_suite_passes_for_everything_that_is_claimed(folder, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from vnntest.core.evaluator import partition_by_support
        from vnntest.models.test_case import TestCase
    manifest = json.loads((folder / "manifest.json").read_text())
    cases = []
    for entry in manifest:
        case = TestCase.from_manifest_entry(entry, folder / "tests" / entry["category"])
        cases.append(case)
    runnable, skipped = partition_by_support(
        cases,
        supported(capsys, "--onnx-operators"),
        supported(capsys, "--multiple-network-theories"),
        supported(capsys, "--hidden-node-theories"),
        supported(capsys, "--multiple-input-output-theories"),
        supported(capsys, "--arithmetic-complexity-theories"),
    )
    assert len(runnable) >= FEWEST_CASES
    assert {result.test_case.category for result in skipped} <= UNCLAIMED
    wrong = []
    for case in runnable:
        paths = [part for name, path in case.onnx_paths.items() for part in ("--network", f"{name}={path}")]
        code, out, err = ours(capsys, "verify", case.vnnlib_path, *paths, "--timeout", "20")
        if case.id in REFUSED_BY_THE_STANDARD:
            assert (code, out) == (2, "")
            assert REFUSED_BY_THE_STANDARD[case.id] in err
            continue
        word, *assignment = out.splitlines() or [""]
        if code != 0 or word != case.expected.value:
            wrong.append((case.id, case.expected.value, word, err))
        elif word == "sat":
            check_assignment(case.vnnlib_path.read_text(), list(case.onnx_paths.values()), assignment)
    assert not wrong


UNCLAIMED = {
    "arithmetic_poly",
    "batchnormalization",
    "cast",
    "constantofshape",
    "div",
    "equal",
    "mul",
    "pow",
    "shape",
    "sigmoid",
    "softmax",
    "where",
}
"""What ``supports`` does not claim for float32."""


def check_assignment(text: str, models: list[Path], lines: list[str]) -> None:
    """Check an assignment against the text, the model in onnxruntime, and exact evaluation, all by themselves."""
    import onnxruntime

    heads, values = read_assignment(lines)
    declared = variables(text)
    assert heads == [(name, type_, shape) for _, name, type_, shape in declared]
    assert satisfied(text, values)
    networks = re.split(r"\(declare-network", text)[1:]
    exact = dict(values)
    for number, declaration in enumerate(networks):
        # All networks of a case are one file.
        path = models[min(number, len(models) - 1)]
        own = variables(declaration)
        model = onnx.load(path)
        inputs = [(name, shape) for kind, name, _, shape in own if kind == "input"]
        outputs = [name for kind, name, _, _ in own if kind == "output"]
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        given = {
            tensor.name: np.array([float(v) for v in values[name]], dtype=np.float32).reshape(shape)
            for tensor, (name, shape) in zip(session.get_inputs(), inputs, strict=True)
        }
        for name, result in zip(outputs, session.run(None, given), strict=True):
            assert [Fraction(float(v)) for v in result.ravel()] == values[name]
        flat = [v for name, _ in inputs for v in values[name]]
        rest = list(evaluate_exact(read_onnx(path), flat))
        for name in outputs:
            exact[name], rest = rest[: len(values[name])], rest[len(values[name]) :]
    if not any(kind == "hidden" for kind, *_ in declared):
        assert satisfied(text, exact)


@pytest.mark.parametrize("check", ["opset", "vnnlib", "serialise-assignments"])
def test_capabilities_have_the_form_that_the_suite_demands(check, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from vnntest.core import compliance
    option, validate = {
        "opset": ("--onnx-opset-versions", compliance.validate_opset_versions),
        "vnnlib": ("--vnnlib-versions", compliance.validate_vnnlib_versions),
        "serialise-assignments": ("--serialise-assignments", compliance.validate_serialise_assignments),
    }[check]
    code, out, err = ours(capsys, "supports", option)
    assert (code, err) == (0, "")
    assert validate(out) is None


def test_the_suites_own_runner_drives_our_command(tmp_path):
    solver = tmp_path / "verinet"
    solver.write_text(f'#!/bin/sh\nexec {sys.executable} -m verinet "$@"\n')
    solver.chmod(0o755)
    root = Path(__file__).resolve().parents[2]
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "vnntest",
        "run",
        "--solver",
        str(solver),
        "--test",
        "network_equal",
    ]
    done = subprocess.run(
        [*command, "--timeout", "60"], cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(root)}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / ".vnnlib-satisfactory" / "report.json").read_text())
    assert [result["outcome"] for result in report["results"]] == ["pass"]
