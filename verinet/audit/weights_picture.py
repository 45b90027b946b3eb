"""Which weights are not zero, as small matrix pictures; the filters of convolutions as small images."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from verinet.audit.names import printable, shortened
from verinet.audit.pictures import INK, LOWERS, QUIET, RAISES
from verinet.audit.stages import Stage, reads
from verinet.model import Affine, Convolution, Network
from verinet.numeric import FloatArray

__all__ = ["Picture", "draw_convolutions", "draw_weights"]

MOST_CELLS = 20_000
MOST_WIDTH, LARGEST_CELL, SMALLEST_CELL = 780.0, 16.0, 1.5
SMALLEST_WITH_ROWS, SMALLEST_WITH_COLUMNS = 10.0, 14.0
"""Cells this large have room for a label of their row; and of their column, whose labels are slanted."""

MOST_FILTERS = 64
LONGEST_NAME, CHARACTER = 24, 5.6
FILTER_CELL, FILTER_GAP = 12, 10


@dataclass(frozen=True)
class Picture:
    """A picture with a caption.

    Parameters
    ----------
    caption : str
    svg : str
        Empty if it would be too large to read.
    """

    caption: str
    svg: str


def draw_weights(stages: Sequence[Stage]) -> tuple[Picture, ...]:
    """Draw the pattern of the weights between every two stages that are linked.

    Parameters
    ----------
    stages : sequence of Stage
        None of a network that is too large.

    Returns
    -------
    tuple of Picture
        A row a unit, a column what it reads; blue raises, red lowers, stronger is heavier, white is zero. Of a maximum
        all that it may choose is blue.
    """
    if not stages:
        return ()
    read = sorted(reads(stages))
    pictures = []
    for number, stage in enumerate(stages[1:], start=1):
        for source, matrix in stage.unit_sources.items():
            columns = read if source == 0 else range(len(stages[source].units))
            names = [printable(stages[source].units[j]) for j in columns]
            size = matrix.shape[0] * len(names)
            caption = (
                f"{_stage_name(stages, source)} to {_stage_name(stages, number)}: {matrix.nnz} of {size} "
                f"{'may be chosen' if stage.groups else 'weights are not zero'}"
            )
            if size > MOST_CELLS:
                pictures.append(Picture(f"{caption} (too many to draw)", ""))
            else:
                dense = np.asarray(matrix[:, list(columns)].toarray())
                pictures.append(Picture(caption, _matrix(dense, [printable(u) for u in stage.units], names)))
    return tuple(pictures)


def _stage_name(stages: Sequence[Stage], number: int) -> str:
    if number == 0:
        return "features"
    if number == len(stages) - 1:
        return "output" if len(stages[number].units) == 1 else "outputs"
    return stages[number].units[0].split("_")[0].replace("unit", "units")


def _colour(value: float, largest: float) -> tuple[str, float]:
    """Return colour and opacity; the smallest weight can still be seen."""
    return (RAISES if value > 0 else LOWERS), 0.25 + 0.75 * (abs(value) / largest)


def _matrix(weights: FloatArray, rows: Sequence[str], columns: Sequence[str]) -> str:
    cell = min(LARGEST_CELL, max(SMALLEST_CELL, MOST_WIDTH / max(len(columns), 1)))
    left = 14 + CHARACTER * _longest(rows) if cell >= SMALLEST_WITH_ROWS else 4.0
    names_columns = cell >= SMALLEST_WITH_COLUMNS and bool(columns)
    top = 14 + 0.72 * CHARACTER * _longest(columns) if names_columns else 4.0
    # Slanted labels of the last columns reach beyond the matrix.
    width, height = left + cell * len(columns) + top, top + cell * len(rows) + 4
    largest = float(np.abs(weights).max(initial=0.0)) or 1.0
    parts = [_opening(width, height)]
    for i, j in zip(*np.nonzero(weights), strict=True):
        colour, opacity = _colour(float(weights[i, j]), largest)
        title = f"{rows[i]}, {columns[j]}: {float(weights[i, j]):.6g}"
        parts.append(_cell(left + j * cell, top + i * cell, cell, colour, opacity, title))
    parts.append(
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{cell * len(columns):.1f}" height="{cell * len(rows):.1f}" '
        f'fill="none" stroke="{QUIET}" stroke-width="0.8"/>'
    )
    if cell >= SMALLEST_WITH_ROWS:
        for i, name in enumerate(rows):
            y = top + (i + 0.5) * cell + 3.5
            parts.append(_text(left - 5, y, name, 'text-anchor="end"'))
    if names_columns:
        for j, name in enumerate(columns):
            x, y = left + (j + 0.6) * cell, top - 5
            parts.append(_text(x, y, name, f'transform="rotate(-45 {x:.1f} {y:.1f})"'))
    return "\n".join([*parts, "</svg>", ""])


def _longest(names: Sequence[str]) -> int:
    return max(len(shortened(name, LONGEST_NAME)) for name in names)


def _opening(width: float, height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" font-family="Helvetica, Arial, sans-serif" font-size="10">'
    )


def _cell(x: float, y: float, cell: float, colour: str, opacity: float, title: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{cell * 0.94:.2f}" height="{cell * 0.94:.2f}" fill="{colour}" '
        f'fill-opacity="{opacity:.2f}"><title>{escape(title)}</title></rect>'
    )


def _text(x: float, y: float, name: str, more: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{INK}" {more}>{escape(shortened(name, LONGEST_NAME))}</text>'


def draw_convolutions(network: Network) -> tuple[Picture, ...]:
    """Draw the filters of every convolution as images, one below the other for each channel that it reads.

    Parameters
    ----------
    network : Network
    """
    maps = ((node, m) for node in network.nodes if isinstance(node.op, Affine) for m in node.op.maps)
    return tuple(_filters(printable(node.name), m) for node, m in maps if isinstance(m, Convolution))


def _filters(name: str, convolution: Convolution) -> Picture:
    weights: Any = convolution.weights
    filters, channels, height, width = weights.shape
    caption = f"{name}: {filters} filters of {channels} x {height} x {width} over an input of " + " x ".join(
        map(str, convolution.shape_in)
    )
    if filters > MOST_FILTERS:
        caption += f" (the first {MOST_FILTERS})"
    shown = min(filters, MOST_FILTERS)
    across = width * FILTER_CELL + FILTER_GAP
    down = height * FILTER_CELL + FILTER_GAP
    columns = max(1, int(MOST_WIDTH // across))
    lines = -(-shown // columns)
    line_height = channels * down + 14
    if shown * channels * height * width > MOST_CELLS:
        return Picture(f"{caption} (too many weights to draw)", "")
    largest = float(np.abs(weights).max(initial=0.0)) or 1.0
    parts = [_opening(min(shown, columns) * across + FILTER_GAP, lines * line_height + 8)]
    for k in range(shown):
        left, top = FILTER_GAP + k % columns * across, 14 + k // columns * line_height
        parts.append(_text(left, top - 4, str(k + 1), ""))
        for channel in range(channels):
            y = top + channel * down
            for (r, c), value in np.ndenumerate(weights[k, channel]):
                if value:
                    colour, opacity = _colour(float(value), largest)
                    title = f"filter {k + 1}, channel {channel + 1}, {r + 1}, {c + 1}: {float(value):.6g}"
                    parts.append(
                        _cell(left + c * FILTER_CELL, y + r * FILTER_CELL, FILTER_CELL, colour, opacity, title)
                    )
            parts.append(
                f'<rect x="{left}" y="{y}" width="{width * FILTER_CELL}" height="{height * FILTER_CELL}" fill="none" '
                f'stroke="{QUIET}" stroke-width="0.8"/>'
            )
    return Picture(caption, "\n".join([*parts, "</svg>", ""]))
