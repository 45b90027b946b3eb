"""Pictures of trainings are SVG documents that show what they should, the same every time."""

import math
import re
from dataclasses import replace
from fractions import Fraction
from xml.etree import ElementTree

import numpy as np
import pytest

from verinet.audit import (
    draw_filters,
    draw_path,
    draw_progress,
    draw_units,
    filter_formulas,
    network_formulas,
    network_stages,
)
from verinet.program import Progress, Status
from verinet.train import (
    AnyWidthSpecification,
    Convolutional,
    FilterParameters,
    Method,
    Objective,
    Pooling,
    RawParameters,
    Scaling,
    TrainingData,
    TrainingRecord,
    regularisation_path,
)
from verinet.train.export import build_network

RECORD = TrainingRecord(
    objective=Fraction(1, 4),
    claimed_objective=0.25,
    bound=0.2,
    gap=0.2,
    status=Status.UNKNOWN,
    solver="highs",
    seconds=3.0,
    nonzeros=1,
    units=1,
    features=("a",),
    samples=9,
    method=Method.ANY_WIDTH,
    history=(Progress(1.0, None, -math.inf), Progress(1.5, 0.5, 0.0), Progress(2.0, 0.25, 0.2)),
)


def texts(svg: str) -> str:
    """Return all text of a document, which this also checks to be well-formed."""
    return " ".join(
        "".join(node.itertext()) for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("text")
    )


def random_network(units: int, reads: int, features: int = 6) -> RawParameters:
    rng = np.random.default_rng(0)
    weights = np.zeros((units, features))
    for row in weights:
        row[rng.choice(features, size=reads, replace=False)] = rng.normal(size=reads)
    biases, signs = rng.normal(size=units), rng.choice([-1.0, 1.0], size=(1, units))
    return RawParameters(weights, biases, signs, np.zeros((1, features)), np.array([1.5]))


SCALING = Scaling(np.zeros(6), np.arange(1.0, 7.0))
NAMES = ("income & <wealth>", "$debt$", "a name that is much too long for a label", "d", "e", "f")


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (RECORD, ["any-width: gap 20 % after 3 s"]),
        (replace(RECORD, history=()), ["gap 20 %"]),
        (replace(RECORD, status=Status.OPTIMAL, bound=0.25, gap=0.0), ["proven optimal, gap 0 %"]),
        (replace(RECORD, bound=-math.inf, gap=math.inf, history=()), ["no bound"]),
        (replace(RECORD, objective=Fraction(0), bound=0.0, gap=0.0, seconds=0.0, history=()), ["gap 0 %"]),
    ],
)
def test_progress_shows_the_gap(record: TrainingRecord, words: list[str]) -> None:
    found = texts(draw_progress(record))
    for word in [*words, "seconds", "objective: the best network so far", "bound: no network is below"]:
        assert word in found


def test_pictures_are_the_same_every_time() -> None:
    network = random_network(4, 2)
    assert draw_progress(RECORD) == draw_progress(RECORD)
    assert draw_units(network, NAMES, "score", SCALING) == draw_units(network, NAMES, "score", SCALING)


@pytest.mark.parametrize(("units", "reads"), [(30, 1), (5, 2)])
def test_units_are_drawn_with_the_names_of_their_features(units: int, reads: int) -> None:
    found = texts(draw_units(random_network(units, reads), NAMES, "score", SCALING))
    assert "score = 1.5 + the contributions of its parts" in found
    assert "income & <wealth>" in found
    assert "a name that is much too lon…" in found
    assert ("unit_3" in found) == (reads == 2)
    assert ("thick" in found) == (reads == 1)
    assert "left out" not in found


def test_names_are_no_formulas() -> None:
    assert "$debt$" in texts(draw_units(random_network(30, 1), NAMES, "$score$", SCALING))


def test_many_units_are_cut_and_counted() -> None:
    svg = draw_units(random_network(40, 2), NAMES, "score", SCALING)
    assert "drawn are the 12 largest of 40 parts, 28 left out" in texts(svg)
    assert len(re.findall(r'id="axes_\d+"', svg)) == 13  # with the scale of the maps


