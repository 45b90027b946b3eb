"""Damaged files get a verdict or one sentence: a short version of `tests/performance/fuzz`."""

import random

import pytest

from tests.performance.fuzz.damage import cases, complaint, damaged

FILES_OF_A_KIND = 40


@pytest.mark.parametrize("position", range(5))
def test_a_damaged_file_gets_a_verdict_or_a_sentence(tmp_path, position):
    case = cases(tmp_path)[position]
    assert complaint(case, tmp_path, case.content) == ""
    rng = random.Random(position)
    for _ in range(FILES_OF_A_KIND):
        content = damaged(case.content, rng)
        assert complaint(case, tmp_path, content) == "", content
