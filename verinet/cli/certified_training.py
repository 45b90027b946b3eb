"""``verinet train --property``: property files to what must hold everywhere, and the result in words."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from verinet.cli.output import Reporter
from verinet.errors import InputError, PropertyError
from verinet.io import NamedPath, read_network, read_property_file
from verinet.io.names import quoted
from verinet.model import Network
from verinet.train import CertifiedResult, ConstraintRound, UniversalProperty, UniversalRecord

__all__ = ["none_passed", "on_round", "properties_of", "references_of", "universal_lines"]


def properties_of(
    files: Sequence[Path], networks: Sequence[NamedPath], features: tuple[str, ...], outputs: int
) -> list[UniversalProperty]:
    """Read the properties that a network of some features is to have.

    Parameters
    ----------
    files : sequence of Path
    networks : sequence of NamedPath
        Networks that properties compare with.
    features : tuple of str
        Of the table, in the order of the network's inputs.
    outputs : int
        Of the network.

    Raises
    ------
    InputError
        If a network has no name.
    PropertyError
        If a file speaks of other inputs, or of another number of outputs.
    """
    references = references_of(networks)
    return [prop for file in files for prop in _of_file(file, references, features, outputs)]


def references_of(networks: Sequence[NamedPath]) -> dict[str, Network]:
    """Read the networks that properties compare with, by name.

    Raises
    ------
    InputError
        If one has no name.
    """
    if any(not named.name for named in networks):
        raise InputError("--network: a network to compare with needs a name; write NAME=MODEL.onnx")
    return {named.name: read_network(named.path) for named in networks}


def _of_file(
    file: Path, references: Mapping[str, Network], features: tuple[str, ...], outputs: int
) -> list[UniversalProperty]:
    frame = read_property_file(file)
    numbered = tuple(f"X_{i}" for i in range(len(features)))
    if frame.input_names not in (features, numbered):
        raise PropertyError(
            f"{file}: the inputs need to be the table's features in their order, {_listed(features)}; found "
            f"{_listed(frame.input_names)}"
        )
    if frame.outputs and len(frame.outputs) != outputs:
        raise PropertyError(f"{file}: the network has {outputs} outputs, but the file names {len(frame.outputs)}")
    return [UniversalProperty(prop, frame.domain, references) for prop in frame.properties]


def _listed(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(map(quoted, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def on_round(reporter: Reporter, state: ConstraintRound) -> None:
    """Say on one line where the search for counterexamples stands."""
    best = "none passed yet" if state.objective is None else f"objective {state.objective:.6g}"
    reporter.notice(
        f"round {state.number}: {best}, bound {state.bound:.6g}, {state.added} new counterexamples "
        f"({state.counterexamples} in all), {state.seconds_training:.1f} s of training and "
        f"{state.seconds_verifying:.1f} s of verification"
    )


def universal_lines(universal: UniversalRecord | None) -> list[str]:
    """Say what holds at all inputs, and what that costs."""
    if universal is None:
        return []
    low, high = universal.price
    constructed = universal.constructed_objective
    by_construction = "" if constructed is None else f" (by construction {constructed:.6g})"
    return [
        *(f"everywhere: {kept.name}: {kept.verdict}, {kept.engine}" for kept in universal.kept),
        f"price of that: {low:.3g} to {high:.3g} of the objective{by_construction}; "
        f"{universal.rounds} rounds, {universal.counterexamples} counterexamples, "
        f"{universal.seconds_training:.1f} s of training and {universal.seconds_verifying:.1f} s of verification",
    ]


def none_passed(found: CertifiedResult[object]) -> str:
    """Say that no network passed, why the search ended, and what is known of those that would."""
    universal = found.universal
    return (
        f"no network passed verification: {found.reason}; bound of those that would {found.bound:.6g}, "
        f"{universal.rounds} rounds, {universal.counterexamples} counterexamples; nothing is written"
    )
