"""Networks with a counterexample that is known because it was planted there.

A narrow tent of ReLUs (or of a maximum) stands on the output of a random network, around a chosen point. The question
asks for outputs as high as the one at that point, by exact evaluation; so the point is a counterexample whatever the
rest of the network does, and a verifier that says "verified" is wrong.

References
----------
Zhou, Sun, Zhang, Brix et al., SoundnessBench: a soundness benchmark for neural network verifiers, 2024.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from verinet.model import (
    Affine,
    Atom,
    Convolution,
    Dense,
    Domain,
    Input,
    LinearExpression,
    Maximum,
    Network,
    Node,
    Query,
    Region,
    Relu,
    Side,
    Symbol,
    evaluate,
    evaluate_exact,
)
from verinet.numeric import FloatArray

__all__ = ["FAMILIES", "Planted", "plant"]

MARGINS = (Fraction(0), Fraction(1, 10**12), Fraction(1, 10**6), Fraction(1, 100))
"""How far below the planted output the threshold lies, relative to the tent; at zero nothing but its tip counts."""

WIDTHS = (4, 16, 64)
"""Neurons of a hidden layer, beside those of the tent."""

MOST_LAYERS = 3


@dataclass(frozen=True, eq=False)
class Planted:
    """A question whose answer is known.

    Parameters
    ----------
    family : str
    query : Query
    point : tuple of Fraction
        A counterexample.
    margin : Fraction
        One of `MARGINS`.
    """

    family: str
    query: Query
    point: tuple[Fraction, ...]
    margin: Fraction


@dataclass(frozen=True, eq=False)
class _Place:
    """Where the tent stands: some inputs move, the others hardly do."""

    centre: FloatArray
    moving: FloatArray
    domain: Domain

    @classmethod
    def choose(cls, rng: np.random.Generator, size: int) -> "_Place":
        moving = np.sort(rng.permutation(size)[: rng.integers(1, min(size, 3) + 1)])
        centre = rng.uniform(-0.9, 0.9, size=size)
        play = np.where(rng.random(size) < 0.5, 0.0, 2.0**-12)
        lower, upper = centre - play, centre + play
        lower[moving], upper[moving] = -1.0, 1.0
        return cls(centre, moving, Domain.from_box(lower, upper))


def _affine(weights: FloatArray, bias: FloatArray) -> Affine:
    return Affine((Dense(np.asarray(weights, dtype=np.float64)),), np.asarray(bias, dtype=np.float64))


def _background_layers(rng: np.random.Generator, size_in: int, source: str, layers: int, width: int) -> list[Node]:
    """Return random ReLU layers on top of a node."""
    nodes: list[Node] = []
    for k in range(layers):
        op = _affine(rng.normal(size=(width, size_in)) * np.sqrt(2 / size_in), rng.normal(size=width) * 0.2)
        nodes += [
            Node(f"hidden_{k}", op, (nodes[-1].name if nodes else source,)),
            Node(f"relu_{k}", Relu(width), (f"hidden_{k}",)),
        ]
        size_in = width
    return nodes


def _distances(place: _Place, size: int) -> Affine:
    """Return ``x - c`` and ``c - x`` of the moving inputs."""
    rows = np.zeros((len(place.moving), size))
    rows[np.arange(len(place.moving)), place.moving] = 1.0
    centre = place.centre[place.moving]
    return _affine(np.vstack([rows, -rows]), np.concatenate([-centre, centre]))


def _tent(place: _Place, size: int, slope: float, *, by_maximum: bool) -> list[Node]:
    """Return ``relu(1 - slope * distance)``, the distance summed over the coordinates or, by a maximum, the largest."""
    count = 2 * len(place.moving)
    sides = Node("sides", _distances(place, size), ("x",))
    if by_maximum:
        fold = Node("fold", Maximum(np.arange(count), np.array([0, count]), count), ("sides",))
        slopes = np.array([[-slope]])
    else:
        fold = Node("fold", Relu(count), ("sides",))
        slopes = np.full((1, count), -slope)
    return [sides, fold, Node("cut", _affine(slopes, np.ones(1)), ("fold",)), Node("tent", Relu(1), ("cut",))]


def _spread(nodes: Sequence[Node], row: FloatArray, domain: Domain, rng: np.random.Generator) -> float:
    """Return how far a functional of the last node varies over the domain, by sampling."""
    network = Network(tuple(nodes), (nodes[-1].name,))
    lower, upper = domain.box()
    return float(np.ptp(evaluate(network, rng.uniform(lower, upper, size=(256, len(lower)))) @ row))


def _joined(rng: np.random.Generator, place: _Place, background: list[Node], *, by_maximum: bool) -> Network:
    """Stand a tent on a background, high enough to rise above it."""
    size, width = background[0].op.size_out, background[-1].op.size_out
    tent = _tent(place, size, 2.0 ** rng.integers(4, 8), by_maximum=by_maximum)
    row = rng.normal(size=width)
    height = 1.5 * _spread(background, row, place.domain, rng) + rng.uniform(0.5, 1.0)
    last = Affine((Dense(np.array([[height]])), Dense(row[None, :])), rng.normal(size=1))
    top = Node("y", last, ("tent", background[-1].name))
    return Network((*background, *tent, top), ("y",))


def _stacked(rng: np.random.Generator) -> tuple[Network, _Place]:
    """Hide the tent among the neurons of a plain dense network: one stack, shuffled and rescaled."""
    size = int(rng.integers(1, 4))
    place = _Place.choose(rng, size)
    width, layers = int(rng.choice(WIDTHS)), int(rng.integers(2, MOST_LAYERS + 1))
    slope = 2.0 ** rng.integers(4, 8)
    sides = _distances(place, size)
    count = sides.size_out
    weights = [np.vstack([sides.maps[0].weights, rng.normal(size=(width, size))])]
    biases = [np.concatenate([sides.bias, rng.normal(size=width) * 0.2])]
    for level in range(1, layers):
        before = len(weights[-1])
        rows = np.zeros((1 + width, before))
        rows[0, : count if level == 1 else 1] = -slope if level == 1 else 1.0
        rows[1:, before - width :] = rng.normal(size=(width, width)) * np.sqrt(2 / width)
        weights.append(rows)
        biases.append(np.concatenate([[1.0 if level == 1 else 0.0], rng.normal(size=width) * 0.2]))
    last = np.concatenate([[0.0], rng.normal(size=width)])[None, :]
    plain = _network(weights, biases, last)
    lower, upper = place.domain.box()
    last[0, 0] = 1.5 * float(np.ptp(evaluate(plain, rng.uniform(lower, upper, size=(256, size))))) + 1.0
    return _network(*_shuffled(rng, weights, biases, last)), place


def _shuffled(
    rng: np.random.Generator, weights: list[FloatArray], biases: list[FloatArray], last: FloatArray
) -> tuple[list[FloatArray], list[FloatArray], FloatArray]:
    """Permute the neurons of each layer and scale them, which later layers undo up to rounding."""
    weights, biases = [w.copy() for w in (*weights, last)], [b.copy() for b in biases]
    for k in range(len(biases)):
        order = rng.permutation(len(biases[k]))
        scale = 10.0 ** rng.uniform(-2, 2, size=len(order))
        weights[k], biases[k] = weights[k][order] * scale[:, None], biases[k][order] * scale
        weights[k + 1] = weights[k + 1][:, order] / scale
    return weights[:-1], biases, weights[-1]


def _network(weights: Sequence[FloatArray], biases: Sequence[FloatArray], last: FloatArray) -> Network:
    nodes = [Node("x", Input(weights[0].shape[1]))]
    for k, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        nodes.append(Node(f"affine_{k}", _affine(weight, bias), (nodes[-1].name,)))
        nodes.append(Node(f"relu_{k}", Relu(len(bias)), (nodes[-1].name,)))
    nodes.append(Node("y", _affine(last, np.zeros(1)), (nodes[-1].name,)))
    return Network(tuple(nodes), ("y",))


def _image(rng: np.random.Generator, *, pooled: bool) -> tuple[Network, _Place]:
    """Stand the tent beside a convolution of a small image, pooled or not, and a dense layer on it."""
    side = int(rng.integers(3, 5))
    size, filters = side * side, int(rng.integers(2, 5))
    place = _Place.choose(rng, size)
    convolution = Convolution(rng.normal(size=(filters, 1, 2, 2)), (1, side, side), pads=(0, 0, 1, 1))
    count = convolution.size_out
    background = [
        Node("x", Input(size), (), (1, side, side)),
        Node("convolution", Affine((convolution,), rng.normal(size=count) * 0.2), ("x",)),
        Node("on", Relu(count), ("convolution",)),
    ]
    if pooled:
        windows = _windows(filters, side)
        offsets = np.cumsum([0, *map(len, windows)])
        # Before the ReLU or after it: both orders are common.
        argument = "on" if rng.random() < 0.5 else "convolution"
        background.append(Node("pool", Maximum(np.concatenate(windows), offsets, count), (argument,)))
    last = background[-1]
    background += _background_layers(rng, last.op.size_out, last.name, int(rng.integers(1, 3)), int(rng.choice(WIDTHS)))
    return _joined(rng, place, background, by_maximum=pooled), place


def _windows(filters: int, side: int) -> list[list[int]]:
    """Return the members of overlapping windows of two by two in each filter's map."""
    corners = [(f, r, c) for f in range(filters) for r in range(side - 1) for c in range(side - 1)]
    return [[(f * side + r + i) * side + c + j for i in (0, 1) for j in (0, 1)] for f, r, c in corners]


