"""The piecewise-linear programme as data, and what a solver claims about one.

Conventions: objectives are minimised; expressions are rows of a CSR array over the variables' indices; every number is
a float64 that means the dyadic rational it stores. This room imports no other.
"""

from verinet.program.expression import Expressions
from verinet.program.outcome import Outcome, Progress, SolveOptions, Status
from verinet.program.problem import (
    Bilinear,
    ExactRow,
    Indicator,
    Maximum,
    Product,
    Programme,
    ProgrammeBuilder,
    Rows,
    Semantic,
    VariableKind,
)

__all__ = [
    "Bilinear",
    "ExactRow",
    "Expressions",
    "Indicator",
    "Maximum",
    "Outcome",
    "Product",
    "Programme",
    "ProgrammeBuilder",
    "Progress",
    "Rows",
    "Semantic",
    "SolveOptions",
    "Status",
    "VariableKind",
]
