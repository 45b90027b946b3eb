"""A property file and its network as questions in one form, wherever they came from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from verinet.errors import InputError, PropertyError
from verinet.io import NamedPath, VnnlibQuery, bind, read_network, read_property_file, read_vnnlib
from verinet.io.names import quoted, suggestion
from verinet.model import Domain, Equivalent, Feature, Network, Property, PropertySet, Reduction, reduce_property

__all__ = ["QuestionFile", "Subject", "is_vnnlib", "main_network", "only_network", "read_questions", "unknown_kind"]


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


def is_vnnlib(path: Path) -> bool:
    """Decide by its name whether a property file is VNN-LIB: ``.vnnlib`` or ``.txt``, compressed or not."""
    return Path(path.name.removesuffix(".gz")).suffix in (".vnnlib", ".txt")


def only_network(networks: Sequence[NamedPath]) -> Path:
    """Return the one network file of a question that has no names for several.

    Raises
    ------
    InputError
        If there are others.
    """
    if len(networks) != 1:
        raise InputError(
            f"expected one --network, found {len(networks)}; only VNN-LIB 2 files speak of several networks"
        )
    return Path(networks[0].path)


def main_network(networks: Sequence[NamedPath]) -> tuple[Path, dict[str, Path]]:
    """Return the network that properties are about, the first one, and those that they compare it with, by name.

    Raises
    ------
    InputError
        If a further network has no name, or one that is taken.
    """
    references: dict[str, Path] = {}
    for other in networks[1:]:
        if not other.name:
            raise InputError(
                f"--network: a second network needs a name, found {str(other.path)!r}; write NAME={other.path}"
            )
        if other.name in references:
            raise InputError(f"--network: the name {other.name!r} is given twice; choose distinct names")
        references[other.name] = Path(other.path)
    return Path(networks[0].path), references


def unknown_kind(path: Path) -> InputError:
    """Return the complaint about a property file of another kind."""
    return InputError(f"a property file ends in .vnnlib, .vnnlib.gz, .txt or .toml, found {path.name!r}; rename it")


def read_questions(property_file: Path, networks: Sequence[NamedPath], only: str | None) -> QuestionFile:
    """Read a property file and its networks.

    Parameters
    ----------
    property_file : Path
    networks : sequence of NamedPath
    only : str or None
        The name of one property.

    Raises
    ------
    InputError
        If one of them cannot be used, or there is no such property.
    """
    if is_vnnlib(property_file):
        return _read_vnnlib(property_file, networks, only)
    if property_file.suffix == ".toml":
        return _read_toml(property_file, only_network(networks), only)
    raise unknown_kind(property_file)


def _read_vnnlib(property_file: Path, networks: Sequence[NamedPath], only: str | None) -> QuestionFile:
    if only is not None:
        raise InputError("--only names a property of a .toml file; a VNN-LIB file holds one question, leave it out")
    prop = read_vnnlib(property_file)
    query = (
        bind(prop, networks).query
        if isinstance(prop, VnnlibQuery)
        else prop.query(read_network(only_network(networks)))
    )
    domains = tuple(region.domain for region in query.regions)
    size = query.network.size_in
    features = tuple(
        Feature(f"X_{i}", min(d.lower[i] for d in domains), max(d.upper[i] for d in domains))
        for i in range(size if domains else 0)
    )
    identity = Reduction(query, (tuple(range(size)),))
    subject = Subject(property_file.name, identity)
    return QuestionFile(query.network, PropertySet(features, (), ()), domains, (subject,))


def _read_toml(property_file: Path, network_file: Path, only: str | None) -> QuestionFile:
    frame = read_property_file(property_file)
    network = read_network(network_file)
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
