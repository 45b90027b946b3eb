"""Training of small ReLU networks to proven optimality.

Conventions: features are scaled to 0..1 inside and raw outside; classes are -1 and 1; objectives are recomputed
exactly from the exported network, bounds are the solver's claims. `verinet.train.estimators` holds the scikit-learn
surface and is imported only when asked for.
"""

from verinet.train.any_width import (
    Path,
    PathPoint,
    PathRule,
    Score,
    Validation,
    cross_validate,
    regularisation_path,
    train_any_width,
)
from verinet.train.data import Scaling, TrainingData
from verinet.train.export import RawParameters
from verinet.train.result import Method, TrainingRecord, TrainingResult
from verinet.train.specification import (
    AnyWidthSpecification,
    Budget,
    Loss,
    Objective,
    Skip,
    Specification,
    TrainOptions,
)
from verinet.train.trainer import train

__all__ = [
    "AnyWidthSpecification",
    "Budget",
    "Loss",
    "Method",
    "Objective",
    "Path",
    "PathPoint",
    "PathRule",
    "RawParameters",
    "Scaling",
    "Score",
    "Skip",
    "Specification",
    "TrainOptions",
    "TrainingData",
    "TrainingRecord",
    "TrainingResult",
    "Validation",
    "cross_validate",
    "regularisation_path",
    "train",
    "train_any_width",
]
