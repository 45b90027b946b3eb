"""Exact training of one-hidden-layer networks of any width.

Networks of every width are one convex problem with infinitely many columns, the units. Column generation solves it: a
master problem over the units found so far, and the verifier as the oracle that finds better units and bounds what any
could be worth. Features are scaled to 0..1; a unit's weights, its bias among them, have L1 norm 1.
"""

from verinet.train.any_width.convolution import Convolutional, Pooling, convolutional_family
from verinet.train.any_width.family import Family, dense_family
from verinet.train.any_width.filter_export import (
    FilterParameters,
    build_convolutional,
    combine_filters,
    round_filters,
)
from verinet.train.any_width.filters import ConvolutionalResult, ConvolutionalSpecification, train_convolutional
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
from verinet.train.any_width.trainer import gap_between, prepare_problem, train_any_width
from verinet.train.any_width.unit_sum import UnitSum, assemble
from verinet.train.any_width.universal import search_universal, train_universal

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
    "combine_filters",
    "convolutional_family",
    "cross_validate",
    "dense_family",
    "gap_between",
    "generate",
    "prepare_problem",
    "regularisation_path",
    "round_filters",
    "search_universal",
    "train_any_width",
    "train_convolutional",
    "train_universal",
]
