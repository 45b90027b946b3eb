"""The property files that ship with the project: each property holds for one small network and fails for another."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from verinet.io import read_property_file
from verinet.model import Network, Property, PropertySet, dense_network, describe, evaluate_exact
from verinet.verify import Answer, VerifyOptions, verify_property

LIBRARY = Path(__file__).resolve().parents[2] / "properties"


@dataclass(frozen=True, eq=False)
class Subjects:
    """Networks for one file: one with every property, and others so that each property fails for some."""

    good: Network
    bad: tuple[Network, ...]
    references: Mapping[str, Network]


def clipped(rows: list[float], bias: float, limit: float, scale: float = 1.0) -> Network:
    """Return ``scale * clip(rows . x + bias, -limit, limit)``."""
    weights = [np.array([rows, rows]), np.array([[scale, -scale]])]
    return dense_network(weights, [np.array([bias + limit, bias - limit]), np.array([-scale * limit])])


def linear(rows: list[list[float]], bias: list[float]) -> Network:
    return dense_network([np.array(rows, dtype=np.float64)], [np.array(bias, dtype=np.float64)])


def credit() -> Subjects:
    # income, debt, age, employed, self-employed, unemployed
    money = [1e-5, -1e-5, 0.0, 0.0, 0.0, 0.0]
    good = clipped(money, -0.3, 1.0)
    bad = clipped([1e-5, -1e-5, 0.01, 0.0, 0.0, 0.5], -0.3, 1.0, scale=-3.0)
    return Subjects(good, (bad,), {})


def medical() -> Subjects:
    # radius, texture, concavity -> benign, malignant; each bad one turns around at the radius of some case
    good = linear([[0, 0, 0], [1, 0, 0]], [0, -16])
    bad = (linear([[0, 0, 0], [-1, 0, 0]], [0, turn]) for turn in (12.36, 21.06, 11.43, 24.26))
    return Subjects(good, tuple(bad), {})


def control() -> Subjects:
    # position, velocity, angle, rate
    return Subjects(clipped([0, 0, 20, 2], 0, 10), (linear([[0, 0, -200, 0]], [1]),), {})


def image() -> Subjects:
    row = [-0.5, -0.5, -0.5, 1, 1, 1, -0.5, -0.5, -0.5]
    column = [-0.5, 1, -0.5] * 3
    dot = [-0.5] * 4 + [1] + [-0.5] * 4
    rows = np.array([row, column, dot])
    original = dense_network([rows, np.eye(3)], [np.full(3, 3.0), np.full(3, -3.0)])
    small = dense_network([rows * 255 / 256, np.eye(3)], [np.full(3, 3.0), np.full(3, -3.0)])
    turned = dense_network([-rows, np.eye(3)], [np.full(3, 6.0), np.full(3, -3.0)])
    return Subjects(small, (turned,), {"original": original})


SUBJECTS = {"credit": credit, "medical": medical, "control": control, "image": image}


def questions() -> list[tuple[str, str]]:
    return [(name, prop.name) for name in SUBJECTS for prop in read_property_file(LIBRARY / f"{name}.toml").properties]


def read(file: str, name: str) -> tuple[PropertySet, Property, Subjects]:
    found = read_property_file(LIBRARY / f"{file}.toml")
    (prop,) = (prop for prop in found.properties if prop.name == name)
    return found, prop, SUBJECTS[file]()


def test_the_library_has_every_kind() -> None:
    kinds = {type(p) for name in SUBJECTS for p in read_property_file(LIBRARY / f"{name}.toml").properties}
    assert kinds == set(Property.__args__)
    assert {path.stem for path in LIBRARY.glob("*.toml")} == set(SUBJECTS)


@pytest.mark.parametrize(("file", "name"), questions())
def test_a_property_holds_for_one_network_and_fails_for_another(file: str, name: str) -> None:
    found, prop, subjects = read(file, name)
    assert len(describe(prop, found).splitlines()) == 1
    options = VerifyOptions(timeout=20)
    assert verify_property(subjects.good, found.domain, prop, options, subjects.references).answer is Answer.VERIFIED
    verdicts = [verify_property(bad, found.domain, prop, options, subjects.references) for bad in subjects.bad]
    violated = [verdict.witness for verdict in verdicts if verdict.answer is Answer.VIOLATED]
    assert violated
    for witness in violated:
        assert witness is not None
        networks = [subjects.bad[0], *subjects.bad, *subjects.references.values()]
        for point in witness.points:
            assert any(evaluate_exact(network, point.inputs) == point.outputs for network in networks)
