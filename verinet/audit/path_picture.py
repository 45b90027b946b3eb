"""A regularisation path as a picture: what each price of the weights costs in accuracy, and what is proven there."""

from typing import TYPE_CHECKING, Any

import numpy as np

from verinet.audit.pictures import INK, LOWERS, QUIET, RAISES, new_figure, svg_text
from verinet.numeric import FloatArray
from verinet.train import PathPoint, RegularisationPath

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_path"]

WIDTH, PANEL_HEIGHT = 7.5, 2.6


def draw_path(path: RegularisationPath) -> str:
    """Draw a regularisation path against the price of the weights.

    Parameters
    ----------
    path : RegularisationPath

    Returns
    -------
    str
        An SVG document of three panels over one logarithmic axis: the error on the training samples and, with its
        standard error, on those left out; the exact objective of each network and the bound under all networks at
        that price; the hidden units and non-zero weights. A line marks the price that was chosen.
    """
    figure = new_figure(WIDTH, 3 * PANEL_HEIGHT)
    error, enclosed, size = figure.subplots(3, 1, sharex=True)
    prices = np.array([point.l1 for point in path.points])
    _draw_errors(error, prices, path.points)
    _draw_bounds(enclosed, prices, path.points)
    _draw_sizes(size, prices, path.points)
    chosen = path.points[path.chosen]
    for axes in (error, enclosed, size):
        axes.axvline(chosen.l1, color=QUIET, linewidth=1.0, linestyle="--")
        axes.set_xscale("log")
        axes.grid(alpha=0.25)
        axes.legend(loc="best", frameon=False, fontsize=8)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    size.set_xlabel("price of the weights, l1; dashed: the chosen one")
    worst = max(point.gap for point in path.points)
    title = f"chosen ({path.rule.value}): l1 = {chosen.l1:.3g}, {chosen.units} units; largest gap {100 * worst:.2g} %"
    figure.suptitle(title, color=INK, fontsize=11)
    return svg_text(figure)


def _draw_errors(axes: "Axes", prices: FloatArray, points: tuple[PathPoint, ...]) -> None:
    left_out = [point.validation.error for point in points]
    spread = [point.validation.error_spread for point in points]
    style: dict[str, Any] = {"linewidth": 1.6, "marker": "o", "markersize": 3.5}
    left = "left-out samples, with standard error"
    axes.errorbar(prices, left_out, yerr=spread, color=LOWERS, capsize=2.5, label=left, **style)
    axes.plot(prices, [point.train.error for point in points], color=RAISES, label="training samples", **style)
    classes = points[0].train.accuracy is not None
    axes.set_ylabel("wrong classes, share" if classes else "RMSE")


def _draw_bounds(axes: "Axes", prices: FloatArray, points: tuple[PathPoint, ...]) -> None:
    # The wider line stays visible where both meet.
    axes.plot(
        prices, [float(p.objective) for p in points], color=LOWERS, linewidth=3.0, label="objective of the network"
    )
    bounds = np.array([point.bound for point in points])
    bounds[~np.isfinite(bounds)] = np.nan
    axes.plot(prices, bounds, color=RAISES, linewidth=1.4, marker="o", markersize=3.0, label="bound under all networks")
    axes.set_ylabel("objective")


def _draw_sizes(axes: "Axes", prices: FloatArray, points: tuple[PathPoint, ...]) -> None:
    style: dict[str, Any] = {"drawstyle": "steps-mid", "marker": "o", "markersize": 3.5}
    axes.plot(prices, [point.nonzeros for point in points], color=INK, label="non-zero weights", **style)
    axes.plot(prices, [point.units for point in points], color=RAISES, label="hidden units", **style)
    axes.set_ylabel("number")
