"""NNet files: fully connected ReLU networks as comma-separated text, with the normalisation their inputs went through.

The network is read as the file stores it: over normalised inputs and outputs. What turns raw units into those (the
means and ranges, and the limits that inputs were clipped to) is recorded in `Network.notes` and in `NnetFile`, and is
no part of the network: VNN-LIB files and converted ONNX files of such networks speak of normalised units as well.

References
----------
Stanford Intelligent Systems Laboratory: NNet, the file format of the ACAS Xu networks.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from verinet.errors import FileFormatError, InputError
from verinet.io.decimals import parse_decimal
from verinet.io.files import decompressed, read_bytes
from verinet.io.names import quoted
from verinet.model import Network, dense_network
from verinet.numeric import FloatArray

__all__ = ["NnetFile", "read_nnet"]

MOST_NUMBERS = 1 << 26
"""A file that announces more weights than this is refused before memory is asked for."""


@dataclass(frozen=True, eq=False)
class NnetFile:
    """A network and the units of its inputs and outputs.

    Parameters
    ----------
    network : Network
        Over normalised inputs and outputs.
    minima, maxima : tuple of Fraction
        Limits of each raw input.
    means, ranges : tuple of Fraction
        One for each input and one for all outputs: a normalised value is ``(raw - mean) / range``.
    """

    network: Network
    minima: tuple[Fraction, ...]
    maxima: tuple[Fraction, ...]
    means: tuple[Fraction, ...]
    ranges: tuple[Fraction, ...]


class _Lines:
    """The lines of a file that hold numbers, one after the other."""

    def __init__(self, text: str, file: str) -> None:
        self._lines = [
            (number, line)
            for number, line in enumerate(text.splitlines(), start=1)
            if line.strip() and not line.lstrip().startswith("//")
        ]
        self._next = 0
        self._file = file

    def place(self) -> str:
        """Name the line that was read last."""
        return f"{self._file}, line {self._lines[self._next - 1][0]}" if self._next else self._file

    def cells(self, what: str) -> list[str]:
        """Return the next line's cells."""
        if self._next == len(self._lines):
            raise FileFormatError(f"{self._file}: expected {what}, found the end of the file; fetch it again")
        line = self._lines[self._next][1]
        self._next += 1
        cells = [cell.strip() for cell in line.split(",")]
        return cells[:-1] if cells[-1] == "" else cells

    def numbers(self, what: str, count: int) -> list[Fraction]:
        """Return the next line's numbers, of which there must be `count`."""
        cells = self.cells(what)
        if len(cells) != count:
            raise FileFormatError(f"{self.place()}: expected {count} numbers ({what}), found {len(cells)}")
        try:
            return [parse_decimal(cell) for cell in cells]
        except InputError as error:
            raise FileFormatError(f"{self.place()}: {error}") from None

    def sizes(self, what: str) -> list[int]:
        """Return the next line's whole numbers above zero."""
        cells = self.cells(what)
        wrong = next((cell for cell in cells if not cell.isdecimal() or len(cell) > 9 or not int(cell)), None)
        if wrong is not None:
            raise FileFormatError(f"{self.place()}: expected whole numbers above 0 ({what}), found {quoted(wrong)}")
        return [int(cell) for cell in cells]

    def rest(self) -> Iterator[str]:
        """Return the lines that nobody asked for."""
        return (line for _, line in self._lines[self._next :])


def read_nnet(path: str | os.PathLike[str]) -> NnetFile:
    """Read a network from an NNet file.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    NnetFile

    Raises
    ------
    MissingFileError
        If it cannot be read.
    FileFormatError
        If it is no NNet file, with the line.

    Notes
    -----
    A decimal weight that no float64 equals is rounded to the nearest; the rounded network is the network from then on,
    and a note says so.
    """
    file = os.fspath(path)
    lines = _Lines(decompressed(read_bytes(path), file).decode("utf-8-sig", errors="replace"), file)
    head = lines.sizes("layers, inputs, outputs and the largest layer")
    if len(head) < 3:
        raise FileFormatError(f"{lines.place()}: expected layers, inputs, outputs and the largest layer")
    sizes = lines.sizes("sizes of the layers")
    if len(sizes) != head[0] + 1 or (sizes[0], sizes[-1]) != (head[1], head[2]):
        raise FileFormatError(
            f"{lines.place()}: expected {head[0] + 1} sizes from {head[1]} to {head[2]}, found {len(sizes)} from "
            f"{sizes[0]} to {sizes[-1]}"
        )
    if sum(a * b for a, b in pairwise(sizes)) > MOST_NUMBERS:
        raise FileFormatError(f"{lines.place()}: expected at most {MOST_NUMBERS} weights, found more")
    lines.cells("an unused flag")
    minima = lines.numbers("smallest value of each input", sizes[0])
    maxima = lines.numbers("largest value of each input", sizes[0])
    means = lines.numbers("mean of each input and of the outputs", sizes[0] + 1)
    ranges = lines.numbers("range of each input and of the outputs", sizes[0] + 1)
    if 0 in ranges:
        raise FileFormatError(f"{lines.place()}: expected ranges other than 0, found 0")
    weights: list[FloatArray] = []
    biases: list[FloatArray] = []
    exact = True
    for size_in, size_out in pairwise(sizes):
        rows = [lines.numbers("weights of a neuron", size_in) for _ in range(size_out)]
        shifts = [lines.numbers("bias of a neuron", 1) for _ in range(size_out)]
        for numbers, collected in ((rows, weights), (shifts, biases)):
            array = np.array([[float(v) for v in row] for row in numbers])
            exact = exact and all(Fraction(float(v)) == v for row in numbers for v in row)
            collected.append(array)
    if next(lines.rest(), None) is not None:
        raise FileFormatError(f"{file}: expected {len(sizes) - 1} layers, found more lines behind them")
    plain = dense_network(weights, [bias[:, 0] for bias in biases])
    notes = [_normalisation(means, ranges, minima, maxima)]
    if not exact:
        notes.append("decimal weights were rounded to float64; the rounded network is the network")
    return NnetFile(
        Network(plain.nodes, plain.outputs, tuple(notes)), tuple(minima), tuple(maxima), tuple(means), tuple(ranges)
    )


def _normalisation(
    means: Sequence[Fraction], ranges: Sequence[Fraction], minima: Sequence[Fraction], maxima: Sequence[Fraction]
) -> str:
    inputs = ", ".join(
        f"X_{i} = (raw - {float(mean):.9g}) / {float(spread):.9g} for raw from {float(low):.9g} to {float(high):.9g}"
        for i, (mean, spread, low, high) in enumerate(zip(means, ranges, minima, maxima, strict=False))
    )
    return (
        f"inputs and outputs are in normalised units: {inputs}; raw outputs are Y * {float(ranges[-1]):.9g} + "
        f"{float(means[-1]):.9g}"
    )
