"""Filters of any number: families are what convolutions compute, files hold the filters, bounds hold for them all."""

import itertools
from fractions import Fraction

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verinet.errors import DataError, InputError
from verinet.io import read_onnx, write_onnx
from verinet.model import Convolution, evaluate, evaluate_exact_batch
from verinet.train import (
    Convolutional,
    ConvolutionalResult,
    ConvolutionalSpecification,
    FilterParameters,
    Loss,
    Objective,
    Pooling,
    Skip,
    TrainingData,
    TrainOptions,
    train_convolutional,
)
from verinet.train.any_width import Pricer, build_convolutional, combine_filters, convolutional_family
from verinet.train.any_width.local_pricing import bound_by_levels
from verinet.verify import ConeOptions, ConeSearch, Deadline

OPTIONS = TrainOptions(gap_tolerance=1e-3, time_limit=30)


@st.composite
def layers(draw: st.DrawFn) -> Convolutional:
    channels, height, width = draw(st.integers(1, 2)), draw(st.integers(2, 5)), draw(st.integers(2, 5))
    kernel = (draw(st.integers(1, min(height, 3))), draw(st.integers(1, min(width, 3))))
    stride = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    shape = (height, width) if channels == 1 and draw(st.booleans()) else (channels, height, width)
    rows, columns = Convolutional(shape, kernel, stride).positions
    grid = (draw(st.integers(1, rows)), draw(st.integers(1, columns)))
    return Convolutional(shape, kernel, stride, draw(st.sampled_from(Pooling)), grid)


def direct(layer: Convolutional, image: np.ndarray, weights: np.ndarray, bias: float) -> list[float]:
    """Return a filter's pooled value in every cell, by loops."""
    channels, height, width = layer.full_shape
    image, weights = image.reshape(channels, height, width), weights.reshape(channels, *layer.kernel)
    rows, columns = layer.positions
    heights = np.empty((rows, columns), dtype=image.dtype)
    for i, j in itertools.product(range(rows), range(columns)):
        top, left = i * layer.stride[0], j * layer.stride[1]
        patch = image[:, top : top + layer.kernel[0], left : left + layer.kernel[1]]
        heights[i, j] = max(0, (patch * weights).sum() + bias)
    pool = {Pooling.SUM: np.sum, Pooling.MAX: np.max, Pooling.AVERAGE: lambda part: part.sum() / Fraction(part.size)}
    return [
        pool[layer.pooling](part.astype(object))
        for band in np.array_split(heights, layer.grid[0], axis=0)
        for part in np.array_split(band, layer.grid[1], axis=1)
    ]


@settings(deadline=None, max_examples=60)
@given(layers(), st.integers(0, 10**6))
def test_a_family_has_the_values_of_a_direct_convolution(layer: Convolutional, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 3, (4, layer.pixels)).astype(float)
    weights = rng.integers(-3, 4, layer.coordinates + 1).astype(float)
    family = convolutional_family(images, layer)
    assert family.width == layer.coordinates + 1
    assert len(family.mixes) == layer.grid[0] * layer.grid[1]
    expected = np.array([direct(layer, image, weights[:-1], weights[-1]) for image in images], dtype=float)
    for cell in range(len(family.mixes)):
        np.testing.assert_allclose(family.values(weights[None, :], cell)[:, 0], expected[:, cell], rtol=1e-14)


def test_patches_that_repeat_are_one_row() -> None:
    images = np.array([[0.0, 1, 0, 1, 0, 1], [1.0, 0, 1, 0, 1, 0]])
    sums = convolutional_family(images, Convolutional((1, 6), (1, 2), pooling=Pooling.SUM))
    np.testing.assert_array_equal(sums.rows, [[0, 1, 1], [1, 0, 1]])
    np.testing.assert_array_equal(sums.mixes[0].toarray(), [[3, 2], [2, 3]])
    maxima = convolutional_family(images, Convolutional((1, 6), (1, 2), pooling=Pooling.MAX))
    np.testing.assert_array_equal(maxima.ends, [2, 4])


def example_parameters(layer: Convolutional, seed: int) -> FilterParameters:
    rng = np.random.default_rng(seed)
    cells = layer.grid[0] * layer.grid[1]
    return FilterParameters(
        layer,
        rng.integers(-8, 9, (2, layer.coordinates)) / 8.0,
        rng.integers(-8, 9, 2) / 8.0,
        rng.integers(0, 5, (1, 2, cells)) / 4.0,
        np.zeros((1, layer.pixels)),
        np.array([0.375]),
    )


