"""Which inputs a network reads: followed along its stored weights, without computing any product of them."""

from typing import Any

import numpy as np

from verinet.model import Affine, Input, Maximum, Network

__all__ = ["reached_inputs"]


def reached_inputs(network: Network, output: int | None = None) -> tuple[int, ...]:
    """Return the inputs from which a chain of non-zero weights leads to an output, or to any.

    Notes
    -----
    Soundness: the output is constant in every other input. A reached input may still have no effect.
    """
    pending: dict[str, Any] = {}
    start = 0
    for name in network.outputs:
        size = network.by_name[name].op.size_out
        places = np.arange(start, start + size)
        wanted = np.ones(size, dtype=bool) if output is None else places == output
        pending[name] = pending[name] | wanted if name in pending else wanted
        start += size
    for node in reversed(network.nodes):
        if isinstance(node.op, Input) or node.name not in pending:
            continue
        wanted = pending.pop(node.name)
        for position, name in enumerate(node.arguments):
            found = _pulled(node.op, position, wanted)
            pending[name] = pending[name] | found if name in pending else found
    parts = [pending.get(name, np.zeros(network.by_name[name].op.size_out, dtype=bool)) for name in network.inputs]
    return tuple(int(j) for j in np.flatnonzero(np.concatenate(parts)))


def _pulled(op: Any, position: int, wanted: Any) -> Any:
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
