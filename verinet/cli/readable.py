"""What people read of a trained network: its formulas, its rules, its pictures, and one page that holds them all."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from verinet.audit import (
    Drawings,
    Rules,
    Sample,
    Target,
    Trained,
    draw_all,
    extract_rules,
    formulas_of,
    network_page,
    rules_text,
    uses_of_weights,
)
from verinet.io import write_atomically
from verinet.model import Network
from verinet.train import TrainingData

__all__ = ["quick_rules", "sample_of", "write_readable"]

MOST_WORK_FOR_RULES = 50_000_000
"""Rows times inputs times uses of weights, beyond which rules may take minutes: ``verinet rules`` writes them."""

QUICK_PROGRAMMES = 300
"""Linear programmes for simplifying rules; ``verinet rules`` takes more."""

MOST_NAMES = 3
"""Outputs that a title names."""


def sample_of(data: TrainingData, outputs: tuple[str, ...], classes: tuple[str, ...]) -> Sample:
    """Return the rows of a training, each as often as the table holds it.

    Parameters
    ----------
    data : TrainingData
        Of one output or several; the target of one output comes along.
    outputs : tuple of str
        Names.
    classes : tuple of str
        The names of the classes -1 and 1 of one output, or none.
    """
    x, y = (np.repeat(values, data.copies, axis=0) for values in (data.x, data.y))
    return Sample(x, data.names, outputs, Target(outputs[0], y, classes) if len(outputs) == 1 else None)


def quick_rules(network: Network, sample: Sample) -> Rules | None:
    """Return the rules that rows fall under; None where that may take minutes."""
    rows, features = sample.x.shape
    is_small = rows * (features + 1) * max(uses_of_weights(network), 1) <= MOST_WORK_FOR_RULES
    return extract_rules(network, sample, programmes=QUICK_PROGRAMMES) if is_small else None


def write_readable(folder: Path, trained: Trained, sample: Sample) -> None:
    """Write formulas (``.txt``), rules, pictures (``.svg``) and the page (``network.html``) of a trained network.

    Parameters
    ----------
    folder : Path
    trained : TrainedOutputs or LayeredResult
    sample : Sample
        The rows of the training.
    """
    network, names, outputs = trained.network, sample.features, sample.outputs
    drawings = draw_all(network, names, outputs, sample.x, trained)
    write_atomically(folder / "network.txt", formulas_of(network, names, outputs, trained) + "\n")
    for name, text in _files(drawings).items():
        write_atomically(folder / f"{name}.svg", text)
    rules = quick_rules(network, sample)
    if rules is None:
        # Rules of an earlier training must not be taken for this one's.
        (folder / "rules.txt").unlink(missing_ok=True)
    else:
        write_atomically(folder / "rules.txt", rules_text(rules) + "\n")
    page = network_page(
        network, names, outputs, title=_title(outputs), sample=sample, rules=rules, trained=trained, drawings=drawings
    )
    write_atomically(folder / "network.html", page)


def _title(outputs: tuple[str, ...]) -> str:
    more = f" and {len(outputs) - MOST_NAMES} more" if len(outputs) > MOST_NAMES else ""
    return f"{', '.join(outputs[:MOST_NAMES])}{more}: a trained network"


def _files(drawings: Drawings) -> dict[str, str]:
    """Name the pictures that stand alone."""
    found = {"network": drawings.network} if drawings.network else {}
    found |= _numbered("filters", drawings.filters)
    found |= _numbered("units", drawings.units)
    return found | _numbered("progress", drawings.progress)


def _numbered(name: str, pictures: Sequence[str]) -> dict[str, str]:
    """Name pictures, with numbers from 1 where there are several."""
    if len(pictures) == 1:
        return {name: pictures[0]}
    return {f"{name}-{number}": picture for number, picture in enumerate(pictures, start=1)}
