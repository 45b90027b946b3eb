"""``verinet optimise``: ranges, largest violations, nearest counterexamples, robust radii, Lipschitz constants."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

from verinet.cli.asking import Prices, read_expression, read_point, read_prices
from verinet.cli.exits import Exit
from verinet.cli.output import progress, result
from verinet.cli.questions import QuestionFile, Subject, only_network, read_questions
from verinet.errors import InputError
from verinet.io import NamedPath, write_atomically
from verinet.io.names import quoted
from verinet.model import (
    LinearExpression,
    Lipschitz,
    Norm,
    Query,
    Reduction,
    Region,
    Robust,
    Side,
    Symbol,
    evaluate_exact,
    reduce_property,
)
from verinet.verify import (
    Distance,
    Metric,
    OptimiseOptions,
    Optimum,
    OptimumStatus,
    Sense,
    extreme_value,
    largest_violation,
    lipschitz_constant,
    nearest_counterexample,
    robust_radius,
)

__all__ = ["Goal", "OptimiseRequest", "chosen", "optimise_file"]

Choice = TypeVar("Choice", bound=Enum)


class Goal(Enum):
    """What is asked."""

    RANGE = "range"
    LARGEST_VIOLATION = "largest-violation"
    NEAREST = "nearest"
    RADIUS = "radius"
    CONSTANT = "constant"


@dataclass(frozen=True)
class OptimiseRequest:
    """The arguments of ``verinet optimise``.

    Parameters
    ----------
    property_file : Path
    networks : tuple of NamedPath
    goal : Goal
    options : OptimiseOptions
    only : str or None
        The name of one property.
    output : str or None
        A name or a linear expression, for ranges.
    senses : tuple of Sense
    point : str or None
    row : int
    metric : Metric or None
    costs : str or None
    json_file : Path or None
    quiet : bool
    """

    property_file: Path
    networks: tuple[NamedPath, ...]
    goal: Goal
    options: OptimiseOptions
    only: str | None = None
    output: str | None = None
    senses: tuple[Sense, ...] = (Sense.MINIMISE, Sense.MAXIMISE)
    point: str | None = None
    row: int = 1
    metric: Metric | None = None
    costs: str | None = None
    json_file: Path | None = None
    quiet: bool = False


@dataclass(frozen=True, eq=False)
class _Answer:
    """An optimum with the words of what it is about."""

    name: str
    quantity: str
    optimum: Optimum
    reduction: Reduction


@dataclass(eq=False)
class _Asking:
    """Hands out options, one question after another."""

    options: OptimiseOptions
    report: Callable[[str], None]

    def about(self, name: str) -> OptimiseOptions:
        """Return the options of the next question; reading the files was part of the first one's time."""
        first, self.options = self.options, replace(self.options, started=None)
        return replace(first, on_progress=lambda state: self.report(f"{name}: {state}"))


def chosen(option: str, value: str, kind: type[Choice]) -> Choice:
    """Return the member of an enumeration that an option names.

    Raises
    ------
    InputError
        If there is none.
    """
    for member in kind:
        if member.value == value:
            return member
    raise InputError(f"{option} needs to be one of {', '.join(str(m.value) for m in kind)}, found {quoted(value)}")


def optimise_file(request: OptimiseRequest) -> Exit:
    """Answer the questions of a property file and print the results."""
    file = read_questions(request.property_file, request.networks, request.only)
    with progress(request.quiet) as report:
        answers = list(GOALS[request.goal](request, file, _Asking(request.options, report)))
    if request.json_file is not None:
        write_atomically(request.json_file, _records(request, file, answers))
    for answer in answers:
        for line in _lines(answer, file):
            result(line)
    unfinished = any(answer.optimum.status is OptimumStatus.LIMIT for answer in answers)
    return Exit.UNKNOWN if unfinished else Exit.DONE


# ----------------------------------------------------------------------------------------------------------- goals


