"""Evaluation of an ONNX file in its own float type, by onnxruntime: the second opinion on what a file computes."""

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from verinet.errors import FileFormatError, InputError
from verinet.io.onnx_file import Declaration, OnnxFile, load_onnx

__all__ = ["Replayer", "replay"]

Numbers = NDArray[Any]

_Run = Callable[[dict[str, Numbers]], Iterable[Any]]


class Replayer:
    """Evaluates an ONNX file at flat input vectors, on one thread.

    Parameters
    ----------
    source : path-like or OnnxFile

    Attributes
    ----------
    engine : str
        ``onnxruntime``, or ``onnx.reference`` for a file with an operator that onnxruntime has no kernel for in the
        file's float type (a convolution in double precision).

    Raises
    ------
    MissingFileError
        If the file cannot be read.
    FileFormatError
        If onnxruntime refuses it.
    """

    def __init__(self, source: str | os.PathLike[str] | OnnxFile) -> None:
        self._file = source if isinstance(source, OnnxFile) else load_onnx(source)
        self.engine, self._run = _engine(self._file)

    @property
    def input_types(self) -> tuple[np.dtype[Any], ...]:
        """The float type of each input."""
        return tuple(_numpy_type(declaration) for declaration in self._file.inputs)

    def __call__(self, x: ArrayLike) -> Numbers:
        """Evaluate the file at one point.

        Parameters
        ----------
        x : array-like of float, shape (size_in,)
            The inputs one after the other, each flattened in C order; rounded to the file's float type.

        Returns
        -------
        ndarray, shape (size_out,)
            The outputs one after the other, in the file's float type.

        Raises
        ------
        InputError
            If the length does not fit.
        FileFormatError
            If the evaluation fails.
        """
        flat = np.asarray(x, dtype=np.float64).ravel()
        sizes = [int(np.prod(declaration.shape)) for declaration in self._file.inputs]
        if len(flat) != sum(sizes):
            raise InputError(f"{self._file.path} takes {sum(sizes)} inputs, found {len(flat)}")
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        with np.errstate(over="ignore"):
            given = {
                declaration.name: part.astype(_numpy_type(declaration)).reshape(declaration.shape)
                for declaration, part in zip(self._file.inputs, parts, strict=True)
            }
        try:
            results = self._run(given)
        except Exception as error:
            raise _failure(self._file, self.engine, error) from None
        return np.concatenate([np.asarray(result).ravel() for result in results])


def replay(path: str | os.PathLike[str], x: ArrayLike) -> Numbers:
    """Evaluate an ONNX file at one point, in its own float type.

    Parameters
    ----------
    path : path-like
    x : array-like of float, shape (size_in,)
        The inputs one after the other, each flattened in C order; rounded to the file's float type.

    Returns
    -------
    ndarray, shape (size_out,)
        The outputs one after the other, in the file's float type.

    Raises
    ------
    MissingFileError
        If the file cannot be read.
    FileFormatError
        If onnxruntime refuses it.
    InputError
        If the length does not fit.
    """
    return Replayer(path)(x)


def _numpy_type(declaration: Declaration) -> np.dtype[Any]:
    from onnx import helper

    return np.dtype(helper.tensor_dtype_to_np_dtype(declaration.element_type))


def _engine(file: OnnxFile) -> tuple[str, _Run]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # Only fatal messages: old files cause harmless warnings, and errors are raised as exceptions.
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            # Without the fallback nothing is printed.
            file.content,
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,
        )
    except Exception as error:
        # The exception types of onnxruntime live in a private module; the message begins with the status.
        if "NOT_IMPLEMENTED" in str(error):
            return "onnx.reference", _reference(file)
        raise _failure(file, "onnxruntime", error) from None
    return "onnxruntime", lambda given: session.run(None, given)


def _reference(file: OnnxFile) -> _Run:
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(file.model)
    return lambda given: evaluator.run(None, given)


def _failure(file: OnnxFile, engine: str, error: Exception) -> FileFormatError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return FileFormatError(f"{file.path}: {engine} cannot evaluate the file ({reason}); export the model again")
