"""The verifier's performance suite reads, runs, judges and reports right; what it measures is its own affair."""

import csv
import json
import re
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from tests.performance.verification import modes, runs
from tests.performance.verification.bench import (
    REPOSITORY,
    Instance,
    Reference,
    bench_folders,
    fastest,
    read_bench,
    select,
)
from tests.performance.verification.command import main
from tests.performance.verification.example import write_example
from tests.performance.verification.figures import Judgement, geometric_mean, judge, par2, speedup, summarise
from tests.performance.verification.modes import Paired, disagreements, throughput
from tests.performance.verification.peers import TOOLS, best_of, read_peers, with_peers
from tests.performance.verification.process import Ended, Order, measure
from tests.performance.verification.report import Table, shorten
from tests.performance.verification.runs import Measurement, Reading, Version, boxes_in, reading_of, warm_up
from tests.performance.verification.widening import widened
from verinet.errors import FileFormatError, InputError, MissingFileError
from verinet.io import read_vnnlib

PUBLISHED = """onnx,vnnlib,year,tool,result,raw_result,time_s,prepare_s
onnx/triangle.onnx,vnnlib/above.vnnlib,2022,hasty,sat,sat,0.1,0
onnx/triangle.onnx,vnnlib/above.vnnlib,2022,slow,unsat,unsat,9.5,0
onnx/triangle.onnx,vnnlib/above.vnnlib,2021,quick,unsat,unsat,2.5,100
onnx/triangle.onnx,vnnlib/above.vnnlib,2022,lost,unknown,timeout,1.0,0
"""

REASON = "the time limit was reached (1234 boxes, 56 open, depth 7, 8.00% of the domain done)"


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    return write_example(tmp_path / "example")


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modes, "warm_up", lambda version: None)


def instance(net: str = "1_1", prop: str = "prop_1", expected: str | None = "unsat", limit: float = 10.0) -> Instance:
    return Instance("bench", net, prop, Path("a.onnx"), Path("a.vnnlib"), limit, expected)


def run(verdict: str = "unsat", solve: float | None = 1.0, wall: float = 2.0, **details: object) -> Measurement:
    return Measurement(instance(**details), Version(), Reading(verdict, solve), wall, 100.0)  # type: ignore[arg-type]


def test_a_bench_is_read_with_what_is_known(bench: Path) -> None:
    (bench / "published_times.csv").write_text(PUBLISHED)
    first, second = read_bench(bench)
    assert (first.bench, first.name, first.limit, first.expected) == ("example", "triangle above", 60.0, "unsat")
    assert first.other == Reference("quick 2021", 2.5)
    assert (second.name, second.expected, second.other) == ("triangle touching", "sat", None)
    assert first.network_file.is_file()
    assert second.property_file.is_file()


def test_answers_may_be_unknown_or_absent(bench: Path) -> None:
    (bench / "published_times.csv").write_text(PUBLISHED)
    (bench / "expected.csv").write_text("onnx,vnnlib,result\nonnx/triangle.onnx,vnnlib/above.vnnlib,unknown\n")
    assert [(one.expected, one.other) for one in read_bench(bench)] == [(None, None)] * 2
    (bench / "expected.csv").unlink()
    assert [one.expected for one in read_bench(bench)] == [None] * 2


@pytest.mark.parametrize(
    ("file", "text", "error", "words"),
    [
        ("instances.csv", "onnx/triangle.onnx,vnnlib/above.vnnlib\n", FileFormatError, "line 1: expected network"),
        ("instances.csv", "onnx/triangle.onnx,vnnlib/above.vnnlib,soon\n", FileFormatError, "found 'soon'"),
        ("instances.csv", "onnx/triangle.onnx,vnnlib/above.vnnlib,nan\n", FileFormatError, "found 'nan'"),
        ("instances.csv", "onnx/square.onnx,vnnlib/above.vnnlib,1\n", MissingFileError, "square.onnx"),
        ("expected.csv", "net,vnnlib,result\n", FileFormatError, "lacks onnx"),
        ("expected.csv", "onnx,vnnlib,result\na,b,holds\n", FileFormatError, "found 'holds'"),
        ("published_times.csv", "onnx,vnnlib\n", FileFormatError, "lacks year"),
    ],
)
def test_a_broken_table_is_named(bench: Path, file: str, text: str, error: type[Exception], words: str) -> None:
    (bench / file).write_text(text)
    with pytest.raises(error, match=words):
        read_bench(bench)


