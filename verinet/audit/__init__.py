"""What is handed over: records of verdicts and trainings, formulas and pictures of trained networks.

Conventions: a record names files by their content (SHA-256), holds exact numbers as fractions, and never merges
assurance levels.
"""

from verinet.audit.drawing import draw_network
from verinet.audit.filters_picture import draw_filters
from verinet.audit.formulas import filter_formulas, network_formulas
from verinet.audit.optima import OptimumRecord, PlaceRecord
from verinet.audit.path_picture import draw_path
from verinet.audit.progress_picture import draw_progress
from verinet.audit.records import (
    BoxRecord,
    DualRecord,
    FileRecord,
    NumberRecord,
    PhasesRecord,
    PointRecord,
    PriceRecord,
    ProgressRecord,
    SeveralTrainingsRecord,
    TrainingFileRecord,
    VerdictRecord,
)
from verinet.audit.repairs import RepairRecord, ScoreRecord
from verinet.audit.units_picture import draw_units

__all__ = [
    "BoxRecord",
    "DualRecord",
    "FileRecord",
    "NumberRecord",
    "OptimumRecord",
    "PhasesRecord",
    "PlaceRecord",
    "PointRecord",
    "PriceRecord",
    "ProgressRecord",
    "RepairRecord",
    "ScoreRecord",
    "SeveralTrainingsRecord",
    "TrainingFileRecord",
    "VerdictRecord",
    "draw_filters",
    "draw_network",
    "draw_path",
    "draw_progress",
    "draw_units",
    "filter_formulas",
    "network_formulas",
]
