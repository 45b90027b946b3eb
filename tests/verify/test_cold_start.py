"""A fresh installation: kernels are compiled elsewhere while the falsifier and a MILP try; where kernels are kept."""

import os
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from verinet import compiling
from verinet.model import Atom, Domain, LinearExpression, Query, Region, Side, Symbol, dense_network
from verinet.verify import Answer, Deadline, Outlook, VerifyOptions, cold_start, verify_query
from verinet.verify.cold_start import ANNOUNCEMENT, NO_FOLDER, search_when_compiled

FOLDER = compiling.kernel_folder.__wrapped__


class Compiler:
    """Stands for the process that compiles: it takes so many looks."""

    def __init__(self, looks: float) -> None:
        self.looks = looks

    def poll(self) -> int | None:
        self.looks -= 1
        return 0 if self.looks < 0 else None


def asked(threshold: float) -> Query:
    network = dense_network([np.eye(2), np.ones((1, 2))], [np.zeros(2), np.zeros(1)])
    above = Atom(LinearExpression(((Symbol(Side.OUTPUT, 0), Fraction(-1)),), Fraction(threshold)))
    return Query(network, (Region(Domain.from_box([-1, -1], [1, 1]), ((above,),)),))


def cold(monkeypatch: pytest.MonkeyPatch, looks: float) -> Compiler:
    compiler = Compiler(looks)
    monkeypatch.setattr(cold_start, "are_kernels_ready", lambda engine: False)
    monkeypatch.setattr(cold_start, "_start_compiler", lambda engine: compiler)
    return compiler


@pytest.fixture
def _unsure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let plain bounds decide nothing."""
    monkeypatch.setattr(cold_start, "refuted_at_once", lambda bounds, region: None)


@pytest.mark.usefixtures("_unsure")
@pytest.mark.parametrize(("threshold", "outlook"), [(1.5, Outlook.FOUND), (2.5, Outlook.REFUTED)])
def test_an_easy_question_does_not_wait_for_the_compiler(
    monkeypatch: pytest.MonkeyPatch, threshold: float, outlook: Outlook
) -> None:
    cold(monkeypatch, np.inf)
    query, said = asked(threshold), []
    options = VerifyOptions(on_notice=said.append)
    finding = search_when_compiled("branch", query.network, query.regions[0], options, Deadline.after(20))
    assert finding.outlook is outlook
    assert said == [ANNOUNCEMENT]
    assert finding.evidence


@pytest.mark.usefixtures("_unsure")
def test_the_engine_that_was_asked_for_waits_for_its_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = cold(monkeypatch, 3)
    query = asked(2.5)
    options = VerifyOptions(engine="branch", timeout=100)
    finding = search_when_compiled("branch", query.network, query.regions[0], options, Deadline.after(100))
    assert finding.outlook is Outlook.REFUTED
    assert compiler.looks == -1
    assert "boxes" in finding.evidence[0] or "at once" in finding.evidence[0]


def test_the_time_limit_holds_while_kernels_are_being_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    cold(monkeypatch, np.inf)
    query = asked(2.0)
    verdict = verify_query(query.network, query, VerifyOptions(engine="branch", timeout=0.3, falsify=False))
    assert verdict.answer is Answer.UNKNOWN
    assert verdict.timed_out
    assert "being compiled" in verdict.reason


@pytest.mark.usefixtures("_unsure")
def test_kernels_that_cannot_be_kept_are_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    cold(monkeypatch, np.inf)
    monkeypatch.setattr(cold_start, "kernel_folder", lambda: None)
    query, said = asked(2.5), []
    options = VerifyOptions(on_notice=said.append)
    finding = search_when_compiled("branch", query.network, query.regions[0], options, Deadline.after(100))
    assert finding.outlook is Outlook.REFUTED
    assert said == [NO_FOLDER]


# -------------------------------------------------------------------------------------------------------- the folder


def test_the_users_choice_of_folder_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert FOLDER().parent == tmp_path


def test_what_cannot_be_written_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder can be made below a file")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setattr(compiling, "__file__", str(tmp_path / "file" / "compiling.py"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    assert FOLDER().parent == tmp_path / "own"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert FOLDER() is None


def test_a_changed_kernel_gets_another_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for room in compiling.ROOMS:
        (tmp_path / room).mkdir(parents=True)
    kernel = tmp_path / compiling.ROOMS[0] / "kernels.py"
    other = tmp_path / compiling.ROOMS[1] / "plain.py"
    kernel.write_text("\n@jit\ndef f(): return 1\n")
    monkeypatch.setattr(compiling, "PACKAGE", tmp_path)
    first = compiling._version()
    other.write_text("def f(): return 1\n")
    assert compiling._version() == first
    kernel.write_text("\n@jit\ndef f(): return 2\n")
    assert compiling._version() != first


def test_every_kernel_of_the_engine_counts() -> None:
    kernels = [("bounds", "kernels.py"), ("bounds", "columns.py"), ("verify", "box_kernels.py")]
    for room, name in (*kernels, ("train/layered", "combining.py"), ("train/layered", "stacks.py")):
        assert b"\n@jit" in (compiling.PACKAGE / room / name).read_bytes()


def test_older_kernels_are_deleted_and_nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mine, older, foreign = (tmp_path / name for name in (compiling.PREFIX + "a", compiling.PREFIX + "b", "else"))
    for folder in (mine, older, foreign):
        folder.mkdir()
    monkeypatch.setattr(compiling, "kernel_folder", lambda: mine)
    assert compiling.forget_old_kernels() == 1
    assert sorted(os.listdir(tmp_path)) == sorted([mine.name, foreign.name])


def test_the_compiler_process_is_told_where_the_package_is(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    def popen(command: tuple[str, ...], **options: object) -> None:
        seen.update(options, command=command)
        raise OSError

    monkeypatch.setattr(cold_start.subprocess, "Popen", popen)
    assert cold_start._start_compiler("phase") is None
    assert seen["command"][1:] == ("-m", "verinet", "doctor", "--warm", "--engine", "phase")
    assert seen["start_new_session"]
    assert any((Path(p) / "verinet").is_dir() for p in seen["env"]["PYTHONPATH"].split(os.pathsep))


# ------------------------------------------------------------------------------------------ before kernels are needed


@pytest.mark.parametrize(("threshold", "outlook"), [(1.5, Outlook.FOUND), (2.5, Outlook.REFUTED)])
def test_the_phase_engine_needs_no_kernel_for_an_easy_question(
    monkeypatch: pytest.MonkeyPatch, threshold: float, outlook: Outlook
) -> None:
    cold(monkeypatch, np.inf)
    monkeypatch.setattr(cold_start, "_start_compiler", lambda engine: pytest.fail("nothing needs to be compiled"))
    query = asked(threshold)
    options = VerifyOptions(engine="phase", on_notice=lambda said: pytest.fail(said))
    finding = search_when_compiled("phase", query.network, query.regions[0], options, Deadline.after(20))
    assert finding.outlook is outlook


WITHOUT_COMPILER = """
import sys
sys.modules["numba"] = None
import numpy as np
from tests.verify.test_cold_start import asked
from verinet.verify import VerifyOptions, cold_start, verify_query
cold_start.are_kernels_ready = lambda engine: False
for threshold, answer in ((1.5, "violated"), (2.5, "verified")):
    query = asked(threshold)
    for engine in ("phase", "branch"):
        options = VerifyOptions(engine=engine, cross_check_neurons=0)
        assert verify_query(query.network, query, options).answer.value == answer
