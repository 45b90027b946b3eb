"""The engines with compiled kernels: what they need not be asked, and what happens before their kernels are compiled.

On a fresh installation another process compiles the kernels, once; meanwhile the falsifier and a MILP try to answer
without them. Importing the compiler takes a while too, so what plain bounds decide is decided before.
"""

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

import numpy as np

from verinet.bounds import InputSet, NetworkBounds, bound_network
from verinet.compiling import compiling_alone, is_compiled, kernel_folder
from verinet.model import (
    Affine,
    Atom,
    Domain,
    Input,
    LinearExpression,
    Maximum,
    Network,
    Region,
    Relu,
    Side,
    Symbol,
    dense_network,
)
from verinet.verify.atoms import refuted_at_once
from verinet.verify.cone_search import ConeOptions, ConeResult, ConeSearch
from verinet.verify.falsify import falsify
from verinet.verify.finding import Finding, Outlook
from verinet.verify.milp import search_with_milp
from verinet.verify.options import Deadline, VerifyOptions

__all__ = [
    "COMPILED_ENGINES",
    "KERNEL_USERS",
    "are_kernels_ready",
    "compile_kernels",
    "is_light",
    "search_when_compiled",
]

COMPILE_COMMAND = (sys.executable, "-m", "verinet", "doctor", "--warm", "--engine")

ANNOUNCEMENT = (
    "compiling the search kernels, about half a minute, once for this installation; `verinet doctor --warm` does it "
    "ahead"
)
NO_FOLDER = (
    "compiling the search kernels, about half a minute, every time: there is no writable folder to keep them in; set "
    "NUMBA_CACHE_DIR to one"
)
POLL_SECONDS = 0.05

FALSIFIER_SECONDS, MILP_SECONDS = 3.0, 10.0
"""How long they may try: less than the compiler takes, so that a hard question does not wait for them."""

LIGHT_WORK = 2e9
"""Products of one evaluation, times neurons behind the first layer: up to here numpy takes some tenths of a second."""


@dataclass(frozen=True)
class CompiledEngine:
    """An engine whose search runs in compiled kernels.

    Parameters
    ----------
    kernels : tuple of str
        Those that Python calls; all others are compiled with them.
    search : callable
        From network, region, options, deadline and the bounds that are known already, if any, to a finding. Imports the
        compiler when called.
    samples_itself : bool
        Whether nobody has looked for counterexamples before; on a fresh installation that is then done first.
    """

    kernels: tuple[str, ...]
    search: Callable[[Network, Region, VerifyOptions, Deadline, NetworkBounds | None], Finding]
    samples_itself: bool


def _search_boxes(
    network: Network, region: Region, options: VerifyOptions, deadline: Deadline, bounds: NetworkBounds | None
) -> Finding:
    from verinet.verify.branch import search_with_branching

    return search_with_branching(network, region, options, deadline)


def _search_phases(
    network: Network, region: Region, options: VerifyOptions, deadline: Deadline, bounds: NetworkBounds | None
) -> Finding:
    from verinet.verify.phase import search_with_phases

    return search_with_phases(network, region, options, deadline, bounds)


COMPILED_ENGINES: Mapping[str, CompiledEngine] = {
    "branch": CompiledEngine(("explore",), _search_boxes, False),
    "phase": CompiledEngine(("bound_node", "prepare_columns", "improve_columns"), _search_phases, True),
}
"""By the names that they are asked for."""


@dataclass(frozen=True)
class KernelUser:
    """Something that runs in compiled kernels.

    Parameters
    ----------
    kernels : tuple of str
        Those that Python calls; all others are compiled with them.
    use : callable
        Does a little that needs them all.
    """

    kernels: tuple[str, ...]
    use: Callable[[], object]


def _use_engine(engine: str) -> Finding:
    network = dense_network(
        [np.array([[1.0], [-1.0]]), np.ones((2, 2)), np.array([[1.0, -1.0]])],
        [np.zeros(2), np.array([-0.5, -0.6]), np.zeros(1)],
    )
    # The difference of two ReLUs of one sum: it stays below 0.1, which only splits or slopes show.
    above = Atom(LinearExpression(((Symbol(Side.OUTPUT, 0), Fraction(-1)),), Fraction(15, 100)))
    region = Region(Domain.from_box([-1], [1]), ((above,),))
    options = VerifyOptions(engine=engine, falsify=False)
    return COMPILED_ENGINES[engine].search(network, region, options, Deadline(math.inf), None)


def _use_cones() -> ConeResult:
    return ConeSearch(np.array([[1.0, 0.5], [-0.5, 1.0]]), np.array([[0, 1]])).maximise(np.ones(2), ConeOptions())


