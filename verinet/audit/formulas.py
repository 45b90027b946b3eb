"""Networks as formulas in raw units: one line a unit and one an output, or, of filters, one line a filter."""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from verinet.audit.stages import Stage, StageKind, network_stages, too_large
from verinet.audit.trained import Trained
from verinet.model import Network
from verinet.numeric import FloatArray
from verinet.train import FilterParameters, Pooling, TrainedOutputs

__all__ = ["affine_text", "filter_formulas", "formulas_of", "network_formulas"]


def formulas_of(
    network: Network, features: Sequence[str], outputs: Sequence[str], trained: "Trained | None" = None
) -> str:
    """Write a network as formulas: of trained filters one line a filter, otherwise one a unit, or why there are none.

    Parameters
    ----------
    network : Network
    features, outputs : sequence of str
        Names.
    trained : TrainedOutputs, LayeredResult or None
        What the network comes from.
    """
    if isinstance(trained, TrainedOutputs) and isinstance(trained.parameters, FilterParameters):
        return filter_formulas(trained.parameters, features, outputs)
    return too_large(network) or network_formulas(network_stages(network, features, outputs))


def network_formulas(stages: Sequence[Stage]) -> str:
    """Write a network as one formula a unit and one an output.

    Parameters
    ----------
    stages : sequence of Stage

    Returns
    -------
    str
        One line a formula; numbers are rounded to six digits for reading, the ONNX file holds them in full.
    """
    return "\n".join(line for stage in stages[1:] for line in _lines(stages, stage))


def _lines(stages: Sequence[Stage], stage: Stage) -> list[str]:
    arguments = [_argument(stages, stage, row) for row in range(len(stage.bias))]
    if stage.kind is StageKind.MAXIMUM:
        chosen = (", ".join(dict.fromkeys(arguments[k] for k in group)) for group in stage.groups)
        return [f"{unit} = max({text})" for unit, text in zip(stage.units, chosen, strict=True)]
    form = "{unit} = max(0, {text})" if stage.kind is StageKind.RELU else "{unit} = {text}"
    return [form.format(unit=unit, text=text) for unit, text in zip(stage.units, arguments, strict=True)]


def _argument(stages: Sequence[Stage], stage: Stage, row: int) -> str:
    """Write one affine argument of features and units."""
    terms: dict[bool, list[tuple[float, str]]] = {True: [], False: []}
    for number, matrix in sorted(stage.sources.items()):
        entries = slice(matrix.indptr[row], matrix.indptr[row + 1])
        order = np.argsort(matrix.indices[entries])
        names = [stages[number].units[j] for j in matrix.indices[entries][order]]
        terms[number > 0] += zip(matrix.data[entries][order].tolist(), names, strict=True)
    return affine_text(terms[False], float(stage.bias[row]), terms[True])


def affine_text(features: Iterable[tuple[float, str]], constant: float, units: Iterable[tuple[float, str]] = ()) -> str:
    """Write ``2 * a - 1 * b + 0.5 + unit``: features, then the constant, then units; of these, ones are left out.

    Parameters
    ----------
    features : iterable of (float, str)
        Weights and names; zeros are left out.
    constant : float
    units : iterable of (float, str)
    """
    parts = [f"{_sign(w)} {abs(w):.6g} * {name}" for w, name in features if w]
    if constant:
        parts.append(f"{_sign(constant)} {abs(constant):.6g}")
    parts += [f"{_sign(w)} {'' if abs(w) == 1 else f'{abs(w):.6g} * '}{name}" for w, name in units if w]
    text = " ".join(parts) or "+ 0"
    return text[2:] if text.startswith("+") else text


def _sign(value: float) -> str:
    return "-" if value < 0 else "+"


def filter_formulas(parameters: FilterParameters, names: Sequence[str], outputs: Sequence[str]) -> str:
    """Write a network of one convolution as one formula a filter, at one place, and one an output.

    Parameters
    ----------
    parameters : FilterParameters
    names : sequence of str
        Of the pixels, for the linear part.
    outputs : sequence of str

    Returns
    -------
    str
        One line a formula; ``pixel[row, column]`` counts from a filter's place, a channel comes first where there are
        several. Numbers are rounded to six digits for reading, the ONNX file holds them in full.
    """
    layer = parameters.layer
    channels = layer.full_shape[0]
    axes = [range(n) for n in (channels, *layer.kernel)][0 if channels > 1 else 1 :]
    pixels = [f"pixel[{', '.join(map(str, place))}]" for place in itertools.product(*axes)]
    lines = [
        f"filter_{k} = max(0, {affine_text(_pairs(weights, pixels), float(bias))})"
        for k, (weights, bias) in enumerate(zip(parameters.filters, parameters.biases, strict=True), start=1)
    ]
    of_all = len(layer.cells) == 1
    terms = [
        f"{layer.pooling.value}(filter_{k}{'' if of_all else f', cell {cell}'})"
        for k in range(1, parameters.units + 1)
        for cell in range(1, len(layer.cells) + 1)
    ]
    # The file sums what an average is taken of, and divides the output weights.
    counts = [len(cell) if layer.pooling is Pooling.AVERAGE else 1 for cell in layer.cells]
    for output, weights, skip, offset in zip(
        outputs, parameters.outputs * counts, parameters.skip, parameters.offsets, strict=True
    ):
        text = affine_text(_pairs(skip, names), float(offset), _pairs(weights.ravel(), terms))
        lines.append(f"{output} = {text}")
    return "\n".join(lines)


def _pairs(weights: FloatArray, names: Sequence[str]) -> list[tuple[float, str]]:
    return [(float(w), name) for w, name in zip(weights, names, strict=True)]
