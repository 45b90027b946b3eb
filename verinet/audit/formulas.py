"""A network as formulas in raw units: one line a unit and one an output."""

from collections.abc import Sequence

import numpy as np

from verinet.audit.stages import Stage, StageKind

__all__ = ["network_formulas"]


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
    """Write one affine argument: features first, then the constant, then units."""
    parts = []
    constant = float(stage.bias[row])
    for number in sorted({0, *stage.sources}):
        if number in stage.sources:
            matrix = stage.sources[number]
            entries = slice(matrix.indptr[row], matrix.indptr[row + 1])
            order = np.argsort(matrix.indices[entries])
            names = [stages[number].units[j] for j in matrix.indices[entries][order]]
            weights = matrix.data[entries][order].tolist()
            parts += [_term(w, name, number > 0) for w, name in zip(weights, names, strict=True)]
        if number == 0 and constant:
            parts.append(f"{'-' if constant < 0 else '+'} {abs(constant):.6g}")
    text = " ".join(parts) or "+ 0"
    return text[2:] if text.startswith("+") else text


def _term(weight: float, name: str, plain_ones: bool) -> str:
    """Write a signed term; of units, weights of one are left out."""
    size = "" if plain_ones and abs(weight) == 1 else f"{abs(weight):.6g} * "
    return f"{'-' if weight < 0 else '+'} {size}{name}"
