"""Which backends there are, and which one takes a programme."""

from dataclasses import dataclass

from verinet.errors import InputError, SolverError, SolverUnavailableError
from verinet.program import Programme
from verinet.solve.backend import Backend
from verinet.solve.cpsat import CpsatBackend
from verinet.solve.factoring import product_count
from verinet.solve.gurobi import GurobiBackend
from verinet.solve.highs import HighsBackend
from verinet.solve.scip import ScipBackend
from verinet.solve.z3 import Z3Backend

__all__ = ["AUTO", "Choice", "backends", "choose", "get"]

AUTO = "auto"
"""The request that leaves the choice to `choose`."""


@dataclass(frozen=True)
class Choice:
    """A backend for a programme.

    Parameters
    ----------
    backend : Backend
    reason : str
        Why this one, for the log.
    """

    backend: Backend
    reason: str


def backends() -> tuple[Backend, ...]:
    """Return every backend, installed or not; the optimisers in the order in which `choose` prefers them."""
    return GurobiBackend(), HighsBackend(), ScipBackend(), CpsatBackend(), Z3Backend()


def get(name: str) -> Backend:
    """Return the backend of a name.

    Raises
    ------
    InputError
        If there is none.
    """
    known = {backend.name: backend for backend in backends()}
    if name not in known:
        raise InputError(f"a solver needs to be one of {', '.join(known)} or {AUTO}, found {name!r}")
    return known[name]


def choose(programme: Programme, requested: str = AUTO) -> Choice:
    """Pick a backend that takes a programme.

    Parameters
    ----------
    programme : Programme
    requested : str
        A backend's name, or "auto": Gurobi where it is installed, licensed and large enough, else HiGHS, or SCIP where
        two expressions are multiplied; in the order of seconds of the table in `tests/performance/training`. CP-SAT has
        to be asked for: it wins on some deep networks with integer weights and loses on others. Z3 is never picked: on
        a model of any size it would run until the time limit.

    Returns
    -------
    Choice

    Raises
    ------
    InputError
        If no backend has the name, or the programme is malformed.
    SolverError
        If the requested backend, or every candidate, cannot take the programme; the subclass says why.
    """
    if requested != AUTO:
        backend = get(requested)
        _require(backend, programme)
        return Choice(backend, f"{backend.name} was asked for")
    refusals: list[SolverError] = []
    free_of_charge = ScipBackend() if product_count(programme) else HighsBackend()
    for backend in (GurobiBackend(), free_of_charge):
        try:
            _require(backend, programme)
        except SolverError as error:
            refusals.append(error)
        else:
            reason = "; ".join(str(error) for error in refusals)
            return Choice(
                backend, f"{reason}: {backend.name}" if reason else f"{backend.name} is licensed and takes it"
            )
    raise refusals[-1]


def _require(backend: Backend, programme: Programme) -> None:
    """Raise a `SolverError` if the backend cannot be used for the programme."""
    availability = backend.probe()
    if not availability.usable:
        raise SolverUnavailableError(f"solver {backend.name} cannot be used: {availability.reason}")
    backend.check(programme)
