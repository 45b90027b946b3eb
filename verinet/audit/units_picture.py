"""What each hidden unit adds to the output, in raw units: curves of one feature, heat maps of two."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from verinet.audit.names import printable, shortened
from verinet.audit.one_layer import one_layer_parameters
from verinet.audit.pictures import INK, LOWERS, QUIET, RAISES, new_figure, svg_text
from verinet.audit.stages import Stage
from verinet.numeric import FloatArray
from verinet.train import RawParameters, Scaling

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

__all__ = ["draw_all_units", "draw_units"]

MOST_PANELS = 12
COLUMNS = 3
PANEL_WIDTH, PANEL_HEIGHT = 3.6, 3.0
CURVE_POINTS, MAP_POINTS = 201, 61
LONGEST_NAME = 28
"""Longer names of features are cut, so that labels do not run into each other."""


@dataclass(frozen=True, eq=False)
class _Panel:
    """One feature with the units that read it alone, or two features with a unit that reads both.

    Parameters
    ----------
    features : tuple of int
    units : tuple of int
    title : str
    size : float
        How far the output moves by it over the data's range.
    """

    features: tuple[int, ...]
    units: tuple[int, ...]
    title: str
    size: float


def draw_all_units(stages: Sequence[Stage], x: FloatArray) -> tuple[str, ...]:
    """Draw what units contribute to each output of a network of one hidden layer of ReLUs; nothing of other networks.

    Parameters
    ----------
    stages : sequence of Stage
    x : ndarray, shape (rows, features)
        Curves are drawn over their range.
    """
    parameters = one_layer_parameters(stages)
    if parameters is None:
        return ()
    low, high = x.min(axis=0), x.max(axis=0)
    # A feature of one value is drawn beside it, too.
    scaling = Scaling(low, np.where(high > low, high - low, 1.0))
    features, outputs = stages[0].units, stages[-1].units
    units = stages[1].units if parameters.units else ()
    return tuple(draw_units(parameters, features, name, scaling, k, units) for k, name in enumerate(outputs))


def draw_units(
    parameters: RawParameters,
    names: Sequence[str],
    output: str,
    scaling: Scaling,
    number: int = 0,
    units: Sequence[str] = (),
) -> str:
    """Draw what units and features contribute to an output over the data's range.

    Parameters
    ----------
    parameters : RawParameters
    names : sequence of str
        Of the features.
    output : str
        The output's name.
    scaling : Scaling
        Holds the data's range.
    number : int
        Which output of the network. Units that it does not read are left out.
    units : sequence of str
        Names of the units; by default they are numbered from 1.

    Returns
    -------
    str
        An SVG document: for each feature the curves of the units that read it alone and, thick, the sum of these and
        the feature's linear part; for each unit of two features a heat map. Units of more features are counted, not
        drawn; of many panels the largest are drawn.
    """
    one = slice(number, number + 1)
    parameters = replace(
        parameters, outputs=parameters.outputs[one], skip=parameters.skip[one], offsets=parameters.offsets[one]
    )
    low, high = scaling.offset, scaling.offset + scaling.width
    units = units or [f"unit_{k}" for k in range(1, parameters.units + 1)]
    panels = sorted(_panels(parameters, units, low, high), key=lambda panel: -panel.size)
    drawn = panels[:MOST_PANELS]
    columns = min(COLUMNS, max(len(drawn), 2))
    rows = math.ceil(len(drawn) / columns)
    figure = new_figure(PANEL_WIDTH * columns, PANEL_HEIGHT * rows + 0.8)
    labels = [_short(name) for name in names]
    limit = max((panel.size for panel in drawn if len(panel.features) == 2), default=1.0) or 1.0
    maps = []
    for place, panel in enumerate(drawn, start=1):
        axes = figure.add_subplot(rows, columns, place)
        if len(panel.features) == 1:
            _draw_curves(axes, panel, parameters, labels, low, high)
        else:
            maps.append(_draw_map(axes, panel, parameters, labels, (low, high), limit))
    if maps:
        bar = figure.colorbar(maps[0], ax=figure.axes, fraction=0.03, pad=0.01, aspect=40)
        bar.ax.tick_params(labelsize=7)
    title = f"{_short(output)} = {parameters.offsets[0]:.6g}" + (" + the contributions of its parts" if panels else "")
    figure.suptitle(title, color=INK, fontsize=11, parse_math=False)
    figure.supxlabel(";  ".join(_notes(parameters, panels)), color=QUIET, fontsize=8)
    return svg_text(figure)


def _short(name: str) -> str:
    return shortened(printable(name), LONGEST_NAME)


def _read_by(parameters: RawParameters) -> list[tuple[int, ...]]:
    """Return the features that each unit reads; none for a unit that does not reach the output."""
    reaches = parameters.outputs[0] != 0
    return [
        tuple(np.flatnonzero(row).tolist()) if r else () for row, r in zip(parameters.weights, reaches, strict=True)
    ]


def _panels(parameters: RawParameters, names: Sequence[str], low: FloatArray, high: FloatArray) -> list[_Panel]:
    read = _read_by(parameters)
    panels = []
    for j in parameters.features:
        units = tuple(k for k, features in enumerate(read) if features == (j,))
        if units or parameters.skip[0, j]:
            _, curves = _curves(parameters, j, units, low, high)
            parts = [names[units[0]] if len(units) == 1 else f"{len(units)} units"] if units else []
            parts += ["linear part"] if parameters.skip[0, j] else []
            panels.append(_Panel((j,), units, " and ".join(parts), float(np.ptp(curves[:, -1]))))
    for k, features in enumerate(read):
        if len(features) == 2:
            corners = _map(parameters, k, features, low, high, 2)
            panels.append(_Panel(features, (k,), names[k], float(np.abs(corners).max())))
    return panels


def _curves(
    parameters: RawParameters, feature: int, units: tuple[int, ...], low: FloatArray, high: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return places, and at each what the units contribute and, in the last column, all of them and the skip."""
    x = np.linspace(low[feature], high[feature], CURVE_POINTS)
    chosen = list(units)
    hidden = np.maximum(np.outer(x, parameters.weights[chosen, feature]) + parameters.biases[chosen], 0.0)
    each = hidden * parameters.outputs[0, chosen]
    return x, np.column_stack([each, each.sum(axis=1) + parameters.skip[0, feature] * x])


