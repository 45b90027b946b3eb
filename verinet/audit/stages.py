"""A network as a reader sees it: stages of units, each unit a function of units before it.

Affine operations are put together, so that what is between two stages is one matrix, whatever a file made of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import scipy.sparse as sp

from verinet.errors import InputError
from verinet.model import Affine, Input, Maximum, Network, Node, Relu
from verinet.numeric import BoolArray, FloatArray, IntArray

__all__ = ["Stage", "StageKind", "network_stages", "reads", "too_large", "uses_of_weights"]

MOST_WEIGHTS = 2_000_000
"""Of one affine operation that may be put together with others."""


class StageKind(Enum):
    """What the units of a stage do with their arguments."""

    INPUT = "input"
    RELU = "relu"
    MAXIMUM = "maximum"
    OUTPUT = "output"


@dataclass(frozen=True, eq=False)
class Stage:
    """Units side by side.

    Parameters
    ----------
    kind : StageKind
    units : tuple of str
        Their names.
    sources : Mapping
        Number of an earlier stage -> sparse matrix, shape (arguments, units of that stage). An argument is the sum of
        matrix times values over the sources, plus its bias.
    bias : ndarray, shape (arguments,)
    groups : tuple of ndarray of int
        Of a maximum: the arguments that each unit chooses from. Elsewhere empty, with one argument a unit.
    """

    kind: StageKind
    units: tuple[str, ...]
    sources: Mapping[int, Any]
    bias: FloatArray
    groups: tuple[IntArray, ...] = ()

    @property
    def unit_sources(self) -> Mapping[int, Any]:
        """The sources by unit rather than argument; of a maximum, the sum of the sizes of its members' weights."""
        if not self.groups:
            return self.sources
        members = np.concatenate(self.groups)
        unit = np.repeat(np.arange(len(self.groups)), [len(group) for group in self.groups])
        choice = sp.csr_array((np.ones(len(members)), (unit, members)), shape=(len(self.groups), len(self.bias)))
        return {number: choice @ abs(matrix) for number, matrix in self.sources.items()}


@dataclass(frozen=True, eq=False)
class _Form:
    """An affine function of the stages: what a node's value is."""

    parts: Mapping[int, Any]
    bias: FloatArray


def network_stages(network: Network, features: Sequence[str], outputs: Sequence[str]) -> tuple[Stage, ...]:
    """Take a network apart into stages: the inputs, one for each ReLU and maximum operation, the outputs.

    Hidden units that lead to no output are left out; the others keep their names.

    Parameters
    ----------
    network : Network
    features, outputs : sequence of str
        Names of the network's inputs and outputs.

    Returns
    -------
    tuple of Stage
        The first holds the inputs, the last the outputs. Where affine operations follow each other their product is
        rounded: stages are for reading, the network stays the truth.

    Raises
    ------
    InputError
        If the network is too large to be read this way.
    """
    if complaint := too_large(network):
        raise InputError(complaint)
    hidden = [node.name for node in network.nodes if isinstance(node.op, Relu | Maximum)]
    stages = [Stage(StageKind.INPUT, tuple(features), {}, np.zeros(len(features)))]
    forms: dict[str, _Form] = {}
    start = 0
    for node in network.nodes:
        if isinstance(node.op, Input):
            end = start + node.op.size
            part = sp.eye_array(len(features), format="csr")[start:end]
            forms[node.name] = _Form({0: part}, np.zeros(node.op.size))
            start = end
        elif isinstance(node.op, Affine):
            forms[node.name] = _affine(node.op, [forms[name] for name in node.arguments])
        else:
            names = _unit_names(node, hidden.index(node.name) + 1, len(hidden))
            form = forms[node.arguments[0]]
            groups = node.op.groups if isinstance(node.op, Maximum) else ()
            kind = StageKind.MAXIMUM if groups else StageKind.RELU
            forms[node.name] = _Form({len(stages): sp.eye_array(len(names), format="csr")}, np.zeros(len(names)))
            stages.append(Stage(kind, names, form.parts, form.bias, groups))
    return _pruned((*stages, _outputs([forms[name] for name in network.outputs], outputs)))


