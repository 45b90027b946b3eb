"""Which way each feature moves an output over the range of the data: decided, and by whom, or not decided."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

import numpy as np

from verinet.audit.conditions import Rows
from verinet.audit.regions import linear_regions
from verinet.model import Domain, Monotone, Network
from verinet.numeric import BoolArray, FloatArray
from verinet.verify import Answer, VerifyOptions, derivative_signs, verify_property

__all__ = ["Direction", "Effect", "effects_of"]

QUERY_SECONDS = 5.0
"""Of one question to the verifier."""

ROWS_FOR_WITNESSES = 500
"""Rows whose linear regions are looked at for slopes of both signs."""


class Direction(Enum):
    """How an output answers when a feature rises and all else stays."""

    NONE = "no effect"
    INCREASING = "never falls"
    DECREASING = "never rises"
    BOTH = "rises and falls"
    NOT_DECIDED = "not decided"


@dataclass(frozen=True)
class Effect:
    """Which way one feature moves one output.

    Parameters
    ----------
    feature, output : int
    direction : Direction
    basis : str
        Who vouches for it, and at which level of assurance; or why nothing is decided.
    """

    feature: int
    output: int
    direction: Direction
    basis: str


PROVED_BY_SLOPES = "the slopes of all pieces (L0)"
SEEN = "slopes at rows of the data (exact)"


def effects_of(network: Network, x: FloatArray, *, seconds: float = 20.0) -> tuple[Effect, ...]:
    """Decide how each input moves each output over the box of some rows.

    Parameters
    ----------
    network : Network
    x : ndarray, shape (rows, size_in)
    seconds : float
        For questions to the verifier, where the enclosed slopes leave a sign open.

    Returns
    -------
    tuple of Effect
        Output by output, in the inputs' order.

    Notes
    -----
    Soundness: "never" rests on an enclosure of the derivatives over all activation patterns that meet the box, or on
    the verifier's verdict; "rises and falls" on exact slopes inside two linear regions, or on exact counterexamples.
    What none of these decides is not decided.
    """
    end = time.monotonic() + seconds
    domain = Domain.from_box(x.min(axis=0).tolist(), x.max(axis=0).tolist())
    risen, fallen = _seen_slopes(network, x)
    found: list[Effect] = []
    for output in range(network.size_out):
        found += _of_output(network, domain, output, risen, fallen, end)
    return tuple(found)


def _seen_slopes(network: Network, x: FloatArray) -> tuple[BoolArray, BoolArray]:
    """Return for outputs and inputs whether an exact slope above zero, and one below zero, is seen.

    Only rows strictly inside their region count: there the slope is that of the function, towards either side. A row at
    the edge of the box still has room towards the other side.
    """
    chosen = x[:: max(1, len(x) // ROWS_FOR_WITNESSES)]
    rows = Rows.of(chosen)
    risen = np.zeros((network.size_out, network.size_in), dtype=bool)
    fallen = risen.copy()
    for region in linear_regions(network, rows):
        point = [Fraction(float(v)) for v in chosen[region.rows[0]]]
        inside = all(condition.strict or condition.value(point) > 0 for condition in region.conditions)
        if not inside:
            continue
        for i, form in enumerate(region.forms):
            signs = np.array([(c > 0) - (c < 0) for c in form.coefficients])
            risen[i] |= signs > 0
            fallen[i] |= signs < 0
    moves = x.min(axis=0) < x.max(axis=0)
    return risen & moves, fallen & moves


def _of_output(
    network: Network, domain: Domain, output: int, risen: BoolArray, fallen: BoolArray, end: float
) -> Iterator[Effect]:
    least, most = derivative_signs(network, domain, output)
    for j in range(network.size_in):
        if domain.lower[j] == domain.upper[j]:
            yield Effect(j, output, Direction.NOT_DECIDED, "one value in all rows")
        elif least[j] == most[j] == 0:
            yield Effect(j, output, Direction.NONE, PROVED_BY_SLOPES)
        elif least[j] >= 0:
            yield Effect(j, output, Direction.INCREASING, PROVED_BY_SLOPES)
        elif most[j] <= 0:
            yield Effect(j, output, Direction.DECREASING, PROVED_BY_SLOPES)
        elif risen[output, j] and fallen[output, j]:
            yield Effect(j, output, Direction.BOTH, SEEN)
        else:
            yield _asked(network, domain, j, output, bool(risen[output, j]), bool(fallen[output, j]), end)


def _asked(network: Network, domain: Domain, feature: int, output: int, rises: bool, falls: bool, end: float) -> Effect:
    """Ask the verifier about the directions that no slope has refuted."""
    refuted = {True: falls, False: rises}
    verified: dict[bool, str] = {}
    reasons = []
    for increasing in (True, False):
        if refuted[increasing]:
            continue
        left = end - time.monotonic()
        if left <= 0:
            reasons.append("the time for such questions was over")
            continue
        prop = Monotone("direction", (feature,), output, increasing)
        verdict = verify_property(network, domain, prop, VerifyOptions(timeout=min(left, QUERY_SECONDS)))
        if verdict.answer is Answer.VIOLATED:
            refuted[increasing] = True
        elif verdict.answer is Answer.VERIFIED and verdict.level is not None:
            verified[increasing] = f"the verifier ({verdict.level.value})"
        else:
            reasons.append(verdict.reason)
    return _concluded(feature, output, refuted, verified, reasons)


def _concluded(
    feature: int, output: int, refuted: dict[bool, bool], verified: dict[bool, str], reasons: Sequence[str]
) -> Effect:
    if len(verified) == 2:
        # The weaker of both levels: L0 comes before L1.
        return Effect(feature, output, Direction.NONE, min(verified.values()))
    if True in verified:
        return Effect(feature, output, Direction.INCREASING, verified[True])
    if False in verified:
        return Effect(feature, output, Direction.DECREASING, verified[False])
    if all(refuted.values()):
        return Effect(feature, output, Direction.BOTH, "slopes and counterexamples (exact)")
    return Effect(feature, output, Direction.NOT_DECIDED, "; ".join(dict.fromkeys(reasons)) or "no verdict")
