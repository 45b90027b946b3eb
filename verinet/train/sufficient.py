"""Linear rows on weights that are sufficient for a property: the network that a search begins with.

Such rows are stronger than the property, so they bound nothing from below. What they give is verified like the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from verinet.model import Fair, Monotone
from verinet.train.specification import UniversalProperty

__all__ = ["Sufficient", "sufficient_signs"]


@dataclass(frozen=True)
class Sufficient:
    """Signs of weights.

    Parameters
    ----------
    monotone : Mapping
        Feature index -> +1 or -1: every unit and the output go in that direction.
    unused : tuple of int
        Features that nothing reads.
    """

    monotone: Mapping[int, int]
    unused: tuple[int, ...]


def sufficient_signs(properties: Sequence[UniversalProperty]) -> Sufficient | None:
    """Return what is sufficient for the monotone and the fair properties among some; None where there are none.

    A feature that is to rise and to fall, or that is protected, is not read at all.
    """
    monotone: dict[int, int] = {}
    unused: set[int] = set()
    for wanted in properties:
        prop = wanted.prop
        if isinstance(prop, Monotone):
            for feature in prop.inputs:
                direction = 1 if prop.increasing else -1
                if monotone.setdefault(feature, direction) != direction:
                    unused.add(feature)
        elif isinstance(prop, Fair):
            unused.update(prop.protected)
    if not monotone and not unused:
        return None
    return Sufficient({j: d for j, d in monotone.items() if j not in unused}, tuple(sorted(unused)))
