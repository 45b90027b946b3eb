"""Networks that could be the result of a training, judged exactly, and the record of the one that is."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from verinet.errors import InputError
from verinet.model import Network
from verinet.program import Outcome, Status
from verinet.train.data import TrainingData
from verinet.train.export import RawParameters, build_network, snap, to_raw, to_scaled
from verinet.train.objective import exact_objective
from verinet.train.programme import Parameters
from verinet.train.result import Earlier, TrainingRecord, TrainingResult
from verinet.train.run import TrainingRun
from verinet.train.specification import Specification

__all__ = ["OBJECTIVE_TOLERANCE", "Candidate", "Known", "judge", "known_before", "result_of"]

OBJECTIVE_TOLERANCE = 1e-6
"""How far the exact objective may lie from the solver's before the record says so."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A network that could be the result, judged exactly.

    Parameters
    ----------
    network : Network
        As it is exported.
    raw : RawParameters
    objective : Fraction
    """

    network: Network
    raw: RawParameters
    objective: Fraction


@dataclass(frozen=True, eq=False)
class Known:
    """Where a training begins: with the constant network and no bound, or with what an earlier one left.

    Parameters
    ----------
    objective : float
        Infinite where that of `parameters` is not known yet.
    parameters : Parameters
    bound : float
    basis : str
        What stands behind the bound.
    candidates : tuple of Candidate
        The earlier training's network.
    """

    objective: float
    parameters: Parameters
    bound: float
    basis: str
    candidates: tuple[Candidate, ...]


def judge(parameters: Parameters, data: TrainingData, specification: Specification) -> Candidate:
    """Export a network and evaluate its objective exactly.

    Parameters
    ----------
    parameters : Parameters
    data : TrainingData
    specification : Specification
    """
    raw = to_raw(snap(parameters), specification.signs, specification.monotone, data.scaling)
    network = build_network(raw)
    return Candidate(network, raw, exact_objective(network, raw, specification.objective, data))


def known_before(data: TrainingData, specification: Specification, earlier: Earlier | None) -> Known:
    """Return where to begin.

    Parameters
    ----------
    data : TrainingData
    specification : Specification
    earlier : Earlier or None

    Raises
    ------
    InputError
        If the earlier training is not one of the same network, data and objective.
    """
    if earlier is None:
        return Known(np.inf, _constant(data, specification), -np.inf, "", ())
    raw = earlier.parameters
    if raw.weights.shape[1] != len(data.names) or len(raw.offsets) != 1:
        raise InputError(
            f"the network to resume has {raw.weights.shape[1]} inputs and {len(raw.offsets)} outputs, the training "
            f"{len(data.names)} and 1"
        )
    network = build_network(raw)
    objective = exact_objective(network, raw, specification.objective, data)
    if objective != earlier.objective:
        raise InputError(
            f"the network to resume has the objective {float(objective):.9g} here and {float(earlier.objective):.9g} "
            "in its record; resume with the specification and data that it was trained for"
        )
    parameters = to_scaled(raw, specification.signs, data.scaling)
    kept = Candidate(network, raw, objective)
    return Known(float(objective), parameters, earlier.bound, earlier.basis, (kept,))


def _constant(data: TrainingData, specification: Specification) -> Parameters:
    """Return the best constant network for a median or a majority: always feasible."""
    order = np.argsort(data.scaled_y)
    middle = order[int(np.searchsorted(np.cumsum(data.weights[order]), 0.5).clip(0, len(order) - 1))]
    units, features = len(specification.signs), len(data.names)
    value = float(data.scaled_y[middle]) * (
        specification.objective.margin if specification.objective.loss.classifies else 1.0
    )
    return Parameters(np.zeros((units, features)), np.zeros(units), np.zeros(features), value)


def result_of(
    run: TrainingRun, best: Candidate, solved: Candidate, outcome: Outcome, why: str, basis: str
) -> TrainingResult:
    """Write the record of a training.

    Parameters
    ----------
    run : TrainingRun
    best : Candidate
        The result.
    solved : Candidate
        The solver's network, where it claims an objective.
    outcome : Outcome
        Its bound is one over all networks of the specification.
    why : str
        Why this solver, and how.
    basis : str
        What stands behind the bound.
    """
    objective, tolerance = float(best.objective), run.options.gap_tolerance + OBJECTIVE_TOLERANCE
    gap = max(0.0, objective - outcome.bound) / max(abs(objective), 1e-10) if np.isfinite(outcome.bound) else np.inf
    proven = outcome.status is Status.OPTIMAL and gap <= tolerance
    record = TrainingRecord(
        best.objective,
        np.nan if outcome.objective is None else outcome.objective,
        outcome.bound,
        gap,
        Status.OPTIMAL if proven else Status.UNKNOWN,
        f"{outcome.solver} ({why})",
        run.journal.seconds,
        best.raw.nonzeros,
        best.raw.units,
        tuple(run.data.names[j] for j in best.raw.features),
        len(run.data.y),
        tuple(_notes(solved, outcome, closed=gap <= tolerance)),
        basis=basis,
        history=tuple(run.journal.history),
    )
    return TrainingResult(best.network, best.raw, record)


def _notes(solved: Candidate, outcome: Outcome, *, closed: bool) -> list[str]:
    """Say what a reader must know of how the outcome came about."""
    notes = []
    if outcome.status is not Status.OPTIMAL:
        notes.append(f"the optimum is not proven: {outcome.reason or outcome.status.value}")
    elif not closed:
        notes.append("the solver claims optimality, but the exact objective lies further from its bound")
    if outcome.objective is not None:
        difference = float(solved.objective) - outcome.objective
        if abs(difference) > OBJECTIVE_TOLERANCE * max(1.0, abs(outcome.objective)):
            notes.append(f"the exact objective differs from the solver's by {difference:+.3g}")
    return notes
