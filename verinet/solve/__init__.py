"""Backends: programmes in, claims out.

A backend takes a `Programme` and returns an `Outcome`, which is a claim of floating-point arithmetic (Gurobi, HiGHS,
SCIP), of integer arithmetic (CP-SAT) or of exact rational arithmetic (Z3, the semantic form). Every limit,
interruption, failure and doubtful status is UNKNOWN with its reason. Errors that the caller can mend are raised. This
room imports `program` only, and each solver library only when it is used.
"""

from verinet.solve.backend import Availability, Backend, Capability, Limits
from verinet.solve.cpsat import CpsatBackend
from verinet.solve.exact import ExactOutcome, exact_values, first_violation
from verinet.solve.gurobi import GurobiBackend
from verinet.solve.highs import HighsBackend
from verinet.solve.incremental import GrowingProgramme
from verinet.solve.registry import AUTO, Choice, backends, choose, get
from verinet.solve.scip import ScipBackend
from verinet.solve.screening import check_numerics
from verinet.solve.z3 import Z3Backend

__all__ = [
    "AUTO",
    "Availability",
    "Backend",
    "Capability",
    "Choice",
    "CpsatBackend",
    "ExactOutcome",
    "GrowingProgramme",
    "GurobiBackend",
    "HighsBackend",
    "Limits",
    "ScipBackend",
    "Z3Backend",
    "backends",
    "check_numerics",
    "choose",
    "exact_values",
    "first_violation",
    "get",
]
