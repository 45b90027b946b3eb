"""Enumeration of units, of filters and of networks behind sets of units: the optimum and the bound of brute force."""

import tracemalloc
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.every_network import brute_force
from tests.train.layered_cases import ARCHITECTURES as SMALL
from tests.train.layered_cases import QUICK, needs, random_values, solve, table
from verinet.compiling import kernel_folder
from verinet.encode import lower_programme
from verinet.model import evaluate_exact_batch
from verinet.program import Status
from verinet.train import Loss, Objective, TrainingData
from verinet.train.data import Scaling
from verinet.train.layered import (
    Architecture,
    ConvolutionLayer,
    DenseLayer,
    FlattenLayer,
    GatedLayer,
    Goal,
    LayeredSpecification,
    LayerValues,
    MaxPoolLayer,
    ReluLayer,
    Tightening,
    build_layered,
    build_layers,
    integer,
    train_layered,
)
from verinet.train.layered.compiled import KERNELS
from verinet.train.layered.enumeration import Enumeration
from verinet.train.layered.enumerators import enumerator_for
from verinet.train.layered.forward import outputs_of
from verinet.train.layered.pricing import PIECES, Pricing
from verinet.train.layered.programme import samples_of
from verinet.train.layered.scoring import goals_of
from verinet.train.layered.search import priced_specifications, search
from verinet.train.layered.units import lay_out, places

TWO_CELLS = Architecture((1, 1, 3), (ConvolutionLayer(1, (1, 2)), ReluLayer(), FlattenLayer(), DenseLayer(1)))
POOLED = Architecture(
    (1, 2, 4), (ConvolutionLayer(1, (1, 1)), ReluLayer(), MaxPoolLayer(), FlattenLayer(), DenseLayer(1))
)
TWO_FILTERS = Architecture(
    (1, 1, 2), (ConvolutionLayer(2, (1, 1), bias=False), ReluLayer(), FlattenLayer(), DenseLayer(1))
)
COARSE = Architecture((1,), (DenseLayer(1, integer(2)), ReluLayer(), DenseLayer(1, integer(2))))
STACK = Architecture((1,), (DenseLayer(2, bias=False), ReluLayer(), DenseLayer(1), ReluLayer(), DenseLayer(1)))
TWINS = Architecture(
    (1,), (DenseLayer(1), ReluLayer(), DenseLayer(2, bias=False), ReluLayer(), DenseLayer(1, bias=False))
)
LOSSES = [Loss.HINGE, Loss.L1, Loss.PINBALL, Loss.EPSILON_INSENSITIVE]


def forever() -> bool:
    return True


@settings(deadline=None, max_examples=16)
@given(
    seed=st.integers(0, 10**6),
    loss=st.sampled_from(LOSSES),
    architecture=st.sampled_from([TWO_CELLS, POOLED, TWO_FILTERS, COARSE, STACK, TWINS]),
)
def test_enumeration_is_brute_force(seed: int, loss: Loss, architecture: Architecture) -> None:
    data = table(architecture, 7, seed, loss)
    specification = LayeredSpecification(architecture, Objective(loss, margin=0.5, l1=0.01, l0=0.02, unit_penalty=0.01))
    enumerator, samples = enumerator_for(specification, len(data.y)), samples_of(data, specification)
    assert enumerator is not None
    found = enumerator.enumerate(Enumeration(specification, samples, data.scaled_x, np.inf, forever))
    best = brute_force(specification, data)[0]
    assert found.complete
    assert found.objective == pytest.approx(best, abs=1e-9)
    assert best - 1e-9 < found.bound <= best
    assert found.values is not None
    outputs = outputs_of(architecture, data.scaled_x, found.values)
    assert goals_of(specification, samples, found.values, outputs)[0] == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("architecture", [TWO_CELLS, STACK])
def test_time_that_is_up_leaves_a_bound(architecture: Architecture) -> None:
    data = table(architecture, 9, 3)
    specification = LayeredSpecification(architecture, Objective(Loss.HINGE, margin=0.5, l1=0.0, l0=0.02))
    samples, best = samples_of(data, specification), brute_force(specification, data)[0]
    enumerator = enumerator_for(specification, 9)
    assert enumerator is not None
    cut = enumerator.enumerate(Enumeration(specification, samples, data.scaled_x, best + 0.1, lambda: False))
    assert not cut.complete
    assert cut.bound <= best


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_prices_bound_every_network_with_its_slacks(seed: int) -> None:
    """The bound and the slacks of a network's units and reads lie below its objective, whatever the network."""
    rng = np.random.default_rng(seed)
    data = table(TWO_FILTERS, 8, seed)
    specification = LayeredSpecification(TWO_FILTERS, Objective(Loss.HINGE, margin=0.5, l1=0.01, l0=0.02))
    samples, units = samples_of(data, specification), lay_out(specification, data.scaled_x)
    pricing = Pricing(units, places(TWO_FILTERS), PIECES[Loss.HINGE](specification, samples.targets), samples.weights)
    for constant in units.constants:
        priced = pricing.price(float(constant), forever)
        for _ in range(20):
            chosen = rng.integers(-1, len(units.costs), 2)
            reads = rng.integers(0, 3, (2, 2))
            slack = sum(
                priced.slacks[u] + priced.options[u, np.arange(2), r].sum() if u >= 0 else priced.idle
                for u, r in zip(chosen, reads, strict=True)
            )
            values = units.values(TWO_FILTERS, chosen, units.reads[reads], float(constant))
            outputs = outputs_of(TWO_FILTERS, data.scaled_x, values)
            assert priced.bound + slack <= goals_of(specification, samples, values, outputs)[0] + 1e-9


