"""What trained filters look for: a heat map of each filter's weights, and which outputs it raises and lowers."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from verinet.audit.names import printable, shortened
from verinet.audit.pictures import INK, QUIET, new_figure, svg_text
from verinet.numeric import FloatArray
from verinet.train import FilterParameters

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_filters"]

MOST_PANELS = 24
COLUMNS = 6
PANEL_WIDTH, PANEL_HEIGHT = 1.9, 2.9
MOST_NAMES = 2
"""Outputs that a panel names, those that the filter moves most."""

LONGEST_NAME = 18


def draw_filters(parameters: FilterParameters, outputs: Sequence[str]) -> str:
    """Draw the filters of a network, those that weigh most first.

    Parameters
    ----------
    parameters : FilterParameters
    outputs : sequence of str
        Names of the outputs.

    Returns
    -------
    str
        An SVG document: for each filter a heat map, the channels side by side, under its number and bias, and the
        outputs that it raises (+) and lowers (-) most, over all cells.
    """
    order = np.argsort(-_sizes(parameters), kind="stable")[:MOST_PANELS]
    columns = min(COLUMNS, max(len(order), 2))
    rows = math.ceil(len(order) / columns)
    figure = new_figure(PANEL_WIDTH * columns, PANEL_HEIGHT * rows + 0.7)
    for place, k in enumerate(order, start=1):
        _draw_filter(figure.add_subplot(rows, columns, place), parameters, int(k), outputs)
    figure.suptitle(_title(parameters), color=INK, fontsize=11)
    figure.supxlabel(_note(parameters), color=QUIET, fontsize=8)
    return svg_text(figure)


def _sizes(parameters: FilterParameters) -> FloatArray:
    """Return how much each filter weighs: its own L1 norm times its output weights'."""
    norms = np.abs(parameters.filters).sum(axis=1) + np.abs(parameters.biases)
    return np.asarray(norms * np.abs(parameters.outputs).sum(axis=(0, 2)))


def _draw_filter(axes: "Axes", parameters: FilterParameters, k: int, outputs: Sequence[str]) -> None:
    layer = parameters.layer
    image = parameters.filters[k].reshape(layer.full_shape[0], *layer.kernel)
    # Each filter has a scale of its own: only products with its output weights have a common one.
    limit = float(np.abs(image).max()) or 1.0
    axes.imshow(np.concatenate(list(image), axis=1), cmap="RdBu", vmin=-limit, vmax=limit)
    for channel in range(1, len(image)):
        axes.axvline(channel * layer.kernel[1] - 0.5, color=INK, linewidth=1.0)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(f"filter_{k + 1}, bias {parameters.biases[k]:.2g}", color=INK, fontsize=8)
    axes.set_xlabel(_moved(parameters.outputs[:, k].sum(axis=1), outputs), fontsize=8, parse_math=False)


def _moved(weights: FloatArray, outputs: Sequence[str]) -> str:
    """Name the outputs that some weights move most."""
    order = [i for i in np.argsort(-np.abs(weights), kind="stable") if weights[i]]
    named = [
        f"{'+' if weights[i] > 0 else '-'} {shortened(printable(outputs[i]), LONGEST_NAME)}" for i in order[:MOST_NAMES]
    ]
    more = len(order) - len(named)
    return "\n".join([*named, *([f"and {more} more"] if more else [])])


def _title(parameters: FilterParameters) -> str:
    layer = parameters.layer
    size = " x ".join(map(str, layer.kernel))
    cells = "the image" if layer.grid == (1, 1) else f"{layer.grid[0]} x {layer.grid[1]} cells"
    return f"{parameters.units} filters of {size}, {layer.pooling.value} over {cells}"


def _note(parameters: FilterParameters) -> str:
    left = max(parameters.units - MOST_PANELS, 0)
    notes = ["blue: positive weights, red: negative; + raises and - lowers an output"] if parameters.units else []
    notes += [f"drawn are the {MOST_PANELS} that weigh most, {left} left out"] if left else []
    notes += ["the pixels' linear part is not drawn"] if parameters.skip.any() else []
    return ";  ".join(notes) or "the outputs are constant"
