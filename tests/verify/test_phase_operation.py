"""The phase engine in use: limits on time and memory, interrupts, what it says about what is left open."""

import itertools
import re
import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.verify.asking import above_the_samples, random_dense
from verinet.audit import FileRecord, VerdictRecord
from verinet.bounds import InputSet, bound_network
from verinet.bounds import root as root_bounds
from verinet.bounds.root import finished
from verinet.model import Query, evaluate
from verinet.verify import (
    Answer,
    Deadline,
    Finding,
    Interrupted,
    OpenPhases,
    Outlook,
    VerifyOptions,
    verifier,
    verify_query,
)
from verinet.verify import phase as engine
from verinet.verify.memory import MEBIBYTE, RESERVE, MemoryCeiling, held_memory, peak_memory
from verinet.verify.phase import search_with_phases
from verinet.verify.standing import Standing

pytestmark = pytest.mark.usefixtures("_phase_kernels")


def endless() -> Query:
    """Return a question that no engine answers within seconds."""
    return above_the_samples(random_dense(0, [20, 60, 60, 60, 1]), 1.0)


def searched(query: Query, **options: Any) -> Finding:
    (region,) = query.regions
    chosen = VerifyOptions(**{"engine": "phase", "timeout": 1.0, "falsify": False, **options})
    return search_with_phases(query.network, region, chosen, Deadline.after(chosen.timeout))


# ------------------------------------------------------------------------------------------------------------- the end


@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_left_open_is_said_in_words(threads: int) -> None:
    finding = searched(endless(), threads=threads)
    assert finding.timed_out
    worst = finding.box
    assert isinstance(worst, OpenPhases)
    assert worst.depth == worst.active + worst.inactive
    assert worst.undecided > 0
    assert str(worst) in finding.reason
    assert f"depth {worst.depth}" in str(worst)
    assert "best bound" in finding.reason


def test_the_bound_is_that_of_the_worst_domain_and_holds() -> None:
    query = endless()
    finding = searched(query)
    assert finding.bound is not None
    ((atom,),) = query.regions[0].unsafe
    points = np.random.default_rng(1).uniform(-1, 1, (5000, 20))
    violation = float(atom.expression.constant) - evaluate(query.network, points)[:, 0]
    assert finding.bound <= violation.min()


