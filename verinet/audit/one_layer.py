"""Networks of one hidden layer of ReLUs, read back as their parameters."""

from collections.abc import Sequence

import numpy as np

from verinet.audit.stages import Stage, StageKind
from verinet.train import RawParameters

__all__ = ["one_layer_parameters"]


def one_layer_parameters(stages: Sequence[Stage]) -> RawParameters | None:
    """Return the parameters of a network of at most one hidden layer of ReLUs; None of any other.

    Parameters
    ----------
    stages : sequence of Stage
    """
    kinds = [stage.kind for stage in stages]
    if kinds not in ([StageKind.INPUT, StageKind.OUTPUT], [StageKind.INPUT, StageKind.RELU, StageKind.OUTPUT]):
        return None
    inputs, *hidden, output = stages
    size, rows = len(inputs.units), len(output.units)
    skip = output.sources[0].toarray() if 0 in output.sources else np.zeros((rows, size))
    if not hidden:
        return RawParameters(np.zeros((0, size)), np.zeros(0), np.zeros((rows, 0)), skip, output.bias)
    (layer,) = hidden
    units = len(layer.units)
    weights = layer.sources[0].toarray() if 0 in layer.sources else np.zeros((units, size))
    outputs = output.sources[1].toarray() if 1 in output.sources else np.zeros((rows, units))
    return RawParameters(weights, layer.bias, outputs, skip, output.bias)
