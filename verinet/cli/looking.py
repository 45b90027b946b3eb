"""``verinet inspect`` and ``verinet doctor``: what a file holds, and what this installation can do."""

import importlib.metadata
import platform
from pathlib import Path

from verinet import __version__
from verinet.cli.exits import Exit
from verinet.cli.output import result
from verinet.errors import InputError, VerinetError
from verinet.io import OperatorOutcome, inspect_onnx, read_network
from verinet.io.network_file import is_nnet
from verinet.solve import backends

__all__ = ["doctor", "inspect_file", "warm_up"]

LIBRARIES = ("numpy", "scipy", "networkx", "numba", "onnx", "onnxruntime", "scikit-learn", "pydantic")


def inspect_file(path: Path) -> Exit:
    """Print every operator of a network file: supported, folded, or refused and why. NNet files have none to refuse."""
    reports = () if is_nnet(path) else inspect_onnx(path)
    width = max((len(r.node) for r in reports), default=4)
    for report in reports:
        detail = f"  {report.detail}" if report.detail else ""
        result(f"{report.outcome.value:<9} {report.operator:<20} {report.node:<{width}}{detail}")
    refused = [r for r in reports if r.outcome is OperatorOutcome.REFUSED]
    if refused:
        result(f"refused: {len(refused)} of {len(reports)} operators")
        return Exit.BAD_INPUT
    network = read_network(path)
    checked = "" if is_nnet(path) else "; agrees with onnxruntime at random points"
    result(
        f"{network.size_in} inputs, {network.size_out} outputs, {len(network.nodes)} nodes, "
        f"{network.neurons} piecewise-linear neurons{checked}"
    )
    for note in network.notes:
        result(f"note: {note}")
    return Exit.DONE


def doctor() -> Exit:
    """Print versions, solvers, licences and their limits, and whether the search kernels are compiled."""
    from verinet.train.layered.compiled import KERNELS
    from verinet.verify.cold_start import KERNEL_USERS, are_kernels_ready

    result(f"verinet {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for library in LIBRARIES:
        try:
            result(f"  {library:<14} {importlib.metadata.version(library)}")
        except importlib.metadata.PackageNotFoundError:
            result(f"  {library:<14} missing: reinstall verinet")
    for backend in backends():
        try:
            available = backend.probe()
        except VerinetError as error:
            result(f"  solver {backend.name:<7} not usable: {error}")
            continue
        state = "ready" if available.usable else "not usable"
        limits = available.limits
        cap = ""
        if limits.variables != float("inf"):
            cap = (
                f", at most {limits.variables:.0f} variables, {limits.variables_with_products:.0f} where any are "
                f"multiplied, and {limits.rows:.0f} rows"
            )
        reason = f" ({available.reason})" if available.reason and not cap else ""
        result(f"  solver {backend.name:<7} {backend.version() or '-':<10} {state}{cap}{reason}")
    missing = [engine for engine in KERNEL_USERS if not are_kernels_ready(engine)]
    missing += ["training"] * (not all(each.is_ready for each in KERNELS))
    state = f"of {' and '.join(missing)} not compiled yet: verinet doctor --warm" if missing else "compiled"
    result(f"  search kernels {state}")
    return Exit.DONE


def warm_up(only: str | None = None) -> Exit:
    """Compile the search kernels ahead, of all engines or of one, and forget those of older versions."""
    from verinet.compiling import forget_old_kernels, kernel_folder
    from verinet.train.layered.compiled import KERNELS
    from verinet.verify.cold_start import KERNEL_USERS, are_kernels_ready, compile_kernels

    if only is not None and only not in KERNEL_USERS:
        raise InputError(f"--engine of doctor must be one of {', '.join(KERNEL_USERS)}, found {only!r}")
    engines = list(KERNEL_USERS) if only is None else [only]
    folder = kernel_folder()
    if folder is None:
        raise InputError(
            "compiled kernels need a writable folder, found none in NUMBA_CACHE_DIR, the package or the user's caches; "
            "set NUMBA_CACHE_DIR to one"
        )
    training = KERNELS if only is None else ()
    ready = all(map(are_kernels_ready, engines)) and all(each.is_ready for each in training)
    seconds = sum(map(compile_kernels, engines)) + sum(each.compile() for each in training)
    forgotten = forget_old_kernels()
    done = "were compiled already" if ready else f"compiled in {seconds:.0f} s"
    older = f"; deleted those of {forgotten} older versions" if forgotten else ""
    result(f"search kernels {done}, kept in {folder}{older}")
    return Exit.DONE
