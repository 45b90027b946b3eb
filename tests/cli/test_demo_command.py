"""``verinet demo``, from beginning to end."""

import json
import re
from pathlib import Path

from tests.cli.commands import WRITTEN, run


def test_the_demo_runs_and_writes_everything(tmp_path: Path, capsys) -> None:
    assert run("demo", "--out", tmp_path, "--time-limit", "60") == 0
    out = capsys.readouterr().out
    assert "proven optimal over networks of any width" in out
    assert len(re.findall(r"^verified .* raises the score", out, flags=re.MULTILINE)) == 5
    assert len(re.findall(r"^verified", out, flags=re.MULTILINE)) >= 5
    assert len(re.findall(r"^violated .* small nuclei", out, flags=re.MULTILINE)) == 1
    names = {p.name for p in tmp_path.iterdir()}
    assert names >= {*WRITTEN, "monotone.toml", "robust.json", "refuted.json"}
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["status"] == "optimal"
    assert record["gap"] <= 1e-3
    assert record["dual"]["prices"]
