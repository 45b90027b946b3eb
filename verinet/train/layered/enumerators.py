"""The ways to enumerate networks: for which specifications, by which compiled kernels."""

from collections.abc import Callable
from dataclasses import dataclass

from verinet.train.layered.architecture import Architecture, DenseLayer, ReluLayer
from verinet.train.layered.enumeration import Enumerated, Enumeration, applies, enumerate_units
from verinet.train.layered.specification import LayeredSpecification
from verinet.train.layered.stacks import applies_to_stack, enumerate_stack

__all__ = ["ENUMERATORS", "Enumerator", "enumerator_for"]


@dataclass(frozen=True)
class Enumerator:
    """A way to enumerate networks.

    Parameters
    ----------
    applies : callable
        From a specification and the number of samples to whether it is one for it.
    enumerate : callable
    kernels : tuple of str
        Those that Python calls; all others are compiled with them.
    smallest : Architecture
        A small network that needs them all.
    """

    applies: Callable[[LayeredSpecification, int], bool]
    enumerate: Callable[[Enumeration], Enumerated]
    kernels: tuple[str, ...]
    smallest: Architecture


ENUMERATORS = (
    Enumerator(
        applies,
        enumerate_units,
        ("list_columns", "effects_of", "combine"),
        Architecture((1,), (DenseLayer(2), ReluLayer(), DenseLayer(1))),
    ),
    Enumerator(
        applies_to_stack,
        enumerate_stack,
        ("bound_sets", "look_behind"),
        Architecture((1,), (DenseLayer(1), ReluLayer(), DenseLayer(2), ReluLayer(), DenseLayer(1))),
    ),
)
"""In the order in which they are asked."""


def enumerator_for(specification: LayeredSpecification, samples: int) -> Enumerator | None:
    """Return what enumerates the networks of a specification, if anything does.

    Parameters
    ----------
    specification : LayeredSpecification
    samples : int
    """
    return next((each for each in ENUMERATORS if each.applies(specification, samples)), None)
