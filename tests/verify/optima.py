"""Questions of optimisation, and optima held against the exact oracle."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import combinations

from tests.strategies import decide_by_enumeration
from tests.verify.asking import constant, x
from verinet.model import (
    Atom,
    Conjunction,
    Domain,
    L1Ball,
    LinearExpression,
    Network,
    Query,
    Region,
    VariableType,
    evaluate_exact,
)
from verinet.verify import (
    Distance,
    Metric,
    OptimiseOptions,
    OptimumStatus,
    largest_violation,
    minimise,
    nearest_counterexample,
)

F = Fraction

TIMED = OptimiseOptions(timeout=60)


def at_least(expression: LinearExpression, value: Fraction | int | str) -> Atom:
    return Atom(constant(value) - expression)


def box(*ends: tuple[int | str, int | str], types: Sequence[VariableType] = (), **others: object) -> Domain:
    return Domain(tuple(F(a) for a, _ in ends), tuple(F(b) for _, b in ends), tuple(types), **others)


def unsafe(network: Network, domain: Domain, *atoms: Atom) -> Query:
    return Query(network, (Region(domain, (atoms,)),))


def better_exists(query: Query, cases: Sequence[Conjunction], domain: Domain) -> bool:
    """Let the oracle decide whether a point of the domain meets one of the conjunctions."""
    return decide_by_enumeration(Query(query.network, (Region(domain, tuple(cases)),))) is not None


def below(expression: LinearExpression, value: float) -> Atom:
    return Atom(expression - constant(F(value)), strict=True)


def check_linear(query: Query, expression: LinearExpression, options: OptimiseOptions) -> None:
    (region,) = query.regions
    found = minimise(query.network, region, expression, options)
    if found.status is OptimumStatus.INFEASIBLE:
        assert not better_exists(query, region.unsafe, region.domain)
        return
    assert found.status is OptimumStatus.OPTIMAL, found
    assert query.violated_at(found.point)
    assert expression.value(found.point, evaluate_exact(query.network, found.point)) == found.value
    assert not better_exists(query, [(*c, below(expression, found.bound)) for c in region.unsafe], region.domain)


def check_violation(query: Query, options: OptimiseOptions) -> None:
    (region,) = query.regions
    found = largest_violation(query, options)
    if found.status is OptimumStatus.INFEASIBLE:
        assert not better_exists(query, [()], region.domain)
        return
    assert found.status is OptimumStatus.OPTIMAL, found
    outputs = evaluate_exact(query.network, found.point)
    slacks = [min(-a.expression.value(found.point, outputs) for a in c) for c in region.unsafe]
    assert max(slacks) == found.value
    worse = [tuple(below(a.expression, -found.bound) for a in c) for c in region.unsafe]
    assert not better_exists(query, worse, region.domain)


def ball_domain(domain: Domain, distance: Distance, radius: Fraction) -> Iterator[Domain]:
    """Yield domains that hold exactly the points within a radius, prices being 1."""
    size = domain.size
    if distance.metric is Metric.L1:
        yield replace(domain, balls=(*domain.balls, L1Ball(tuple(range(size)), distance.centre, radius)))
    elif distance.metric is Metric.LINF:
        sides = ((i, c, sign) for i, c in enumerate(distance.centre) for sign in (F(1), F(-1)))
        atoms = tuple(Atom(x(i) * sign - constant(sign * c + radius)) for i, c, sign in sides)
        yield replace(domain, conditions=domain.conditions + atoms)
    else:
        for kept in combinations(range(size), size - math.floor(radius)):
            same = [Atom((x(i) - constant(distance.centre[i])) * sign) for i in kept for sign in (F(1), F(-1))]
            yield replace(domain, conditions=(*domain.conditions, *same))


def check_nearest(query: Query, metric: Metric, options: OptimiseOptions) -> None:
    (region,) = query.regions
    ends = zip(*region.domain.exact_box(), strict=True)
    centre = region.domain.nearest([(low + high) / 3 for low, high in ends])
    distance = Distance(metric, centre)
    found = nearest_counterexample(query, distance, options)
    if found.status is OptimumStatus.INFEASIBLE:
        assert not better_exists(query, region.unsafe, region.domain)
        return
    assert found.status is OptimumStatus.OPTIMAL, found
    assert query.violated_at(found.point)
    apart = [abs(v - c) for v, c in zip(found.point, centre, strict=True)]
    values = {Metric.L1: sum(apart), Metric.LINF: max(apart), Metric.COUNT: sum(a > 0 for a in apart)}
    assert values[metric] == found.value
    # A ball is closed, and a point may lie at the very distance that the bound names.
    radius = F(math.ceil(found.bound) - 1) if metric is Metric.COUNT else F(found.bound) - F(1, 10**12)
    if radius >= 0 and found.bound < found.value:
        parts = ball_domain(region.domain, distance, radius)
        assert not any(better_exists(query, region.unsafe, part) for part in parts)