def slow(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let each block of the root take longer than anybody waits."""
    real = root_bounds._bound_part

    def part(*arguments: Any) -> None:
        time.sleep(seconds)
        real(*arguments)

    monkeypatch.setattr(root_bounds, "_bound_part", part)


@pytest.mark.parametrize("threads", [1, 2])
def test_nobody_waits_for_a_block_that_outlasts_the_time_limit(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    slow(monkeypatch, 3.0)
    query = endless()
    started = time.monotonic()
    finding = searched(query, threads=threads, timeout=0.5)
    assert time.monotonic() - started < 1.5
    assert finding.timed_out
    # What intervals knew is still known.
    assert finding.bound is not None
    assert np.isfinite(finding.bound)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_of_a_timed_out_search_end_after_their_pass(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    # Were it not for the flag that kernels look at, each thread would go on for all of these passes.
    monkeypatch.setattr(engine, "STAGES", ((10**9, np.inf),))
    before = threading.active_count()
    finding = searched(endless(), threads=threads, timeout=1.0)
    assert finding.timed_out
    patience = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < patience:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_nobody_waits_for_a_round_that_outlasts_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine._Worker, "branch", lambda self: time.sleep(3.0))
    started = time.monotonic()
    finding = searched(endless(), timeout=1.0)
    assert time.monotonic() - started < 2.0
    assert finding.timed_out
    assert finding.box is not None


def test_an_error_in_a_thread_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(worker: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(engine._Worker, "branch", fail)
    with pytest.raises(ZeroDivisionError):
        searched(endless())


def test_an_interrupt_says_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    query = endless()
    calls = itertools.count()

    def interrupted(*arguments: Any) -> bool:
        if next(calls) == 20:
            raise KeyboardInterrupt
        return finished(*arguments)

    # As if the key were pressed while threads work; how the signal comes is for the command line's tests.
    monkeypatch.setattr(engine, "finished", interrupted)
    with pytest.raises(Interrupted) as stop:
        verify_query(query.network, query, VerifyOptions(engine="phase", timeout=60, falsify=False))
    verdict = stop.value.verdict
    assert verdict.reason.startswith("interrupted")
    assert verdict.bound is not None
    assert verdict.bound < 0
    assert isinstance(verdict.box, OpenPhases)


# --------------------------------------------------------------------------------------------------------------- memory


def test_the_memory_limit_is_kept_and_said() -> None:
    limit = held_memory() / MEBIBYTE + RESERVE / MEBIBYTE - 8
    finding = searched(endless(), memory=limit)
    assert finding.outlook is Outlook.OPEN
    assert finding.exhausted
    assert not finding.timed_out
    assert finding.cut_short
    assert "memory limit" in finding.reason
    assert f"{limit:g} MiB" in finding.reason


def test_memory_that_runs_out_between_rounds_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    left = iter(range(12))
    monkeypatch.setattr(MemoryCeiling, "has_room", lambda self, size: next(left, None) is not None)
    finding = searched(endless(), timeout=20)
    assert finding.exhausted
    assert finding.box is not None


def test_a_machine_without_memory_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(worker: object) -> None:
        raise MemoryError

    monkeypatch.setattr(engine._Worker, "branch", fail)
    finding = searched(endless())
    assert finding.exhausted
    assert "all that the machine gives" in finding.reason


def test_a_generous_limit_changes_nothing() -> None:
    query = above_the_samples(random_dense(0, [4, 10, 10, 1]), 0.5)
    free, capped = (searched(query, timeout=20, memory=memory) for memory in (None, 10**6))
    assert (free.outlook, free.evidence) == (capped.outlook, capped.evidence)
    assert free.outlook is Outlook.REFUTED


def test_room_goes_by_what_is_held_now() -> None:
    large = np.ones(100 * MEBIBYTE // 8)
    del large
    limit = (held_memory() + RESERVE) / MEBIBYTE + 50
    assert peak_memory() >= held_memory()
    assert MemoryCeiling(limit).has_room(20 * MEBIBYTE)
    assert not MemoryCeiling(limit).has_room(80 * MEBIBYTE)
    assert MemoryCeiling(None).has_room(2**60)


# ------------------------------------------------------------------------------------------------------------- progress


def domains(cases: list[int], depths: list[int], bounds: list[float]) -> engine._Domains:
    count = len(cases)
    flat = np.zeros((count, 3))
    phase = np.zeros((count, 3), dtype=np.int8)
    for row, depth in zip(phase, depths, strict=True):
        row[:depth] = [1, -1, 1][:depth]
    choice = np.zeros((count, 4), dtype=np.int64)
    return engine._Domains(phase, flat, flat, flat, np.array(cases), np.array(depths), np.array(bounds), choice)


def test_shares_are_of_each_conjunction() -> None:
    standing = Standing([domains([0, 0, 2], [1, 2, 3], [-1.0, -2.0, -0.5])], 4, -9.0)
    assert standing.done.tolist() == [0.25, 1.0, 0.875, 1.0]
    assert standing.bound == -2.0
    assert standing.worst() == OpenPhases(0, 1, 1, 1)
    report = standing.report(7, 3)
    for words in ("7 domains", "3 open", "depth 3", "78.12% done", "2 of 4 cases", "87.5%, 25.0%"):
        assert words in report


def test_before_there_are_domains_there_is_what_bounds_say() -> None:
    standing = Standing(cases=2, known=-3.0)
    assert (standing.bound, standing.worst(), standing.count) == (-3.0, None, 0)


def test_progress_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "REPORT_SECONDS", 0.0)
    said: list[str] = []
    searched(endless(), on_progress=said.append)
    counted = [re.match(r"(\d+) domains, (\d+) open, depth (\d+), [\d.]+% done.*, bound -", s) for s in said]
    assert sum(match is not None for match in counted) > 3
    assert any(s.startswith("tightening layer") for s in said)


# ------------------------------------------------------------------------------------------------------------- verdicts


def test_known_bounds_and_none_lead_to_the_same_answer() -> None:
    for seed in range(4):
        query = above_the_samples(random_dense(seed, [4, 12, 12, 1]), 0.1)
        (region,) = query.regions
        bounds = bound_network(query.network, InputSet.of(region.domain))
        options = VerifyOptions(engine="phase", falsify=False)
        answers = {
            search_with_phases(query.network, region, options, Deadline.after(20), known).outlook
            for known in (bounds, None)
        }
        assert len(answers) == 1


def test_auto_names_the_engine_and_why() -> None:
    query = above_the_samples(random_dense(0, [20, 8, 8, 1]), 2.0)
    verdict = verify_query(query.network, query, VerifyOptions(cross_check_neurons=0))
    assert verdict.answer is Answer.VERIFIED
    assert verdict.engine == "phase (auto: 20 inputs move, so ReLUs are split)"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let every engine end open, and note whether Z3 is asked."""
    calls: list[str] = []

    def z3(*arguments: object) -> Finding:
        calls.append("z3")
        return Finding(Outlook.OPEN, reason="Z3 did not decide")

    monkeypatch.setattr(verifier, "search_with_smt", z3)
    return calls


@pytest.mark.parametrize(
    ("sizes", "unstable", "asks"),
    [([4, 6, 6, 1], 8, 1), ([4, 6, 6, 1], None, 1), ([4, 6, 6, 1], 500, 0), ([400, 60, 6, 1], 8, 0)],
)
def test_z3_is_asked_only_where_it_has_a_chance(
    monkeypatch: pytest.MonkeyPatch, asked: list[str], sizes: list[int], unstable: int | None, asks: int
) -> None:
    left_open = Finding(Outlook.OPEN, reason="too close", unstable=unstable)
    monkeypatch.setattr(verifier, "ENGINES", {"phase": lambda *_: left_open})
    query = above_the_samples(random_dense(0, sizes), 1.0)
    verdict = verify_query(query.network, query, VerifyOptions(engine="phase", timeout=20))
    assert verdict.answer is Answer.UNKNOWN
    assert len(asked) == asks


def test_the_record_names_the_worst_domain() -> None:
    query = endless()
    options = VerifyOptions(engine="phase", timeout=1.0, falsify=False)
    verdict = verify_query(query.network, query, options)
    file = FileRecord(name="x", sha256="0")
    record = VerdictRecord.of("p", "s", verdict, file, file)
    assert record.open_box is None
    assert record.open_phases is not None
    assert isinstance(verdict.box, OpenPhases)
    assert record.open_phases.undecided == verdict.box.undecided
    none = VerdictRecord.of("p", "s", replace(verdict, box=None), file, file)
    assert none.open_phases is None
