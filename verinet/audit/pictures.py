"""What the pictures of trainings share: matplotlib without a screen, and SVG text that is the same every time."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["INK", "LOWERS", "QUIET", "RAISES", "new_figure", "svg_text"]

RAISES, LOWERS = "#1b6ca8", "#c0392b"
"""What raises the output and what lowers it, as in the picture of the network."""

INK, QUIET = "#222222", "#888888"


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure, in inches, that no window and no global state knows of."""
    # Imported here: a verdict needs no pictures, and the import takes a good part of a second.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def svg_text(figure: "Figure") -> str:
    """Return a figure as an SVG document; the same figure gives the same text."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "verinet", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
