"""The compiled loops of training: which there are, whether they are ready, and how each is compiled ahead."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np

from verinet.compiling import compiling_alone, is_compiled
from verinet.train.layered.architecture import Architecture, DenseLayer, ReluLayer
from verinet.train.layered.enumeration import Enumeration
from verinet.train.layered.enumerators import ENUMERATORS, Enumerator
from verinet.train.layered.fewest import count_up
from verinet.train.layered.losses import Sample
from verinet.train.layered.sparse_search import search_sparse
from verinet.train.layered.specification import Goal, LayeredSpecification
from verinet.train.specification import Loss, Objective, TrainOptions

__all__ = ["COUNTING", "KERNELS", "SPARSE_SEARCH", "Kernels", "kernels_of", "prepare"]

SMALLEST = Architecture((1,), (DenseLayer(1), ReluLayer(), DenseLayer(1)))
SAMPLES, X = Sample(np.array([-1.0, 1.0]), np.full(2, 0.5), 1), np.array([[0.0], [1.0]])


@dataclass(frozen=True)
class Kernels:
    """Compiled loops that are used together.

    Parameters
    ----------
    what : str
        What they do, in words for the user.
    names : tuple of str
        Those that Python calls; all others are compiled with them.
    run : callable
        A small task that needs them all.
    """

    what: str
    names: tuple[str, ...]
    run: Callable[[], object]

    @property
    def is_ready(self) -> bool:
        """Whether they can be used without compiling anything."""
        return all(map(is_compiled, self.names))

    def compile(self) -> float:
        """Compile them; return the seconds that it took."""
        started = time.monotonic()
        with compiling_alone():
            self.run()
        return time.monotonic() - started


def _enumerate(enumerator: Enumerator) -> None:
    specification = LayeredSpecification(enumerator.smallest, Objective(Loss.HINGE, margin=0.5, l1=0.0, l0=0.01))
    enumerator.enumerate(Enumeration(specification, SAMPLES, X, np.inf, lambda: True))


def _sparse() -> LayeredSpecification:
    objective = Objective(Loss.ZERO_ONE, margin=0.5, l1=0.0)
    return LayeredSpecification(SMALLEST, objective, goals=(Goal.ERRORS, Goal.NONZEROS))


SPARSE_SEARCH = Kernels(
    "the search for few weights",
    ("anneal",),
    lambda: search_sparse(_sparse(), SAMPLES, X, 0, lambda: True, lambda: 0.0, lambda values: None, runs=1),
)

COUNTING = Kernels("counting weights up", ("refute",), lambda: count_up(_sparse(), SAMPLES, X, 0.0, 3, lambda: True))

_OF_ENUMERATORS = {
    each: Kernels("the enumeration of units", each.kernels, partial(_enumerate, each)) for each in ENUMERATORS
}

KERNELS = (*_OF_ENUMERATORS.values(), SPARSE_SEARCH, COUNTING)
"""Of all trainings of stacks of layers."""


def kernels_of(enumerator: Enumerator) -> Kernels:
    """Return the compiled loops of a way to enumerate."""
    return _OF_ENUMERATORS[enumerator]


def prepare(kernels: Iterable[Kernels], options: TrainOptions) -> None:
    """Compile what was never compiled: the time limit is for the training.

    Parameters
    ----------
    kernels : iterable of Kernels
    options : TrainOptions
        Its notice says what takes so long.
    """
    for each in kernels:
        if not each.is_ready:
            options.on_notice(
                f"compiling {each.what}, some ten seconds, once for this installation; `verinet doctor --warm` does it "
                "ahead"
            )
            each.compile()