def uses_of_weights(network: Network) -> int:
    """Return how many multiplications an evaluation takes, at most."""
    return sum(_uses(node.op) for node in network.nodes if isinstance(node.op, Affine))


def too_large(network: Network) -> str:
    """Return in a sentence why a network is too large to be read unit by unit; empty if it is not."""
    for node in network.nodes:
        if isinstance(node.op, Affine) and _uses(node.op) > MOST_WEIGHTS:
            return (
                f"a network can be read unit by unit where its operations use at most {MOST_WEIGHTS} weights each, "
                f"found {_uses(node.op)} in {node.name!r}; take a smaller network"
            )
    return ""


def _uses(op: Affine) -> int:
    return sum(m.size_out * m.longest_row for m in op.maps)


def _affine(op: Affine, arguments: Sequence[_Form]) -> _Form:
    parts: dict[int, Any] = {}
    bias = np.asarray(op.bias, dtype=np.float64)
    for linear_map, form in zip(op.maps, arguments, strict=True):
        matrix = linear_map.to_sparse().matrix
        bias = bias + matrix @ form.bias
        for number, part in form.parts.items():
            product = matrix @ part
            parts[number] = parts[number] + product if number in parts else product
    for part in parts.values():
        part.eliminate_zeros()
    return _Form({number: part for number, part in parts.items() if part.nnz}, bias)


def _outputs(forms: Sequence[_Form], names: Sequence[str]) -> Stage:
    """Put the output nodes one below the other."""
    widths = {number: part.shape[1] for form in forms for number, part in form.parts.items()}
    parts = {
        number: sp.vstack(
            [form.parts.get(number, sp.csr_array((len(form.bias), width))) for form in forms], format="csr"
        )
        for number, width in sorted(widths.items())
    }
    return Stage(StageKind.OUTPUT, tuple(names), parts, np.concatenate([form.bias for form in forms]))


def _pruned(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """Leave out hidden units that lead to no output, last stages first."""
    kept = [np.ones(len(stages[0].units), dtype=bool), *(np.zeros(len(s.units), dtype=bool) for s in stages[1:])]
    kept[-1][:] = True
    for number in range(len(stages) - 1, 0, -1):
        for source, matrix in stages[number].unit_sources.items():
            kept[source][np.unique(matrix[np.flatnonzero(kept[number])].indices)] = True
    return tuple(_reduced(stage, kept[number], kept) for number, stage in enumerate(stages))


def _reduced(stage: Stage, units: BoolArray, kept: Sequence[BoolArray]) -> Stage:
    """Keep some units of a stage, and of other stages the columns of those that are kept there."""
    if stage.kind is StageKind.INPUT:
        return stage
    arguments = np.flatnonzero(units)
    groups: tuple[IntArray, ...] = ()
    if stage.groups:
        chosen = [stage.groups[k] for k in arguments]
        arguments = np.unique(np.concatenate([*chosen, np.zeros(0, dtype=np.int64)])).astype(np.int64)
        groups = tuple(np.searchsorted(arguments, group) for group in chosen)
    sources = {number: matrix[arguments][:, np.flatnonzero(kept[number])] for number, matrix in stage.sources.items()}
    sources = {number: matrix for number, matrix in sources.items() if matrix.nnz}
    names = tuple(name for name, is_kept in zip(stage.units, units, strict=True) if is_kept)
    return Stage(stage.kind, names, sources, stage.bias[arguments], groups)


def _unit_names(node: Node, number: int, count: int) -> tuple[str, ...]:
    """Name units by their places, from 1: ``unit_3`` in a network of one hidden stage, ``h2_3`` in others."""
    prefix = "unit" if count == 1 else f"h{number}"
    axes = [size for size in node.shape if size > 1] or [1]
    places = np.ndindex(*axes)
    return tuple("_".join([prefix, *(str(i + 1) for i in place)]) for place in places)


def reads(stages: Sequence[Stage]) -> frozenset[int]:
    """Return the inputs that some weight leads from."""
    return frozenset(int(j) for stage in stages for j in _columns(stage.sources.get(0)))


def _columns(matrix: Any) -> Sequence[int]:
    return () if matrix is None else np.unique(matrix.indices).tolist()
