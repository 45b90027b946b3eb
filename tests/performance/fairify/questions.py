"""Questions about the Fairify networks over their whole integer domains: credit and marketing, 16 to 20 inputs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.performance.verification.bench import REPOSITORY
from verinet.io import read_onnx
from verinet.model import (
    Atom,
    Domain,
    Fair,
    LinearExpression,
    Network,
    Query,
    Region,
    Side,
    Symbol,
    VariableType,
)

__all__ = [
    "EXPRESSIONS",
    "FOLDER",
    "MARGIN",
    "NAMES",
    "Model",
    "exceeding",
    "fair_question",
    "fair_questions",
    "read_model",
]

FOLDER = REPOSITORY.parent / "shared" / "bench" / "fairify"

NAMES = (*(f"GC-{k}" for k in range(1, 6)), *(f"BM-{k}" for k in range(1, 9)))

LOGIT = LinearExpression(((Symbol(Side.OUTPUT, 0), Fraction(1)),))

EXPRESSIONS: Mapping[str, LinearExpression] = {
    "range": LOGIT,
    "linear": LOGIT - LinearExpression(((Symbol(Side.INPUT, 1), Fraction(1, 10)),)),
}
"""What is bounded: the score itself, and the score less a tenth of the second input."""

MARGIN = Fraction(1, 50)
"""How far thresholds lie from the greatest value, as a share of the range."""


@dataclass(frozen=True, eq=False)
class Model:
    """A network with its domain.

    Parameters
    ----------
    name : str
    network : Network
    domain : Domain
        Integers throughout.
    """

    name: str
    network: Network
    domain: Domain


def read_model(name: str, folder: Path = FOLDER) -> Model:
    """Read a network of the bench folder, with the ranges of all its columns."""
    columns = _dataset(name, folder)["columns"]
    ends = (tuple(Fraction(column[end]) for column in columns) for end in ("low", "high"))
    domain = Domain(*ends, (VariableType.INTEGER,) * len(columns))
    return Model(name, read_onnx(folder / "onnx" / f"{name}.onnx"), domain)


def _dataset(name: str, folder: Path) -> Mapping[str, Any]:
    datasets: Mapping[str, Mapping[str, Any]] = json.loads((folder / "domains.json").read_text("utf-8"))["datasets"]
    (dataset,) = (data for data in datasets.values() if name in data["models"])
    return dataset


def fair_questions(folder: Path = FOLDER) -> list[tuple[str, str]]:
    """Return every network with each of its protected attributes."""
    return [(name, attribute) for name in NAMES for attribute in _dataset(name, folder)["protected"]]


def fair_question(name: str, attribute: str, folder: Path = FOLDER) -> tuple[Model, Fair]:
    """Ask whether a protected attribute alone can change the class."""
    (protected,) = (c["index"] for c in _dataset(name, folder)["columns"] if c["name"] == attribute)
    return read_model(name, folder), Fair(f"{attribute} does not change the class", (protected,))


def exceeding(model: Model, expression: LinearExpression, threshold: Fraction) -> Query:
    """Ask for an input of the domain at which an expression is at least a threshold."""
    atom = Atom(LinearExpression((), threshold) - expression)
    return Query(model.network, (Region(model.domain, ((atom,),)),))
