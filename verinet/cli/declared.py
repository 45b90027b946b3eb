"""``verinet verify`` for VNN-LIB 2: from declared networks and their files to a verdict and an assignment."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from verinet.bounds import FLOAT_FORMATS
from verinet.io import BoundQuery, NamedPath, VnnlibQuery, bind, format_declared_assignment, write_declared_assignment
from verinet.numeric import FloatArray
from verinet.verify import (
    Answer,
    Copies,
    FloatQuestion,
    Verdict,
    VerifyOptions,
    verify_float_query,
    verify_query,
)

__all__ = ["DeclaredQuestion", "read_declared"]


@dataclass(frozen=True, eq=False)
class DeclaredQuestion:
    """A VNN-LIB 2 query with its model files."""

    bound: BoundQuery

    def judge(self, options: VerifyOptions) -> Verdict:
        """Answer the query: about exact numbers if it says ``real``, else about what its float type computes."""
        verdict = self._declared_inputs(self._judged(options))
        if self.bound.is_whole or verdict.answer in (Answer.VIOLATED, Answer.UNKNOWN):
            return verdict
        reason = "no counterexample was found near zero, and inputs without bounds allow no proof; assert their bounds"
        return Verdict(Answer.UNKNOWN, engine=verdict.engine, seconds=verdict.seconds, reason=reason)

    def _declared_inputs(self, verdict: Verdict) -> Verdict:
        """Return the verdict with the counterexample's inputs as they are declared."""
        if verdict.witness is None:
            return verdict
        (point,) = verdict.witness.points
        whole = replace(point, inputs=self.bound.identification.invert(point.inputs))
        return replace(verdict, witness=replace(verdict.witness, points=(whole,)))

    def _judged(self, options: VerifyOptions) -> Verdict:
        bound = self.bound
        has_runtime = all(file.runtime is not None for file in bound.files)
        options = replace(options, replay=self._replay if has_runtime else None)
        query = bound.query
        if bound.declared.is_real:
            return verify_query(query.network, query, options, is_comparison=bound.is_comparison, copies=self._copies())
        (element_type,) = bound.declared.element_types
        question = FloatQuestion(
            query,
            bound.spelled_out(),
            FLOAT_FORMATS[element_type],
            bound.declared.arithmetic,
            bound.is_comparison,
        )
        return verify_float_query(question, options)

    def _copies(self) -> Copies | None:
        """Return the copies where one network that only shows its inputs and outputs is compared with itself."""
        bound = self.bound
        if len(bound.files) != 2 or bound.files[0] is not bound.files[1] or bound.files[0].hidden:
            return None
        first, second = (tuple(bound.identification.columns[i] for i in own) for own in bound.columns)
        return Copies(bound.files[0].network, first, second)

    def assignment(self, verdict: Verdict) -> str:
        """Write the counterexample as the standard's command line does; nothing if there is none."""
        values = self._values(verdict)
        return "" if values is None else format_declared_assignment(self.bound.declared, *values)

    def serialise(self, verdict: Verdict, folder: Path) -> None:
        """Write the counterexample, if there is one, as a folder of ONNX tensors."""
        values = self._values(verdict)
        if values is not None:
            write_declared_assignment(folder, self.bound.declared, *values)

    def _values(self, verdict: Verdict) -> tuple[Sequence[Fraction], Sequence[Fraction]] | None:
        if verdict.witness is None:
            return None
        (point,) = verdict.witness.points
        outputs = point.outputs
        if not self.bound.declared.is_real and point.replayed is not None:
            # A query about a float type is answered with what that type computes.
            outputs = tuple(Fraction(value) for value in point.replayed)
        return point.inputs, outputs

    def _replay(self, point: Sequence[Fraction]) -> FloatArray:
        values = self.bound.replay(point)
        return np.zeros(0) if values is None else values


def read_declared(declared: VnnlibQuery, networks: Sequence[NamedPath]) -> DeclaredQuestion:
    """Read the model files of a query.

    Raises
    ------
    InputError
        If they do not fit its declarations, or it is about a type that is not answered.
    """
    return DeclaredQuestion(bind(declared, networks))