def test_units_of_many_features_are_counted() -> None:
    assert "not drawn: units of more than two features, 3 in number" in texts(
        draw_units(random_network(3, 3), NAMES, "score", SCALING)
    )


def test_a_constant_network_says_so() -> None:
    nothing = RawParameters(np.zeros((0, 6)), np.zeros(0), np.zeros((1, 0)), np.zeros((1, 6)), np.array([2.0]))
    assert "the output is constant" in texts(draw_units(nothing, NAMES, "score", SCALING))


def test_a_feature_with_a_linear_part_only() -> None:
    skip = np.array([[0, 0, 0, -2.0, 0, 0]])
    line = RawParameters(np.zeros((0, 6)), np.zeros(0), np.zeros((1, 0)), skip, np.array([2.0]))
    found = texts(draw_units(line, NAMES, "score", SCALING))
    assert "linear part" in found
    assert "blue" not in found


def filters(count: int, grid: tuple[int, int] = (1, 1)) -> FilterParameters:
    """Return filters over two channels, with two outputs; the first filter moves the first output alone."""
    layer = Convolutional((2, 3, 3), (2, 2), pooling=Pooling.AVERAGE, grid=grid)
    weights = np.ones((count, 8)) * np.arange(1, count + 1)[:, None]
    outputs = np.full((2, count, len(layer.cells)), 0.25)
    outputs[1, :1] = 0.0
    return FilterParameters(layer, weights, np.zeros(count), outputs, np.zeros((2, 18)), np.array([0.5, -1.0]))


def test_filters_are_drawn_with_the_outputs_they_move() -> None:
    found = texts(draw_filters(filters(30), ("one", "$two$")))
    assert "30 filters of 2 x 2, average over the image" in found
    assert "drawn are the 24 that weigh most, 6 left out" in found
    assert "filter_30" in found
    assert "filter_1," not in found
    assert "$two$" in found
    assert "the outputs are constant" in texts(draw_filters(filters(0), ("one", "two")))


def test_formulas_of_filters_name_averages_and_cells() -> None:
    names = [f"p{j}" for j in range(18)]
    first, second, *outputs = filter_formulas(filters(2), names, ("one", "two")).splitlines()
    assert first.startswith("filter_1 = max(0, 1 * pixel[0, 0, 0] + 1 * pixel[0, 0, 1]")
    assert second.endswith("2 * pixel[1, 1, 1])")
    # The file holds a quarter of the sum over four places: the average, times one.
    assert outputs == ["one = 0.5 + average(filter_1) + average(filter_2)", "two = - 1 + average(filter_2)"]
    assert "average(filter_2, cell 2)" in filter_formulas(filters(2, (2, 1)), names, ("one", "two"))


def test_formulas_of_several_outputs_name_the_units_they_read() -> None:
    parameters = RawParameters(
        np.eye(2), np.zeros(2), np.array([[1.0, 0], [-2, 3]]), np.zeros((2, 2)), np.array([0.0, 1])
    )
    lines = network_formulas(network_stages(build_network(parameters), ("a", "b"), ("x", "y"))).splitlines()
    assert lines[2:] == ["x = unit_1", "y = 1 - 2 * unit_1 + 3 * unit_2"]


def test_a_path_shows_its_choice_and_its_bounds() -> None:
    x = np.arange(20.0)[:, None]
    data = TrainingData.prepare(x, np.where(x[:, 0] > 9, 1.0, -1.0), classes=True)
    path = regularisation_path(data, AnyWidthSpecification(Objective(), 1), [0.1, 0.01], folds=2)
    svg = draw_path(path)
    found = texts(svg)
    for words in (
        "chosen (best): l1 =",
        "left-out samples",
        "bound under all networks",
        "hidden units",
        "wrong classes",
    ):
        assert words in found
    assert svg == draw_path(path)