KERNEL_USERS: Mapping[str, KernelUser] = {
    **{name: KernelUser(engine.kernels, partial(_use_engine, name)) for name, engine in COMPILED_ENGINES.items()},
    "cones": KernelUser(("search_hulls",), _use_cones),
}
"""The engines of the verifier, and the search over cones of weights that prices the units of training."""


def are_kernels_ready(user: str = "branch") -> bool:
    """Return whether an engine, or the search over cones, can start without compiling anything."""
    return all(is_compiled(name) for name in KERNEL_USERS[user].kernels)


def compile_kernels(user: str) -> float:
    """Compile every kernel of an engine, or of the search over cones; return the seconds that it took.

    If another process is compiling, wait for it and take what it has compiled.
    """
    started = time.monotonic()
    with compiling_alone():
        KERNEL_USERS[user].use()
    return time.monotonic() - started


def is_light(network: Network) -> bool:
    """Return whether relaxed bounds of every neuron take next to no time without the compiler."""
    products = sum(
        linear_map.size_out * linear_map.longest_row
        for node in network.nodes
        if isinstance(node.op, Affine)
        for linear_map in node.op.maps
    )
    return products * _relaxed_neurons(network) <= LIGHT_WORK


def _relaxed_neurons(network: Network) -> int:
    """Count what backward passes bound: arguments of ReLUs and maxima that are affine, but not in the inputs alone."""
    arguments = (network.by_name[n.arguments[0]] for n in network.nodes if isinstance(n.op, Relu | Maximum))
    return sum(
        node.op.size_out
        for node in arguments
        if isinstance(node.op, Affine)
        and not all(isinstance(network.by_name[name].op, Input) for name in node.arguments)
    )


def search_when_compiled(
    engine: str, network: Network, region: Region, options: VerifyOptions, deadline: Deadline
) -> Finding:
    """Decide a region with a compiled engine, or with what is there while its kernels are being compiled.

    Parameters
    ----------
    engine : str
        A name of `COMPILED_ENGINES`.
    network : Network
    region : Region
    options : VerifyOptions
    deadline : Deadline

    Returns
    -------
    Finding
        Soundness: as of the engine that decided, which the evidence names.
    """
    chosen, bounds = COMPILED_ENGINES[engine], None
    is_cold = not are_kernels_ready(engine)
    finding = None
    if is_light(network):
        bounds = bound_network(network, InputSet.of(region.domain))
        finding = refuted_at_once(bounds, region)
        if finding is None and is_cold and chosen.samples_itself:
            finding = _sampled(network, region, options, deadline)
    if finding is None and is_cold:
        finding = _meanwhile(engine, network, region, options, deadline)
    return finding or chosen.search(network, region, options, deadline, bounds)


def _sampled(network: Network, region: Region, options: VerifyOptions, deadline: Deadline) -> Finding | None:
    """Let the falsifier have a first look."""
    if not options.falsify:
        return None
    point = falsify(network, region, deadline.within(FALSIFIER_SECONDS), options.seed, 0)
    if point is None:
        return None
    return Finding(Outlook.FOUND, point, ("the falsifier found it before any kernel was needed",))


def _meanwhile(
    engine: str, network: Network, region: Region, options: VerifyOptions, deadline: Deadline
) -> Finding | None:
    """Have the kernels compiled and try without them; None when the engine can, or has to, start."""
    if kernel_folder() is None:
        options.on_notice(NO_FOLDER)
        return None
    options.on_notice(ANNOUNCEMENT)
    compiler = _start_compiler(engine)
    if compiler is None:
        return None
    finding = _without_kernels(network, region, options, deadline) if options.engine == "auto" else None
    if finding is not None:
        return finding
    while compiler.poll() is None:
        if deadline.passed:
            reason = "the time limit was reached while the search kernels were being compiled, which is done once"
            return Finding(Outlook.OPEN, reason=reason, timed_out=True)
        time.sleep(POLL_SECONDS)
    return None


def _start_compiler(engine: str) -> "subprocess.Popen[bytes] | None":
    """Start a process that compiles the kernels and outlives this one; None where that is not possible."""
    # It must find the package where this process did.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    try:
        return subprocess.Popen(  # noqa: S603 -- a fixed command
            (*COMPILE_COMMAND, engine),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return None


def _without_kernels(network: Network, region: Region, options: VerifyOptions, deadline: Deadline) -> Finding | None:
    """Let the falsifier and a MILP try; return what they decided."""
    if options.falsify:
        point = falsify(network, region, deadline.within(FALSIFIER_SECONDS), options.seed)
        if point is not None:
            return Finding(Outlook.FOUND, point, ("the falsifier found it while kernels were being compiled",))
    if not is_light(network):
        return None
    finding = search_with_milp(network, region, options, deadline.within(MILP_SECONDS))
    if finding.outlook is Outlook.OPEN:
        return None
    return replace(finding, evidence=(*finding.evidence, "by the milp engine, while kernels were being compiled"))
