"""Which way each feature moves each output, as small maps: for so many features that a table would be too long."""

from collections.abc import Mapping, Sequence
from html import escape

from verinet.audit.directions import Direction, Effect
from verinet.audit.names import printable, shortened
from verinet.audit.pictures import INK, LOWERS, QUIET, RAISES
from verinet.model import Network

__all__ = ["draw_effects"]

COLOURS: Mapping[Direction, str] = {
    Direction.NONE: "white",
    Direction.INCREASING: RAISES,
    Direction.DECREASING: LOWERS,
    Direction.BOTH: "#555555",
    Direction.NOT_DECIDED: "#dddddd",
}

CELL, GAP, TITLE, MOST_WIDTH = 14, 16, 18, 800
LONGEST_NAME, CHARACTER, LEGEND_STEP = 24, 5.8, 130

NOT_READ = "not read"


def draw_effects(network: Network, effects: Sequence[Effect], features: Sequence[str], outputs: Sequence[str]) -> str:
    """Draw a map of the features for each output: of images as they lie, of other inputs row after row.

    Parameters
    ----------
    network : Network
    effects : sequence of Effect
        Features that are missing are not read.
    features, outputs : sequence of str
        Names.

    Returns
    -------
    str
        An SVG document. Blue never lowers the output, red never raises it, dark does both, pale is not decided, white
        has no effect.
    """
    rows, columns = _grid(network)
    found = {(e.output, e.feature): e for e in effects}
    width = max(columns * CELL, CHARACTER * max(len(shortened(name, LONGEST_NAME)) for name in outputs)) + GAP
    height = rows * CELL + TITLE + GAP
    across = max(1, int(MOST_WIDTH // width))
    lines = -(-len(outputs) // across)
    total = max(width * min(across, len(outputs)), LEGEND_STEP * len(COLOURS))
    parts = [_opening(total + GAP, 28 + lines * height), *_legend()]
    for i, name in enumerate(outputs):
        left, top = GAP / 2 + i % across * width, 28 + i // across * height
        parts.append(_text(left, top + 11, shortened(printable(name), LONGEST_NAME)))
        for j, feature in enumerate(features):
            effect = found.get((i, j))
            words = f"{effect.direction.value}, {effect.basis}" if effect else NOT_READ
            colour = COLOURS[effect.direction if effect else Direction.NONE]
            x, y = left + j % columns * CELL, top + TITLE + j // columns * CELL
            parts.append(_cell(x, y, colour, f"{printable(feature)}: {words}"))
        parts.append(
            f'<rect x="{left:.1f}" y="{top + TITLE:.1f}" width="{columns * CELL}" height="{rows * CELL}" fill="none" '
            f'stroke="{QUIET}" stroke-width="0.8"/>'
        )
    return "\n".join([*parts, "</svg>", ""])


def _grid(network: Network) -> tuple[int, int]:
    """Return rows and columns of a map; the channels of an image stand one below the other."""
    shape = [size for size in network.by_name[network.inputs[0]].shape if size > 1]
    if len(network.inputs) == 1 and len(shape) > 1:
        return network.size_in // shape[-1], shape[-1]
    rows = -(-network.size_in // (MOST_WIDTH // CELL))
    return rows, -(-network.size_in // rows)


def _opening(width: float, height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" font-family="Helvetica, Arial, sans-serif" font-size="11">'
    )


def _legend() -> list[str]:
    parts = []
    for k, (direction, colour) in enumerate(COLOURS.items()):
        x = GAP / 2 + k * LEGEND_STEP
        parts += [_cell(x, 2, colour, direction.value), _text(x + CELL + 5, 13, direction.value)]
    return parts


def _cell(x: float, y: float, colour: str, title: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{CELL - 1}" height="{CELL - 1}" fill="{colour}" stroke="#eeeeee" '
        f'stroke-width="0.5"><title>{escape(title)}</title></rect>'
    )


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{INK}">{escape(text)}</text>'