def test_bench_folders_are_paths_names_or_folders_of_them(bench: Path) -> None:
    assert bench_folders([str(bench)]) == [bench]
    assert bench_folders([str(bench.parent), str(bench)]) == [bench, bench]
    with pytest.raises(MissingFileError, match=r"\.\./shared/bench"):
        bench_folders(["no such bench"])
    with pytest.raises(MissingFileError, match=r"instances\.csv"):
        bench_folders([str(bench / "onnx")])


def test_the_shared_benches_are_read(shared: Path) -> None:
    found = {folder.name: read_bench(folder) for folder in bench_folders([])}
    assert len(found["acasxu"]) == 113
    assert found["acasxu"][0].name == "1_1 prop_1"
    for instances in found.values():
        assert len({one.name for one in instances}) == len(instances)


def test_selection_by_parts_of_the_name() -> None:
    instances = [instance("1_1", "prop_1"), instance("1_1", "prop_10"), instance("2_1", "prop_1")]
    assert select(instances, []) == instances
    assert select(instances, ["1_1 prop_1"]) == instances[:2]
    assert select(instances, ["prop_1 "]) == [instances[0], instances[2]]
    assert select(instances, [" 2_1", "prop_10"]) == instances[1:]
    assert select(instances, [], 1) == instances[:1]
    with pytest.raises(InputError, match="none of 3"):
        select(instances, ["prop_4"])


def test_the_fastest_is_the_fastest_that_was_right() -> None:
    rows = [
        {"tool": "a", "year": "2021", "result": "sat", "time_s": "1"},
        {"tool": "b", "year": "2022", "result": "unsat", "time_s": "10"},
        {"tool": "c", "year": "2022", "result": "unsat", "time_s": "9"},
    ]
    assert fastest(rows, "unsat") == Reference("c 2022", 9.0)
    assert fastest(rows, "sat") == Reference("a 2021", 1.0)
    assert fastest(rows, None) is None
    assert fastest([], "sat") is None


@pytest.mark.parametrize(
    ("verdict", "expected", "judgement"),
    [
        ("sat", "sat", Judgement.RIGHT),
        ("unsat", "sat", Judgement.WRONG),
        ("sat", "unsat", Judgement.WRONG),
        ("sat", None, Judgement.UNCHECKED),
        ("timed-out", "sat", Judgement.OPEN),
        ("error", None, Judgement.OPEN),
    ],
)
def test_verdicts_are_judged(verdict: str, expected: str | None, judgement: Judgement) -> None:
    assert judge(verdict, expected) is judgement


def test_boxes_are_read_from_sentences() -> None:
    assert boxes_in(["found among 12 boxes", "no cross-check: too long", REASON]) == 12 + 1234
    assert boxes_in(["refuted 2 case(s) at once"]) is None
    assert run().boxes is None
    searched = Measurement(instance(), Version(), Reading("unknown", 2.0, reason=REASON), 3.0, 1.0)
    assert (searched.boxes, searched.rate) == (1234, 617.0)


def test_means_and_scores() -> None:
    assert geometric_mean([2.0, 0.5, 8.0]) == pytest.approx(2.0)
    assert geometric_mean([]) is None
    assert par2([(1.0, 10.0), (None, 10.0)]) == pytest.approx(10.5)
    assert par2([]) is None
    assert speedup(3.0, 1.5) == 2.0
    assert speedup(0.0, 0.0) == 1.0
    assert throughput([1.0, 5.0, 2.0]) == 2.0
    assert throughput([1.0, None]) is None


def test_a_summary_counts_and_adds_what_was_solved() -> None:
    found = summarise(
        [
            run("unsat", 1.0, 2.0),
            run("sat", 3.0, 5.0, expected=None),
            run("sat", 0.1, 0.2),
            run("timed-out", 10.0, 11.5),
        ]
    )
    assert (found.runs, found.known, found.right, found.wrong, found.unchecked) == (4, 3, 1, 1, 1)
    assert found.undecided == {"timed-out": 1}
    assert (found.solve_sum, found.solve_median, found.wall_sum, found.wall_median) == (4.0, 2.0, 7.0, 3.5)
    assert found.par2 == pytest.approx((2 + 5 + 20 + 20) / 4)
    assert found.overrun == 1.5
    assert summarise([run("error", None)]).solve_median is None


