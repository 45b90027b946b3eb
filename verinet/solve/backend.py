"""What every backend is: its capabilities, its availability, and the one way a solve runs.

A backend *claims*; nothing here is proved. A claim that a limit cut short is UNKNOWN with its reason, and so is every
failure inside a solver library. Errors that the caller can mend (`verinet.errors`) are raised.
"""

import importlib.metadata
import importlib.util
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from enum import Enum, auto
from fractions import Fraction
from functools import cache
from typing import ClassVar

import numpy as np

from verinet.errors import SolverUnavailableError, UnsupportedModelError, VerinetError
from verinet.numeric import FloatArray
from verinet.program import Bilinear, Indicator, Outcome, Programme, Semantic, SolveOptions, Status
from verinet.solve.exact import is_between
from verinet.solve.screening import check_options, check_structure
from verinet.solve.supervision import Control, StoppedError, supervise

__all__ = ["ABSOLUTE_GAP", "Availability", "Backend", "Capability", "Claim", "Limits", "resolve_unbounded"]

ABSOLUTE_GAP = 1e-10
"""Gap at which an objective near zero counts as optimal, where a relative gap never would; Gurobi's default."""


LOWER_IT = "lower it with verinet.encode first or use z3"


class Capability(Enum):
    """What a backend can do."""

    LINEAR = auto()
    """Linear rows and a linear objective."""
    INTEGER = auto()
    """Integer variables."""
    CONTINUOUS = auto()
    """Continuous variables and variables without bounds; else every variable needs a finite grid of values."""
    INDICATOR = auto()
    """`Indicator` constraints as they stand."""
    BILINEAR = auto()
    """`Bilinear` constraints as they stand, by spatial branch and bound."""
    SEMANTIC = auto()
    """Every constraint by meaning, as it stands."""
    EXACT = auto()
    """Rational arithmetic."""
    START = auto()
    """Uses a point to start from."""
    CALLBACK = auto()
    """Reports progress while it runs."""


_NEEDS: dict[type[Semantic], tuple[Capability, str]] = {
    Indicator: (Capability.INDICATOR, LOWER_IT),
    Bilinear: (Capability.BILINEAR, "use the solver scip or gurobi"),
}
"""The capability, short of all semantic constraints, that takes a constraint as it stands, and what to do without."""


@dataclass(frozen=True)
class Limits:
    """The largest model that a licence allows; infinite without a limit.

    Parameters
    ----------
    variables, rows : float
    variables_with_products : float
        Of a model with a `Bilinear` constraint.
    """

    variables: float = np.inf
    rows: float = np.inf
    variables_with_products: float = np.inf


@dataclass(frozen=True)
class Availability:
    """Whether a backend can be used here.

    Parameters
    ----------
    usable : bool
    reason : str
        Why not, or what limits the use; empty if there is nothing to say.
    limits : Limits
    """

    usable: bool
    reason: str = ""
    limits: Limits = Limits()


@dataclass(frozen=True, eq=False)
class Claim:
    """What a backend's own run says; `Backend.solve` makes an `Outcome` of it."""

    status: Status
    values: FloatArray | None = None
    objective: float | None = None
    bound: float = -np.inf
    reason: str = ""


