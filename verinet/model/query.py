"""The one question the verifier answers: whether an input of a domain has unsafe outputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction

from verinet.errors import PropertyError
from verinet.model.domain import Domain
from verinet.model.evaluation import evaluate_exact
from verinet.model.linear import LARGEST_NUMBER, Conjunction, Side
from verinet.model.network import Network
from verinet.numeric import readable

__all__ = ["Arithmetic", "Query", "Region"]


class Arithmetic(IntEnum):
    """What arithmetic the comparisons of a question are written with, and so what a float type may make of them."""

    DIRECT = 0
    """Each compares an entry with an entry or a literal, or the negatives of these: nothing is rounded but literals."""

    PLAIN = 1
    """Each is a sum of multiples that names every entry once and adds one literal at most: its coefficients bound what
    is rounded. A bound on a single input is written as for `DIRECT`."""

    OTHER = 2
    """Terms were added up or cancelled while the question was read."""


@dataclass(frozen=True)
class Region:
    """A part of the input space and what must not happen there.

    Parameters
    ----------
    domain : Domain
    unsafe : tuple of Conjunction
        A point of the domain is a counterexample when one of these holds, over its inputs and outputs.
    """

    domain: Domain
    unsafe: tuple[Conjunction, ...]

    def violated_at(self, inputs: Sequence[Fraction], outputs: Sequence[Fraction]) -> bool:
        """Decide whether a point with these outputs is a counterexample, exactly."""
        return self.domain.contains(inputs) and any(
            all(atom.holds(inputs, outputs) for atom in conjunction) for conjunction in self.unsafe
        )


@dataclass(frozen=True, eq=False)
class Query:
    """``exists a region, exists x in its domain: unsafe(x, network(x))``.

    Parameters
    ----------
    network : Network
    regions : tuple of Region

    Raises
    ------
    PropertyError
        If a region's domain or atoms do not fit the network.
    """

    network: Network
    regions: tuple[Region, ...]

    def __post_init__(self) -> None:
        sizes = {Side.INPUT: self.network.size_in, Side.OUTPUT: self.network.size_out}
        for region in self.regions:
            if region.domain.size != self.network.size_in:
                raise PropertyError(
                    f"the network takes {self.network.size_in} inputs, but the property gives {region.domain.size}"
                )
            for atom in (atom for conjunction in region.unsafe for atom in conjunction):
                if atom.largest >= LARGEST_NUMBER:
                    raise PropertyError(
                        f"the property needs coefficients that a float64 can hold, found {readable(atom.largest)}; "
                        "rescale the condition"
                    )
                for symbol, _ in atom.expression.terms:
                    if not 0 <= symbol.index < sizes[symbol.side]:
                        raise PropertyError(
                            f"the property speaks of {symbol}, but the network has {self.network.size_in} inputs "
                            f"and {self.network.size_out} outputs"
                        )

    def violated_at(self, inputs: Sequence[Fraction]) -> bool:
        """Decide whether a point is a counterexample, by exact evaluation."""
        outputs = evaluate_exact(self.network, inputs)
        return any(region.violated_at(inputs, outputs) for region in self.regions)
