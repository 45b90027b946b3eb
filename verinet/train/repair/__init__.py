"""Repair: the smallest change of one layer of a given network such that properties hold, by counterexamples.

With all other layers fixed, the outputs at a counterexample are functions of the layer's weights: linear ones where no
ReLU follows, piecewise-linear ones else. The loop is that of training under properties.
"""

from verinet.train.repair.layer import RepairLayer, repair_layers
from verinet.train.repair.repairing import ChangeNorm, Repaired, RepairOptions, repair
from verinet.train.repair.score import Score, score_of

__all__ = [
    "ChangeNorm",
    "RepairLayer",
    "RepairOptions",
    "Repaired",
    "Score",
    "repair",
    "repair_layers",
    "score_of",
]