def _dense(rng: np.random.Generator) -> tuple[Network, _Place]:
    """Stand the tent beside a dense network of one to three layers."""
    size = int(rng.integers(1, 6))
    place = _Place.choose(rng, size)
    layers = _background_layers(rng, size, "x", int(rng.integers(1, MOST_LAYERS + 1)), int(rng.choice(WIDTHS)))
    return _joined(rng, place, [Node("x", Input(size)), *layers], by_maximum=bool(rng.random() < 0.3)), place


FAMILIES: Mapping[str, Callable[[np.random.Generator], tuple[Network, _Place]]] = {
    "stacked": _stacked,
    "dense": _dense,
    "convolution": lambda rng: _image(rng, pooled=False),
    "pooling": lambda rng: _image(rng, pooled=True),
}
"""How the network around the tent is made."""


def plant(family: str, seed: int) -> Planted:
    """Make a network, a domain and a question whose counterexample is known.

    Parameters
    ----------
    family : str
        One of `FAMILIES`.
    seed : int
    """
    rng = np.random.default_rng([list(FAMILIES).index(family), seed])
    network, place = FAMILIES[family](rng)
    point = tuple(Fraction(float(v)) for v in place.centre)
    margin = MARGINS[seed % len(MARGINS)]
    highest = evaluate_exact(network, point)[0]
    atom = Atom(LinearExpression.from_terms([(Symbol(Side.OUTPUT, 0), Fraction(-1))], highest - margin))
    query = Query(network, (Region(place.domain, ((atom,),)),))
    return Planted(family, query, point, margin)
