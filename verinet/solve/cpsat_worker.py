"""The process in which CP-SAT runs.

It imports nothing of verinet, nor NumPy, which starts slowly, and prints nothing. It reads one line of JSON and arrays
of int64 of the names and lengths that the line says, then lines that say "stop". It writes lines of JSON: "ready" once
the library is there, "bound" and "solution" while it runs, "end" last. It ends when its standard input does, so that it
never outlives its parent.
"""

import json
import math
import os
import sys
import threading
from array import array
from itertools import pairwise
from typing import Any, BinaryIO

__all__ = ["Messages", "build", "integer_bound", "listen", "main", "parameters", "receive", "solve"]

FLOAT_IS_EXACT = 2.0**45
"""Below it, the rounding of a bound that is an integer is far from one."""


class Messages:
    """Lines of JSON to the parent; everything else that is written to standard output goes nowhere."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(1), "wb")
        self._lock = threading.Lock()
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)

    def send(self, event: str, **content: Any) -> None:
        """Write one message, from any thread."""
        with self._lock:
            self._stream.write(json.dumps({"event": event, **content}).encode() + b"\n")
            self._stream.flush()


def receive(stream: BinaryIO, lengths: dict[str, int]) -> dict[str, "array[int]"]:
    """Read the arrays, one after another."""
    return {name: array("q", stream.read(8 * length)) for name, length in lengths.items()}


def build(library: Any, arrays: dict[str, "array[int]"]) -> Any:
    """Return CP-SAT's model of an integer form."""
    model = library.CpModelProto()
    for low, high in zip(arrays["lower"], arrays["upper"], strict=True):
        model.variables.add().domain.extend([low, high])
    columns, data = arrays["columns"], arrays["data"]
    sides = zip(arrays["row_lower"], arrays["row_upper"], strict=True)
    for (begin, end), (low, high) in zip(pairwise(arrays["starts"]), sides, strict=True):
        row = model.constraints.add().linear
        row.vars.extend(columns[begin:end])
        row.coeffs.extend(data[begin:end])
        row.domain.extend([low, high])
    for variable, cost in enumerate(arrays["cost"]):
        if cost:
            model.objective.vars.append(variable)
            model.objective.coeffs.append(cost)
    if arrays["hinted"]:
        model.solution_hint.vars.extend(arrays["hinted"])
        model.solution_hint.values.extend(arrays["hints"])
    return model


def parameters(library: Any, settings: dict[str, Any]) -> Any:
    """Return CP-SAT's parameters; a gap is the parent's business."""
    chosen = library.SatParameters()
    chosen.linearization_level = 2
    chosen.catch_sigint_signal = False
    chosen.relative_gap_limit = 0.0
    chosen.num_workers = settings["threads"]
    chosen.random_seed = settings["seed"]
    if settings["time_limit"] is not None:
        chosen.max_time_in_seconds = settings["time_limit"]
    return chosen


def integer_bound(bound: float) -> int:
    """Return an integer that is not above a bound which may have been rounded from an integer."""
    return math.floor(bound if abs(bound) < FLOAT_IS_EXACT else bound - abs(bound) * 2.0**-48)


def solve(library: Any, wrapper: Any, model: Any, messages: Messages) -> None:
    """Run CP-SAT and tell what it finds."""

    class Solutions(library.SolutionCallback):  # type: ignore[misc]
        def OnSolutionCallback(self) -> None:  # noqa: N802 - the library's name
            messages.send("solution", values=list(self.Response().solution))

    def tell_bound(bound: float) -> None:
        if math.isfinite(bound):
            messages.send("bound", bound=integer_bound(bound))

    # The wrapper keeps a bare pointer: the object has to live as long as the search.
    solutions = Solutions()
    wrapper.add_solution_callback(solutions)
    # The bound of the response is no bound: it is zero where the search ended before there was one.
    wrapper.add_best_bound_callback(tell_bound)
    response = wrapper.solve(model)
    wrapper.clear_solution_callback(solutions)
    messages.send("end", status=response.status.name, values=list(response.solution), detail=response.solution_info)


def listen(stream: BinaryIO, wrapper: Any) -> None:
    """Stop when told to, and end the process with its parent."""
    while stream.readline():
        wrapper.stop_search()
    os._exit(0)


def main() -> None:
    """Serve one solve."""
    messages = Messages()
    from ortools.sat.python import cp_model_helper as library

    messages.send("ready")
    stream = sys.stdin.buffer
    line = stream.readline()
    if not line.startswith(b"{"):
        return
    settings = json.loads(line)
    arrays = receive(stream, settings["lengths"])
    wrapper = library.SolveWrapper()
    threading.Thread(target=listen, args=(stream, wrapper), daemon=True).start()
    wrapper.set_parameters(parameters(library, settings))
    solve(library, wrapper, build(library, arrays), messages)


if __name__ == "__main__":
    main()
