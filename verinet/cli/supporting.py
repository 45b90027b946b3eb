"""``verinet supports``: what questions and networks this installation can answer, as the VNN-LIB standard asks.

References
----------
VNNLIB/VNNLIB-Standard: The VNN-LIB standard, version 2.0, section 5.4.
"""

from collections.abc import Callable, Mapping

from verinet.cli.exits import Exit
from verinet.cli.output import result

__all__ = ["CAPABILITIES", "print_capability"]


PARTIAL = frozenset({"Div", "Mul", "Shape", "Size"})
"""Operators that are read in part and not claimed: products and quotients of two tensors are refused, and whole numbers
are folded but no question about them is answered."""


def _opset_versions() -> list[str]:
    from onnx import defs

    from verinet.io.onnx_file import OLDEST_OPSET

    return [str(OLDEST_OPSET), str(defs.onnx_opset_version())]


def _element_types() -> list[str]:
    from verinet.io.vnnlib_binding import ANSWERED_TYPES

    return list(ANSWERED_TYPES)


def _operators() -> list[str]:
    """Return the operators; those without a type are answered for every type, the others for exact numbers only."""
    from verinet.io.onnx_operators import REAL_ONLY, SUPPORTED

    return [f"{name} real" if name in REAL_ONLY else name for name in sorted(SUPPORTED - PARTIAL)]


def _vnnlib_versions() -> list[str]:
    from verinet.io.vnnlib_query import VERSIONS

    return ["1.0", VERSIONS[-1]]


CAPABILITIES: Mapping[str, Callable[[], list[str]]] = {
    "--onnx-opset-versions": _opset_versions,
    "--onnx-element-types": _element_types,
    "--onnx-operators": _operators,
    "--vnnlib-versions": _vnnlib_versions,
    "--hidden-node-theories": lambda: ["NH", "H"],
    "--multiple-input-output-theories": lambda: ["SIO", "MIO"],
    "--multiple-network-theories": lambda: ["SNET", "MENET", "MINET", "MNET"],
    "--multiple-node-comparison-theories": lambda: ["SNC", "MNC"],
    "--arithmetic-complexity-theories": lambda: ["BND", "OUTC", "LIN"],
    # Cases that share their input part stay together, so that writing a query out beforehand gains nothing.
    "--optimised-disjunctive-reasoning": lambda: ["true"],
    "--serialise-assignments": lambda: ["true"],
    "--unsat-proofs": lambda: ["false"],
}
"""What each option reports, one entry a line."""


def print_capability(option: str) -> Exit:
    """Print what one option of ``supports`` asks for.

    Parameters
    ----------
    option : str
        A key of `CAPABILITIES`.
    """
    for line in CAPABILITIES[option]():
        result(line)
    return Exit.DONE
