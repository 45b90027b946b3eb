"""Records of optima: what was asked of which files, the best point exactly, the bound and who says so."""

import math
import platform
from collections.abc import Iterable
from fractions import Fraction
from typing import Literal

import verinet
from verinet.audit.records import FileRecord, NumberRecord, Record, exact_number
from verinet.verify import Optimum

__all__ = ["OptimumRecord", "PlaceRecord"]

Point = tuple[Fraction, ...]


class PlaceRecord(Record):
    """One input where an optimum is, with its exact outputs.

    Parameters
    ----------
    inputs, outputs : tuple of NumberRecord
    """

    inputs: tuple[NumberRecord, ...]
    outputs: tuple[NumberRecord, ...]


class OptimumRecord(Record):
    """The least or greatest value of something over a network's inputs, enclosed from both sides.

    Parameters
    ----------
    goal : str
        ``range``, ``largest-violation``, ``nearest`` or ``radius``.
    name : str
        Of the property or the output.
    quantity : str
        What the value measures.
    status : str
        ``optimal``, ``cut-off beaten``, ``cut off``, ``infeasible`` or ``limit``.
    sense : str
        ``minimise`` or ``maximise``.
    value : NumberRecord or None
        Of the best point, which exact evaluation confirms.
    bound : float or None
        No point is better; None where nothing, or everything, is excluded.
    basis : str
        What stands behind the bound.
    gap : float or None
    points : tuple of PlaceRecord
        Where the value is: one input, or both sides of a comparison.
    reason : str
        Why the search stopped short; empty otherwise.
    engine : str
    evidence : tuple of str
    seconds : float
    network, property_file : FileRecord
    version : str
    python : str
    """

    kind: Literal["optimum"] = "optimum"
    goal: str
    name: str
    quantity: str
    status: str
    sense: str
    value: NumberRecord | None
    bound: float | None
    basis: str
    gap: float | None
    points: tuple[PlaceRecord, ...]
    reason: str
    engine: str
    evidence: tuple[str, ...]
    seconds: float
    network: FileRecord
    property_file: FileRecord
    version: str = verinet.__version__
    python: str = platform.python_version()

    @classmethod
    def of(
        cls,
        question: tuple[str, str, str],
        optimum: Optimum,
        places: Iterable[tuple[Point, Point]],
        network: FileRecord,
        property_file: FileRecord,
    ) -> "OptimumRecord":
        """Record an optimum.

        Parameters
        ----------
        question : tuple of str
            Goal, name and quantity.
        optimum : Optimum
        places : iterable of (inputs, outputs)
            In the user's terms.
        network, property_file : FileRecord
        """
        goal, name, quantity = question
        return cls(
            goal=goal,
            name=name,
            quantity=quantity,
            status=optimum.status.value,
            sense=optimum.sense.value,
            value=None if optimum.value is None else exact_number(optimum.value),
            bound=_finite(optimum.bound),
            basis=optimum.basis.value,
            gap=_finite(optimum.gap),
            points=tuple(
                PlaceRecord(inputs=tuple(map(exact_number, x)), outputs=tuple(map(exact_number, y))) for x, y in places
            ),
            reason=optimum.reason,
            engine=optimum.engine,
            evidence=optimum.evidence,
            seconds=optimum.seconds,
            network=network,
            property_file=property_file,
        )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
