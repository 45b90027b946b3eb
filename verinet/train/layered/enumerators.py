"""The ways to enumerate networks: for which specifications, by which compiled kernels."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from verinet.compiling import compiling_alone, is_compiled
from verinet.train.layered.architecture import Architecture, DenseLayer, ReluLayer
from verinet.train.layered.enumeration import Enumerated, Enumeration, applies, enumerate_units
from verinet.train.layered.losses import Sample
from verinet.train.layered.specification import LayeredSpecification
from verinet.train.layered.stacks import applies_to_stack, enumerate_stack
from verinet.train.specification import Loss, Objective, TrainOptions

__all__ = ["ENUMERATORS", "Enumerator", "compile_enumerator", "enumerator_for", "prepare_enumerator"]

COMPILING = (
    "compiling the enumeration of units, some ten seconds, once for this installation; `verinet doctor --warm` does it "
    "ahead"
)


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

    @property
    def is_ready(self) -> bool:
        """Whether it can start without compiling anything."""
        return all(map(is_compiled, self.kernels))


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


def compile_enumerator(enumerator: Enumerator) -> float:
    """Compile the kernels of a way to enumerate; return the seconds that it took."""
    started = time.monotonic()
    specification = LayeredSpecification(enumerator.smallest, Objective(Loss.HINGE, margin=0.5, l1=0.0, l0=0.01))
    samples = Sample(np.array([-1.0, 1.0]), np.full(2, 0.5), 1)
    with compiling_alone():
        enumerator.enumerate(Enumeration(specification, samples, np.array([[0.0], [1.0]]), np.inf, lambda: True))
    return time.monotonic() - started


def prepare_enumerator(enumerator: Enumerator | None, options: TrainOptions) -> None:
    """Compile what was never compiled: the time limit is for the training.

    Parameters
    ----------
    enumerator : Enumerator or None
    options : TrainOptions
        Its notice says what takes so long.
    """
    if enumerator is not None and not enumerator.is_ready:
        options.on_notice(COMPILING)
        compile_enumerator(enumerator)
