"""What is handed over: records of verdicts and trainings, formulas and pictures of trained networks.

Conventions: a record names files by their content (SHA-256), holds exact numbers as fractions, and never merges
assurance levels.
"""

from verinet.audit.drawing import draw_network
from verinet.audit.formulas import network_formulas
from verinet.audit.optima import OptimumRecord, PlaceRecord
from verinet.audit.records import (
    BoxRecord,
    FileRecord,
    NumberRecord,
    PhasesRecord,
    PointRecord,
    TrainingFileRecord,
    VerdictRecord,
)

__all__ = [
    "BoxRecord",
    "FileRecord",
    "NumberRecord",
    "OptimumRecord",
    "PhasesRecord",
    "PlaceRecord",
    "PointRecord",
    "TrainingFileRecord",
    "VerdictRecord",
    "draw_network",
    "network_formulas",
]
