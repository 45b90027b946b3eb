"""How well a network fits data, before and after a repair."""

from dataclasses import dataclass

import numpy as np

from verinet.errors import DataError
from verinet.model import Network, evaluate
from verinet.numeric import FloatArray

__all__ = ["Score", "score_of"]


@dataclass(frozen=True)
class Score:
    """What a network reaches on data, in float64.

    Parameters
    ----------
    measure : str
        ``accuracy`` or ``mean absolute error``.
    value : float
    samples : int
    """

    measure: str
    value: float
    samples: int

    def lost(self, after: "Score") -> float:
        """Return by how much another score is worse."""
        worse = self.value - after.value
        return worse if self.measure == "accuracy" else -worse


def score_of(network: Network, x: FloatArray, targets: np.ndarray) -> Score:
    """Judge a network by data.

    Parameters
    ----------
    network : Network
    x : ndarray, shape (samples, inputs)
    targets : ndarray, shape (samples,)
        Of several outputs the number of the right one, or names of classes whose order is that of the outputs; of one
        output two classes, of which the later is the positive one, or else numbers to be near to.

    Raises
    ------
    DataError
        If the data do not fit the network.
    """
    if x.shape[1] != network.size_in:
        raise DataError(f"the network takes {network.size_in} inputs, the data have {x.shape[1]} features")
    outputs = evaluate(network, x)
    classes, labels = np.unique(targets, return_inverse=True)
    labels = labels.ravel()
    count, size = len(targets), network.size_out
    if size == 1:
        if len(classes) <= 2:
            return Score("accuracy", float(np.mean((outputs[:, 0] > 0) == (labels == 1))), count)
        if targets.dtype.kind != "f":
            raise DataError(f"a network of one output tells two classes apart, the data have {len(classes)}")
        return Score("mean absolute error", float(np.mean(np.abs(outputs[:, 0] - targets))), count)
    if targets.dtype.kind == "f" and np.isin(targets, np.arange(size)).all():
        labels = targets.astype(np.int64)
    elif len(classes) != size:
        raise DataError(f"a network of {size} outputs needs as many classes, the data have {len(classes)}")
    return Score("accuracy", float(np.mean(outputs.argmax(axis=1) == labels)), count)
