"""The regularisation path of a row, as a picture: accuracy, objective and bound against the price of the weights."""

import argparse
from pathlib import Path

import numpy as np

from tests.performance.training_any_width.cases import all_cases, select
from verinet.audit import draw_path
from verinet.errors import InputError
from verinet.io import write_atomically
from verinet.train import AnyWidthSpecification, TrainingData, TrainOptions, regularisation_path

__all__ = ["add_options", "draw"]

TOLERANCE = 1e-3


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options of the picture; `--select`, `--limit` and `--threads` stand before the word."""
    add = parser.add_argument
    add("--picture", type=Path, default=Path("path.svg"), metavar="FILE", help="default path.svg")
    add("--range", type=float, nargs=2, default=(1e-3, 1e-1), metavar="PRICE", help="default 0.001 0.1")
    add("--steps", type=int, default=9, metavar="N", help="prices, evenly apart by their ratio; default 9")


def draw(options: argparse.Namespace) -> None:
    """Sweep the prices on the first row that is selected, and write the picture.

    Raises
    ------
    InputError
        If its units are filters, or there are several networks.
    """
    case = select(all_cases(), options.select)[0]
    specification = case.specification
    if not isinstance(specification, AnyWidthSpecification) or len(case.labels):
        raise InputError(f"a path needs one dense network, {case.name!r} has others; select another row")
    data = TrainingData.prepare(case.x, case.y, classes=case.loss.classifies, allow_constant=True)
    limits = TrainOptions(time_limit=options.limit, gap_tolerance=TOLERANCE, threads=options.threads)
    prices = np.geomspace(*options.range, options.steps)
    path = regularisation_path(data, specification, [float(price) for price in prices], limits)
    write_atomically(options.picture, draw_path(path))
    print(f"{case.name}: {options.steps} prices, chosen l1 = {path.points[path.chosen].l1:.3g}; {options.picture}")
