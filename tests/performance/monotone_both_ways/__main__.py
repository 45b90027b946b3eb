"""Ask monotone questions of the ACAS Xu networks in both languages; see README.md."""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from tests.conformance.monotone_texts import Question

DEFAULT_FOLDER = Path(__file__).resolve().parents[4] / "shared" / "bench" / "acasxu" / "onnx"

LEAST, MOST = (-0.3, -0.5, -0.5, -0.5, -0.5), (0.68, 0.5, 0.5, 0.5, 0.5)
"""The normalised inputs of the networks."""

WIDTHS = (0.002, 0.02, 0.1)
"""Of the boxes, as a share of the inputs' ranges."""

OPEN = ("unknown", "timed-out")


def question(rng: np.random.Generator, width: float) -> Question:
    """Draw a box, an output and a direction."""
    least, most = np.array(LEAST), np.array(MOST)
    half = width * (most - least) / 2
    centre = rng.uniform(least + half, most - half)
    lower, upper = (tuple(f"{value:.4f}" for value in end) for end in (centre - half, centre + half))
    direction = ("increasing", "decreasing")[rng.integers(2)]
    return Question(lower, upper, direction, int(rng.integers(5)), 5, ("1,1,1,5", "1,5"), "0,0,0,")


def main() -> int:
    """Print a row for each question."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--networks", type=int, default=45)
    parser.add_argument("--timeout", type=float, default=60.0)
    parser.add_argument("--data", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    networks = sorted(arguments.data.glob("*.onnx"))[: arguments.networks]
    if not networks:
        print(f"expected ONNX files in {arguments.data}, found none", file=sys.stderr)
        return 2
    rng, counts = np.random.default_rng(arguments.seed), Counter[str]()
    print(f"{'network':36} {'width':>6} {'output':10} {'direction':11} {'property':10} {'query':10} {'seconds':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for network in networks:
            for width in WIDTHS:
                asked, begin = question(rng, width), time.monotonic()
                answers = asked.ask(Path(folder), network, arguments.timeout)
                seconds = time.monotonic() - begin
                kind = "same" if answers[0] == answers[1] else "open" if set(answers) & set(OPEN) else "DIFFERENT"
                counts[kind] += 1
                print(
                    f"{network.stem:36} {width:6g} y{asked.output:<9} {asked.direction:11} {answers[0]:10} "
                    f"{answers[1]:10} {seconds:8.2f}  {kind}",
                    flush=True,
                )
    print(", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())))
    return 1 if counts["DIFFERENT"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
