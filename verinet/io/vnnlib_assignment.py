"""Assignments of a VNN-LIB 2 query's variables: as text below ``sat``, and as serialised ONNX tensors.

References
----------
VNNLIB/VNNLIB-Standard: The VNN-LIB standard, version 2.0, section 5.3.
"""

import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from verinet.errors import MissingFileError
from verinet.io.files import write_atomically
from verinet.io.vnnlib_query import Variable, VnnlibQuery
from verinet.io.vnnlib_writer import value_literal
from verinet.model import Side

__all__ = ["format_declared_assignment", "write_declared_assignment"]

Values = Sequence[Fraction]


def _assigned(declared: VnnlibQuery, inputs: Values, outputs: Values) -> Iterator[tuple[Variable, Values]]:
    """Pair every variable with its values, in the order of the declarations."""
    rest = {Side.INPUT: list(inputs), Side.OUTPUT: list(outputs)}
    for variable in (variable for network in declared.networks for variable in network.variables):
        values = rest[variable.side]
        yield variable, values[: variable.size]
        del values[: variable.size]


def format_declared_assignment(declared: VnnlibQuery, inputs: Values, outputs: Values) -> str:
    """Write a counterexample as the standard's command line does: for each variable a head and one value a line.

    Parameters
    ----------
    declared : VnnlibQuery
    inputs : sequence of Fraction
        The entries of all declared inputs.
    outputs : sequence of Fraction
        Those of all hidden nodes and outputs.

    Returns
    -------
    str
        Without a line end. Every number has all its decimal digits and no exponent; one whose digits never end is the
        nearest float64.
    """
    lines = []
    for variable, values in _assigned(declared, inputs, outputs):
        shape = ",".join(map(str, variable.shape))
        lines.append(f"{variable.name} {variable.element_type} [{shape}]")
        lines += [value_literal(variable.name, value) for value in values]
    return "\n".join(lines)


def write_declared_assignment(
    folder: str | os.PathLike[str], declared: VnnlibQuery, inputs: Values, outputs: Values
) -> None:
    """Write a counterexample as a folder of ``NAME.pb``, one ONNX tensor a variable; ``real`` ones as float64.

    Parameters
    ----------
    folder : path-like
        Made if it does not exist.
    declared : VnnlibQuery
    inputs, outputs : sequence of Fraction
        See `format_declared_assignment`.

    Raises
    ------
    MissingFileError
        If the folder cannot be made or written to.
    """
    from onnx import numpy_helper

    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MissingFileError(
            f"the folder {str(place)!r} cannot be made ({error.strerror}); choose one that may be written to"
        ) from None
    for variable, values in _assigned(declared, inputs, outputs):
        kind = np.float32 if variable.element_type == "float32" else np.float64
        array = np.array([float(value) for value in values]).astype(kind).reshape(variable.shape)
        tensor = numpy_helper.from_array(np.ascontiguousarray(array).reshape(variable.shape), variable.name)
        write_atomically(place / f"{variable.name}.pb", tensor.SerializeToString())
