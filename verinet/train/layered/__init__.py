"""Training of stacks of layers with quantised weights: dense, convolutional, pooled and gated, pruned at every level.

A specification names an architecture and goals. Local search finds good weights; small networks of one hidden layer,
dense or of filters, and of two are settled by enumerating their units; few weights at few errors are annealed, and of
one hidden layer counted up; everything else is a mixed-integer programme over the verifier's own encodings.
"""

from verinet.train.layered.architecture import (
    Architecture,
    AveragePoolLayer,
    Continuous,
    ConvolutionLayer,
    DenseLayer,
    FlattenLayer,
    GatedLayer,
    Layer,
    LayerValues,
    MaxPoolLayer,
    Quantised,
    ReluLayer,
    binary,
    integer,
    ternary,
)
from verinet.train.layered.demands import LayeredDemands
from verinet.train.layered.network import build_layers
from verinet.train.layered.programme import LayeredProgramme, build_layered
from verinet.train.layered.specification import Goal, LayeredSpecification, Tightening
from verinet.train.layered.trainer import (
    GoalResult,
    LayeredResult,
    LayeredSolution,
    output_scaling,
    solve_layered,
    solve_within,
    train_layered,
)

__all__ = [
    "Architecture",
    "AveragePoolLayer",
    "Continuous",
    "ConvolutionLayer",
    "DenseLayer",
    "FlattenLayer",
    "GatedLayer",
    "Goal",
    "GoalResult",
    "Layer",
    "LayerValues",
    "LayeredDemands",
    "LayeredProgramme",
    "LayeredResult",
    "LayeredSolution",
    "LayeredSpecification",
    "MaxPoolLayer",
    "Quantised",
    "ReluLayer",
    "Tightening",
    "binary",
    "build_layered",
    "build_layers",
    "integer",
    "output_scaling",
    "solve_layered",
    "solve_within",
    "ternary",
    "train_layered",
]