"""


def test_an_easy_question_never_imports_the_compiler() -> None:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", WITHOUT_COMPILER], cwd=root, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_every_engine_names_its_kernels() -> None:
    from verinet.bounds import columns, kernels
    from verinet.verify import box_kernels, cone_kernels

    for engine in cold_start.KERNEL_USERS.values():
        for name in engine.kernels:
            assert any(
                hasattr(getattr(m, name, None), "py_func") for m in (columns, kernels, box_kernels, cone_kernels)
            ), name


def test_compiling_compiles_what_the_engine_asks_for() -> None:
    for engine in cold_start.KERNEL_USERS:
        cold_start.compile_kernels(engine)
        assert cold_start.are_kernels_ready(engine)


def test_every_kernel_is_compiled_once() -> None:
    # A constant as an argument must not make a version of its own, of a kernel and of all that it calls.
    for engine in cold_start.KERNEL_USERS:
        cold_start.compile_kernels(engine)
    folder = compiling.kernel_folder()
    assert folder is not None
    assert list(folder.rglob("*.1.nbc"))
    assert not list(folder.rglob("*.2.nbc"))


def test_what_is_light_is_bounded_without_the_compiler() -> None:
    assert cold_start.is_light(asked(2).network)
    size = 1200
    square = np.eye(size)
    heavy = dense_network([square, square, square[:1]], [np.zeros(size), np.zeros(size), np.zeros(1)])
    assert not cold_start.is_light(heavy)


# ---------------------------------------------------------------------------------------------------------- the lock


def test_one_process_compiles_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="only Unix has these locks")
    monkeypatch.setattr(compiling, "kernel_folder", lambda: tmp_path)
    order: list[str] = []

    def second() -> None:
        with compiling.compiling_alone():
            order.append("second")

    with compiling.compiling_alone():
        other = threading.Thread(target=second)
        other.start()
        time.sleep(0.2)
        order.append("first")
    other.join(10)
    assert order == ["first", "second"]


def test_the_lock_of_a_process_that_was_killed_is_void(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="only Unix has these locks")
    monkeypatch.setattr(compiling, "kernel_folder", lambda: tmp_path)
    holder = f"import fcntl, time; f = open({str(tmp_path / compiling.LOCK)!r}, 'ab'); fcntl.flock(f, fcntl.LOCK_EX)"
    script = f"{holder}; print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
        process.wait()
    with compiling.compiling_alone():
        assert (tmp_path / compiling.LOCK).exists()


def test_without_a_folder_or_locks_everybody_compiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compiling, "kernel_folder", lambda: None)
    with compiling.compiling_alone():
        pass
    monkeypatch.setattr(compiling, "kernel_folder", lambda: tmp_path)
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with compiling.compiling_alone():
        assert (tmp_path / compiling.LOCK).exists()
