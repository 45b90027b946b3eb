"""The progress of a training as a picture: objective and bound against seconds, and the gap that is left."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from verinet.audit.pictures import INK, LOWERS, QUIET, RAISES, new_figure, svg_text
from verinet.numeric import FloatArray
from verinet.train import TrainingRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_progress"]

ROOM = 0.12
"""Above and below the curves, as a share of the picture's height."""


def draw_progress(record: TrainingRecord) -> str:
    """Draw how objective and bound closed.

    Parameters
    ----------
    record : TrainingRecord
        Of any method; without a history its two final values are drawn.

    Returns
    -------
    str
        An SVG document.
    """
    figure = new_figure(7.5, 4.2)
    axes = figure.add_subplot()
    seconds, objectives, bounds = _history(record)
    marker = "o" if len(seconds) <= 60 else ""
    style: dict[str, Any] = {"drawstyle": "steps-post", "marker": marker, "markersize": 3.5}
    # The wider line stays visible where both meet.
    axes.plot(seconds, objectives, color=LOWERS, linewidth=3.0, label="objective: the best network so far", **style)
    axes.plot(seconds, bounds, color=RAISES, linewidth=1.6, label="bound: no network is below", **style)
    axes.fill_between(seconds, bounds, objectives, step="post", color=QUIET, alpha=0.15, linewidth=0)
    _frame(axes, seconds, objectives, bounds)
    axes.set_title(_title(record), color=INK, fontsize=11)
    axes.set_xlabel("seconds")
    axes.set_ylabel("objective")
    axes.legend(loc="best", frameon=False, fontsize=9)
    return svg_text(figure)


def _history(record: TrainingRecord) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return seconds, objectives and bounds; what is not known is NaN. The last are the exact ones."""
    states = [state for state in record.history if state.seconds <= record.seconds]
    seconds = [state.seconds for state in states]
    objectives = [math.inf if state.objective is None else state.objective for state in states]
    bounds = [state.bound for state in states]
    if not states:
        seconds, objectives, bounds = [0.0], [float(record.objective)], [record.bound]
    table = np.array([[*seconds, record.seconds], [*objectives, float(record.objective)], [*bounds, record.bound]])
    table[1] = np.minimum.accumulate(table[1])
    table[2] = np.maximum.accumulate(table[2])
    table[~np.isfinite(table)] = np.nan
    return table[0], table[1], table[2]


def _frame(axes: "Axes", seconds: FloatArray, objectives: FloatArray, bounds: FloatArray) -> None:
    """Choose what is in view: all that is finite, with some room."""
    values = np.concatenate([objectives, bounds])
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    room = ROOM * (high - low) or max(abs(high), 1.0) * 0.05
    axes.set_ylim(low - room, high + room)
    last = max(float(seconds[-1]), 1e-3)
    axes.set_xlim(0.0, last * 1.02)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _title(record: TrainingRecord) -> str:
    gap = f"gap {100 * record.gap:.3g} %" if math.isfinite(record.gap) else "no bound"
    proven = "proven optimal, " if record.status.value == "optimal" else ""
    return f"{record.method.value}: {proven}{gap} after {record.seconds:.2g} s ({record.basis})"
