"""Small stacks of layers, tables for them, and what tests of their training share."""

import numpy as np
import pytest

from verinet.encode import lower_programme
from verinet.program import SolveOptions, Status
from verinet.solve import choose, get
from verinet.train import Loss, TrainingData, TrainOptions
from verinet.train.layered import (
    Architecture,
    ConvolutionLayer,
    DenseLayer,
    FlattenLayer,
    GatedLayer,
    LayeredSpecification,
    LayerValues,
    MaxPoolLayer,
    ReluLayer,
    Tightening,
    build_layered,
)

__all__ = [
    "ARCHITECTURES",
    "CLASSES",
    "DENSE",
    "GATED",
    "IMAGE",
    "QUICK",
    "needs",
    "random_values",
    "solve",
    "table",
]

QUICK = TrainOptions(time_limit=60, gap_tolerance=1e-7)

DENSE = Architecture((2,), (DenseLayer(1), ReluLayer(), DenseLayer(1)))
IMAGE = Architecture(
    (1, 3, 3),
    (ConvolutionLayer(1, (2, 2), bias=False), ReluLayer(), MaxPoolLayer((2, 2)), FlattenLayer(), DenseLayer(1)),
)
GATED = Architecture((1,), (GatedLayer(), DenseLayer(1)))
DEEP = Architecture((1,), (DenseLayer(1), ReluLayer(), DenseLayer(1), ReluLayer(), DenseLayer(1, bias=False)))
CLASSES = Architecture((1,), (DenseLayer(1), ReluLayer(), DenseLayer(3)))
ARCHITECTURES = {"dense": DENSE, "image": IMAGE, "gated": GATED, "deep": DEEP, "classes": CLASSES}


def table(architecture: Architecture, samples: int, seed: int, loss: Loss = Loss.HINGE) -> TrainingData:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 5, size=(samples, int(np.prod(architecture.input_shape)))).astype(np.float64)
    x[0], x[1] = 0.0, 4.0
    if not loss.classifies:
        y = rng.integers(0, 9, size=samples) / 2.0
        y[:2] = 0.0, 4.0
    elif architecture.outputs == 1:
        y = rng.choice([-1.0, 1.0], size=samples)
        y[:2] = -1.0, 1.0
    else:
        y = rng.integers(0, architecture.outputs, size=samples).astype(np.float64)
        y[: architecture.outputs] = np.arange(architecture.outputs)
    classes = loss.classifies and architecture.outputs == 1
    return TrainingData.prepare(x, y, classes=classes, shared=len(architecture.input_shape) == 3)


def solve(specification: LayeredSpecification, data: TrainingData, solver: str, tightening: Tightening) -> float:
    layered = build_layered(specification, data, tightening)
    lowered = lower_programme(layered.programme)
    outcome = choose(lowered.programme, solver).backend.solve(lowered.programme, SolveOptions(time_limit=60))
    assert outcome.status is Status.OPTIMAL
    return float(outcome.objective)


def needs(solver: str) -> None:
    if not get(solver).is_installed():
        pytest.skip(f"{solver} is not installed")


def random_values(architecture: Architecture, seed: int) -> dict[int, LayerValues]:
    rng = np.random.default_rng(seed)
    values = {}
    for position in architecture.weighted:
        shape = architecture.kernel_shape(position)
        weights = rng.integers(-1, 2, size=shape) * (rng.random(shape) < 0.5)
        biases = rng.integers(-1, 2, size=shape[0]) * (rng.random(shape[0]) < 0.5)
        gate = not isinstance(architecture.layers[position], GatedLayer) or bool(rng.random() < 0.5)
        values[position] = LayerValues(weights.astype(np.float64), biases.astype(np.float64), gate)
    return values
