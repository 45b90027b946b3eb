"""``verinet rules`` and the page of ``verinet inspect``: a network file, and data, made readable."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from verinet.audit import Sample, Target, extract_rules, network_page, rules_text
from verinet.cli.exits import Exit
from verinet.cli.output import result
from verinet.cli.readable import quick_rules
from verinet.cli.targets import class_targets
from verinet.errors import DataError, InputError
from verinet.io import read_columns, read_csv, read_network, write_atomically
from verinet.model import Network

__all__ = ["DataRequest", "rules_file", "write_page"]


@dataclass(frozen=True)
class DataRequest:
    """Which data a network is shown with.

    Parameters
    ----------
    file : Path
    target : str or None
        A column that is no feature, and, for a network of one output, what the output should be.
    features : tuple of str
        The columns that the network takes, in its order; empty for all but the target.
    classes : bool
        Whether the target's two values are classes; names always are.
    """

    file: Path
    target: str | None = None
    features: tuple[str, ...] = ()
    classes: bool = False


def rules_file(model: Path, data: DataRequest, out: Path | None) -> Exit:
    """Print the rules that rows of data fall under, or write them to a file."""
    network = read_network(model)
    text = rules_text(extract_rules(network, read_sample(network, data)))
    if out is None:
        result(text)
    else:
        write_atomically(out, text + "\n")
        result(f"wrote {out}")
    return Exit.DONE


def write_page(model: Path, page: Path, data: DataRequest | None) -> None:
    """Write the page of a network file, with rules and effects where there are data."""
    network = read_network(model)
    sample = None if data is None else read_sample(network, data)
    features = tuple(f"X_{i}" for i in range(network.size_in)) if sample is None else sample.features
    outputs = _output_names(network, None) if sample is None else sample.outputs
    rules = None if sample is None else quick_rules(network, sample)
    write_atomically(page, network_page(network, features, outputs, title=model.name, sample=sample, rules=rules))


def read_sample(network: Network, data: DataRequest) -> Sample:
    """Read rows in a network's terms.

    Parameters
    ----------
    network : Network
    data : DataRequest

    Raises
    ------
    DataError
        If columns are missing or do not fit the network.
    """
    features = data.features or None
    if data.target is None:
        if data.classes:
            raise InputError("--classes says what the target's values are; name it with --target")
        names, x = read_columns(data.file, features)
        _check_width(network, data, names)
        return Sample(x, names, _output_names(network, None))
    table = read_csv(data.file, data.target, features)
    _check_width(network, data, table.feature_names)
    outputs = _output_names(network, data.target)
    if network.size_out != 1:
        # Which output the column belongs to is not known.
        return Sample(table.x, table.feature_names, outputs)
    if table.y.dtype.kind == "f" and not data.classes:
        return Sample(table.x, table.feature_names, outputs, Target(data.target, np.asarray(table.y, dtype=np.float64)))
    targets = class_targets(table)
    if not targets.classes:
        raise DataError(
            f"{data.file}: a network of one output tells two classes apart, found {len(targets.of_output)} in column "
            f"{data.target!r}; leave the target out"
        )
    return Sample(
        table.x, table.feature_names, outputs, Target(data.target, targets.of_output[data.target], targets.classes)
    )


def _check_width(network: Network, data: DataRequest, names: Sequence[str]) -> None:
    if len(names) != network.size_in:
        raise DataError(
            f"{data.file}: the network takes {network.size_in} inputs, found {len(names)} columns for it; name a "
            "column that is none with --target, or each one that is, in order, with --feature"
        )


def _output_names(network: Network, target: str | None) -> tuple[str, ...]:
    if network.size_out == 1 and target is not None:
        return (target,)
    return tuple(f"Y_{i}" for i in range(network.size_out))