@cache
def _version_of(distribution: str) -> str:
    """Look a version up, once: it means reading a file."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


class Backend(ABC):
    """One solver library.

    Looking for it imports nothing and takes no licence; `probe` may take one.

    Attributes
    ----------
    name : str
        As in ``--solver``.
    module, distribution : str
        What is imported, and what pip calls it.
    capabilities : frozenset of Capability
    """

    name: ClassVar[str]
    module: ClassVar[str]
    distribution: ClassVar[str]
    capabilities: ClassVar[frozenset[Capability]]

    @classmethod
    def is_installed(cls) -> bool:
        """Tell whether the library is there, without importing it."""
        return importlib.util.find_spec(cls.module) is not None

    @classmethod
    def version(cls) -> str:
        """Return the library's version, empty if it is not installed."""
        return _version_of(cls.distribution) if cls.is_installed() else ""

    def probe(self) -> Availability:
        """Tell whether the library can be used and within which limits; may take a licence for a moment."""
        if not self.is_installed():
            return Availability(False, f"{self.distribution} is not installed")
        return Availability(True)

    def check(self, programme: Programme) -> None:
        """Refuse a programme that this backend cannot take; `solve` calls this first.

        Raises
        ------
        InputError
            If the programme is malformed.
        UnsupportedModelError
            If it has a constraint, or numbers, that the backend cannot express.
        RejectedRowError
            If the library would drop or refuse a coefficient.
        ModelTooLargeError
            If it exceeds the licence's limits.
        """
        check_structure(programme)
        for constraint in programme.semantic:
            needed, remedy = _NEEDS.get(type(constraint), (Capability.SEMANTIC, LOWER_IT))
            if not {needed, Capability.SEMANTIC} & self.capabilities:
                raise UnsupportedModelError(
                    f"{self.name} takes linear rows, the programme has a {type(constraint).__name__} constraint; "
                    f"{remedy}"
                )

    def solve(self, programme: Programme, options: SolveOptions) -> Outcome:
        """Minimise, and say what the solver claims.

        Parameters
        ----------
        programme : Programme
        options : SolveOptions

        Returns
        -------
        Outcome
            With `options.cutoff`, INFEASIBLE means that no point with a smaller objective was found to exist, and the
            bound is the cutoff; a floating-point backend decides within its tolerance of the cutoff. Cancellation
            and Ctrl-C give UNKNOWN with the best point so far.

        Raises
        ------
        SolverUnavailableError
            If the library or its licence is missing.
        InputError, UnsupportedModelError, RejectedRowError, ModelTooLargeError
            See `check`.

        Notes
        -----
        Soundness: a limit, an interruption, a numerical status or a failure in the library is UNKNOWN. INFEASIBLE and
        OPTIMAL are trusted as claimed, with the solver's tolerances.
        """
        self.require()
        self.check(programme)
        check_options(programme, options)
        started = time.perf_counter()
        claim = settle(self._claim(programme, options), options)
        seconds = time.perf_counter() - started
        return Outcome(
            claim.status, self.label, seconds, claim.values, claim.objective, float(claim.bound), claim.reason
        )

    @property
    def label(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version()}"

    def require(self) -> None:
        """Raise `SolverUnavailableError` if the library is not installed."""
        if not self.is_installed():
            raise SolverUnavailableError(
                f"solver {self.name} needs the package {self.distribution}, which is not installed; "
                f"run: pip install {self.distribution}"
            )

    @abstractmethod
    def _run(self, programme: Programme, options: SolveOptions, control: Control) -> Claim:
        """Build the model, solve it and dispose of it; runs in a thread of its own."""

    def _claim(self, programme: Programme, options: SolveOptions) -> Claim:
        """Run the solver under watch and turn every failure of the library into UNKNOWN."""
        if programme.size == 0 and Capability.EXACT not in self.capabilities:
            return _constant_claim(programme)
        control = Control(options)
        try:
            claim = supervise(lambda: self._run(programme, options, control), control)
        except VerinetError:
            raise
        except StoppedError as stop:
            claim = Claim(Status.UNKNOWN, reason=str(stop))
        except Exception as error:
            claim = Claim(Status.UNKNOWN, reason=f"{self.name} failed with {type(error).__name__}: {error}")
        if control.error is not None:
            raise control.error
        if claim.status is Status.UNKNOWN and control.reason not in claim.reason:
            return replace(claim, reason=control.reason)
        return claim


def resolve_unbounded(feasibility: Claim) -> Claim:
    """Tell infeasible from unbounded, given what the same model without objective claims.

    Soundness: a solver that found a ray, or that says "infeasible or unbounded", has not said that there is a point;
    only a feasible point turns the ray into UNBOUNDED.
    """
    if feasibility.status is Status.OPTIMAL:
        return Claim(Status.UNBOUNDED, feasibility.values)
    if feasibility.status is Status.INFEASIBLE:
        return feasibility
    return Claim(Status.UNKNOWN, reason=f"infeasible or unbounded, undecided: {feasibility.reason}")


def settle(claim: Claim, options: SolveOptions) -> Claim:
    """Apply the cutoff to a claim, the same way for every backend.

    Soundness: a point at the cutoff or above it proves nothing better exists only if it was claimed optimal. The bound
    is a bound for all points of the programme, so it never exceeds the cutoff below which the solver looked.
    """
    beaten = claim.objective is not None and claim.objective >= options.cutoff
    if claim.status is Status.INFEASIBLE or (claim.status is Status.OPTIMAL and beaten):
        return Claim(Status.INFEASIBLE, bound=options.cutoff)
    if claim.status is Status.UNBOUNDED:
        return replace(claim, objective=None, bound=-np.inf)
    if beaten:
        claim = replace(claim, values=None, objective=None)
    highest = options.cutoff if claim.objective is None else min(claim.objective, options.cutoff)
    return replace(claim, bound=min(claim.bound, highest))


def _constant_claim(programme: Programme) -> Claim:
    """Decide a programme without variables exactly: its rows are comparisons of constants."""
    rows = programme.rows
    holds = all(
        is_between(lower, Fraction(float(value)), upper)
        for value, lower, upper in zip(rows.expressions.constant, rows.lower, rows.upper, strict=True)
    )
    if not holds:
        return Claim(Status.INFEASIBLE)
    objective = float(programme.objective.constant[0])
    return Claim(Status.OPTIMAL, np.zeros(0), objective, objective)