@settings(deadline=None, max_examples=40)
@given(layers(), st.integers(0, 10**6))
def test_an_exported_network_is_the_formula_exactly(layer: Convolutional, seed: int) -> None:
    parameters = example_parameters(layer, seed)
    images = np.random.default_rng(seed).standard_normal((3, layer.pixels))
    found = evaluate_exact_batch(build_convolutional(parameters), images)
    for image, (value,) in zip(images, found, strict=True):
        exact = np.array([Fraction(float(v)) for v in image], dtype=object)
        total = Fraction(parameters.offsets[0])
        for k in range(2):
            weights = np.array([Fraction(float(v)) for v in parameters.filters[k]], dtype=object)
            pooled = direct(layer, exact, weights, Fraction(float(parameters.biases[k])))
            for cell, weight in enumerate(parameters.outputs[0, k]):
                count = len(layer.cells[cell]) if layer.pooling is Pooling.AVERAGE else 1
                total += Fraction(float(weight)) * count * pooled[cell]
        assert value == total


@settings(deadline=None, max_examples=30)
@given(layers(), st.integers(0, 10**6))
def test_outputs_side_by_side_stay_exactly_what_they_were(layer: Convolutional, seed: int) -> None:
    parts = [example_parameters(layer, seed), example_parameters(layer, seed + 1), example_parameters(layer, seed)]
    images = np.random.default_rng(seed).standard_normal((3, layer.pixels))
    combined = combine_filters(parts)
    assert combined.units == len(np.unique(np.vstack([np.column_stack([p.filters, p.biases]) for p in parts]), axis=0))
    found = evaluate_exact_batch(build_convolutional(combined), images)
    for output, part in enumerate(parts):
        alone = evaluate_exact_batch(build_convolutional(part), images)
        assert [row[output] for row in found] == [value for (value,) in alone]
        assert evaluate_exact_batch(build_convolutional(combined.part(output)), images) == alone


def bars(pixels: int = 4) -> TrainingData:
    """Images that hold a vertical pair of bright pixels, and images that hold a horizontal one."""
    images, classes = [], []
    for i, j in itertools.product(range(pixels), range(pixels - 1)):
        across = np.zeros((pixels, pixels))
        across[i, j : j + 2] = 1.0
        images += [across.ravel(), across.T.ravel()]
        classes += [-1.0, 1.0]
    return TrainingData.prepare(np.array(images), np.array(classes), classes=True, shared=True)


def check_result(result: ConvolutionalResult, data: TrainingData) -> None:
    assert result.record.bound <= result.record.objective
    assert result.record.dual is not None
    assert result.record.history
    assert result.record.units == len(result.parameters.filters)
    assert (result.parameters.filters != 0).any(axis=1).all()
    assert result.parameters.outputs.any(axis=(0, 2)).all()


@pytest.mark.parametrize("pooling", Pooling)
@pytest.mark.parametrize("grid", [(1, 1), (3, 1)])
def test_training_separates_bars_and_the_file_holds_its_filters(pooling, grid, tmp_path) -> None:
    data = bars()
    layer = Convolutional((4, 4), (2, 2), pooling=pooling, grid=grid)
    result = train_convolutional(data, ConvolutionalSpecification(layer, Objective(l1=1e-3)), OPTIONS)
    check_result(result, data)
    assert result.record.gap <= 1e-3
    assert (evaluate(result.network, data.x)[:, 0] * data.y > 0).all()
    path = tmp_path / "filters.onnx"
    write_onnx(result.network, path)
    again = read_onnx(path)
    assert evaluate_exact_batch(again, data.x) == evaluate_exact_batch(result.network, data.x)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    replay = [session.run(None, {name: x.reshape(1, 1, 4, 4).astype(np.float32)})[0].item() for x in data.x]
    np.testing.assert_allclose(replay, evaluate(result.network, data.x)[:, 0], rtol=1e-4, atol=1e-4)
    operators = [node.op_type for node in onnx.load(path).graph.node]
    assert operators[:2] == ["Conv", "Relu"]
    assert {"MaxPool", "ReduceSum"} & set(operators) == ({"MaxPool"} if pooling is Pooling.MAX else {"ReduceSum"})
    kernels = [m.weights for n in again.nodes for m in getattr(n.op, "maps", ()) if isinstance(m, Convolution)]
    assert len(kernels) == 1
    np.testing.assert_array_equal(kernels[0].reshape(result.record.units, -1), result.parameters.filters)


@pytest.mark.parametrize("loss", [Loss.SQUARED, Loss.LOGISTIC, Loss.L1])
def test_other_losses_and_a_skip_keep_their_bound(loss: Loss) -> None:
    rng = np.random.default_rng(3)
    images = rng.integers(2, 7, (20, 12)).astype(float)
    y = rng.choice([-1.0, 1.0], 20) if loss.classifies else 3.0 * rng.integers(0, 9, 20)
    data = TrainingData.prepare(images, y, classes=loss.classifies, shared=True)
    layer = Convolutional((3, 4), (2, 1), pooling=Pooling.MAX)
    specification = ConvolutionalSpecification(layer, Objective(loss, l1=0.01), skip=Skip.PENALISED)
    result = train_convolutional(data, specification, OPTIONS)
    check_result(result, data)
    assert result.record.gap <= 2e-3


