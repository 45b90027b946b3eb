"""The branch engine on a fresh installation, where its kernels have to be compiled first.

Another process compiles them, once; meanwhile the falsifier and a MILP try to answer without them.
"""

import math
import os
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction

import numpy as np

from verinet.bounds.compiling import is_compiled, kernel_folder
from verinet.model import Atom, Domain, LinearExpression, Network, Region, Side, Symbol, dense_network
from verinet.verify.falsify import falsify
from verinet.verify.finding import Finding, Outlook
from verinet.verify.milp import search_with_milp
from verinet.verify.options import Deadline, VerifyOptions

__all__ = ["are_kernels_ready", "compile_kernels", "search_when_compiled"]

COMPILE_COMMAND = (sys.executable, "-m", "verinet", "doctor", "--warm")

ANNOUNCEMENT = (
    "compiling the search kernels, about 20 s, once for this installation; `verinet doctor --warm` does it ahead"
)
NO_FOLDER = (
    "compiling the search kernels, about 20 s, every time: there is no writable folder to keep them in; set "
    "NUMBA_CACHE_DIR to one"
)
POLL_SECONDS = 0.05

FALSIFIER_SECONDS, MILP_SECONDS = 1.0, 10.0
"""How long they may try: less than the compiler takes, so that a hard question does not wait for them."""


def are_kernels_ready() -> bool:
    """Return whether the branch engine can start without compiling anything."""
    return is_compiled("explore")


def compile_kernels() -> float:
    """Compile every kernel of the branch engine, by a search that needs them all; return the seconds that it took."""
    from verinet.verify.branch import search_with_branching

    started = time.monotonic()
    network = dense_network([np.eye(1), np.eye(1)], [np.zeros(1), np.zeros(1)])
    above = Atom(LinearExpression(((Symbol(Side.OUTPUT, 0), Fraction(-1)),), Fraction(1, 2)))
    region = Region(Domain.from_box([-1], [1]), ((above,),))
    search_with_branching(network, region, VerifyOptions(falsify=False), Deadline(math.inf))
    return time.monotonic() - started


def search_when_compiled(network: Network, region: Region, options: VerifyOptions, deadline: Deadline) -> Finding:
    """Decide a region with the branch engine, or with what is there while its kernels are being compiled.

    Parameters
    ----------
    network : Network
    region : Region
    options : VerifyOptions
    deadline : Deadline

    Returns
    -------
    Finding
        Soundness: as of the engine that decided, which the evidence names.
    """
    if not are_kernels_ready():
        finding = _meanwhile(network, region, options, deadline)
        if finding is not None:
            return finding
    from verinet.verify.branch import search_with_branching

    return search_with_branching(network, region, options, deadline)


def _meanwhile(network: Network, region: Region, options: VerifyOptions, deadline: Deadline) -> Finding | None:
    """Have the kernels compiled and try without them; None when the branch engine can, or has to, start."""
    if kernel_folder() is None:
        options.on_notice(NO_FOLDER)
        return None
    options.on_notice(ANNOUNCEMENT)
    compiler = _start_compiler()
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


def _start_compiler() -> "subprocess.Popen[bytes] | None":
    """Start a process that compiles the kernels and outlives this one; None where that is not possible."""
    # It must find the package where this process did.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    try:
        return subprocess.Popen(  # noqa: S603 -- a fixed command
            COMPILE_COMMAND,
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
    finding = search_with_milp(network, region, options, deadline.within(MILP_SECONDS))
    if finding.outlook is Outlook.OPEN:
        return None
    return replace(finding, evidence=(*finding.evidence, "by the milp engine, while kernels were being compiled"))
