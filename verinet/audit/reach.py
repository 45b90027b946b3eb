"""What leads to a network's outputs: followed along its stored weights, without computing any product of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from verinet.model import Affine, Input, Maximum, Network
from verinet.numeric import BoolArray

__all__ = ["reached_inputs", "reached_nodes"]


def reached_inputs(network: Network, output: int | None = None) -> tuple[int, ...]:
    """Return the inputs from which a chain of non-zero weights leads to an output, or to any.

    Notes
    -----
    Soundness: the output is constant in every other input. A reached input may still have no effect.
    """
    found = reached_nodes(network, output)
    return tuple(int(j) for j in np.flatnonzero(np.concatenate([found[name] for name in network.inputs])))


def reached_nodes(network: Network, output: int | None = None) -> Mapping[str, BoolArray]:
    """Return, for every node, the entries of its result from which a chain of non-zero weights leads to an output.

    Parameters
    ----------
    network : Network
    output : int or None
        Which output; None for any.

    Notes
    -----
    Soundness: the output is what it is whatever the value of every other entry.
    """
    reached = {node.name: np.zeros(node.op.size_out, dtype=bool) for node in network.nodes}
    start = 0
    for name in network.outputs:
        places = np.arange(start, start + network.by_name[name].op.size_out)
        reached[name] |= True if output is None else places == output
        start += len(places)
    for node in reversed(network.nodes):
        if not isinstance(node.op, Input) and reached[node.name].any():
            for position, name in enumerate(node.arguments):
                reached[name] |= _pulled(node.op, position, reached[node.name])
    return reached


def _pulled(op: Any, position: int, wanted: BoolArray) -> BoolArray:
    """Return the entries of an argument that wanted entries of the result read."""
    if isinstance(op, Affine):
        # Ones and zeros: no product and no sum of them rounds to zero.
        marks = op.maps[position].map_weights(lambda weights: (weights != 0).astype(np.float64))
        return np.asarray(marks.apply_transposed(wanted.astype(np.float64)) > 0)
    if isinstance(op, Maximum):
        found = np.zeros(op.size, dtype=bool)
        found[op.members[np.repeat(wanted, np.diff(op.offsets))]] = True
        return found
    return wanted
