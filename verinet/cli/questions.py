"""A property file and its network as questions in one form, wherever they came from."""

from dataclasses import dataclass
from pathlib import Path

from verinet.errors import InputError, PropertyError
from verinet.io import read_onnx, read_property_file, read_vnnlib
from verinet.io.names import quoted, suggestion
from verinet.model import Domain, Equivalent, Feature, Network, Property, PropertySet, Reduction, reduce_property

__all__ = ["QuestionFile", "Subject", "read_questions"]


@dataclass(frozen=True, eq=False)
class Subject:
    """One question that a file asks: a property, or the whole of a VNN-LIB file."""

    name: str
    reduction: Reduction
    prop: Property | None = None


@dataclass(frozen=True, eq=False)
class QuestionFile:
    """A property file and its network in one form, wherever they came from."""

    network: Network
    frame: PropertySet
    domains: tuple[Domain, ...]
    subjects: tuple[Subject, ...]


def read_questions(property_file: Path, network_file: Path, only: str | None) -> QuestionFile:
    """Read a property file and its network.

    Parameters
    ----------
    property_file, network_file : Path
    only : str or None
        The name of one property.

    Raises
    ------
    InputError
        If either cannot be used, or there is no such property.
    """
    path = property_file
    if path.suffix == ".vnnlib" or path.suffixes[-2:] == [".vnnlib", ".gz"]:
        return _read_vnnlib(property_file, network_file, only)
    if path.suffix == ".toml":
        return _read_toml(property_file, network_file, only)
    raise InputError(f"a property file ends in .vnnlib, .vnnlib.gz or .toml, found {path.name!r}; rename it")


def _read_vnnlib(property_file: Path, network_file: Path, only: str | None) -> QuestionFile:
    if only is not None:
        raise InputError("--only names a property of a .toml file; a VNN-LIB file holds one question, leave it out")
    prop = read_vnnlib(property_file)
    network = read_onnx(network_file)
    query = prop.query(network)
    domains = tuple(region.domain for region in query.regions)
    features = tuple(
        Feature(f"X_{i}", min(d.lower[i] for d in domains), max(d.upper[i] for d in domains))
        for i in range(network.size_in if domains else 0)
    )
    identity = Reduction(query, (tuple(range(network.size_in)),))
    subject = Subject(property_file.name, identity)
    return QuestionFile(network, PropertySet(features, (), ()), domains, (subject,))


def _read_toml(property_file: Path, network_file: Path, only: str | None) -> QuestionFile:
    frame = read_property_file(property_file)
    network = read_onnx(network_file)
    if frame.outputs and len(frame.outputs) != network.size_out:
        raise PropertyError(
            f"the network has {network.size_out} outputs, but the property file names {len(frame.outputs)}"
        )
    if frame.domain.size != network.size_in:
        raise PropertyError(
            f"the network takes {network.size_in} inputs, but the property file gives {frame.domain.size}"
        )
    names = [prop.name for prop in frame.properties]
    if only is not None and only not in names:
        raise PropertyError(f"--only: there is no property {quoted(only)} ({suggestion(only, names)})")
    chosen = [prop for prop in frame.properties if only in (None, prop.name)]
    if any(isinstance(prop, Equivalent) for prop in chosen):
        raise InputError("a property that compares networks is for verinet verify; choose others with --only")
    subjects = tuple(Subject(p.name, reduce_property(network, frame.domain, p), p) for p in chosen)
    return QuestionFile(network, frame, (frame.domain,), subjects)
