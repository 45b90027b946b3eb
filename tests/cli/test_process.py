"""The command line as a process: its clock, its signals, its pipes and its usage."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.cli.commands import run, write
from verinet.io import write_onnx
from verinet.model import dense_network, evaluate


@pytest.fixture
def hard(tmp_path: Path) -> tuple[Path, Path]:
    """Write a network and a question about it that no engine answers within seconds."""
    rng = np.random.default_rng(0)
    sizes = [8, 60, 60, 60, 1]
    weights = [rng.normal(size=(b, a)) * np.sqrt(2 / a) for a, b in itertools.pairwise(sizes)]
    network = dense_network(weights, [rng.normal(size=len(w)) * 0.1 for w in weights])
    write_onnx(network, tmp_path / "hard.onnx")
    values = evaluate(network, rng.uniform(-1, 1, size=(4000, 8)))
    lines = [f"(declare-const X_{i} Real)" for i in range(8)] + ["(declare-const Y_0 Real)"]
    lines += [f"(assert (>= X_{i} -1.0))\n(assert (<= X_{i} 1.0))" for i in range(8)]
    return write(
        tmp_path / "hard.vnnlib", "\n".join([*lines, f"(assert (>= Y_0 {values.max() + np.ptp(values):.6f}))"])
    ), tmp_path / "hard.onnx"


def start(*arguments: str | Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "verinet", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_time_limit_counts_from_the_start_of_the_process(tmp_path: Path, hard: tuple[Path, Path]) -> None:
    prop, model = hard
    record = tmp_path / "record.json"
    started = time.monotonic()
    with start("verify", prop, "--network", model, "--engine", "branch", "--timeout", "3", "--json", record) as process:
        out, error = process.communicate()
    assert time.monotonic() - started < 4
    assert process.returncode == 0
    assert out == "timed-out\n"
    assert "best bound" in error
    assert error.count("\n") == 1
    (verdict,) = json.loads(record.read_text())
    assert verdict["timed_out"]
    assert verdict["bound"] < verdict["needed_bound"] == 0
    assert len(verdict["open_box"]["lower"]) == len(verdict["open_box"]["upper"]) == 8
    # The verdict's own seconds leave out what the process took before: the limit counts it.
    assert 0 < verdict["seconds"] < 3


def test_an_interrupt_prints_what_is_known(tmp_path: Path, hard: tuple[Path, Path]) -> None:
    prop, model = hard
    record = tmp_path / "record.json"
    with start("verify", prop, "--network", model, "--engine", "branch", "--json", record) as process:
        time.sleep(4)
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        out, error = process.communicate()
    assert time.monotonic() - started < 1.5
    assert process.returncode == 130
    assert out == "unknown\n"
    assert "interrupted" in error
    assert "Traceback" not in error
    (verdict,) = json.loads(record.read_text())
    assert verdict["reason"].startswith("interrupted")
    assert verdict["bound"] < 0


@pytest.mark.parametrize("interrupt", [False, True])
def test_the_phase_engine_ends_in_time_and_says_what_is_left(
    tmp_path: Path, hard: tuple[Path, Path], interrupt: bool
) -> None:
    prop, model = hard
    record = tmp_path / "record.json"
    limit = ("--timeout", "60" if interrupt else "3")
    started = time.monotonic()
    with start("verify", prop, "--network", model, "--engine", "phase", *limit, "--json", record) as process:
        if interrupt:
            time.sleep(3)
            process.send_signal(signal.SIGINT)
        out, error = process.communicate()
    assert time.monotonic() - started < 4.5
    assert process.returncode == (130 if interrupt else 0)
    assert out == ("unknown\n" if interrupt else "timed-out\n")
    assert "best bound" in error
    assert "worst domain" in error
    assert "Traceback" not in error
    (verdict,) = json.loads(record.read_text())
    assert verdict["bound"] < 0
    assert verdict["open_box"] is None
    assert verdict["open_phases"]["undecided"] > 0
    assert verdict["engine"].startswith("phase")


def test_bad_usage_is_code_2(capsys) -> None:
    assert run("verify") == 2
    assert run("nonsense") == 2


def test_output_that_nobody_reads_is_no_error(model: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "verinet", "inspect", str(model)]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.returncode == 141
    assert done.stderr == ""
