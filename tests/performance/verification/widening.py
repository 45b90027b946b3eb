"""Harder questions made from a bench's own: the same property over a wider box."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from tests.performance.verification.bench import Instance
from verinet.errors import InputError
from verinet.io import read_onnx, read_vnnlib, write_vnnlib
from verinet.model import Domain

__all__ = ["widened"]


def widened(instance: Instance, factor: Fraction, folder: Path) -> Instance:
    """Write an instance's property with every input's range stretched about its middle.

    Parameters
    ----------
    instance : Instance
        Of a plain VNN-LIB file.
    factor : Fraction
    folder : Path
        Where the property file goes.

    Returns
    -------
    Instance
        Without an expected verdict and without times of others: nobody has answered it.

    Raises
    ------
    InputError
        If a region is more than a box.
    """
    query = read_vnnlib(instance.property_file).query(read_onnx(instance.network_file))
    if not all(region.domain.is_box for region in query.regions):
        raise InputError(f"only boxes can be widened, and {instance.property_file} states more about its inputs")
    regions = tuple(replace(region, domain=_stretched(region.domain, factor)) for region in query.regions)
    prop = f"{instance.prop} widened {float(factor):g}"
    file = folder / f"{instance.net} {prop}.vnnlib".replace("/", "_")
    write_vnnlib(file, replace(query, regions=regions))
    return replace(instance, prop=prop, property_file=file, expected=None, other=None)


def _stretched(domain: Domain, factor: Fraction) -> Domain:
    ranges = list(zip(domain.lower, domain.upper, strict=True))
    middles = [(low + high) / 2 for low, high in ranges]
    halves = [factor * (high - low) / 2 for low, high in ranges]
    return Domain.from_box(
        [m - h for m, h in zip(middles, halves, strict=True)], [m + h for m, h in zip(middles, halves, strict=True)]
    )
