"""Other verifiers' times on ACAS Xu, measured on one core of a two-core machine, process start included."""

import csv
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tests.performance.verification.bench import Instance, Reference

__all__ = ["TOOLS", "PeerRow", "read_peers", "with_peers"]

TOOLS = ("nnenum", "alpha_beta_crown", "vibecheck", "marabou")


@dataclass(frozen=True)
class PeerRow:
    """What other tools did on one instance.

    Parameters
    ----------
    net, prop, answer : str
    best : Reference or None
        The fastest tool, wall seconds; none if no tool decided.
    """

    net: str
    prop: str
    answer: str
    best: Reference | None


def read_peers() -> list[PeerRow]:
    """Read the table that lies beside this module."""
    with (Path(__file__).parent / "peers.csv").open(newline="", encoding="utf-8") as lines:
        return [
            PeerRow(row["net"], row["property"], row["answer"], best_of({tool: row[tool] for tool in TOOLS}))
            for row in csv.DictReader(lines)
        ]


def best_of(times: Mapping[str, str]) -> Reference | None:
    """Return the fastest tool; a cell without a number (empty, timeout, unknown) is no time."""
    found = []
    for tool, text in times.items():
        with suppress(ValueError):
            found.append(Reference(tool, float(text)))
    return min(found, key=lambda one: one.seconds, default=None)


def with_peers(instances: Sequence[Instance], peers: Sequence[PeerRow]) -> list[Instance]:
    """Keep the instances that stand in the table, with its best tool in place of the published one."""
    rows = {(row.net, row.prop): row for row in peers}
    return [replace(one, other=rows[one.net, one.prop].best) for one in instances if (one.net, one.prop) in rows]