def test_a_planted_filter_is_found() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 5, (40, 9)) / 4.0
    layer = Convolutional((3, 3), (2, 1), pooling=Pooling.SUM)
    planted = np.array([1.0, -1.0])
    y = np.array([float(direct(layer, image, planted, 0.0)[0]) for image in images])
    data = TrainingData.prepare(images, y, classes=False, shared=True)
    result = train_convolutional(data, ConvolutionalSpecification(layer, Objective(Loss.L1, l1=1e-4)), OPTIONS)
    check_result(result, data)
    assert result.record.gap <= 1e-3
    assert result.record.units == 1
    found = result.parameters.filters[0] * result.parameters.outputs[0, 0, 0]
    np.testing.assert_allclose(found, planted, atol=1e-5)


def vertices_of(rows: np.ndarray) -> np.ndarray:
    """List the vertices of the rows' arrangement, of their differences and of the axes, in three dimensions."""
    differences = [a - b for a, b in itertools.combinations(rows, 2)]
    normals = np.unique(np.vstack([rows, *differences, np.eye(3)]), axis=0)
    first, second = np.triu_indices(len(normals), 1)
    found = np.cross(normals[first], normals[second])
    sizes = np.abs(found).sum(axis=1)
    found = found[sizes > 1e-9] / sizes[sizes > 1e-9, None]
    return np.vstack([found, -found])


@pytest.mark.parametrize("pooling", Pooling)
@pytest.mark.parametrize("seed", range(3))
def test_pricing_bounds_every_vertex(pooling: Pooling, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 4, (4, 6)) / 4.0
    family = convolutional_family(images, Convolutional((3, 2), (2, 1), pooling=pooling))
    prices = rng.standard_normal(4)
    worths = prices @ family.values(vertices_of(np.unique(family.rows, axis=0)))
    best = max(worths.max(), -worths.min())
    priced = Pricer(family).price(prices, 1e-6, 1e-9, Deadline.after(20))
    assert priced.bound >= best * (1 - 1e-12)
    assert priced.bound == pytest.approx(best, rel=1e-6)
    assert priced.units[0].worth == pytest.approx(best, rel=1e-6)
    search = ConeSearch(family.rows, family.supports, family.ends)
    weights, both = family.pull_back(prices), np.ones((3, 2), dtype=bool)
    for share in (0.5, 1.0, 1.5):
        options = ConeOptions(max(share * worths.max(), 1e-6))
        levelled = bound_by_levels(search, weights, both, options, Deadline.after(20))
        assert levelled.bound >= worths.max() * (1 - 1e-12)
        assert bool(levelled.points) == (share < 1.0 and worths.max() > 0)


@pytest.mark.parametrize("pooling", [Pooling.AVERAGE, Pooling.MAX])
def test_filters_with_many_weights_are_priced_by_local_search(pooling: Pooling) -> None:
    rng = np.random.default_rng(1)
    images = rng.integers(0, 9, (40, 25)).astype(float)
    data = TrainingData.prepare(images, np.where(images[:, 12] > 4, 1.0, -1.0), classes=True, shared=True)
    layer = Convolutional((5, 5), pooling=pooling)
    options = TrainOptions(gap_tolerance=1e-3, time_limit=3)
    result = train_convolutional(data, ConvolutionalSpecification(layer, Objective(l1=0.02)), options)
    check_result(result, data)
    assert result.record.objective < 1
    assert result.record.bound > 0


def test_pixels_share_one_scale() -> None:
    images = np.array([[2.0, 5.0, 5.0], [4.0, 10.0, 5.0]])
    data = TrainingData.prepare(images, np.array([-1.0, 1.0]), classes=True, shared=True)
    np.testing.assert_array_equal(data.scaling.offset, [2.0, 2.0, 2.0])
    np.testing.assert_array_equal(data.scaling.width, [8.0, 8.0, 8.0])
    with pytest.raises(DataError, match="scaled alike"):
        TrainingData.prepare(np.ones((2, 3)), np.array([-1.0, 1.0]), classes=True, shared=True)
    apart = TrainingData.prepare(images[:, :2], np.array([-1.0, 1.0]), classes=True)
    with pytest.raises(DataError, match="shared=True"):
        train_convolutional(apart, ConvolutionalSpecification(Convolutional((1, 2), (1, 1))))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"shape": (4,)}, "need a shape"),
        ({"shape": (4, 4), "padding": 1}, "without padding"),
        ({"shape": (4, 4), "stride": (0, 1)}, "stride"),
        ({"shape": (2, 4)}, "does not fit"),
        ({"shape": (4, 4), "grid": (3, 1)}, "grid"),
    ],
)
def test_layers_that_cannot_be_are_refused(arguments, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        Convolutional(**arguments)


def test_specifications_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="cannot be free"):
        ConvolutionalSpecification(Convolutional((4, 4)), skip=Skip.FREE)
    with pytest.raises(InputError, match="by number"):
        ConvolutionalSpecification(Convolutional((4, 4)), Objective(unit_penalty=0.1))
    with pytest.raises(InputError, match="pixels"):
        convolutional_family(np.zeros((2, 9)), Convolutional((4, 4)))