def _ranges(request: OptimiseRequest, file: QuestionFile, asking: _Asking) -> Iterator[_Answer]:
    """Yield both ends of each output, over the domain, or over the inputs that one property is about."""
    domains = file.domains
    if request.only is not None:
        subject = file.subjects[0]
        if len(subject.reduction.copies) > 1:
            raise InputError(f"{subject.name!r} compares two inputs, so it is no domain for a range; leave out --only")
        domains = tuple(region.domain for region in subject.reduction.query.regions)
    query = Query(file.network, tuple(Region(domain, ((),)) for domain in domains))
    reduction = Reduction(query, (tuple(range(file.network.size_in)),))
    names = file.frame.output_names(file.network.size_out)
    wanted: Mapping[str, LinearExpression]
    if request.output is None:
        wanted = {n: LinearExpression(((Symbol(Side.OUTPUT, i), Fraction(1)),)) for i, n in enumerate(names)}
    else:
        wanted = {request.output: read_expression(request.output, file.frame)}
    for name, expression in wanted.items():
        for sense in request.senses:
            word = "minimum" if sense is Sense.MINIMISE else "maximum"
            optimum = extreme_value(query, expression, sense, asking.about(f"{word} of {name}"))
            yield _Answer(name, word, optimum, reduction)


def _violations(request: OptimiseRequest, file: QuestionFile, asking: _Asking) -> Iterator[_Answer]:
    for subject in file.subjects:
        optimum = largest_violation(subject.reduction.query, asking.about(subject.name))
        yield _Answer(subject.name, "largest violation", optimum, subject.reduction)


def _nearest(request: OptimiseRequest, file: QuestionFile, asking: _Asking) -> Iterator[_Answer]:
    for subject, distance, reduction, unit in _distances(request, file):
        optimum = nearest_counterexample(reduction.query, distance, asking.about(subject.name))
        yield _Answer(subject.name, f"distance ({distance.metric.value}{unit})", optimum, reduction)


def _radii(request: OptimiseRequest, file: QuestionFile, asking: _Asking) -> Iterator[_Answer]:
    for subject, distance, reduction, unit in _distances(request, file):
        optimum = robust_radius(reduction.query, distance, asking.about(subject.name))
        yield _Answer(subject.name, f"robust radius ({distance.metric.value}{unit})", optimum, reduction)


def _constants(request: OptimiseRequest, file: QuestionFile, asking: _Asking) -> Iterator[_Answer]:
    """Yield the least constant of each property that has one."""
    subjects = [(subject, subject.prop) for subject in file.subjects]
    for subject, prop in subjects:
        if not isinstance(prop, Lipschitz):
            if request.only is not None or not any(isinstance(other, Lipschitz) for _, other in subjects):
                raise InputError(f"the goal constant needs a property of the kind lipschitz, found {subject.name!r}")
            continue
        optimum = lipschitz_constant(file.network, file.frame.domain, prop, asking.about(subject.name))
        yield _Answer(subject.name, f"Lipschitz constant ({prop.norm.value})", optimum, subject.reduction)


GOALS: Mapping[Goal, Callable[[OptimiseRequest, QuestionFile, _Asking], Iterator[_Answer]]] = {
    Goal.RANGE: _ranges,
    Goal.LARGEST_VIOLATION: _violations,
    Goal.NEAREST: _nearest,
    Goal.RADIUS: _radii,
    Goal.CONSTANT: _constants,
}
"""Who answers which question."""


def _distances(request: OptimiseRequest, file: QuestionFile) -> Iterator[tuple[Subject, Distance, Reduction, str]]:
    """Yield for each property where it is asked, how distance is measured there, and in which unit."""
    prices = None if request.costs is None else read_prices(request.costs, file.frame)
    point = None if request.point is None else read_point(request.point, request.row, file.frame)
    for subject in file.subjects:
        if len(subject.reduction.copies) > 1:
            raise InputError(
                f"{subject.name!r} compares two inputs, which has no distance from one point; choose another property "
                "with --only"
            )
        if isinstance(subject.prop, Robust):
            yield _around_own_point(request, file, subject, subject.prop, prices)
            continue
        if point is None:
            raise InputError(f"the goal {request.goal.value} needs --point, for {subject.name!r} gives none")
        distance = _distance(file, request.metric or Metric.LINF, point, prices)
        yield subject, distance, subject.reduction, "" if prices is None else ", priced"


