"""Networks of so many units and continuous weights under properties, by a mixed-integer programme."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from verinet.program import Status
from verinet.train.certified.search import Conclusion, Solution, Task
from verinet.train.data import TrainingData
from verinet.train.result import TrainingResult
from verinet.train.specification import Specification, TrainOptions, UniversalProperty
from verinet.train.sufficient import sufficient_signs
from verinet.train.trainer import LEAST_MARGIN, solve_network, train

__all__ = ["OneLayerMaster"]


@dataclass(frozen=True, eq=False)
class OneLayerMaster:
    """Training of a sign-normalised network as the loop around it sees it.

    Parameters
    ----------
    data : TrainingData
    specification : Specification
    options : TrainOptions
    """

    data: TrainingData
    specification: Specification
    options: TrainOptions

    @property
    def scope(self) -> str:
        """What programmes without a solution say that there is none of."""
        return "no network of the specification"

    @property
    def can_exclude(self) -> bool:
        """Whether single networks can be left out: next to one of continuous weights there are always others."""
        return False

    def solve(self, task: Task[TrainingResult], seconds: float) -> Solution[TrainingResult]:
        """Train under demands: a bound without a margin, a network with one."""
        margin = max(task.margin, LEAST_MARGIN)
        solution = solve_network(self.data, self.specification, self._limited(seconds), task.demands, margin)
        return Solution(solution.result, _values(solution.result), (solution.bound,), solution.reason)

    def _limited(self, seconds: float) -> TrainOptions:
        return replace(self.options, time_limit=max(seconds, 0.1), on_progress=lambda _: None)

    def sufficient(self, properties: Sequence[UniversalProperty], seconds: float) -> Solution[TrainingResult] | None:
        """Train with linear rows that make the network monotone, on data without the protected features."""
        signs = sufficient_signs(properties)
        if signs is None:
            return None
        x, unused = self.data.x.copy(), list(signs.unused)
        # A feature of one value is scaled to zero: its weights cost and do nothing.
        x[:, unused] = self.data.scaling.offset[unused]
        monotone = {**signs.monotone, **self.specification.monotone}
        specification = replace(self.specification, monotone=monotone)
        result = train(replace(self.data, x=x), specification, self._limited(seconds))
        return Solution(result, _values(result), (-np.inf,), "weights are restricted")

    def constant(self, seconds: float) -> Solution[TrainingResult]:
        """Train without units."""
        specification = replace(self.specification, positive_units=0, negative_units=0, skip=False, monotone={})
        result = train(self.data, specification, self._limited(seconds))
        return Solution(result, _values(result), (-np.inf,), "there are no units")

    def conclude(self, result: TrainingResult, conclusion: Conclusion) -> TrainingResult:
        """Write the bound under the properties into the record."""
        value = float(result.record.objective)
        bound = min(conclusion.bounds[0], value)
        notes = () if conclusion.proven else (f"the optimum is not proven: {conclusion.reason}",)
        record = replace(
            result.record,
            bound=bound,
            gap=max(0.0, value - bound) / max(abs(value), 1e-10),
            status=Status.OPTIMAL if conclusion.proven else Status.UNKNOWN,
            seconds=conclusion.seconds,
            notes=notes,
            history=conclusion.history,
            universal=conclusion.universal,
        )
        return replace(result, record=record)


def _values(result: TrainingResult | None) -> tuple[Fraction, ...]:
    return () if result is None else (result.record.objective,)
