"""Training of small ReLU networks to proven optimality.

Conventions: features are scaled to 0..1 inside and raw outside; classes are -1 and 1; objectives are recomputed
exactly from the exported network; a bound's basis says who vouches for it. `verinet.train.estimators` holds the
scikit-learn surface and is imported only when asked for.
"""

from verinet.train.any_width import (
    Convolutional,
    ConvolutionalResult,
    ConvolutionalSpecification,
    FilterParameters,
    PathPoint,
    PathRule,
    Pooling,
    RegularisationPath,
    Score,
    Validation,
    cross_validate,
    regularisation_path,
    train_any_width,
    train_convolutional,
    train_universal,
)
from verinet.train.combination import combine
from verinet.train.data import Scaling, TrainingData
from verinet.train.dispatch import train_network
from verinet.train.dual import DualSolution
from verinet.train.export import RawParameters, read_back
from verinet.train.outputs import AnySpecification, TrainedOutputs, train_outputs
from verinet.train.result import (
    CertifiedResult,
    Earlier,
    KeptConstraint,
    Method,
    TrainingRecord,
    TrainingResult,
    UniversalRecord,
)
from verinet.train.specification import (
    AnyWidthSpecification,
    Budget,
    ConstraintRound,
    Loss,
    Objective,
    PointCondition,
    Skip,
    Specification,
    TrainOptions,
    UnitTightening,
    UniversalConstraint,
    UniversalFair,
    UniversalMonotone,
    UniversalProperty,
)
from verinet.train.trainer import train

__all__ = [
    "AnySpecification",
    "AnyWidthSpecification",
    "Budget",
    "CertifiedResult",
    "ConstraintRound",
    "Convolutional",
    "ConvolutionalResult",
    "ConvolutionalSpecification",
    "DualSolution",
    "Earlier",
    "FilterParameters",
    "KeptConstraint",
    "Loss",
    "Method",
    "Objective",
    "PathPoint",
    "PathRule",
    "PointCondition",
    "Pooling",
    "RawParameters",
    "RegularisationPath",
    "Scaling",
    "Score",
    "Skip",
    "Specification",
    "TrainOptions",
    "TrainedOutputs",
    "TrainingData",
    "TrainingRecord",
    "TrainingResult",
    "UnitTightening",
    "UniversalConstraint",
    "UniversalFair",
    "UniversalMonotone",
    "UniversalProperty",
    "UniversalRecord",
    "Validation",
    "combine",
    "cross_validate",
    "read_back",
    "regularisation_path",
    "train",
    "train_any_width",
    "train_convolutional",
    "train_network",
    "train_outputs",
    "train_universal",
]