def _around_own_point(
    request: OptimiseRequest, file: QuestionFile, subject: Subject, prop: Robust, prices: Prices | None
) -> tuple[Subject, Distance, Reduction, str]:
    """Ask a robust property about its own point, without its radius: only inputs that it holds still stay so."""
    if request.point is not None:
        raise InputError(f"{subject.name!r} is about a point of its own; leave out --point, or choose with --only")
    domain = file.frame.domain
    reach = tuple(
        max(abs(high - c), abs(low - c)) if r else Fraction(0)
        for low, high, c, r in zip(domain.lower, domain.upper, prop.centre, prop.radius, strict=True)
    )
    wide = replace(prop, radius=reach, norm=Norm.LINF)
    reduction = reduce_property(file.network, domain, wide)
    metric = request.metric or Metric(prop.norm.value)
    moving = {r for r in prop.radius if r}
    unit = ", priced"
    if prices is None:
        scaled = metric is not Metric.COUNT and len(moving) > 1
        unit = ", in radii of the property" if scaled else ""
        own = tuple((1 / r if scaled else Fraction(1)) if r else None for r in prop.radius)
        prices = Prices(own, own)
    return subject, _distance(file, metric, prop.centre, prices), reduction, unit


def _distance(file: QuestionFile, metric: Metric, centre: Sequence[Fraction], prices: Prices | None) -> Distance:
    """Build the distance; changing a category touches two columns and costs its price once."""
    ones: tuple[Fraction | None, ...] = (Fraction(1),) * len(centre)
    up, down = (ones, ones) if prices is None else (prices.up, prices.down)
    share = [Fraction(1, 2) if f.values and metric is Metric.L1 else Fraction(1) for f in file.frame.features]
    shares = [s for f, s in zip(file.frame.features, share, strict=True) for _ in range(f.width)]

    def shared(sides: tuple[Fraction | None, ...]) -> tuple[Fraction | None, ...]:
        return tuple(None if p is None else p * s for p, s in zip(sides, shares, strict=True))

    return Distance(metric, tuple(centre), shared(up), shared(down), tuple(file.frame.columns.values()))


# --------------------------------------------------------------------------------------------------------- writing


def _lines(answer: _Answer, file: QuestionFile) -> Iterator[str]:
    """Write an optimum on one line, and where it is on the next ones."""
    found = answer.optimum
    head = f"{found.status.value:<11} {found.seconds:7.2f} s  {answer.name}: {answer.quantity} "
    reason = f": {found.reason}" if found.reason else ""
    yield head + _enclosure(found) + reason
    for number, (inputs, outputs) in enumerate(_places(answer, file), start=1):
        names = file.frame.input_names, file.frame.output_names(len(outputs))
        where, value = (
            ", ".join(f"{n} = {_text(v)}" for n, v in zip(own, values, strict=True))
            for own, values in zip(names, (inputs, outputs), strict=True)
        )
        yield f"    input {number}: {where}  ->  {value}"


def _text(value: Fraction) -> str:
    """Write a number in twelve digits: a point just beyond a strict threshold should look like one."""
    return f"{float(value):.12g}"


def _enclosure(found: Optimum) -> str:
    """Write value and bound, and who says so."""
    if found.status is OptimumStatus.INFEASIBLE:
        return f"has no point ({found.basis.value})"
    side = "at least" if found.sense is Sense.MINIMISE else "at most"
    bound = f"{side} {found.bound:.12g} ({found.basis.value})" if math.isfinite(found.bound) else "without a bound"
    return bound if found.value is None else f"{_text(found.value)} (confirmed), {bound}"


def _places(answer: _Answer, file: QuestionFile) -> list[tuple[tuple[Fraction, ...], tuple[Fraction, ...]]]:
    if answer.optimum.point is None:
        return []
    return [(x, evaluate_exact(file.network, x)) for x in answer.reduction.invert(answer.optimum.point)]


def _records(request: OptimiseRequest, file: QuestionFile, answers: Sequence[_Answer]) -> str:
    # Schemas take a while to import; a question without a record should not wait for them.
    from verinet.audit import FileRecord, OptimumRecord

    files = FileRecord.of(only_network(request.networks)), FileRecord.of(request.property_file)
    records = [
        OptimumRecord.of((request.goal.value, a.name, a.quantity), a.optimum, _places(a, file), *files) for a in answers
    ]
    return json.dumps([record.model_dump() for record in records], indent=2, allow_nan=False) + "\n"
