"""Which trainings are small enough for the search over cells, and their relaxation."""

import numpy as np

from verinet.train.any_width.band import BANDS
from verinet.train.cells.rays import find_rays, ray_count
from verinet.train.cells.relaxation import Relaxation
from verinet.train.data import TrainingData
from verinet.train.specification import Budget, Specification

__all__ = ["prepare_cells"]

MOST_HEIGHTS = 20_000_000
"""Of rays at samples, in memory: some seconds and a quarter of a gigabyte."""


def prepare_cells(data: TrainingData, specification: Specification) -> Relaxation | None:
    """Return the relaxation over all rays, or None where that is not for this specification or data.

    Parameters
    ----------
    data : TrainingData
    specification : Specification
        Prices and budgets that count, monotone rows and the 0/1 loss are for the mixed-integer programme.
    """
    objective = specification.objective
    counts = objective.l0 or objective.unit_penalty or objective.feature_penalty or specification.budget != Budget()
    if counts or specification.monotone or objective.loss not in BANDS or not specification.signs:
        return None
    samples, width = len(data.y), len(data.names) + 1
    if ray_count(samples, width) * samples > MOST_HEIGHTS:
        return None
    rays = find_rays(np.column_stack([data.scaled_x, np.ones(samples)]))
    return None if rays is None else Relaxation(data, specification, rays)
