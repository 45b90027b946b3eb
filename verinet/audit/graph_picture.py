"""A network as an SVG picture: its stages as columns of units, and the weights between them as lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from verinet.audit.names import printable, shortened
from verinet.audit.pictures import INK, LOWERS, QUIET, RAISES
from verinet.audit.stages import Stage, StageKind, reads

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["draw_network"]

MOST_UNITS = 40
"""A stage of more units is drawn as one box."""

MOST_LABELS = 24
"""A picture of more weights carries no numbers; the formulas do."""

MOST_LINES = 1500
LABEL_SHARES = (0.5, 0.4, 0.6, 0.3, 0.7, 0.25, 0.75, 0.35, 0.65, 0.45, 0.55, 0.2, 0.8)
"""Where a label may stand on its line, the best first."""

LABEL_CLEAR = 1.0
"""A label this far from others, in label sizes, is far enough."""

COLUMN, MARGIN, LABEL_ROOM, CHARACTER = 260, 40, 30, 7.2
LONGEST_NAME = 34
ROOMY_ROW, TIGHT_ROW = 64, 31
RADIUS = 8

Place = tuple[int, int]
"""A unit: its stage and its index, -1 for a stage in one box."""


@dataclass(frozen=True)
class _Line:
    """What leads from one place to another; `weight` is None between boxes."""

    tail: Place
    head: Place
    weight: float | None
    plain: bool = False

    @property
    def stages(self) -> tuple[int, int]:
        return self.tail[0], self.head[0]


def draw_network(stages: Sequence[Stage]) -> str:
    """Draw a network.

    Parameters
    ----------
    stages : sequence of Stage
        Features that no weight leads from are left out, and so are stages of no units.

    Returns
    -------
    str
        An SVG document. Blue weights raise what they lead to, red ones lower it; wider is heavier, between the same two
        stages. What a maximum chooses from is grey. Large stages are boxes.
    """
    graph = _graph(stages)
    lines = [_Line(tail, head, data["weight"], data["plain"]) for tail, head, data in graph.edges(data=True)]
    places = _places(graph)
    row = ROOMY_ROW if max(map(len, places.values()), default=0) <= 10 else TIGHT_ROW
    spots, width, height = _layout(stages, places, row)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" font-family="Helvetica, Arial, sans-serif" font-size="13">',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="white"/>',
        *_drawn_lines(lines, spots),
    ]
    for number, indices in places.items():
        for index in indices:
            parts += _drawn_unit(stages, (number, index), spots[number, index], row)
    return "\n".join([*parts, "</svg>", ""])


def _boxes(stages: Sequence[Stage]) -> frozenset[int]:
    read = reads(stages)
    sizes = {number: len(read) if number == 0 else len(stage.units) for number, stage in enumerate(stages)}
    return frozenset(number for number, size in sizes.items() if size > MOST_UNITS)


def _graph(stages: Sequence[Stage]) -> "nx.DiGraph[Place]":
    """Return the units and boxes as nodes, and the weights between them as edges."""
    # Imported here: records share this room, and need no graphs.
    import networkx as nx

    boxes = _boxes(stages)
    read = sorted(reads(stages))
    graph: nx.DiGraph[Place] = nx.DiGraph()
    for number, stage in enumerate(stages):
        units = read if number == 0 else range(len(stage.units))
        graph.add_nodes_from([(number, -1)] if number in boxes else [(number, index) for index in units])
    for number, stage in enumerate(stages):
        for source, matrix in stage.unit_sources.items():
            entries = matrix.tocoo()
            for i, j, weight in zip(entries.row.tolist(), entries.col.tolist(), entries.data.tolist(), strict=True):
                tail = (source, -1 if source in boxes else j)
                head = (number, -1 if number in boxes else i)
                is_single = -1 not in (tail[1], head[1])
                plain = not is_single or stage.kind is StageKind.MAXIMUM
                graph.add_edge(tail, head, weight=weight if is_single else None, plain=plain)
    return graph


def _places(graph: "nx.DiGraph[Place]") -> dict[int, list[int]]:
    """Return the units or the box of each stage that has some."""
    places: dict[int, list[int]] = {}
    for number, index in graph:
        places.setdefault(number, []).append(index)
    return places


def _layout(
    stages: Sequence[Stage], places: dict[int, list[int]], row: float
) -> tuple[dict[Place, tuple[float, float]], float, float]:
    """Place each stage in a column; units stand between the rows of features, so that no skip runs through one."""
    tallest = max(len(indices) for indices in places.values())
    left = MARGIN + LABEL_ROOM + CHARACTER * max((len(_short(n)) for n in _input_labels(stages, places)), default=0)
    right = MARGIN + LABEL_ROOM + CHARACTER * max(len(_short(name)) for name in stages[-1].units)
    spots = {}
    for column, (number, indices) in enumerate(places.items()):
        shift = 0.25 if 0 < number < len(stages) - 1 else 0.0
        for i, index in enumerate(indices):
            share = (i + 0.5) / len(indices) * tallest + shift
            spots[number, index] = (left + column * COLUMN, MARGIN + share * row)
    width = left + (len(places) - 1) * COLUMN + right
    return spots, width, 2 * MARGIN + (tallest + 0.5) * row


def _input_labels(stages: Sequence[Stage], places: dict[int, list[int]]) -> list[str]:
    return [_label(stages, (0, index)) for index in places.get(0, [])]


def _label(stages: Sequence[Stage], place: Place) -> str:
    number, index = place
    stage = stages[number]
    if index >= 0:
        return printable(stage.units[index])
    count = len(reads(stages)) if number == 0 else len(stage.units)
    what = {
        StageKind.INPUT: "inputs",
        StageKind.RELU: "ReLUs",
        StageKind.MAXIMUM: "maxima",
        StageKind.OUTPUT: "outputs",
    }
    return f"{count} {what[stage.kind]}"


def _short(name: str) -> str:
    return shortened(name, LONGEST_NAME)


def _drawn_lines(lines: Sequence[_Line], spots: dict[Place, tuple[float, float]]) -> list[str]:
    """Draw the heaviest lines, heavy ones last and so on top, then their labels."""
    by_weight = sorted(lines, key=lambda line: abs(line.weight or 0.0))[-MOST_LINES:]
    # Weights between different stages have different units of measurement: each kind has a scale of its own.
    heaviest: dict[tuple[int, int], float] = {}
    for line in lines:
        heaviest[line.stages] = max(heaviest.get(line.stages, 0.0), abs(line.weight or 0.0))
    crowd = 0.7 if len(lines) <= MOST_LABELS else 0.45 if len(lines) <= 150 else 0.3
    parts = []
    for line in by_weight:
        (x1, y1), (x2, y2) = spots[line.tail], spots[line.head]
        size = abs(line.weight or 0.0) / (heaviest[line.stages] or 1.0)
        parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{_colour(line)}" '
            f'stroke-width="{1.0 + 2.5 * size:.2f}" stroke-opacity="{crowd + (1 - crowd) * 0.8 * size:.2f}"/>'
        )
    labelled = [line for line in lines if not line.plain and line.weight is not None]
    return parts + (_labels(labelled, spots) if len(labelled) <= MOST_LABELS else [])


def _colour(line: _Line) -> str:
    if line.plain or line.weight is None:
        return QUIET
    return RAISES if line.weight > 0 else LOWERS


def _labels(lines: Sequence[_Line], spots: dict[Place, tuple[float, float]]) -> list[str]:
    """Write the weights on their lines, each where it is farthest from units and from the labels before it."""
    # Units, and the names below them.
    taken = [spot for x, y in spots.values() for spot in ((x, y), (x, y + 24))]
    parts = []
    for line in lines:
        (x1, y1), (x2, y2) = spots[line.tail], spots[line.head]
        candidates = [(x1 + share * (x2 - x1), y1 + share * (y2 - y1)) for share in LABEL_SHARES]
        x, y = max(candidates, key=lambda spot: min(LABEL_CLEAR, _distance(spot, taken)))
        taken.append((x, y))
        parts.append(
            f'<text x="{x:.1f}" y="{y + 4:.1f}" fill="{_colour(line)}" text-anchor="middle" font-size="12" '
            f'stroke="white" stroke-width="4" paint-order="stroke">{line.weight:+.3g}</text>'
        )
    return parts


def _distance(spot: tuple[float, float], taken: Sequence[tuple[float, float]]) -> float:
    """Return the distance to the nearest of some spots, as labels see it: they are wider than high."""
    return min(max(abs(spot[0] - x) / 62, abs(spot[1] - y) / 17) for x, y in taken)


def _drawn_unit(stages: Sequence[Stage], place: Place, spot: tuple[float, float], row: float) -> list[str]:
    number, index = place
    stage, (x, y) = stages[number], spot
    name = escape(_short(_label(stages, place)))
    title = f"<title>{escape(_label(stages, place))}</title>"
    if index < 0:
        text = f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle" fill="{INK}">{name}</text>'
        return [
            f'<rect x="{x - 58:.1f}" y="{y - 17:.1f}" width="116" height="34" rx="6" fill="white" stroke="{INK}" '
            f'stroke-width="1.5"/>',
            text,
        ]
    shape = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}" fill="white" stroke="{INK}" stroke-width="1.5">{title}'
    parts = [f"{shape}</circle>"]
    halo = 'stroke="white" stroke-width="4" paint-order="stroke"'
    if stage.kind is StageKind.INPUT:
        parts.append(f'<text x="{x - 16:.1f}" y="{y + 4:.1f}" text-anchor="end" fill="{INK}">{name}</text>')
    elif stage.kind is StageKind.OUTPUT:
        parts.append(f'<text x="{x + 16:.1f}" y="{y + 4:.1f}" fill="{INK}">{name}</text>')
        parts.append(
            f'<text x="{x + 16:.1f}" y="{y + 19:.1f}" fill="{QUIET}" font-size="11">{_bias(stage, index)}</text>'
        )
    elif row >= ROOMY_ROW:
        label = f'{name} <tspan fill="{QUIET}" font-size="11">{_bias(stage, index)}</tspan>'
        parts.append(f'<text x="{x:.1f}" y="{y + 24:.1f}" text-anchor="middle" fill="{INK}" {halo}>{label}</text>')
    else:
        parts.append(
            f'<text x="{x:.1f}" y="{y - 11:.1f}" text-anchor="middle" font-size="11" fill="{INK}" {halo}>{name}</text>'
        )
    return parts


def _bias(stage: Stage, index: int) -> str:
    """Write a unit's constant; members of a maximum have one each, which the formulas show."""
    if stage.kind is StageKind.MAXIMUM or not np.any(stage.bias[index]):
        return ""
    return f"{float(stage.bias[index]):+.3g}"
