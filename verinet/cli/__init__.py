"""The command line: arguments to calls to exit codes.

stdout carries results only. Every command imports what it needs when it runs, so that a quick question gets a quick
answer.
"""

import gc
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from verinet.cli.exits import Exit, guarded

if TYPE_CHECKING:
    from verinet.io import NamedPath

__all__ = ["main", "run"]

STARTED = time.monotonic() - time.process_time()
"""When this process began, nearly: what it computed before it got here counts as time."""

COLLECTOR_THRESHOLD = 100_000
"""Objects that the garbage collector waits for: imports make many and free none of them."""

app = typer.Typer(
    name="verinet",
    help="Train small ReLU networks to proven optimality, verify piecewise-linear networks, keep the evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Out = Annotated[Path, typer.Option("--out", help="Folder for everything that is written.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")]
Capability = Annotated[bool, typer.Option(show_default=False)]
PROPERTY_HELP = "A .vnnlib, .vnnlib.gz, .txt or .toml file."
NETWORK_HELP = (
    "MODEL.onnx or MODEL.nnet; NAME=MODEL for a network that a VNN-LIB 2 file declares or a property compares with, "
    "once for each."
)
Target = Annotated[str | None, typer.Option(metavar="NAME", help="The data's column that is no feature.")]
Feature = Annotated[list[str] | None, typer.Option(metavar="NAME", help="A column for the network; repeat in order.")]
Classes = Annotated[bool, typer.Option("--classes", help="The target's two values are classes.")]


def _finish(run: Any) -> None:
    raise typer.Exit(int(guarded(run)))


def _named_paths(values: Sequence[str]) -> "tuple[NamedPath, ...]":
    """Read ``[NAME=]MODEL`` of each option; a file whose own name holds an equals sign wins."""
    from verinet.io import NamedPath

    pairs = [("", value) if "=" not in value or Path(value).exists() else value.split("=", 1) for value in values]
    return tuple(NamedPath(name, path) for name, path in pairs)


@app.callback(invoke_without_command=True)
def _globals(
    context: typer.Context,
    name: Annotated[bool, typer.Option("--name", help="Print the solver's name.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print its version.")] = False,
) -> None:
    """Answer the options that need no command."""
    from verinet import __version__
    from verinet.cli.output import result

    if name or version:
        result("verinet" if name else __version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(int(Exit.BAD_INPUT))


@app.command()
def demo(
    out: Out = Path("verinet-demo"),
    time_limit: Annotated[float, typer.Option(help="Seconds for the training.")] = 30.0,
    solver: Annotated[str, typer.Option(help="auto, gurobi, highs, scip or cpsat.")] = "auto",
    quiet: Quiet = False,
) -> None:
    """Train, verify, refute and write it all down, on data that ships with scikit-learn."""

    def run() -> Exit:
        from verinet.cli.demonstration import DemoRequest, run_demo

        return run_demo(DemoRequest(out, _positive("--time-limit", time_limit), solver, quiet))

    _finish(run)


@app.command()
def train(
    specification: Annotated[Path, typer.Argument(metavar="SPEC.toml", help="What to train, and on which data.")],
    out: Out = Path("verinet-training"),
    time_limit: Annotated[float | None, typer.Option(help="Seconds; overrides the file's.")] = None,
    solver: Annotated[
        str | None, typer.Option(help="auto, gurobi, highs, scip or cpsat; overrides the file's.")
    ] = None,
    properties: Annotated[
        list[Path] | None,
        typer.Option("--property", metavar="FILE", help="A .toml file of what must hold everywhere; once for each."),
    ] = None,
    network: Annotated[
        list[str] | None, typer.Option("--network", help="NAME=MODEL that a property compares with; once for each.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(help="The most, of training and verifying in turn.", min=1)] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Go on from the network and bound that a training wrote there.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Train a sparse network to proven optimality, or as near as the time allows."""

    def run() -> Exit:
        from verinet.cli.training import TrainRequest, train_file

        limit = None if time_limit is None else _positive("--time-limit", time_limit)
        networks = _named_paths(network or ())
        files = tuple(properties or ())
        return train_file(TrainRequest(specification, out, limit, solver, quiet, files, networks, rounds, resume))

    _finish(run)


@app.command()
def repair(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="MODEL.onnx or MODEL.nnet.")],
    properties: Annotated[
        list[Path],
        typer.Option("--property", metavar="FILE", help="A .toml file of what must hold; once for each."),
    ],
    data: Annotated[Path | None, typer.Option(help="A .csv file to judge the network by, before and after.")] = None,
    target: Annotated[str | None, typer.Option(help="Its column of right answers; by default the last.")] = None,
    layer: Annotated[str | None, typer.Option(help="Its name or number, from 1; by default the last.")] = None,
    norm: Annotated[str, typer.Option(help="l1 (the sum of changes) or count (of changed weights).")] = "l1",
    reach: Annotated[
        float | None, typer.Option(help="Largest change of a weight; by default twice the largest, at least 1.")
    ] = None,
    network: Annotated[
        list[str] | None, typer.Option("--network", help="NAME=MODEL that a property compares with; once for each.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(help="The most, of repairing and verifying in turn.", min=1)] = None,
    time_limit: Annotated[float, typer.Option(help="Seconds.")] = 60.0,
    gap: Annotated[float, typer.Option(help="Relative gap at which a change counts as the smallest.", min=0)] = 1e-3,
    solver: Annotated[str, typer.Option(help="auto, gurobi, highs, scip or cpsat.")] = "auto",
    threads: Annotated[int, typer.Option(help="Of solver and verifier.", min=1)] = 1,
    out: Out = Path("verinet-repair"),
    quiet: Quiet = False,
) -> None:
    """Change one layer of a network as little as possible such that properties hold."""

    def run() -> Exit:
        from verinet.cli.optimising import chosen
        from verinet.cli.repairing import RepairRequest, repair_file
        from verinet.train import TrainOptions
        from verinet.train.repair import ChangeNorm, RepairOptions

        limit = _positive("--time-limit", time_limit)
        search = TrainOptions(solver, limit, gap, threads, most_rounds=rounds)
        options = RepairOptions(chosen("--norm", norm, ChangeNorm), reach, search)
        networks = _named_paths(network or ())
        files = tuple(properties)
        return repair_file(RepairRequest(model, files, options, out, layer, data, target, networks, quiet))

    _finish(run)


@app.command()
def verify(
    context: typer.Context,
    property_file: Annotated[Path, typer.Argument(metavar="PROPERTY", help=PROPERTY_HELP)],
    network: Annotated[list[str], typer.Option("--network", help=NETWORK_HELP)],
    timeout: Annotated[float, typer.Option(help="Seconds for each property.")] = float("inf"),
    engine: Annotated[str, typer.Option(help="auto, branch (inputs), phase (ReLUs), milp or smt.")] = "auto",
    solver: Annotated[str, typer.Option(help="Of the milp engine: auto, gurobi, highs, scip or cpsat.")] = "auto",
    threads: Annotated[int, typer.Option(help="Of the search and the solver; 0 means all cores.", min=0)] = 1,
    memory: Annotated[float | None, typer.Option(metavar="MIB", help="Most memory of branch and phase.")] = None,
    seed: Annotated[int, typer.Option(help="For the falsifier and the solver.", min=0)] = 0,
    falsify: Annotated[bool, typer.Option(help="Look for counterexamples before proving.")] = True,
    certificate: Annotated[Path | None, typer.Option(help="Not available yet.")] = None,
    counterexample: Annotated[Path | None, typer.Option(help="Write counterexamples here.")] = None,
    serialise_assignments: Annotated[
        Path | None,
        typer.Option(
            "--serialise-assignments",
            "--assignments",
            metavar="FOLDER",
            help="Write the assignment of a VNN-LIB 2 file as ONNX tensors.",
        ),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the record here.")] = None,
    quiet: Quiet = False,
) -> None:
    """Decide whether a network has a property."""

    def run() -> Exit:
        from verinet.cli.verifying import VerifyRequest, verify_file
        from verinet.errors import InputError
        from verinet.verify import VerifyOptions

        if certificate is not None:
            raise InputError("--certificate is not available yet: verdicts are claimed (L0) or cross-checked (L1)")
        options = VerifyOptions(
            engine=engine,
            solver=solver,
            timeout=_positive("--timeout", timeout),
            started=context.obj,
            memory=None if memory is None else _positive("--memory", memory, "MiB"),
            threads=threads,
            seed=seed,
            falsify=falsify,
        )
        paths = _named_paths(network)
        return verify_file(
            VerifyRequest(property_file, paths, options, json, counterexample, serialise_assignments, quiet)
        )

    _finish(run)


@app.command()
def optimise(
    context: typer.Context,
    property_file: Annotated[Path, typer.Argument(metavar="PROPERTY", help=PROPERTY_HELP)],
    network: Annotated[list[str], typer.Option("--network", help=NETWORK_HELP)],
    goal: Annotated[
        str, typer.Option(help="range, largest-violation, nearest, radius or constant.")
    ] = "largest-violation",
    only: Annotated[str | None, typer.Option(metavar="NAME", help="One property of a .toml file.")] = None,
    output: Annotated[str | None, typer.Option(help="Range of this output or linear expression; default all.")] = None,
    minimise: Annotated[bool, typer.Option("--minimise", help="Of a range: the least value only.")] = False,
    maximise: Annotated[bool, typer.Option("--maximise", help="Of a range: the greatest value only.")] = False,
    point: Annotated[str | None, typer.Option(help="Centre: v1,v2,... in the inputs' order, or a .csv file.")] = None,
    row: Annotated[int, typer.Option(help="Of that file, from 1.", min=1)] = 1,
    norm: Annotated[str | None, typer.Option(help="linf (default), l1, or count of changed features.")] = None,
    costs: Annotated[str | None, typer.Option(help="name=price,name=up:down,...; inf: must not change.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds for each question.")] = float("inf"),
    gap: Annotated[float, typer.Option(help="Gap at which to stop, absolute and relative.", min=0)] = 1e-6,
    engine: Annotated[str, typer.Option(help="auto, branch, cone, milp or smt.")] = "auto",
    solver: Annotated[str, typer.Option(help="Of the milp engine: auto, gurobi, highs, scip or cpsat.")] = "auto",
    threads: Annotated[int, typer.Option(help="Of the search and the solver; 0 means all cores.", min=0)] = 1,
    memory: Annotated[float | None, typer.Option(metavar="MIB", help="Most memory of the branch engine.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    json: Annotated[Path | None, typer.Option(help="Write the record here.")] = None,
    quiet: Quiet = False,
) -> None:
    """Find ranges, largest violations, nearest counterexamples, robust radii or Lipschitz constants."""

    def run() -> Exit:
        from verinet.cli.optimising import Goal, OptimiseRequest, chosen, optimise_file
        from verinet.verify import Metric, OptimiseOptions, Sense

        senses = tuple(s for s, wanted in ((Sense.MINIMISE, minimise), (Sense.MAXIMISE, maximise)) if wanted)
        options = OptimiseOptions(
            engine=engine,
            solver=solver,
            timeout=_positive("--timeout", timeout),
            threads=threads,
            seed=seed,
            absolute_gap=gap,
            relative_gap=gap,
            started=context.obj,
            memory=None if memory is None else _positive("--memory", memory, "MiB"),
        )
        return optimise_file(
            OptimiseRequest(
                property_file,
                _named_paths(network),
                chosen("--goal", goal, Goal),
                options,
                only,
                output,
                senses or tuple(Sense),
                point,
                row,
                None if norm is None else chosen("--norm", norm, Metric),
                costs,
                json,
                quiet,
            )
        )

    _finish(run)


@app.command()
def export(
    property_file: Annotated[Path, typer.Argument(metavar="PROPERTY", help=PROPERTY_HELP)],
    network: Annotated[list[str], typer.Option("--network", help=NETWORK_HELP)],
    out: Out = Path("verinet-export"),
    only: Annotated[str | None, typer.Option(metavar="NAME", help="One property of a .toml file.")] = None,
) -> None:
    """Write the questions of a property file as VNN-LIB 2, one file each."""

    def run() -> Exit:
        from verinet.cli.exporting import export_file

        return export_file(property_file, _named_paths(network), only, out)

    _finish(run)


@app.command()
@app.command(name="capabilities", hidden=True)
def supports(
    context: typer.Context,
    onnx_opset_versions: Capability = False,
    onnx_element_types: Capability = False,
    onnx_operators: Capability = False,
    vnnlib_versions: Capability = False,
    hidden_node_theories: Capability = False,
    multiple_input_output_theories: Annotated[
        bool, typer.Option("--multiple-input-output-theories", "--multiple-inputs-output-theories")
    ] = False,
    multiple_network_theories: Capability = False,
    multiple_node_comparison_theories: Capability = False,
    arithmetic_complexity_theories: Capability = False,
    optimised_disjunctive_reasoning: Capability = False,
    serialise_assignments: Capability = False,
    unsat_proofs: Capability = False,
) -> None:
    """Report one capability, as the VNN-LIB standard asks."""
    asked = [f"--{key.replace('_', '-')}" for key, is_asked in context.params.items() if is_asked]

    def run() -> Exit:
        from verinet.cli.supporting import CAPABILITIES, print_capability
        from verinet.errors import InputError

        if len(asked) != 1:
            raise InputError(f"supports needs one of {', '.join(CAPABILITIES)}, found {len(asked)}")
        return print_capability(asked[0])

    _finish(run)


@app.command()
def inspect(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx")],
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write a page about the network.")] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Data for the page's effects and rules.")
    ] = None,
    target: Target = None,
    feature: Feature = None,
    classes: Classes = False,
) -> None:
    """Show a network file operator by operator: supported, folded, or refused and why."""

    def run() -> Exit:
        from verinet.cli.looking import inspect_file
        from verinet.errors import InputError

        if html is None and data is not None:
            raise InputError("--data is for the page; say where to write it with --html FILE")
        if data is None and (target is not None or feature or classes):
            raise InputError("--target, --feature and --classes speak of data; name the file with --data FILE.csv")
        done = inspect_file(model)
        if html is not None and done is Exit.DONE:
            from verinet.cli.explaining import DataRequest, write_page

            write_page(model, html, None if data is None else DataRequest(data, target, tuple(feature or ()), classes))
        return done

    _finish(run)


@app.command()
def rules(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx")],
    data: Annotated[Path, typer.Option(metavar="FILE.csv", help="The rows that the rules are for.")],
    target: Target = None,
    feature: Feature = None,
    classes: Classes = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the rules here.")] = None,
) -> None:
    """Write a network as rules, IF conditions THEN formula: one for each linear region that the data fall in."""

    def run() -> Exit:
        from verinet.cli.explaining import DataRequest, rules_file

        return rules_file(model, DataRequest(data, target, tuple(feature or ()), classes), out)

    _finish(run)


@app.command()
def doctor(
    warm: Annotated[bool, typer.Option("--warm", help="Compile the search kernels ahead, about a minute.")] = False,
    engine: Annotated[str | None, typer.Option(help="Only those of branch or phase.")] = None,
) -> None:
    """Show versions, solvers, licences and their limits."""

    def run() -> Exit:
        from verinet.cli.looking import doctor as examine
        from verinet.cli.looking import warm_up

        return warm_up(engine) if warm else examine()

    _finish(run)


def _positive(name: str, value: float, unit: str = "seconds") -> float:
    from verinet.errors import InputError

    if not value > 0:
        raise InputError(f"{name} needs a number of {unit} above 0, found {value}")
    return value


def _completed(arguments: list[str]) -> list[str]:
    """Put ``verify`` in front of a property file that stands without a command, as some tools call a solver."""
    commands = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    has_query = any(argument.removesuffix(".gz").endswith((".vnnlib", ".txt")) for argument in arguments)
    return ["verify", *arguments] if has_query and commands.isdisjoint(arguments) else arguments


def run(arguments: Sequence[str], started: float | None = None) -> int:
    """Run the command line within this process and return its exit code.

    Parameters
    ----------
    arguments : sequence of str
    started : float or None
        When time limits begin to count, on the clock of `time.monotonic`; None for now.
    """
    try:
        app(_completed(list(arguments)), obj=time.monotonic() if started is None else started)
    except SystemExit as stop:
        return int(stop.code or 0)
    return int(Exit.DONE)


def main() -> NoReturn:
    """Run the command line as this process and end it.

    Nothing is left to do then, and taking every imported module apart would take a third of a second.
    """
    gc.set_threshold(COLLECTOR_THRESHOLD)
    code = run(sys.argv[1:], STARTED)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = code or int(Exit.NO_READER)
    os._exit(code)
