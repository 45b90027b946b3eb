"""Bounds of every neuron over one box, from backward passes with optimised slopes: the root of a search.

Layer by layer, each open pre-activation is bounded from both sides by columns of its own; what is found serves the
layers behind.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, wait

import numpy as np

from verinet.bounds.columns import Columns, improve_columns, make_columns, prepare_columns, set_columns
from verinet.bounds.kernels import BLOCK, Work, bound_node, make_work
from verinet.bounds.tape import Tape
from verinet.numeric import IntArray

__all__ = ["copy_work", "finished", "improve_bounds"]

RATE = 0.3
"""First steps of the slopes, as shares of their range."""


LOOK_SECONDS = 0.05
"""How often a wait for threads asks whether it should go on."""


def copy_work(tape: Tape, work: Work) -> Work:
    """Return buffers with the same bounds, lines and reach, for another thread of the same search."""
    other = make_work(tape, work.stop)
    _copy_bounds(work, other)
    return other


def _copy_bounds(source: Work, target: Work) -> None:
    for own, theirs in (
        (source.lower, target.lower),
        (source.upper, target.upper),
        (source.magnitude, target.magnitude),
        (source.reach, target.reach),
        (source.largest, target.largest),
        *zip(source.lines, target.lines, strict=True),
    ):
        theirs[:] = own


def finished(futures: Sequence[Future[None]], interrupted: Callable[[], bool]) -> bool:
    """Wait for threads, and raise what they raised.

    Parameters
    ----------
    futures : sequence of Future
    interrupted : callable
        Asked now and then; if it says yes, the threads are left alone: even when told to stop, kernels end the pass
        that they are in, so that nobody may touch their buffers any more.

    Returns
    -------
    bool
        Whether all of them are done.
    """
    waiting: Sequence[Future[None]] = futures
    while waiting:
        waiting = list(wait(waiting, timeout=LOOK_SECONDS).not_done)
        if waiting and interrupted():
            for future in waiting:
                future.cancel()
            return False
    for future in futures:
        future.result()
    return True


def _bound_part(
    tape: Tape, work: Work, columns: Columns, node: int, entries: IntArray, signs: IntArray, steps: int
) -> None:
    """Bound some entries of a node, each from the side that its sign says; the bounds go to `columns.bound`."""
    count = len(entries)
    set_columns(columns, work, count)
    columns.weight[:, :count] = 0.0
    columns.weight[entries - tape.start[node], np.arange(count)] = signs
    prepare_columns(columns, count, True)
    # A bound beyond zero settles the ReLU; more is not needed.
    improve_columns(tape, work, columns, node, count, steps, RATE, 0.0, False, False)


def improve_bounds(
    tape: Tape,
    works: Sequence[Work],
    steps: int,
    pool: Executor,
    interrupted: Callable[[], bool],
    on_progress: Callable[[str], None],
) -> bool:
    """Tighten the open pre-activations of every layer.

    Parameters
    ----------
    tape : Tape
    works : sequence of Work
        One for each thread; the first holds sound bounds of the box (see `bound_box`), which are tightened in all.
    steps : int
        Backward passes for each pre-activation.
    pool : Executor
        As many threads.
    interrupted : callable
        Asked between blocks and now and then within; if it says yes, the bounds in the first of `works` stay as they
        are by then, which are sound. Threads may still be busy then, with what else is in `works`.
    on_progress : callable

    Returns
    -------
    bool
        Whether all was done.

    Notes
    -----
    Soundness: every bound is one of `improve_columns`.
    """
    work = works[0]
    sets = [make_columns(tape, work) for _ in works]
    for node in range(len(tape.kind)):
        # Tighter bounds of the nodes before it leave less to rounding, too.
        bound_node(tape, work, node, True)
        if tape.refine[node] < 0:
            continue
        start = int(tape.start[node])
        entries = start + np.flatnonzero(_is_open(work, start, start + int(tape.size[node])))
        on_progress(f"tightening layer {node} of {len(tape.kind)}: {len(entries)} open neurons")
        todo = np.repeat(entries, 2)
        signs = np.tile(np.array([1, -1]), len(entries))
        for first in range(0, len(todo), BLOCK * len(works)):
            if interrupted():
                return False
            parts = [
                slice(first + BLOCK * t, min(first + BLOCK * (t + 1), len(todo)))
                for t in range(len(works))
                if first + BLOCK * t < len(todo)
            ]
            for other in works[1:]:
                _copy_bounds(work, other)
            futures = [
                pool.submit(_bound_part, tape, works[t], sets[t], node, todo[part], signs[part], steps)
                for t, part in enumerate(parts)
            ]
            if not finished(futures, interrupted):
                return False
            for columns, part in zip(sets, parts, strict=False):
                _take(work, todo[part], signs[part], columns)
    for other in works[1:]:
        _copy_bounds(work, other)
    return True


def _is_open(work: Work, start: int, end: int) -> IntArray:
    return np.asarray((work.lower[start:end] < 0.0) & (work.upper[start:end] > 0.0))


def _take(work: Work, entries: IntArray, signs: IntArray, columns: Columns) -> None:
    """Tighten the bounds of entries to what their columns found."""
    bound = columns.bound[: len(entries)]
    below, above = signs > 0, signs < 0
    work.lower[entries[below]] = np.maximum(work.lower[entries[below]], bound[below])
    work.upper[entries[above]] = np.minimum(work.upper[entries[above]], -bound[above])
    work.magnitude[entries] = np.maximum(np.abs(work.lower[entries]), np.abs(work.upper[entries]))
