"""Exact training of one-hidden-layer networks of any width.

Networks of every width are one convex problem with infinitely many columns, the units. Column generation solves it: a
master problem over the units found so far, and the verifier as the oracle that finds better units and bounds what any
could be worth. Features are scaled to 0..1; a unit's weights, its bias among them, have L1 norm 1.
"""

from verinet.train.any_width.convolution import Convolutional, Pooling, convolutional_family
from verinet.train.any_width.family import Family, dense_family
from verinet.train.any_width.filters import (
    ConvolutionalResult,
    ConvolutionalSpecification,
    FilterParameters,
    build_convolutional,
    round_filters,
    train_convolutional,
)
from verinet.train.any_width.generation import Generation, Problem, Round, generate
from verinet.train.any_width.path import (
    PathPoint,
    PathRule,
    RegularisationPath,
    Score,
    Validation,
    cross_validate,
    regularisation_path,
)
from verinet.train.any_width.pricing import Pricer, Unit
from verinet.train.any_width.trainer import UnitSum, assemble, gap_between, prepare_problem, train_any_width
from verinet.train.any_width.universal import train_universal

__all__ = [
    "Convolutional",
    "ConvolutionalResult",
    "ConvolutionalSpecification",
    "Family",
    "FilterParameters",
    "Generation",
    "PathPoint",
    "PathRule",
    "Pooling",
    "Pricer",
    "Problem",
    "RegularisationPath",
    "Round",
    "Score",
    "Unit",
    "UnitSum",
    "Validation",
    "assemble",
    "build_convolutional",
    "convolutional_family",
    "cross_validate",
    "dense_family",
    "gap_between",
    "generate",
    "prepare_problem",
    "regularisation_path",
    "round_filters",
    "train_any_width",
    "train_convolutional",
    "train_universal",
]
