"""One operator of the file, with its arguments: what every operator rule is given."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from verinet.errors import FileFormatError, UnsupportedOperatorError
from verinet.io.onnx_file import MOST_ENTRIES
from verinet.io.onnx_graph import Constant, GraphBuilder, Tensor, Value
from verinet.numeric import FloatArray

if TYPE_CHECKING:
    import onnx

__all__ = ["Call"]

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Call:
    """An operator about to be interpreted.

    Parameters
    ----------
    node : onnx.NodeProto
    inputs : tuple of Value or None
        None where an optional argument is left out.
    opset : int
    builder : GraphBuilder
    used : frozenset of str
        Names of the values that something reads.
    """

    node: "onnx.NodeProto"
    inputs: tuple[Value | None, ...]
    opset: int
    builder: GraphBuilder
    used: frozenset[str]

    @property
    def operator(self) -> str:
        """The operator's name."""
        return str(self.node.op_type)

    @property
    def name(self) -> str:
        """The name of the first result, which the node of the network takes."""
        return str(next(name for name in self.node.output if name))

    def auxiliary(self, part: str) -> str:
        """Return a name for a node that is a part of this operator."""
        return self.builder.auxiliary(f"{self.name}/{part}")

    def refusal(self, reason: str, remedy: str) -> UnsupportedOperatorError:
        """Return the error that says why this operator cannot be read and what to do."""
        return UnsupportedOperatorError(self._sentence(reason, remedy))

    def fault(self, reason: str) -> FileFormatError:
        """Return the error that says that the file contradicts itself here."""
        return FileFormatError(self._sentence(reason, "export the model again"))

    def _sentence(self, reason: str, remedy: str) -> str:
        # Names come from the file and may hold anything, line breaks included.
        return " ".join(f"node {self.node.name or self.name!r} ({self.operator}): {reason}; {remedy}".split())

    # Arguments

    def given(self, position: int) -> bool:
        """Whether the optional argument is there."""
        return position < len(self.inputs) and self.inputs[position] is not None

    def argument(self, position: int) -> Value:
        """Return an argument that must be there."""
        value = self.inputs[position] if position < len(self.inputs) else None
        if value is None:
            raise self.fault(f"argument {position} is missing")
        return value

    def operand(self, position: int) -> Value:
        """Return an argument, checked to be finite floats if it is constant."""
        value = self.argument(position)
        return value if isinstance(value, Tensor) else self.checked(value, position)

    def operands(self) -> tuple[Value, ...]:
        """Return all arguments, at least one, constants checked to be finite floats."""
        return tuple(self.operand(i) for i in range(max(len(self.inputs), 1)))

    def arguments(self) -> tuple[Value, ...]:
        """Return all arguments, at least one."""
        return tuple(self.argument(i) for i in range(max(len(self.inputs), 1)))

    def tensor(self, position: int = 0) -> Tensor:
        """Return an argument that must depend on the network's input."""
        value = self.argument(position)
        if not isinstance(value, Tensor):
            raise self.refusal(
                f"argument {position} is a constant where a tensor was expected", "fold constants before exporting"
            )
        return value

    def constant(self, position: int) -> Constant:
        """Return an argument that must not depend on the network's input."""
        value = self.argument(position)
        if isinstance(value, Tensor):
            raise self.refusal(
                f"argument {position} ({self.node.input[position]!r}) depends on the network's input",
                "only constants are supported there",
            )
        return value

    def weights(self, position: int) -> FloatArray:
        """Return a constant argument of finite floats."""
        return self.checked(self.constant(position), position)

    def checked(self, values: Constant, position: int) -> FloatArray:
        """Return a constant argument if its entries are finite floats."""
        name = self.node.input[position]
        if values.dtype != np.float64:
            raise self.fault(f"expected floating-point numbers in {name!r}, found {values.dtype}")
        if not np.isfinite(values).all():
            raise self.fault(f"expected finite weights, found NaN or infinity in {name!r}")
        return values

    def whole_numbers(self, position: int) -> tuple[int, ...]:
        """Return a constant argument as a list of whole numbers."""
        values = self.constant(position)
        if values.dtype.kind not in "iu":
            raise self.fault(f"expected whole numbers in {self.node.input[position]!r}, found {values.dtype}")
        return tuple(int(v) for v in values.ravel())

    def check_size(self, shape: Sequence[int]) -> None:
        """Refuse a result too large to hold, before memory is asked for."""
        if min(shape, default=1) < 0 or np.prod(shape, dtype=float) > MOST_ENTRIES:
            raise self.fault(f"the result would have the impossible shape {tuple(shape)}")

    def refuse_extra_outputs(self) -> None:
        """Refuse the operator where something reads more than its first result."""
        for name in self.node.output[1:]:
            if name in self.used:
                raise self.refusal(f"its second result {name!r} is read", "export the network for inference")

    # Attributes

    def _attribute(self, name: str) -> Any:
        from onnx import helper

        found = next((a for a in self.node.attribute if a.name == name), None)
        return None if found is None else helper.get_attribute_value(found)

    def has(self, name: str) -> bool:
        """Whether the attribute is given."""
        return any(a.name == name for a in self.node.attribute)

    def integer(self, name: str, default: int) -> int:
        """Return an attribute that is a whole number."""
        value = self._attribute(name)
        return self._typed(name, default if value is None else value, int)

    def number(self, name: str, default: float) -> float:
        """Return an attribute that is a float32, exactly."""
        value = self._attribute(name)
        return self._typed(name, default if value is None else value, float)

    def text(self, name: str, default: str) -> str:
        """Return an attribute that is a string."""
        value = self._attribute(name)
        return default if value is None else self._typed(name, value, bytes).decode("ascii", "replace")

    def integers(self, name: str) -> tuple[int, ...] | None:
        """Return an attribute that is a list of whole numbers, or None."""
        value = self._attribute(name)
        if value is None:
            return None
        return tuple(self._typed(name, v, int) for v in self._typed(name, value, list))

    def _typed(self, name: str, value: Any, kind: type[T]) -> T:
        if not isinstance(value, kind):
            raise self.fault(f"attribute {name!r} has the wrong type {type(value).__name__}")
        return value

    def axes(self, position: int = 1) -> tuple[int, ...] | None:
        """Return the axes, given as an attribute by old operator sets and as an argument by new ones, or None."""
        if self.has("axes"):
            return self.integers("axes")
        return self.whole_numbers(position) if self.given(position) else None
