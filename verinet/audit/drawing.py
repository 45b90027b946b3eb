"""A small network as an SVG picture: features, units, outputs, and the weights between them."""

from collections.abc import Sequence
from html import escape

import networkx as nx
import numpy as np

from verinet.train import RawParameters

__all__ = ["draw_network"]

WIDTH, ROW, MARGIN = 900, 64, 48
LABEL_PLACES = {(0, 1): 0.68, (0, 2): 0.16, (1, 2): 0.5}
"""Where a label stands on its line, by the layers that the line joins: apart from those of the other lines."""

POSITIVE, NEGATIVE, INK = "#1b6ca8", "#c0392b", "#222222"


def _graph(parameters: RawParameters, names: Sequence[str], outputs: tuple[str, ...]) -> "nx.DiGraph[str]":
    """Return the weights that are not zero as a graph in three layers."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    for j in parameters.features:
        graph.add_node(names[j], layer=0)
    for k in range(parameters.units):
        graph.add_node(f"unit_{k + 1}", layer=1, bias=float(parameters.biases[k]))
    for i, output in enumerate(outputs):
        graph.add_node(output, layer=2, bias=float(parameters.offsets[i]))
    for k in range(parameters.units):
        for j in parameters.features:
            if parameters.weights[k, j]:
                graph.add_edge(names[j], f"unit_{k + 1}", weight=float(parameters.weights[k, j]))
    for i, output in enumerate(outputs):
        for k in np.flatnonzero(parameters.outputs[i]).tolist():
            graph.add_edge(f"unit_{k + 1}", output, weight=float(parameters.outputs[i, k]))
        for j in np.flatnonzero(parameters.skip[i]).tolist():
            graph.add_edge(names[j], output, weight=float(parameters.skip[i, j]))
    return graph


def _places(graph: "nx.DiGraph[str]") -> tuple[dict[str, tuple[float, float]], float]:
    """Put each layer in a column, its nodes evenly apart."""
    layers = [[n for n, layer in graph.nodes(data="layer") if layer == column] for column in range(3)]
    height = (max(len(layer) for layer in layers) + 1) * ROW + 2 * MARGIN
    places = {}
    for column, layer in enumerate(layers):
        x = 190 + column * (WIDTH - 300) / 2
        # Units stand between the rows of the features, so that no line of the skip runs through one.
        top = MARGIN + (ROW * 0.75 if column == 1 else 0.0)
        for i, name in enumerate(layer):
            places[name] = (x, top + (height - 2 * MARGIN) * (i + 0.5) / len(layer))
    return places, height


def draw_network(parameters: RawParameters, names: Sequence[str], outputs: tuple[str, ...]) -> str:
    """Draw a trained network.

    Parameters
    ----------
    parameters : RawParameters
    names : sequence of str
        Of the features; those that the network does not read are left out.
    outputs : tuple of str

    Returns
    -------
    str
        An SVG document. Blue weights raise what they lead to, red ones lower it.
    """
    graph = _graph(parameters, names, outputs)
    places, height = _places(graph)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="Helvetica, Arial, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    heaviest = max((abs(w) for _, _, w in graph.edges(data="weight")), default=1.0)
    for tail, head, weight in graph.edges(data="weight"):
        (x1, y1), (x2, y2) = places[tail], places[head]
        colour = POSITIVE if weight > 0 else NEGATIVE
        share = LABEL_PLACES[graph.nodes[tail]["layer"], graph.nodes[head]["layer"]]
        x, y = x1 + share * (x2 - x1), y1 + share * (y2 - y1)
        width = 1.0 + 2.5 * abs(weight) / heaviest
        parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width:.2f}" stroke-opacity="0.65"/>'
        )
        parts.append(
            f'<text x="{x:.1f}" y="{y - 4:.1f}" fill="{colour}" text-anchor="middle" stroke="white" '
            f'stroke-width="4" paint-order="stroke">{weight:+.3g}</text>'
        )
    for name, data in graph.nodes(data=True):
        x, y = places[name]
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9" fill="white" stroke="{INK}" stroke-width="1.5"/>')
        if data["layer"] == 0:
            parts.append(f'<text x="{x - 16:.1f}" y="{y + 4:.1f}" text-anchor="end" fill="{INK}">{escape(name)}</text>')
        else:
            label = f"{escape(name)} ({data['bias']:+.3g})"
            parts.append(f'<text x="{x:.1f}" y="{y + 26:.1f}" text-anchor="middle" fill="{INK}">{label}</text>')
    return "\n".join([*parts, "</svg>", ""])