def test_a_stack_is_settled_by_enumeration() -> None:
    data = table(STACK, 8, 1)
    specification = LayeredSpecification(STACK, Objective(Loss.HINGE, margin=0.5, l1=0.0, l0=0.01))
    record = train_layered(data, specification, replace(QUICK, time_limit=30)).record
    assert "enumeration" in record.basis
    assert record.status is Status.OPTIMAL
    assert float(record.objective) == pytest.approx(brute_force(specification, data)[0], abs=1e-9)


@pytest.mark.parametrize("solver", ["scip", "cpsat"])
@pytest.mark.parametrize("name", ["dense", "image", "gated"])
def test_programmes_of_other_solvers_have_the_optimum_of_brute_force(name: str, solver: str) -> None:
    needs(solver)
    # Eight samples and dyadic prices: CP-SAT takes numbers of few binary digits only.
    architecture = SMALL[name]
    data = table(architecture, 8, 3)
    objective = Objective(Loss.HINGE, margin=0.5, l1=1 / 128, l0=1 / 64, unit_penalty=1 / 128)
    specification = LayeredSpecification(architecture, objective, layer_penalty=1 / 32)
    best = brute_force(specification, data)[0]
    for tightening in (Tightening(), Tightening.none()):
        assert solve(specification, data, solver, tightening) == pytest.approx(best, abs=1e-6)


def test_programmes_are_built_without_much_memory() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (100, 10)).round(2)
    data = TrainingData.prepare(x, np.where(rng.random(100) < 0.5, -1.0, 1.0), classes=True)
    architecture = Architecture((10,), (DenseLayer(2), ReluLayer(), DenseLayer(1)))
    tracemalloc.start()
    try:
        lower_programme(build_layered(LayeredSpecification(architecture), data).programme)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 500 * 2**20


def test_the_exported_network_is_the_gated_model() -> None:
    """``g relu(W x + b) + (1 - g) x``, written out in rationals, is the network on 1000 inputs, gate on or off."""
    architecture = Architecture((3,), (GatedLayer(), GatedLayer(), DenseLayer(1)))
    rng = np.random.default_rng(0)
    # Powers of two scale without rounding.
    scaling = Scaling(np.array([0.0, 1.0, -2.0]), np.array([1.0, 4.0, 0.5]))
    for gates in product((False, True), repeat=2):
        values = random_values(architecture, 5)
        for position, gate in enumerate(gates):
            values[position] = replace(values[position], gate=gate)
        network = build_layers(architecture, values, scaling)
        x = rng.uniform(-3, 3, (250, 3))
        for raw, (output,) in zip(x, evaluate_exact_batch(network, x), strict=True):
            h = [
                (Fraction(v) - Fraction(o)) / Fraction(w)
                for v, o, w in zip(raw, scaling.offset, scaling.width, strict=True)
            ]
            for position, gate in enumerate(gates):
                after = affine(values[position], h)
                h = [gate * max(a, Fraction(0)) + (1 - gate) * v for a, v in zip(after, h, strict=True)]
            assert output == affine(values[2], h)[0]


def affine(own: LayerValues, h: list[Fraction]) -> list[Fraction]:
    return [
        sum((Fraction(w) * v for w, v in zip(row, h, strict=True)), Fraction(bias))
        for row, bias in zip(own.weights, own.biases, strict=True)
    ]


def test_priced_search_finds_the_fewest_nonzeros_of_a_planted_network() -> None:
    """One weight and one read tell the classes; two of each are what descents find, of 39."""
    rng = np.random.default_rng(4)
    x = rng.uniform(0, 1, (40, 12)).round(2)
    high = x[:, 3] > 0.5
    x[:, 3] += np.where(high, 0.25, -0.25)
    data = TrainingData.prepare(x, np.where(high, 1.0, -1.0), classes=True)
    architecture = Architecture((12,), (DenseLayer(3, integer(3)), ReluLayer(), DenseLayer(1, integer(3))))
    specification = LayeredSpecification(
        architecture, Objective(Loss.ZERO_ONE, margin=0.1, l1=0.0), goals=(Goal.ERRORS, Goal.NONZEROS)
    )
    samples, reached = samples_of(data, specification), []
    for priced in priced_specifications(specification):
        values = search(priced, samples, data.scaled_x, 0, forever, rounds=6).values
        outputs = outputs_of(architecture, data.scaled_x, values)
        reached.append(goals_of(specification, samples, values, outputs))
    assert min(reached) <= (0.0, 4.0)


def test_every_kernel_is_compiled_ahead_and_once() -> None:
    for kernels in KERNELS:
        kernels.compile()
        assert kernels.is_ready
    folder, files = kernel_folder(), {"annealing", "combining", "refuting", "stacks"}
    assert folder is not None
    assert not [path for path in folder.rglob("*.2.nbc") if path.name.split(".")[0] in files]
