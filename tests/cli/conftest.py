"""A small network of income and debt, and its file."""

from pathlib import Path

import pytest

from tests.cli.commands import BIASES, WEIGHTS
from verinet.io import write_onnx
from verinet.model import Network, dense_network


@pytest.fixture
def network() -> Network:
    return dense_network(WEIGHTS, BIASES)


@pytest.fixture
def model(tmp_path: Path, network: Network) -> Path:
    path = tmp_path / "model.onnx"
    write_onnx(network, path)
    return path