def _map(
    parameters: RawParameters, unit: int, features: tuple[int, ...], low: FloatArray, high: FloatArray, points: int
) -> FloatArray:
    """Return what a unit contributes on a grid, the second feature along the rows; it is greatest at a corner."""
    a, b = features
    x, y = (np.linspace(low[j], high[j], points) for j in (a, b))
    weights = parameters.weights[unit]
    inner = parameters.biases[unit] + weights[a] * x[None, :] + weights[b] * y[:, None]
    return np.asarray(parameters.outputs[0, unit] * np.maximum(inner, 0.0))


def _draw_curves(
    axes: "Axes", panel: _Panel, parameters: RawParameters, labels: Sequence[str], low: FloatArray, high: FloatArray
) -> None:
    (feature,) = panel.features
    x, curves = _curves(parameters, feature, panel.units, low, high)
    axes.axhline(0.0, color=QUIET, linewidth=0.6)
    axes.plot(x, curves[:, -1], color=INK, linewidth=3.0)
    for curve, unit in zip(curves.T, panel.units, strict=False):
        colour = RAISES if parameters.outputs[0, unit] > 0 else LOWERS
        axes.plot(x, curve, color=colour, linewidth=1.2)
    axes.set_title(panel.title, color=INK, fontsize=9)
    axes.set_xlabel(labels[feature], fontsize=9, parse_math=False)
    _small_ticks(axes)
    axes.grid(alpha=0.25)


def _draw_map(
    axes: "Axes",
    panel: _Panel,
    parameters: RawParameters,
    labels: Sequence[str],
    ends: tuple[FloatArray, FloatArray],
    limit: float,
) -> "AxesImage":
    """Draw one map, all on one scale, so that a pale map is a small contribution."""
    (unit,) = panel.units
    a, b = panel.features
    low, high = ends
    shades = axes.imshow(
        _map(parameters, unit, panel.features, low, high, MAP_POINTS),
        cmap="RdBu",
        vmin=-limit,
        vmax=limit,
        origin="lower",
        extent=(low[a], high[a], low[b], high[b]),
        aspect="auto",
        interpolation="bilinear",
    )
    axes.set_title(panel.title, color=INK, fontsize=9)
    axes.set_xlabel(labels[a], fontsize=9, parse_math=False)
    axes.set_ylabel(labels[b], fontsize=9, parse_math=False)
    _small_ticks(axes)
    return shades


def _small_ticks(axes: "Axes") -> None:
    axes.tick_params(labelsize=7)
    axes.locator_params(axis="x", nbins=5)


def _notes(parameters: RawParameters, panels: Sequence[_Panel]) -> list[str]:
    """Say how to read the picture and what is not in it."""
    notes = []
    if any(len(panel.features) == 1 for panel in panels):
        notes.append("thick: all that reads the feature alone; thin: single units")
    # A network that reads nothing but such units has no panels, and is not constant.
    large = sum(len(features) > 2 for features in _read_by(parameters))
    if large:
        notes.append(f"not drawn: units of more than two features, {large} in number")
    if len(panels) > MOST_PANELS:
        notes.append(
            f"drawn are the {MOST_PANELS} largest of {len(panels)} parts, {len(panels) - MOST_PANELS} left out"
        )
    if any(panel.units for panel in panels):
        notes.append("blue raises, red lowers")
    return notes or ["the output is constant"]
