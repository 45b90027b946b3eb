"""A monotone property and its VNN-LIB 2 query over two equal networks get the same verdict."""

from pathlib import Path

import numpy as np
import pytest

from tests.io.vnnlib_text import read_assignment, satisfied
from verinet.cli import run
from verinet.io import read_onnx, write_onnx
from verinet.model import dense_network, evaluate_exact

WORDS = {"violated": "sat", "verified": "unsat"}


def toml(lower: list[str], upper: list[str], direction: str, output: int, outputs: int) -> str:
    ranges = [f"[inputs.x{i}]\nrange = [{low}, {high}]" for i, (low, high) in enumerate(zip(lower, upper, strict=True))]
    names = ", ".join(f'"y{i}"' for i in range(outputs))
    prop = f'[[property]]\nname = "p"\nkind = "monotone"\ninput = "x0"\noutput = "y{output}"\ndirection = "{direction}"'
    return "\n".join([*ranges, f"[outputs]\nnames = [{names}]", prop])


def vnnlib(lower: list[str], upper: list[str], direction: str, output: int, shapes: tuple[str, str], lead: str) -> str:
    """Write the query by hand: X2 is X1 with a first entry that is no smaller."""
    lines = ["(vnnlib-version <2.0>)"]
    for name, relation, number in (("first", "", 1), ("second", "(equal-to first)", 2)):
        inputs, outputs = (
            f"(declare-{k} {v}{number} real [{s}])" for k, v, s in zip(("input", "output"), "XY", shapes, strict=True)
        )
        lines.append(f"(declare-network {name} {relation} {inputs} {outputs})")
    for i, (low, high) in enumerate(zip(lower, upper, strict=True)):
        lines += [f"(assert (>= X1[{lead}{i}] {low}))", f"(assert (<= X1[{lead}{i}] {high}))"]
        same = "(== X2[{0}] X1[{0}])" if i else "(and (>= X2[{0}] X1[{0}]) (<= X2[{0}] {1}))"
        lines.append(f"(assert {same.format(f'{lead}{i}', high)})")
    relation = "<" if direction == "increasing" else ">"
    row = "0," if "," in shapes[1] else ""
    lines.append(f"(assert ({relation} Y2[{row}{output}] Y1[{row}{output}]))")
    return "\n".join(lines)


def both(capsys, tmp_path: Path, network: Path, first: str, second: str) -> str:
    """Ask both ways and return the word they agree on."""
    (tmp_path / "p.toml").write_text(first)
    (tmp_path / "q.vnnlib").write_text(second)
    run(["verify", str(tmp_path / "p.toml"), "--network", str(network), "--timeout", "60"])
    answer = capsys.readouterr().out.split()[0]
    run(["verify", str(tmp_path / "q.vnnlib"), "--network", f"first={network}", "--timeout", "60"])
    word, *assignment = capsys.readouterr().out.splitlines()
    assert WORDS[answer] == word
    if word == "sat":
        _, values = read_assignment(assignment)
        assert satisfied(second, values)
        assert tuple(values["Y1"]) == evaluate_exact(read_onnx(network), values["X1"])
        assert tuple(values["Y2"]) == evaluate_exact(read_onnx(network), values["X2"])
    return word


@pytest.mark.parametrize("direction", ["increasing", "decreasing"])
def test_small_networks(tmp_path, capsys, direction):
    words = set()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        weights = [rng.normal(size=shape).astype(np.float32).astype(float) for shape in ((5, 3), (2, 5))]
        if seed % 2:
            weights[0][:, 0], weights[1][1] = np.abs(weights[0][:, 0]), np.abs(weights[1][1])
        biases = [rng.normal(size=n).astype(np.float32).astype(float) for n in (5, 2)]
        write_onnx(dense_network(weights, biases), tmp_path / "m.onnx")
        lower, upper = ["-1.0", "0.0", "-0.5"], ["1.0", "1.0", "0.5"]
        words.add(
            both(
                capsys,
                tmp_path,
                tmp_path / "m.onnx",
                toml(lower, upper, direction, 1, 2),
                vnnlib(lower, upper, direction, 1, ("1,3", "1,2"), "0,"),
            )
        )
    assert "sat" in words
    assert direction == "decreasing" or "unsat" in words


@pytest.mark.parametrize(("output", "direction"), [(0, "decreasing"), (0, "increasing"), (1, "increasing")])
def test_a_benchmark_network(shared, tmp_path, capsys, output, direction):
    network = shared / "bench" / "acasxu" / "onnx" / "ACASXU_run2a_1_1_batch_2000.onnx"
    if not network.exists():
        pytest.skip(f"{network} is absent")
    lower, upper = ["0.6", "-0.0001", "-0.0001", "0.45", "-0.5"], ["0.6002", "0.0001", "0.0001", "0.4501", "-0.4999"]
    first = toml(lower, upper, direction, output, 5)
    second = vnnlib(lower, upper, direction, output, ("1,1,1,5", "1,5"), "0,0,0,")
    both(capsys, tmp_path, network, first, second)
