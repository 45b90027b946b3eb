"""A fresh installation: kernels are compiled elsewhere while the falsifier and a MILP try; where kernels are kept."""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from verinet.bounds import compiling
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
    monkeypatch.setattr(cold_start, "are_kernels_ready", lambda: False)
    monkeypatch.setattr(cold_start, "_start_compiler", lambda: compiler)
    return compiler


@pytest.mark.parametrize(("threshold", "outlook"), [(1.5, Outlook.FOUND), (2.5, Outlook.REFUTED)])
def test_an_easy_question_does_not_wait_for_the_compiler(
    monkeypatch: pytest.MonkeyPatch, threshold: float, outlook: Outlook
) -> None:
    cold(monkeypatch, np.inf)
    query, said = asked(threshold), []
    options = VerifyOptions(on_notice=said.append)
    finding = search_when_compiled(query.network, query.regions[0], options, Deadline.after(20))
    assert finding.outlook is outlook
    assert said == [ANNOUNCEMENT]
    assert finding.evidence


def test_the_engine_that_was_asked_for_waits_for_its_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = cold(monkeypatch, 3)
    query = asked(2.5)
    options = VerifyOptions(engine="branch", timeout=100)
    finding = search_when_compiled(query.network, query.regions[0], options, Deadline.after(100))
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


def test_kernels_that_cannot_be_kept_are_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    cold(monkeypatch, np.inf)
    monkeypatch.setattr(cold_start, "kernel_folder", lambda: None)
    query, said = asked(2.5), []
    options = VerifyOptions(on_notice=said.append)
    finding = search_when_compiled(query.network, query.regions[0], options, Deadline.after(100))
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
        (tmp_path / room).mkdir()
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
    for room, name in (("bounds", "kernels.py"), ("verify", "box_kernels.py")):
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
    assert cold_start._start_compiler() is None
    assert seen["command"][1:] == ("-m", "verinet", "doctor", "--warm")
    assert seen["start_new_session"]
    assert any((Path(p) / "verinet").is_dir() for p in seen["env"]["PYTHONPATH"].split(os.pathsep))
