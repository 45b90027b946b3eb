"""The ONNX file under construction: operators, initialisers, and the names and shapes of values."""

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from verinet.errors import InputError
from verinet.model import Network, Node
from verinet.numeric import FloatArray, IntArray

if TYPE_CHECKING:
    import onnx

__all__ = ["OnnxAssembly"]

OPSET = 13
"""The oldest operator set that has every operator used here in today's form: most tools read it."""

IR_VERSION = 7
"""The file version that came with the operator set."""


class OnnxAssembly:
    """Collects the operators and initialisers of one file.

    The value of each node has the node's name and the shape (1, *shape of the node). Values in between are named after
    the node and their purpose.

    Parameters
    ----------
    network : Network
        Its nodes' names are taken from the start.
    kind : type
        ``numpy.float32`` or ``numpy.float64``: the type of every number in the file.
    input_name : str or None
        Name of the first input, if it is not its node's.

    Raises
    ------
    InputError
        If a name is empty or would stand for two values.
    """

    def __init__(self, network: Network, kind: type[np.floating[Any]], input_name: str | None) -> None:
        self._network, self._kind = network, kind
        self._operators: list[onnx.NodeProto] = []
        self._initialisers: list[onnx.TensorProto] = []
        self._values = {name: name for name in network.by_name}
        if input_name is not None:
            self._values[network.inputs[0]] = input_name
        self._taken = set(self._values.values())
        if "" in self._taken or len(self._taken) < len(self._values):
            raise InputError(f"ONNX needs names that are not empty and differ, found input_name={input_name!r}")
        self._shapes: dict[str, tuple[int, ...]] = {}
        for name in network.inputs:
            self._declare(network.by_name[name])

    def argument(self, node: Node, position: int = 0) -> str:
        """Return the value that a node takes."""
        return self._values[node.arguments[position]]

    def shape(self, value: str) -> tuple[int, ...]:
        """Return a value's shape."""
        return self._shapes[value]

    @property
    def is_single(self) -> bool:
        """Whether the file is in single precision."""
        return self._kind is np.float32

    def free_name(self, name: str) -> str:
        """Return a name that nothing has yet, the given one if possible."""
        candidate, count = name, 1
        while candidate in self._taken:
            count += 1
            candidate = f"{name}_{count}"
        self._taken.add(candidate)
        return candidate

    def emit(self, operator: str, arguments: list[str], shape: tuple[int, ...], name: str, **attributes: Any) -> str:
        """Add an operator and return its result."""
        from onnx import helper

        result = self.free_name(name)
        self._operators.append(helper.make_node(operator, arguments, [result], name=result, **attributes))
        self._shapes[result] = shape
        return result

    def numbers(self, values: FloatArray, name: str) -> str:
        """Store parameters in the file's float type, exactly, and return their name."""
        return self._store(values.astype(self._kind), name)

    def whole_numbers(self, values: IntArray, name: str) -> str:
        """Store indices or sizes and return their name."""
        return self._store(np.asarray(values, dtype=np.int64), name)

    def _store(self, values: NDArray[Any], name: str) -> str:
        from onnx import numpy_helper

        stored = self.free_name(name)
        self._initialisers.append(numpy_helper.from_array(np.ascontiguousarray(values), stored))
        return stored

    def reshaped(self, value: str, shape: tuple[int, ...], node: Node) -> str:
        """Return the value under another shape."""
        if self._shapes[value] == shape:
            return value
        sizes = self.whole_numbers(np.array(shape), f"{node.name}/shape")
        return self.emit("Reshape", [value, sizes], shape, f"{node.name}/reshaped")

    def flat(self, value: str, node: Node) -> str:
        """Return the value as one row."""
        return self.reshaped(value, (1, prod(self._shapes[value])), node)

    def finish(self, node: Node, value: str) -> None:
        """Give a node's value the node's shape and name."""
        value = self.reshaped(value, (1, *node.shape), node)
        if not self._operators or self._operators[-1].output[0] != value or value in self._values.values():
            self.emit("Identity", [value], (1, *node.shape), f"{node.name}/identity")
        self._operators[-1].output[0] = self._operators[-1].name = node.name
        self._declare(node)

    def _declare(self, node: Node) -> None:
        self._shapes[self._values[node.name]] = (1, *node.shape)

    def model(self) -> "onnx.ModelProto":
        """Return the file's contents, once every node is finished."""
        from onnx import helper

        inputs = [self._declaration(self._values[name]) for name in self._network.inputs]
        outputs: list[str] = []
        for name in self._network.outputs:
            value = self._values[name]
            if name in self._network.inputs or value in outputs:
                value = self.emit("Identity", [value], self._shapes[value], f"{name}/output")
            outputs.append(value)
        results = [self._declaration(value) for value in outputs]
        graph = helper.make_graph(self._operators, "network", inputs, results, self._initialisers)
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="verinet")

    def _declaration(self, value: str) -> "onnx.ValueInfoProto":
        from onnx import helper

        kind = helper.np_dtype_to_tensor_dtype(np.dtype(self._kind))
        return helper.make_tensor_value_info(value, kind, self._shapes[value])
