"""Networks of one hidden layer of ReLUs and one output, read back as their parameters."""

from collections.abc import Sequence

import numpy as np

from verinet.audit.stages import Stage, StageKind
from verinet.train import RawParameters

__all__ = ["one_layer_parameters"]


def one_layer_parameters(stages: Sequence[Stage]) -> RawParameters | None:
    """Return the parameters of a network of at most one hidden layer of ReLUs and one output; None of any other.

    Parameters
    ----------
    stages : sequence of Stage
    """
    kinds = [stage.kind for stage in stages]
    if kinds not in ([StageKind.INPUT, StageKind.OUTPUT], [StageKind.INPUT, StageKind.RELU, StageKind.OUTPUT]):
        return None
    output, size = stages[-1], len(stages[0].units)
    if len(output.units) != 1:
        return None
    skip = output.sources[0].toarray()[0] if 0 in output.sources else np.zeros(size)
    if len(stages) == 2:
        return RawParameters(np.zeros((0, size)), np.zeros(0), np.zeros(0), skip, float(output.bias[0]))
    hidden = stages[1]
    units = len(hidden.units)
    weights = hidden.sources[0].toarray() if 0 in hidden.sources else np.zeros((units, size))
    outputs = output.sources[1].toarray()[0] if 1 in output.sources else np.zeros(units)
    return RawParameters(weights, hidden.bias, outputs, skip, float(output.bias[0]))
