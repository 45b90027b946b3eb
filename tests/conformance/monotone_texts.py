"""One monotone question as a property file and as a VNN-LIB 2 query over two equal networks, and both answers."""

import io
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from tests.io.vnnlib_text import read_assignment, satisfied
from verinet.cli import run
from verinet.io import read_onnx
from verinet.model import evaluate_exact

WORDS = {"violated": "sat", "verified": "unsat", "unknown": "unknown"}


@dataclass(frozen=True)
class Question:
    """Whether an output follows the first input over a box, whose ends are decimals.

    Parameters
    ----------
    lower, upper : tuple of str
    direction : str
    output, outputs : int
        Which one, of how many.
    shapes : tuple of str
        Of input and output, as a query declares them.
    lead : str
        Indices before that of an input.
    """

    lower: tuple[str, ...]
    upper: tuple[str, ...]
    direction: str
    output: int
    outputs: int
    shapes: tuple[str, str]
    lead: str

    @property
    def toml(self) -> str:
        ends = zip(self.lower, self.upper, strict=True)
        ranges = [f"[inputs.x{i}]\nrange = [{low}, {high}]" for i, (low, high) in enumerate(ends)]
        names = ", ".join(f'"y{i}"' for i in range(self.outputs))
        question = (
            f'[[property]]\nname = "p"\nkind = "monotone"\ninput = "x0"\noutput = "y{self.output}"\n'
            f'direction = "{self.direction}"'
        )
        return "\n".join([*ranges, f"[outputs]\nnames = [{names}]", question])

    @property
    def vnnlib(self) -> str:
        """The query, written by hand: X2 is X1 with a first entry that is no smaller."""
        lines = ["(vnnlib-version <2.0>)"]
        for name, relation, number in (("first", "", 1), ("second", "(equal-to first)", 2)):
            inputs, outputs = (
                f"(declare-{k} {v}{number} real [{s}])"
                for k, v, s in zip(("input", "output"), "XY", self.shapes, strict=True)
            )
            lines.append(f"(declare-network {name} {relation} {inputs} {outputs})")
        for i, (low, high) in enumerate(zip(self.lower, self.upper, strict=True)):
            lines += [f"(assert (>= X1[{self.lead}{i}] {low}))", f"(assert (<= X1[{self.lead}{i}] {high}))"]
            same = "(== X2[{0}] X1[{0}])" if i else "(and (>= X2[{0}] X1[{0}]) (<= X2[{0}] {1}))"
            lines.append(f"(assert {same.format(f'{self.lead}{i}', high)})")
        relation = "<" if self.direction == "increasing" else ">"
        row = "0," if "," in self.shapes[1] else ""
        lines.append(f"(assert ({relation} Y2[{row}{self.output}] Y1[{row}{self.output}]))")
        return "\n".join(lines)

    def ask(self, folder: Path, network: Path, timeout: float = 60.0) -> tuple[str, str]:
        """Ask both ways and return both answers in the words of a query; a witness is checked exactly."""
        (folder / "p.toml").write_text(self.toml)
        (folder / "q.vnnlib").write_text(self.vnnlib)
        limit = ["--timeout", str(timeout)]
        answer = _printed(["verify", str(folder / "p.toml"), "--network", str(network), *limit]).split()[0]
        said = _printed(["verify", str(folder / "q.vnnlib"), "--network", f"first={network}", *limit])
        word, *assignment = said.splitlines()
        if word == "sat":
            _, values = read_assignment(assignment)
            assert satisfied(self.vnnlib, values)
            for number in "12":
                assert tuple(values[f"Y{number}"]) == evaluate_exact(read_onnx(network), values[f"X{number}"])
        return WORDS.get(answer, answer), word


def _printed(arguments: list[str]) -> str:
    with redirect_stdout(io.StringIO()) as out:
        run(arguments)
    return out.getvalue()
