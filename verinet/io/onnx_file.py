"""The protobuf side of an ONNX file: parsing, the first checks, initialisers, and the shapes of inputs.

Every way in which a file can be broken before a single operator is looked at ends here, in one sentence.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from verinet.errors import FileFormatError
from verinet.io.files import decompressed, read_bytes

if TYPE_CHECKING:
    import onnx

__all__ = ["MOST_ENTRIES", "Declaration", "OnnxFile", "float_types", "load_onnx", "tensor_values"]

OLDEST_OPSET = 7
"""Operators before opset 7 broadcast by other rules."""

MOST_ENTRIES = 2**27
"""A tensor with more entries than this (a gigabyte of float64) is refused before memory is asked for."""


@dataclass(frozen=True)
class Declaration:
    """An input or output as the file declares it.

    Parameters
    ----------
    name : str
    element_type : int
        A number of ``onnx.TensorProto``.
    shape : tuple of int
        With every axis; a symbolic first axis is the batch and reads as 1.
    """

    name: str
    element_type: int
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """A parsed file.

    Parameters
    ----------
    path : Path
    content : bytes
        The file as it stood on the disk when it was read.
    model : onnx.ModelProto
    opset : int
        Version of the standard operator set.
    """

    path: Path
    content: bytes
    model: "onnx.ModelProto"
    opset: int

    @property
    def graph(self) -> "onnx.GraphProto":
        """The graph of the model."""
        return self.model.graph

    @cached_property
    def constants(self) -> dict[str, NDArray[Any]]:
        """The initialisers; floats of every width as float64, which is exact."""
        return {t.name: tensor_values(t, f"initialiser {t.name!r} of {self.path}") for t in self.graph.initializer}

    @cached_property
    def inputs(self) -> tuple[Declaration, ...]:
        """The inputs that a user gives: old files list their initialisers among them, those are left out."""
        given = {t.name for t in self.graph.initializer}
        return tuple(self._declared_input(value) for value in self.graph.input if value.name not in given)

    def _declared_input(self, value: "onnx.ValueInfoProto") -> Declaration:
        tensor = value.type.tensor_type
        if not value.type.HasField("tensor_type") or tensor.elem_type not in float_types():
            raise FileFormatError(
                f"{self.path}: expected inputs of floating-point numbers, found another type for input "
                f"{value.name!r}; export the network with a float input"
            )
        if not tensor.HasField("shape"):
            raise FileFormatError(
                f"{self.path}: input {value.name!r} declares no shape; export the network with a fixed input shape"
            )
        shape = tuple(self._axis(value.name, i, dim) for i, dim in enumerate(tensor.shape.dim))
        if np.prod(shape, dtype=float) > MOST_ENTRIES:
            raise FileFormatError(
                f"{self.path}: input {value.name!r} of shape {shape} exceeds {MOST_ENTRIES} numbers; "
                "export a smaller network"
            )
        return Declaration(value.name, tensor.elem_type, shape)

    def _axis(self, name: str, axis: int, dim: "onnx.TensorShapeProto.Dimension") -> int:
        size = dim.dim_value if dim.HasField("dim_value") else -1
        if size >= 1:
            return int(size)
        if size == 0 or axis > 0:
            label = dim.dim_param or (str(size) if size == 0 else "no size")
            raise FileFormatError(
                f"{self.path}: input {name!r} needs a fixed size on axis {axis}, found {label}; only the first axis "
                "(the batch) may be symbolic"
            )
        return 1


def float_types() -> frozenset[int]:
    """Return the element types of ``onnx.TensorProto`` that float64 holds exactly."""
    from onnx import TensorProto

    return frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16})


def tensor_values(tensor: "onnx.TensorProto", place: str) -> NDArray[Any]:
    """Return the numbers of a stored tensor; floats of every width as float64, which is exact.

    Parameters
    ----------
    tensor : onnx.TensorProto
    place : str
        What to call it in a sentence.

    Raises
    ------
    FileFormatError
        If its data do not fill its shape, lie in another file, or are no numbers.
    """
    from onnx import TensorProto, numpy_helper

    if tensor.data_location == TensorProto.EXTERNAL:
        raise FileFormatError(
            f"{place} keeps its numbers in another file, which the hash of this one does not cover; save the model "
            "in one file (onnx.save_model with save_as_external_data=False)"
        )
    if tensor.data_type in (TensorProto.STRING, TensorProto.COMPLEX64, TensorProto.COMPLEX128, TensorProto.UNDEFINED):
        raise FileFormatError(f"{place} holds no real numbers; export the network with numeric weights")
    if min(tensor.dims, default=1) < 0 or np.prod(tensor.dims, dtype=float) > MOST_ENTRIES:
        raise FileFormatError(f"{place} declares the impossible shape {tuple(tensor.dims)}; export the model again")
    try:
        values = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FileFormatError(f"{place} is damaged ({reason}); export the model again") from None
    return values.astype(np.float64) if tensor.data_type in float_types() else values


def load_onnx(path: str | os.PathLike[str]) -> OnnxFile:
    """Read and parse an ONNX file.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    OnnxFile

    Raises
    ------
    MissingFileError
        If the file cannot be read.
    FileFormatError
        If it is no ONNX model, or one without a graph, inputs, outputs or a supported operator set.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it ships no types

    content = decompressed(read_bytes(path), os.fspath(path))
    place = Path(path)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, ValueError, RuntimeError):
        raise FileFormatError(
            f"{place}: expected an ONNX model, found a damaged or different file; export it again"
        ) from None
    if not model.HasField("graph") or not model.graph.output:
        raise FileFormatError(f"{place}: expected an ONNX model with at least one output, found none; export it again")
    _check_features(place, model)
    file = OnnxFile(place, content, model, _opset(place, model.opset_import))
    if not file.inputs:
        raise FileFormatError(f"{place}: expected at least one input that is no initialiser, found none")
    return file


def _check_features(place: Path, model: "onnx.ModelProto") -> None:
    """Refuse what would change the meaning of the graph behind the reader's back."""
    if any(function.domain in ("", "ai.onnx") for function in model.functions):
        raise FileFormatError(
            f"{place}: expected standard operators, found functions that redefine them; inline them (onnx.inliner)"
        )
    if model.graph.sparse_initializer:
        name = model.graph.sparse_initializer[0].values.name
        raise FileFormatError(
            f"{place}: expected dense initialisers, found the sparse {name!r}; export the model with dense weights"
        )


def _opset(place: Path, imports: "Sequence[onnx.OperatorSetIdProto]") -> int:
    from onnx import defs

    versions = sorted({entry.version for entry in imports if entry.domain in ("", "ai.onnx")})
    if len(versions) != 1:
        found = " and ".join(str(version) for version in versions) or "none"
        raise FileFormatError(
            f"{place}: expected an import of one standard operator set, found {found}; export the model again"
        )
    newest = defs.onnx_opset_version()
    if not OLDEST_OPSET <= versions[0] <= newest:
        raise FileFormatError(
            f"{place}: expected an operator set from {OLDEST_OPSET} to {newest}, found {versions[0]}; convert the "
            "model with onnx.version_converter"
        )
    return int(versions[0])
