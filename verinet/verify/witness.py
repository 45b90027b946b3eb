"""From a float point to a counterexample that exact evaluation confirms."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from verinet.model import Reduction, Region, evaluate_exact
from verinet.model.network import Network
from verinet.numeric import FloatArray
from verinet.verify.verdict import Replay, ReplayedPoint, Witness

__all__ = ["confirm", "make_witness"]


def _is_float32(value: Fraction) -> bool:
    try:
        return Fraction(float(np.float32(float(value)))) == value
    except (OverflowError, ValueError):
        return False


def _candidates(region: Region, point: Sequence[float | Fraction]) -> Iterator[tuple[Fraction, ...]]:
    """Propose exact points near a float point, those that a float32 runtime can read first."""
    domain = region.domain
    with np.errstate(over="ignore"):
        single = [float(np.float32(float(v))) for v in point]
    if all(np.isfinite(single)):
        lower, upper = domain.exact_box()
        inward = []
        for v, low, high in zip(single, lower, upper, strict=True):
            if Fraction(v) < low:
                v = float(np.nextafter(np.float32(v), np.float32(np.inf)))
            elif Fraction(v) > high:
                v = float(np.nextafter(np.float32(v), np.float32(-np.inf)))
            inward.append(v)
        yield domain.nearest(inward)
    yield domain.nearest([v if isinstance(v, Fraction) else float(v) for v in point])


def confirm(
    network: Network, region: Region, point: Sequence[float | Fraction] | FloatArray
) -> tuple[Fraction, ...] | None:
    """Return an exact counterexample at or next to a point, or None.

    Soundness: the point returned lies in the exact domain and violates the region's conjunction in rational
    arithmetic.
    """
    for candidate in dict.fromkeys(_candidates(region, list(point))):
        if region.domain.contains(candidate) and region.violated_at(candidate, evaluate_exact(network, candidate)):
            return candidate
    return None


def make_witness(network: Network, reduction: Reduction, point: tuple[Fraction, ...], replay: Replay | None) -> Witness:
    """Describe a confirmed counterexample in the user's terms.

    Parameters
    ----------
    network : Network
        The user's, not the product.
    reduction : Reduction
    point : tuple of Fraction
        Confirmed.
    replay : callable or None
    """
    points = []
    inverted = reduction.invert(point)
    for inputs, taker in zip(inverted, reduction.networks or [network] * len(inverted), strict=True):
        # Only the user's network comes with a file to run.
        replayed = tuple(float(v) for v in replay(inputs)) if replay is not None and taker is network else None
        points.append(ReplayedPoint(inputs, evaluate_exact(taker, inputs), replayed))
    return Witness(point, tuple(points), all(_is_float32(v) for v in point))