def test_pairs_use_medians_and_leave_out_what_is_open() -> None:
    pair = Paired([run(solve=4.0), run(solve=9.0), run(solve=5.0)], [run(solve=2.0), run(solve=1.0), run(solve=8.0)])
    assert pair.decided
    assert pair.solve == (5.0, 2.0)
    assert not replace(pair, after=[run("timed-out")]).decided
    assert not replace(pair, after=[run("sat")]).decided
    one, other = run("sat", expected=None), run("unsat", expected=None)
    assert disagreements([one, other, run("unsat")]) == ["1_1 prop_1"]
    assert not disagreements([other, other])


def test_long_names_keep_both_ends() -> None:
    assert shorten("abcdefghij", 10) == "abcdefghij"
    assert shorten("abcdefghijk", 8) == "abc..ijk"
    assert Table((("name", -6), ("n", 3))).line(["abcdefgh", "7"]) == "ab..gh    7"


def ended(output: str, **details: object) -> Ended:
    return replace(Ended(0, False, 1.0, 1.0, output, ""), **details)  # type: ignore[arg-type]


def test_a_verdict_needs_a_word_and_a_record_that_agree(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    row = {"answer": "violated", "seconds": 1.5, "engine": "falsifier", "evidence": ["found"], "reason": ""}
    assert reading_of(ended("unsat\n"), record).verdict == "error"
    record.write_text(json.dumps([row]))
    assert reading_of(ended("sat\n((X_0 1))\n"), record) == Reading("sat", 1.5, "falsifier", ("found",), "")
    assert "record says violated" in reading_of(ended("unsat\n"), record).reason
    assert reading_of(ended("sat\n", killed=True), record).verdict == "killed"
    assert reading_of(ended("sat\n", exit_code=-11), record).verdict == "error"
    complaint = reading_of(ended("", exit_code=2, errors="one\nverinet: no such file\n"), record)
    assert (complaint.verdict, complaint.reason) == ("error", "verinet: no such file")
    record.write_text("[]")
    assert reading_of(ended("sat\n"), record).verdict == "error"


def order(folder: Path, code: str, limit: float = 30.0) -> Order:
    folder.mkdir()
    return Order([sys.executable, "-S", "-c", code], {}, folder, limit)


def test_processes_are_measured_side_by_side(tmp_path: Path) -> None:
    idle = order(tmp_path / "idle", "import time; time.sleep(0.5); print('hello')")
    large = order(tmp_path / "large", "import sys; x = b'x' * (200 << 20); sys.exit(3)")
    started = time.perf_counter()
    small, big = measure([idle, large])
    assert (small.output, small.exit_code, small.killed) == ("hello\n", 0, False)
    assert 0.5 <= small.wall <= time.perf_counter() - started
    assert big.exit_code == 3
    assert big.peak >= 200


def test_a_process_that_outlasts_its_limit_is_killed_with_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    child = f"import time; time.sleep(1.5); open({str(mark)!r}, 'w').close()"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {child!r}])"
    (found,) = measure([order(tmp_path / "long", code, limit=0.5)])
    assert found.killed
    assert found.exit_code < 0
    assert found.wall < 1.4
    time.sleep(1.3)
    assert not mark.exists()


def test_peers_are_those_of_the_published_table(shared: Path) -> None:
    table = (shared / "PEERS.md").read_text().split("### acasxu")[1].split("###")[0]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("|")]
    assert len(lines) > 2
    stored = Path(runs.__file__).parent / "peers.csv"
    assert [line[:7] for line in lines[2:]] == list(csv.reader(stored.read_text().splitlines()))[1:]


def test_the_best_peer_takes_the_place_of_the_published_tool() -> None:
    assert best_of(dict(zip(TOOLS, ("timeout", "5.6", "5.1", ""), strict=True))) == Reference("vibecheck", 5.1)
    assert best_of(dict.fromkeys(TOOLS, "unknown")) is None
    peers = read_peers()
    assert len(peers) == 24
    assert [row.prop for row in peers if row.best is None] == ["prop_2"]
    kept = with_peers([instance("1_1", "prop_1"), instance("1_2", "prop_1"), instance("3_3", "prop_2")], peers)
    assert [(one.name, one.other) for one in kept] == [
        ("1_1 prop_1", Reference("marabou", 3.0)),
        ("3_3 prop_2", None),
    ]


