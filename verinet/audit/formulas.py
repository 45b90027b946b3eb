"""A network of one hidden layer or one convolution as formulas in raw units."""

import itertools
from collections.abc import Sequence

from verinet.numeric import FloatArray
from verinet.train import FilterParameters, Pooling, RawParameters

__all__ = ["filter_formulas", "network_formulas"]


def _sum(weights: FloatArray, names: Sequence[str], constant: float) -> str:
    """Write ``sum weights * names + constant``, without the zeros."""
    terms = [(float(w), name) for w, name in zip(weights, names, strict=True) if w]
    parts = [f"{'-' if w < 0 else '+'} {abs(w):.6g} * {name}" for w, name in terms]
    if constant or not parts:
        parts.append(f"{'-' if constant < 0 else '+'} {abs(constant):.6g}")
    text = " ".join(parts)
    return text[2:] if text.startswith("+") else text


def network_formulas(parameters: RawParameters, names: Sequence[str], outputs: tuple[str, ...]) -> str:
    """Write a network as one formula a unit and one an output.

    Parameters
    ----------
    parameters : RawParameters
    names : sequence of str
        Of the features.
    outputs : tuple of str

    Returns
    -------
    str
        One line a formula; numbers are rounded to six digits for reading, the ONNX file holds them in full.
    """
    units = [f"unit_{k}" for k in range(1, parameters.units + 1)]
    lines = [
        f"{unit} = max(0, {_sum(weights, names, float(bias))})"
        for unit, weights, bias in zip(units, parameters.weights, parameters.biases, strict=True)
    ]
    for output, weights, skip, offset in zip(
        outputs, parameters.outputs, parameters.skip, parameters.offsets, strict=True
    ):
        lines.append(" ".join([f"{output} =", _sum(skip, names, float(offset)), *_hidden(weights, units)]))
    return "\n".join(lines)


def _hidden(weights: FloatArray, units: Sequence[str]) -> list[str]:
    """Write what the units add to an output, without the zeros and ones."""
    terms = []
    for value, unit in zip(weights, units, strict=True):
        size = "" if abs(value) == 1 else f"{abs(value):.6g} * "
        if value:
            terms.append(f"{'-' if value < 0 else '+'} {size}{unit}")
    return terms


def filter_formulas(parameters: FilterParameters, names: Sequence[str], outputs: tuple[str, ...]) -> str:
    """Write a network of one convolution as one formula a filter, at one place, and one an output.

    Parameters
    ----------
    parameters : FilterParameters
    names : sequence of str
        Of the pixels, for the linear part.
    outputs : tuple of str

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
        f"filter_{k} = max(0, {_sum(weights, pixels, float(bias))})"
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
        lines.append(" ".join([f"{output} =", _sum(skip, names, float(offset)), *_hidden(weights.ravel(), terms)]))
    return "\n".join(lines)
