"""A monotone property and its VNN-LIB 2 query over two equal networks get the same verdict."""

import numpy as np
import pytest

from tests.conformance.monotone_texts import Question
from verinet.io import write_onnx
from verinet.model import dense_network


@pytest.mark.parametrize("direction", ["increasing", "decreasing"])
def test_small_networks(tmp_path, direction):
    words = set()
    question = Question(("-1.0", "0.0", "-0.5"), ("1.0", "1.0", "0.5"), direction, 1, 2, ("1,3", "1,2"), "0,")
    for seed in range(6):
        rng = np.random.default_rng(seed)
        weights = [rng.normal(size=shape).astype(np.float32).astype(float) for shape in ((5, 3), (2, 5))]
        if seed % 2:
            weights[0][:, 0], weights[1][1] = np.abs(weights[0][:, 0]), np.abs(weights[1][1])
        biases = [rng.normal(size=n).astype(np.float32).astype(float) for n in (5, 2)]
        write_onnx(dense_network(weights, biases), tmp_path / "m.onnx")
        answer, word = question.ask(tmp_path, tmp_path / "m.onnx")
        assert answer == word
        words.add(word)
    assert "sat" in words
    assert direction == "decreasing" or "unsat" in words


@pytest.mark.parametrize(("output", "direction"), [(0, "decreasing"), (0, "increasing"), (1, "increasing")])
def test_a_benchmark_network(shared, tmp_path, output, direction):
    network = shared / "bench" / "acasxu" / "onnx" / "ACASXU_run2a_1_1_batch_2000.onnx"
    if not network.exists():
        pytest.skip(f"{network} is absent")
    lower, upper = ("0.6", "-0.0001", "-0.0001", "0.45", "-0.5"), ("0.6002", "0.0001", "0.0001", "0.4501", "-0.4999")
    answer, word = Question(lower, upper, direction, output, 5, ("1,1,1,5", "1,5"), "0,0,0,").ask(tmp_path, network)
    assert answer == word
    assert word != "unknown"
