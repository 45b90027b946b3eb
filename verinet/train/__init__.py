"""Training of small ReLU networks to proven optimality.

Conventions: features are scaled to 0..1 inside and raw outside; classes are -1 and 1; objectives are recomputed
exactly from the exported network, bounds are the solver's claims. `verinet.train.estimators` holds the scikit-learn
surface and is imported only when asked for.
"""

from verinet.train.data import Scaling, TrainingData
from verinet.train.export import RawParameters
from verinet.train.specification import Budget, Loss, Objective, Specification, TrainOptions
from verinet.train.trainer import TrainingRecord, TrainingResult, train

__all__ = [
    "Budget",
    "Loss",
    "Objective",
    "RawParameters",
    "Scaling",
    "Specification",
    "TrainOptions",
    "TrainingData",
    "TrainingRecord",
    "TrainingResult",
    "train",
]
