"""From a property or a query to a verdict with evidence.

Conventions: engines *claim* that a region holds no counterexample, and every counterexample is confirmed by exact
evaluation before it leaves this room. A limit, an error or an odd status leaves a region open.
"""

from verinet.verify.cold_start import are_kernels_ready, compile_kernels
from verinet.verify.cone_search import ConeOptions, ConeResult, ConeSearch
from verinet.verify.derivative import derivative_signs
from verinet.verify.extremes import (
    OutputRange,
    extreme_value,
    largest_violation,
    nearest_counterexample,
    output_range,
    robust_radius,
)
from verinet.verify.finding import Finding, OpenBox, OpenPhases, Outlook
from verinet.verify.float_types import FloatQuestion, verify_float_query
from verinet.verify.monotone_copies import Copies
from verinet.verify.monotone_pieces import FallingPiece, SlopeReport, falling_pieces
from verinet.verify.objectives import Case, Change, Distance, Metric, Objective
from verinet.verify.optimise import Optimiser, maximise, minimise
from verinet.verify.optimum import Basis, OptimiseOptions, Optimum, OptimumProgress, OptimumStatus, Sense
from verinet.verify.options import Deadline, VerifyOptions
from verinet.verify.steepest import lipschitz_constant
from verinet.verify.verdict import Answer, Interrupted, Level, Replay, ReplayedPoint, Verdict, Witness
from verinet.verify.verifier import verify_property, verify_query

__all__ = [
    "Answer",
    "Basis",
    "Case",
    "Change",
    "ConeOptions",
    "ConeResult",
    "ConeSearch",
    "Copies",
    "Deadline",
    "Distance",
    "FallingPiece",
    "Finding",
    "FloatQuestion",
    "Interrupted",
    "Level",
    "Metric",
    "Objective",
    "OpenBox",
    "OpenPhases",
    "OptimiseOptions",
    "Optimiser",
    "Optimum",
    "OptimumProgress",
    "OptimumStatus",
    "Outlook",
    "OutputRange",
    "Replay",
    "ReplayedPoint",
    "Sense",
    "SlopeReport",
    "Verdict",
    "VerifyOptions",
    "Witness",
    "are_kernels_ready",
    "compile_kernels",
    "derivative_signs",
    "extreme_value",
    "falling_pieces",
    "largest_violation",
    "lipschitz_constant",
    "maximise",
    "minimise",
    "nearest_counterexample",
    "output_range",
    "robust_radius",
    "verify_float_query",
    "verify_property",
    "verify_query",
]
