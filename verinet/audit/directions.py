"""Which way each feature moves an output over the range of the data: decided, and by whom, or not decided."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

import numpy as np

from verinet.audit.conditions import Rows
from verinet.audit.regions import linear_regions
from verinet.audit.stages import uses_of_weights
from verinet.model import Domain, Monotone, Network
from verinet.numeric import BoolArray, FloatArray, IntArray
from verinet.verify import Answer, VerifyOptions, derivative_signs, verify_property

__all__ = ["Direction", "Effect", "effects_of"]

QUERY_SECONDS = 3.0
"""Of one question to the verifier."""

SLOPES_SHARE = 0.4
"""Of the time, for slopes at rows."""

ROWS_FOR_WITNESSES = 500
"""Rows whose linear regions are looked at for slopes of both signs."""

MOST_WORK_FOR_WITNESSES = 10_000_000
"""Rows times uses of weights: of large networks fewer rows are looked at."""


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


def effects_of(network: Network, x: FloatArray, *, seconds: float = 10.0) -> tuple[Effect, ...]:
    """Decide how each input moves each output over the box of some rows.

    Parameters
    ----------
    network : Network
    x : ndarray, shape (rows, size_in)
    seconds : float
        For slopes at rows, and for questions to the verifier, where the enclosed slopes leave a sign open.

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
    begin = time.monotonic()
    end = begin + seconds
    domain = Domain.from_box(x.min(axis=0).tolist(), x.max(axis=0).tolist())
    signs = _enclosed_signs(network, domain, end)
    moves = x.min(axis=0) < x.max(axis=0)
    wanted = np.array([(least < 0) & (most > 0) & moves for least, most in signs])
    risen, fallen = _seen_slopes(network, x, wanted, begin + SLOPES_SHARE * seconds)
    found: list[Effect] = []
    for output in range(network.size_out):
        found += _of_output(network, domain, output, signs[output], risen[output], fallen[output], end)
    return tuple(found)


def _enclosed_signs(network: Network, domain: Domain, end: float) -> list[tuple[IntArray, IntArray]]:
    """Return the least and the most sign of each output's derivatives; when the time is over, both are open."""
    unknown = np.ones(network.size_in, dtype=np.int64)
    return [
        derivative_signs(network, domain, output) if time.monotonic() < end else (-unknown, unknown)
        for output in range(network.size_out)
    ]


def _seen_slopes(network: Network, x: FloatArray, wanted: BoolArray, until: float) -> tuple[BoolArray, BoolArray]:
    """Return for outputs and inputs whether an exact slope above zero, and one below zero, is seen.

    Only rows strictly inside their region count: there the slope is that of the function, towards either side. A row at
    the edge of the box still has room towards the other side. Regions are looked at until all that is wanted is seen.
    """
    risen, fallen = np.zeros_like(wanted), np.zeros_like(wanted)
    most = min(ROWS_FOR_WITNESSES, MOST_WORK_FOR_WITNESSES // max(uses_of_weights(network), 1))
    if not wanted.any() or not most:
        return risen, fallen
    chosen = x[:: -(-len(x) // most)]
    for region in linear_regions(network, Rows.of(chosen)):
        if time.monotonic() > until or not (wanted & ~(risen & fallen)).any():
            break
        point = [Fraction(float(v)) for v in chosen[region.rows[0]]]
        if not all(condition.strict or condition.value(point) > 0 for condition in region.conditions):
            continue
        for i, form in enumerate(region.forms):
            signs = np.array([(c > 0) - (c < 0) for c in form.coefficients])
            risen[i] |= wanted[i] & (signs > 0)
            fallen[i] |= wanted[i] & (signs < 0)
    return risen, fallen


def _of_output(
    network: Network,
    domain: Domain,
    output: int,
    signs: tuple[IntArray, IntArray],
    risen: BoolArray,
    fallen: BoolArray,
    end: float,
) -> Iterator[Effect]:
    least, most = signs
    for j in range(network.size_in):
        if domain.lower[j] == domain.upper[j]:
            yield Effect(j, output, Direction.NOT_DECIDED, "one value in all rows")
        elif least[j] == most[j] == 0:
            yield Effect(j, output, Direction.NONE, PROVED_BY_SLOPES)
        elif least[j] >= 0:
            yield Effect(j, output, Direction.INCREASING, PROVED_BY_SLOPES)
        elif most[j] <= 0:
            yield Effect(j, output, Direction.DECREASING, PROVED_BY_SLOPES)
        elif risen[j] and fallen[j]:
            yield Effect(j, output, Direction.BOTH, SEEN)
        else:
            yield _asked(network, domain, j, output, bool(risen[j]), bool(fallen[j]), end)


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
            # What was left of the domain, in brackets, is for whoever asked for a verdict.
            reasons.append(verdict.reason.split(" (")[0])
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