def test_two_instances_from_command_to_table(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = bench / "runs.csv"
    assert main(["--bench", str(bench), "--timeout", "50", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "solved 2 of 2 with a known verdict, 0 WRONG" in printed
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [(row["property"], row["verdict"], row["judgement"]) for row in rows] == [
        ("above", "unsat", "right"),
        ("touching", "sat", "right"),
    ]
    for row in rows:
        assert 0 < float(row["solve_s"]) < float(row["wall_s"]) < 50
        assert 20 < float(row["peak_mib"]) < 4000
        assert float(row["limit_s"]) == 50
        assert row["evidence"]


@pytest.mark.usefixtures("cold")
def test_a_wrong_verdict_fails_the_suite(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bench / "expected.csv").write_text("onnx,vnnlib,result\nonnx/triangle.onnx,vnnlib/touching.vnnlib,unsat\n")
    assert main(["--bench", str(bench), "--select", "touching"]) == 1
    assert "1 WRONG" in capsys.readouterr().out


@pytest.mark.usefixtures("cold")
def test_the_same_version_twice_is_the_control(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = bench / "runs.json"
    options = ["--bench", str(bench), "--select", "above", "--no-falsify", "--out", str(out)]
    assert main([*options, "--compare", str(REPOSITORY)]) == 0
    printed = capsys.readouterr().out
    assert "control" in printed
    assert "decided by all runs of both: 1 of 1" in printed
    found = json.loads(out.read_text())
    assert [row["version"] for row in found["runs"]] == ["before", "after"]
    assert found["summary"]["before"]["right"] == found["summary"]["after"]["right"] == 1


@pytest.mark.usefixtures("cold")
def test_threads_are_set_against_runs_side_by_side(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bench", str(bench), "--select", "above", "--engine", "branch", "--scaling"]) == 0
    printed = capsys.readouterr().out
    found = re.search(r"geometric mean over 1 of 1: ([\d.]+)%", printed)
    assert found, printed
    assert float(found[1]) > 0


def test_a_widened_question_is_stretched_about_the_middle(bench: Path, tmp_path: Path) -> None:
    above, _ = read_bench(bench)
    wider = widened(above, Fraction("1.5"), tmp_path)
    (region,) = read_vnnlib(wider.property_file).regions
    assert (region.domain.lower, region.domain.upper) == ((Fraction(-3, 2),) * 2, (Fraction(3, 2),) * 2)
    assert region.unsafe == read_vnnlib(above.property_file).regions[0].unsafe
    # What is known of the question says nothing about the wider one.
    assert (wider.name, wider.expected, wider.other) == ("triangle above widened 1.5", None, None)


@pytest.mark.usefixtures("cold")
def test_a_widened_question_is_run(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bench", str(bench), "--select", "above", "--widen", "2"]) == 0
    assert "widened 2" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["0", "-1"])
def test_a_factor_that_leaves_no_box_is_refused(text: str) -> None:
    with pytest.raises(SystemExit):
        main(["--widen", text])


def test_a_domain_that_is_more_than_a_box_is_not_widened(bench: Path, tmp_path: Path) -> None:
    above, _ = read_bench(bench)
    with above.property_file.open("a") as file:
        file.write("(assert (<= (+ X_0 X_1) 1.0))\n")
    with pytest.raises(InputError, match="only boxes can be widened"):
        widened(above, Fraction(2), tmp_path)


def test_another_copy_than_the_one_named_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="would run"):
        warm_up(Version("before", tmp_path))


def test_a_stub_that_answers_nothing_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "verinet").mkdir()
    (tmp_path / "verinet" / "__init__.py").write_text("")
    with pytest.raises(InputError, match="tiny question should be unsat"):
        warm_up(Version("before", tmp_path))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--bench", "no such bench"], "no such bench"),
        (["--select", "nothing"], "none of 2 instances"),
        (["--out", "table.txt"], "found 'table.txt'"),
        (["--compare", "no such folder"], "no such folder"),
        (["--peers"], "peers.csv"),
    ],
)
def test_a_mistake_is_one_sentence(bench: Path, capsys: pytest.CaptureFixture[str], options, words: str) -> None:
    given = options if "--bench" in options else ["--bench", str(bench), *options]
    assert main(given) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
