"""Credit and marketing networks over their whole integer domains: ranges and linear questions, equal to the MILP's."""

import numpy as np
import pytest

from tests.performance.fairify.questions import EXPRESSIONS, FOLDER, MARGIN, Model, exceeding, read_model
from verinet.model import LinearExpression, Query, evaluate, evaluate_exact
from verinet.verify import (
    Answer,
    OptimiseOptions,
    OptimumStatus,
    OutputRange,
    VerifyOptions,
    output_range,
    verify_query,
)

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the Fairify networks are not in ../shared/bench/fairify")

NAMES = ("GC-1", "GC-2", "GC-3", "GC-4", "BM-1", "BM-2", "BM-3")

SLOW_BY_PHASES = {("BM-3", "range"), ("BM-3", "linear"), ("BM-1", "linear"), ("GC-2", "range"), ("GC-2", "linear")}
"""Bounds close these slowly: whole steps mean nothing to them."""

SECONDS = 30.0

TOLERANCE = 1e-6


def assert_it_holds_the_samples(model: Model, expression: LinearExpression, found: OutputRange) -> None:
    lower, upper = model.domain.box()
    rng = np.random.default_rng(0)
    points = rng.integers(lower.astype(int), upper.astype(int) + 1, size=(2000, model.domain.size)).astype(float)
    values = [float(expression.value(x, y)) for x, y in zip(points, evaluate(model.network, points), strict=True)]
    assert found.minimum.bound - TOLERANCE <= min(values)
    assert max(values) <= found.maximum.bound + TOLERANCE


def assert_it_decides(query: Query, engine: str, answer: Answer) -> None:
    options = VerifyOptions(engine=engine, timeout=SECONDS, cross_check_seconds=0.2)
    verdict = verify_query(query.network, query, options)
    assert verdict.answer is answer, (engine, verdict.reason)


@pytest.mark.parametrize("title", EXPRESSIONS)
@pytest.mark.parametrize("name", NAMES)
def test_ranges_and_thresholds_are_decided_and_equal_to_the_milp(name: str, title: str) -> None:
    model, expression = read_model(name), EXPRESSIONS[title]
    found = output_range(model.network, model.domain, expression, OptimiseOptions(engine="milp", timeout=SECONDS))
    for end in (found.minimum, found.maximum):
        assert end.status is OptimumStatus.OPTIMAL, end.reason
        assert end.point is not None
        assert model.domain.contains(end.point)
        assert expression.value(end.point, evaluate_exact(model.network, end.point)) == end.value
    assert_it_holds_the_samples(model, expression, found)
    greatest, least = found.maximum.value, found.minimum.value
    assert greatest is not None
    assert least is not None
    step = MARGIN * (greatest - least)
    reached, beyond = (exceeding(model, expression, t) for t in (greatest - step, greatest + step))
    for engine in ("auto", "phase"):
        assert_it_decides(reached, engine, Answer.VIOLATED)
        if engine == "auto" or (name, title) not in SLOW_BY_PHASES:
            assert_it_decides(beyond, engine, Answer.VERIFIED)
