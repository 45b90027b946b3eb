"""The root of a search has bounds that are tighter, sound, and the same for any number of threads."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from tests.bounds.bounded import Bounded, bounded
from tests.bounds.column_cases import boxed, image_network, wide
from tests.strategies import Weights, points_in, random_box, random_network
from verinet.bounds.kernels import Work
from verinet.bounds.root import copy_work, improve_bounds
from verinet.model import Domain

LARGE = {"weights": Weights.FLOATS, "max_neurons": 40, "width": 8, "blocks": 8}


def rooted(
    found: Bounded,
    steps: int = 6,
    threads: int = 1,
    interrupted: Callable[[], bool] = lambda: False,
    on_progress: Callable[[str], None] = lambda _: None,
) -> tuple[list[Work], bool]:
    works = [copy_work(found.tape, found.work) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool, threadpool_limits(limits=1, user_api="blas"):
        finished = improve_bounds(found.tape, works, steps, pool, interrupted, on_progress)
    return works, finished


def assert_tighter(found: Bounded, work: Work, domain: Domain, seed: int, points: int = 5) -> None:
    assert (work.lower >= found.work.lower).all()
    assert (work.upper <= found.work.upper).all()
    after = Bounded(found.network, found.tape, work)
    for point in points_in(domain, np.random.default_rng(seed), points):
        assert after.contains(point), seed


@pytest.mark.parametrize("start", range(0, 120, 40))
def test_every_entry_lies_within_the_roots_bounds(start: int) -> None:
    gained = 0
    for seed in range(start, start + 40):
        network = random_network(seed, **LARGE)
        domain = random_box(seed, network)
        found = bounded(network, *domain.box())
        (work,), finished = rooted(found)
        assert finished
        assert_tighter(found, work, domain, seed)
        gained += bool((work.lower > found.work.lower).any())
    assert gained


@pytest.mark.parametrize("seed", range(3))
def test_the_root_of_every_kind_of_layer(seed: int) -> None:
    network = image_network(seed)
    domain = Domain.from_box([-1.0] * 16, [1.0] * 16)
    found = bounded(network, *domain.box())
    (work,), _ = rooted(found, 10)
    assert_tighter(found, work, domain, seed, 20)


@pytest.mark.parametrize("sizes", [(6, 90, 90, 90, 4), (5, 30, 30, 30, 2)])
def test_any_number_of_threads_gives_the_same_bounds(sizes: tuple[int, ...]) -> None:
    network = wide(0, sizes)
    found = boxed(network)
    ((alone,), _), (several, _) = rooted(found), rooted(found, threads=2)
    for work in several:
        assert work.lower == pytest.approx(alone.lower, rel=1e-9, abs=1e-9)
        assert work.upper == pytest.approx(alone.upper, rel=1e-9, abs=1e-9)
        assert (work.magnitude == several[0].magnitude).all()
        assert all((a == b).all() for a, b in zip(work.lines, several[0].lines, strict=True))
    assert (alone.upper - alone.lower).sum() < 0.99 * (found.work.upper - found.work.lower).sum()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_an_interruption_leaves_sound_bounds(threads: int, after: int) -> None:
    network = wide(0, (6, 90, 90, 90, 4))
    domain = Domain.from_box([-0.5] * 6, [0.5] * 6)
    found = boxed(network)
    asked = iter([False] * after + [True])
    works, finished = rooted(found, threads=threads, interrupted=lambda: next(asked))
    assert not finished
    for work in works:
        assert_tighter(found, work, domain, after)


def test_progress_is_told_and_threads_do_the_work() -> None:
    found = boxed(wide(0, (6, 90, 90, 90, 4)))
    seen: list[str] = []
    rooted(found, threads=2, on_progress=seen.append)
    assert seen
    assert all("open neurons" in sentence for sentence in seen)
    assert threading.active_count() < 20
