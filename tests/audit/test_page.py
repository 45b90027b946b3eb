"""The page of a network holds what it should, needs nothing else, and survives any name; effects are never guesses."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import networks, random_network
from verinet.audit import (
    Direction,
    Drawings,
    Sample,
    draw_network,
    effects_of,
    extract_rules,
    network_formulas,
    network_page,
    network_stages,
)
from verinet.audit.directions import SEEN
from verinet.audit.one_layer import one_layer_parameters
from verinet.audit.weights_picture import draw_convolutions, draw_weights
from verinet.errors import InputError
from verinet.model import (
    Affine,
    Convolution,
    Dense,
    Input,
    Maximum,
    Network,
    Node,
    Relu,
    dense_network,
    evaluate,
    evaluate_exact_batch,
)

HOSTILE = ["</svg><script>alert(1)</script>", '"><img src=x onerror=y>', "{{ 7 * 7 }}\x00\x1b\n& <i>"]


def named(network):
    return [f"x{i}" for i in range(network.size_in)], [f"y{i}" for i in range(network.size_out)]


def page_of(network, x, features=None, outputs=None):
    features, outputs = features or named(network)[0], outputs or named(network)[1]
    sample = Sample(x, tuple(features), tuple(outputs))
    rules = extract_rules(network, sample)
    return network_page(network, features, outputs, title="net", sample=sample, rules=rules)


class Tags(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def texts(svg):
    return [node for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("text")]


def convolutional():
    """Two filters over a 4 x 4 image, pooled, with a linear head."""
    weights = np.array([[[[1.0, 0.0], [0.0, -1.0]]], [[[0.0, 2.0], [0.0, 0.0]]]])
    convolution = Convolution(weights, (1, 4, 4), strides=(2, 2))
    groups = np.arange(8)
    return Network(
        (
            Node("input", Input(16)),
            Node("conv", Affine((convolution,), np.array([0.5] * 4 + [0.0] * 4)), ("input",), (2, 2, 2)),
            Node("relu", Relu(8), ("conv",), (2, 2, 2)),
            Node("pool", Maximum(groups, np.array([0, 4, 8]), 8), ("relu",)),
            Node("head", Affine((Dense(np.array([[1.0, -3.0]])),), np.array([0.25])), ("pool",)),
        ),
        ("head",),
    )


def test_hostile_names_are_text():
    network = dense_network([np.eye(3), np.ones((1, 3))], [np.zeros(3), np.zeros(1)])
    page = page_of(network, np.random.default_rng(0).normal(size=(9, 3)), HOSTILE, ["<u>score</u>"])
    seen = Tags(page)
    assert not {"script", "img", "i", "u"} & {tag for tag, _ in seen.tags}
    assert not [name for _, attributes in seen.tags for name in attributes if name.startswith("on")]
    assert "</svg><script>alert(1)</script>" in seen.text
    assert "49" not in re.findall(r"\b\d+\b", seen.text.split("Formulas")[1].split("Effects")[0])
    assert "\x00" not in page
    assert "\x1b" not in page


def test_a_page_loads_nothing():
    page = page_of(convolutional(), np.random.default_rng(0).normal(size=(5, 16)))
    for tag, attributes in Tags(page).tags:
        assert tag not in {"script", "link", "iframe", "object", "img"}
        # Pictures name parts of themselves and nothing else.
        assert all(str(attributes[key]).startswith("#") for key in ("src", "href", "xlink:href") if key in attributes)
    assert "@import" not in page


def test_golden_formulas_of_several_stages():
    network = convolutional()
    features, outputs = named(network)
    lines = network_formulas(network_stages(network, features, outputs)).split("\n")
    assert lines[0] == "h1_1_1_1 = max(0, 1 * x0 - 1 * x5 + 0.5)"
    assert lines[4] == "h1_2_1_1 = max(0, 2 * x1)"
    assert lines[8] == "h2_1 = max(h1_1_1_1, h1_1_1_2, h1_1_2_1, h1_1_2_2)"
    assert lines[-1] == "y0 = 0.25 + h2_1 - 3 * h2_2"


def test_golden_pictures_of_weights_and_filters():
    network = convolutional()
    features, outputs = named(network)
    captions = [p.caption for p in draw_weights(network_stages(network, features, outputs))]
    assert captions[0] == "features to h1: 12 of 96 weights are not zero"
    assert captions[-1] == "h2 to output: 2 of 2 weights are not zero"
    (filters,) = draw_convolutions(network)
    assert filters.caption == "conv: 2 filters of 1 x 2 x 2 over an input of 1 x 4 x 4"
    assert len(re.findall(r"fill-opacity", filters.svg)) == 3


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_stages_compute_what_the_network_computes(data):
    network = data.draw(networks())
    stages = network_stages(network, *named(network))
    x = np.array(data.draw(st.lists(st.integers(-8, 8), min_size=network.size_in, max_size=network.size_in))) / 4
    values = [x]
    for stage in stages[1:]:
        argument = stage.bias + sum((m @ values[number] for number, m in stage.sources.items()), 0.0)
        if stage.groups:
            argument = np.array([argument[group].max() for group in stage.groups])
        values.append(np.maximum(argument, 0.0) if stage.kind.value == "relu" else argument)
    assert values[-1] == pytest.approx(evaluate(network, x))


def test_one_hidden_layer_is_read_back():
    weights, biases = np.array([[1.0, 0.0], [2.0, 3.0]]), np.array([0.5, -1.0])
    network = dense_network([weights, np.array([[1.0, -2.0]])], [biases, np.array([7.0])])
    parameters = one_layer_parameters(network_stages(network, *named(network)))
    assert parameters.weights.tolist() == weights.tolist()
    assert (parameters.biases.tolist(), parameters.outputs.tolist()) == ([0.5, -1.0], [[1.0, -2.0]])
    assert (parameters.skip.tolist(), parameters.offsets.tolist()) == ([[0.0, 0.0]], [7.0])
    deep = random_network(3, blocks=8)
    assert one_layer_parameters(network_stages(convolutional(), *named(convolutional()))) is None
    assert len(network_stages(deep, *named(deep))) >= 2


def test_thirty_features_and_eight_units_stay_readable():
    rng = np.random.default_rng(0)
    network = dense_network([rng.normal(size=(8, 30)), rng.normal(size=(1, 8))], [rng.normal(size=8), np.zeros(1)])
    features = [f"feature number {i} with a long name" for i in range(30)]
    labels = texts(draw_network(network_stages(network, features, ["score"])))
    assert len(labels) == 30 + 8 + 2 - 1 + 1  # names, and the output's constant; no numbers on 248 lines
    columns = {}
    for label in labels:
        columns.setdefault(label.get("x"), []).append(float(label.get("y")))
    for places in columns.values():
        assert all(b - a >= 13 for a, b in pairwise(sorted(places)))
    assert min(float(x) for x in columns) > 8 * 28  # names end there and begin inside the picture


def test_a_constant_network_has_a_page():
    network = Network(
        (Node("input", Input(2)), Node("output", Affine((Dense(np.zeros((1, 2))),), np.array([2.5])), ("input",))),
        ("output",),
    )
    seen = Tags(page_of(network, np.array([[0.0, 1.0], [1.0, 3.0]])))
    for words in ("0 of 2: none", "y0 = 2.5", "its output is constant", "1 linear region of", "always"):
        assert words in seen.text
    without = Tags(network_page(network, *named(network), title="net"))
    assert "none were given" in without.text


def test_a_network_too_large_to_be_read_has_a_page_that_says_so():
    network = dense_network([np.ones((1500, 1500)), np.ones((1, 1500))], [np.zeros(1500), np.zeros(1)])
    with pytest.raises(InputError, match="weights each, found 2250000 in 'affine_1'"):
        network_stages(network, *named(network))
    x = np.zeros((2, 1500))
    sample = Sample(x, tuple(named(network)[0]), ("y0",))
    page = Tags(network_page(network, *named(network), title="net", sample=sample))
    assert page.text.count("found 2250000 in 'affine_1'; take a smaller network") == 3
    assert "may take minutes" in page.text
    assert not [tag for tag, _ in page.tags if tag == "svg"]


def test_units_that_lead_to_no_output_are_left_out_and_the_others_keep_their_names():
    outputs = np.array([[0.0, 1.0, -2.0]])
    network = dense_network([np.eye(3), outputs], [np.arange(3.0), np.zeros(1)])
    stages = network_stages(network, *named(network))
    assert network_formulas(stages).split("\n") == [
        "unit_2 = max(0, 1 * x1 + 1)",
        "unit_3 = max(0, 1 * x2 + 2)",
        "y0 = unit_2 - 2 * unit_3",
    ]
    seen = Tags(page_of(network, np.random.default_rng(0).normal(size=(9, 3)))).text
    assert "3 hidden units. Hidden units that lead to an output, stage by stage: 2." in seen
    # In the graph twice (with a title), above its curve, in the formulas twice and beside the matrix.
    assert "unit_1" not in seen
    assert "unit_2" in seen.split("What each unit contributes")[1].split("Weights that")[0]


def test_several_outputs_have_effects_and_contributions_of_their_own():
    """One output reads the first unit alone, the other the second alone; units keep their names."""
    network = dense_network([np.array([[1.0, 0], [0, -2.0]]), np.eye(2)], [np.ones(2), np.array([0.5, -1])])
    seen = Tags(page_of(network, np.random.default_rng(0).normal(size=(9, 2)), outputs=["left", "right"])).text
    effects = seen.split("Effects of")[1].split("Rules")[0]
    found = re.findall(r"(x\d)(left|right)never (falls|rises)", effects)
    assert found == [("x0", "left", "falls"), ("x1", "right", "rises")]
    units = seen.split("What each unit contributes")[1].split("Weights that")[0]
    # A picture's title comes last.
    assert re.findall(r"unit_\d|left = 0\.5|right = -1", units) == ["unit_1", "left = 0.5", "unit_2", "right = -1"]


def test_effects_of_many_features_are_maps():
    network = dense_network([np.array([[1.0] * 40 + [-1.0] * 40])], [np.zeros(1)])
    sample = Sample(np.random.default_rng(0).normal(size=(3, 80)), tuple(named(network)[0]), ("y0",))
    seen = Tags(network_page(network, *named(network), title="net", sample=sample, drawings=Drawings("")))
    assert re.search(r"never falls\s*the slopes of all pieces \(L0\)\s*40", seen.text)
    assert re.search(r"never rises\s*the slopes of all pieces \(L0\)\s*40", seen.text)
    assert seen.text.count("x79: never rises, the slopes") == 1


def test_long_formulas_are_cut_and_said_to_be():
    rng = np.random.default_rng(0)
    network = dense_network([rng.normal(size=(100, 100)), rng.normal(size=(1, 100))], [np.zeros(100), np.zeros(1)])
    page = network_page(network, *named(network), title="net")
    assert "... 41 more ..." in page
    assert "... and more" in page
    assert "<details><summary>101 formulas" in page
    assert max(map(len, re.findall(r"<span>(.*?)</span>", page))) < 1100


# ---------------------------------------------------------------------------------------------------------- effects


def test_effects_of_known_functions():
    """Rises, falls, both, nothing by cancellation, not read: y = relu(a) - b + |c| + relu(d) - relu(d)."""
    hidden = np.zeros((6, 5))
    hidden[0, 0] = hidden[1, 1] = hidden[2, 2] = hidden[4, 3] = hidden[5, 3] = 1.0
    hidden[3, 2] = -1.0
    network = dense_network([hidden, np.array([[1.0, -1.0, 1.0, 1.0, 1.0, -1.0]])], [np.zeros(6), np.zeros(1)])
    x = np.random.default_rng(0).uniform(-1, 1, (40, 5))
    effects = effects_of(network, x)
    assert [e.direction for e in effects] == [
        Direction.INCREASING,
        Direction.DECREASING,
        Direction.BOTH,
        Direction.NONE,
        Direction.NONE,
    ]
    assert effects[2].basis == SEEN
    assert "verifier" in effects[3].basis


def test_what_no_time_decides_is_not_decided():
    network = dense_network([np.array([[1.0], [1.0]]), np.array([[1.0, -1.0]])], [np.array([0.0, 0.5]), np.zeros(1)])
    (effect,) = effects_of(network, np.array([[-5.0], [5.0], [5.5]]), seconds=0.0)
    assert effect.direction is Direction.NOT_DECIDED
    assert "time" in effect.basis
    (decided,) = effects_of(network, np.array([[-5.0], [5.0], [5.5]]))
    assert decided.direction is Direction.DECREASING


@pytest.mark.parametrize("seed", range(12))
def test_effects_hold_at_pairs_of_points(seed):
    network = random_network(seed, max_neurons=8)
    rng = np.random.default_rng(seed)
    x = rng.integers(-8, 9, (30, network.size_in)) / 4
    low, high = x.min(axis=0), x.max(axis=0)
    for effect in effects_of(network, x, seconds=4.0):
        first = np.clip(rng.uniform(-2, 2, (60, network.size_in)), low, high)
        second = first.copy()
        second[:, effect.feature] = np.minimum(first[:, effect.feature] + rng.uniform(0, 1, 60), high[effect.feature])
        pairs = zip(evaluate_exact_batch(network, first), evaluate_exact_batch(network, second), strict=True)
        changes = [b[effect.output] - a[effect.output] for a, b in pairs]
        if effect.direction in {Direction.INCREASING, Direction.NONE}:
            assert min(changes) >= 0
        if effect.direction in {Direction.DECREASING, Direction.NONE}:
            assert max(changes) <= 0
