"""What it means, in atoms, that a class is lost or changes.

The class of an output vector is its largest entry, larger than every other one; with one output it is 1 if that is
positive and 0 otherwise.
"""

from collections.abc import Sequence
from itertools import combinations
from math import comb

from verinet.errors import PropertyError
from verinet.model.formula import MOST_DISJUNCTS
from verinet.model.linear import Atom, Conjunction, LinearExpression

__all__ = ["class_changes", "class_lost", "class_outranked"]


def class_lost(outputs: Sequence[LinearExpression], labels: Sequence[int]) -> tuple[Conjunction, ...]:
    """Return the ways in which the class can be none of some labels.

    Parameters
    ----------
    outputs : sequence of LinearExpression
    labels : sequence of int
        At least one; valid.
    """
    if len(outputs) == 1:
        lost = [(Atom(-outputs[0], strict=True),), (Atom(outputs[0]),)]
        return () if len(set(labels)) == 2 else (lost[labels[0]],)
    # Some other output reaches all of them; a tie among themselves does no harm.
    others = (i for i in range(len(outputs)) if i not in labels)
    return tuple(tuple(Atom(outputs[label] - outputs[other]) for label in labels) for other in others)


def class_outranked(outputs: Sequence[LinearExpression], label: int, top: int) -> tuple[Conjunction, ...]:
    """Return the ways in which a label can leave the largest outputs: so many others reach it.

    Parameters
    ----------
    outputs : sequence of LinearExpression
        At least two.
    label : int
    top : int
        From 1 to the number of outputs less one.
    """
    others = [i for i in range(len(outputs)) if i != label]
    if comb(len(others), top) > MOST_DISJUNCTS:
        raise PropertyError(
            f"'top' needs at most {MOST_DISJUNCTS} choices of outputs, {top} of {len(others)} are more; lower it"
        )
    return tuple(
        tuple(Atom(outputs[label] - outputs[other]) for other in chosen) for chosen in combinations(others, top)
    )


def class_changes(before: Sequence[LinearExpression], after: Sequence[LinearExpression]) -> tuple[Conjunction, ...]:
    """Return the ways in which outputs that have a class can lose it, from one vector to another.

    Parameters
    ----------
    before, after : sequence of LinearExpression
        Of one length. With one output: positive before and not after.
    """
    if len(before) == 1:
        return ((Atom(-before[0], strict=True), Atom(after[0])),)
    count = range(len(before))
    return tuple(
        (
            *(Atom(before[other] - before[label], strict=True) for other in count if other != label),
            Atom(after[label] - after[rival]),
        )
        for label in count
        for rival in count
        if rival != label
    )
