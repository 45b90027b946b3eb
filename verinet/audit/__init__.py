"""What is handed over: records of verdicts and trainings; networks as formulas, rules, pictures and pages.

Conventions: a record names files by their content (SHA-256), holds exact numbers as fractions, and never merges
assurance levels.
"""

from verinet.audit.directions import Direction, Effect, effects_of
from verinet.audit.drawings import Drawings, draw_all
from verinet.audit.filters_picture import draw_filters
from verinet.audit.formulas import filter_formulas, formulas_of, network_formulas
from verinet.audit.graph_picture import draw_network
from verinet.audit.optima import OptimumRecord, PlaceRecord
from verinet.audit.page import network_page
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
from verinet.audit.rules import Rule, Rules, Sample, Target, extract_rules, rules_text
from verinet.audit.stages import Stage, network_stages, uses_of_weights
from verinet.audit.trained import Trained
from verinet.audit.units_picture import draw_units

__all__ = [
    "BoxRecord",
    "Direction",
    "Drawings",
    "DualRecord",
    "Effect",
    "FileRecord",
    "NumberRecord",
    "OptimumRecord",
    "PhasesRecord",
    "PlaceRecord",
    "PointRecord",
    "PriceRecord",
    "ProgressRecord",
    "RepairRecord",
    "Rule",
    "Rules",
    "Sample",
    "ScoreRecord",
    "SeveralTrainingsRecord",
    "Stage",
    "Target",
    "Trained",
    "TrainingFileRecord",
    "VerdictRecord",
    "draw_all",
    "draw_filters",
    "draw_network",
    "draw_path",
    "draw_progress",
    "draw_units",
    "effects_of",
    "extract_rules",
    "filter_formulas",
    "formulas_of",
    "network_formulas",
    "network_page",
    "network_stages",
    "rules_text",
    "uses_of_weights",
]
