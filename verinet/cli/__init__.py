"""The command line: arguments to calls to exit codes.

stdout carries results only. Every command imports what it needs when it runs, so that a quick question gets a quick
answer.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from verinet.cli.exits import Exit, guarded

__all__ = ["main"]

app = typer.Typer(
    name="verinet",
    help="Train small ReLU networks to proven optimality, verify piecewise-linear networks, keep the evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Out = Annotated[Path, typer.Option("--out", help="Folder for everything that is written.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")]
NETWORK_HELP = "The network file, optionally as NAME=MODEL.onnx."


def _finish(run: Any) -> None:
    raise typer.Exit(int(guarded(run)))


def _network_path(value: str) -> Path:
    """Read ``[NAME=]MODEL.onnx``; a file whose own name holds an equals sign wins."""
    if "=" in value and not Path(value).exists():
        return Path(value.split("=", 1)[1])
    return Path(value)


@app.command()
def demo(
    out: Out = Path("verinet-demo"),
    time_limit: Annotated[float, typer.Option(help="Seconds for the training.")] = 30.0,
    solver: Annotated[str, typer.Option(help="auto, gurobi or highs.")] = "auto",
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
    solver: Annotated[str | None, typer.Option(help="auto, gurobi or highs; overrides the file's.")] = None,
    quiet: Quiet = False,
) -> None:
    """Train a sparse network to proven optimality, or as near as the time allows."""

    def run() -> Exit:
        from verinet.cli.training import TrainRequest, train_file

        limit = None if time_limit is None else _positive("--time-limit", time_limit)
        return train_file(TrainRequest(specification, out, limit, solver, quiet))

    _finish(run)


@app.command()
def verify(
    property_file: Annotated[Path, typer.Argument(metavar="PROPERTY", help="A .vnnlib, .vnnlib.gz or .toml file.")],
    network: Annotated[str, typer.Option("--network", help=NETWORK_HELP)],
    timeout: Annotated[float, typer.Option(help="Seconds for each property.")] = float("inf"),
    engine: Annotated[str, typer.Option(help="auto, branch, milp or smt.")] = "auto",
    solver: Annotated[str, typer.Option(help="Of the milp engine: auto, gurobi or highs.")] = "auto",
    threads: Annotated[int, typer.Option(help="Of the search and the solver; 0 means all cores.", min=0)] = 1,
    seed: Annotated[int, typer.Option(help="For the falsifier and the solver.", min=0)] = 0,
    falsify: Annotated[bool, typer.Option(help="Look for counterexamples before proving.")] = True,
    certificate: Annotated[Path | None, typer.Option(help="Not available yet.")] = None,
    counterexample: Annotated[Path | None, typer.Option(help="Write counterexamples here.")] = None,
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
            threads=threads,
            seed=seed,
            falsify=falsify,
        )
        path = _network_path(network)
        return verify_file(VerifyRequest(property_file, path, options, json, counterexample, quiet))

    _finish(run)


@app.command()
def inspect(model: Annotated[Path, typer.Argument(metavar="MODEL.onnx")]) -> None:
    """Show a network file operator by operator: supported, folded, or refused and why."""

    def run() -> Exit:
        from verinet.cli.looking import inspect_file

        return inspect_file(model)

    _finish(run)


@app.command()
def doctor() -> None:
    """Show versions, solvers, licences and their limits."""

    def run() -> Exit:
        from verinet.cli.looking import doctor as examine

        return examine()

    _finish(run)


def _positive(name: str, value: float) -> float:
    from verinet.errors import InputError

    if not value > 0:
        raise InputError(f"{name} needs a number of seconds above 0, found {value}")
    return value


def main() -> None:
    """Run the command line."""
    app()
