"""An exact oracle for small queries: every feasible activation pattern, one linear question each.

It shares nothing with the engines under test except `verinet.model`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from verinet.model import (
    Affine,
    Domain,
    Input,
    L1Ball,
    LinearExpression,
    LinearMap,
    Network,
    Node,
    Query,
    Region,
    Relu,
    Side,
)

__all__ = ["decide_by_enumeration"]

Point = tuple[Fraction, ...]
Form = tuple[Fraction, ...]
"""An affine form over the inputs: their coefficients, then the constant."""


def decide_by_enumeration(query: Query) -> Point | None:
    """Decide a query exactly by walking through every feasible activation pattern.

    Parameters
    ----------
    query : Query
        Its network is small: about 12 neurons over 4 inputs take tenths of a second.

    Returns
    -------
    tuple of Fraction or None
        A counterexample that `Query.violated_at` confirms, or None if there is none.

    Notes
    -----
    Soundness: under a fixed pattern the network is affine, so each question is a linear one; Z3 answers it in rational
    arithmetic. Patterns partition the domain, since the first of several equal maxima wins and a ReLU is off only
    below zero.
    """
    for region in query.regions:
        witness = _Enumeration(query.network, region).witness()
        if witness is not None:
            assert query.violated_at(witness), "the oracle's own witness fails exact evaluation"
            return witness
    return None


class _Enumeration:
    """A depth-first search over activation patterns within one region."""

    def __init__(self, network: Network, region: Region) -> None:
        import z3

        self.z3 = z3
        self.network, self.region = network, region
        domain = region.domain
        integral = set(domain.integral)
        self.symbols = [z3.Int(f"x{i}") if i in integral else z3.Real(f"x{i}") for i in range(domain.size)]
        self.variables = [z3.ToReal(s) if i in integral else s for i, s in enumerate(self.symbols)]
        self.matrices = {
            node.name: [_rows_of(linear_map) for linear_map in node.op.maps]
            for node in network.nodes
            if isinstance(node.op, Affine)
        }
        self.box = domain.exact_box()
        self.solver = z3.SimpleSolver()
        self._add_domain(domain)

    def witness(self) -> Point | None:
        point = self._feasible()
        if point is None:
            return None
        size = self.network.size_in
        inputs = [tuple(Fraction(int(i == j)) for j in range(size + 1)) for i in range(size)]
        entries = np.empty(size, dtype=object)
        entries[:] = inputs
        given = dict(zip(self.network.inputs, map(list, self.network.split_input(entries)), strict=True))
        return self._explore(0, given, point)

    def _add_domain(self, domain: Domain) -> None:
        for i in range(domain.size):
            unit = [Fraction(int(i == j)) for j in range(domain.size)]
            self._add((*unit, -domain.upper[i]), strict=False)
            self._add((*(-u for u in unit), domain.lower[i]), strict=False)
        for group in domain.groups:
            ones = [Fraction(int(i in group)) for i in range(domain.size)]
            self._add((*ones, Fraction(-1)), strict=False)
            self._add((*(-u for u in ones), Fraction(1)), strict=False)
        for atom in domain.conditions:
            self._add(self._form(atom.expression, []), atom.strict)
        for ball in domain.balls:
            for form in _ball_rows(ball, domain.size):
                self._add(form, strict=False)

    def _add(self, form: Form, strict: bool) -> None:
        """Assert ``form <= 0`` or ``form < 0``, with integer coefficients."""
        scale = math.lcm(*(v.denominator for v in form))
        total: Any = self.z3.RealVal(int(form[-1] * scale))
        for coefficient, variable in zip(form, self.variables, strict=False):
            if coefficient:
                total = total + int(coefficient * scale) * variable
        self.solver.add(total < 0 if strict else total <= 0)

    def _feasible(self) -> Point | None:
        answer = self.solver.check()
        if answer == self.z3.unsat:
            return None
        assert answer == self.z3.sat, f"Z3 gives up on a linear question: {self.solver.reason_unknown()}"
        model = self.solver.model()
        values = [model.eval(symbol, model_completion=True) for symbol in self.symbols]
        return tuple(Fraction(str(value.as_fraction() if value.is_real() else value.as_long())) for value in values)

    def _under(self, rows: Sequence[tuple[Form, bool]], point: Point, then: Callable[[Point], Point | None]) -> Any:
        """Continue below some more rows, if they are feasible; `point` meets the rows so far."""
        self.solver.push()
        try:
            for form, strict in rows:
                self._add(form, strict)
            inside = point if all(_holds(form, strict, point) for form, strict in rows) else self._feasible()
            return None if inside is None else then(inside)
        finally:
            self.solver.pop()

    def _explore(self, position: int, values: dict[str, list[Form]], point: Point) -> Point | None:
        if position == len(self.network.nodes):
            return self._unsafe(values, point)
        node = self.network.nodes[position]
        if isinstance(node.op, Input):
            return self._explore(position + 1, values, point)
        if isinstance(node.op, Affine):
            result = self._affine(node, values)
            return self._explore(position + 1, {**values, node.name: result}, point)
        argument = values[node.arguments[0]]
        zero: Form = (Fraction(0),) * (self.network.size_in + 1)
        groups = (
            [[zero, form] for form in argument]
            if isinstance(node.op, Relu)
            else [list(dict.fromkeys(argument[i] for i in group)) for group in node.op.groups]
        )
        return self._branch(position, groups, [], values, point)

    def _branch(
        self, position: int, groups: list[list[Form]], chosen: list[Form], values: dict[str, list[Form]], point: Point
    ) -> Point | None:
        """Decide the winner of one group after the other."""
        if len(chosen) == len(groups):
            name = self.network.nodes[position].name
            return self._explore(position + 1, {**values, name: chosen}, point)
        for winner, rows in self._winners(groups[len(chosen)]):

            def deeper(inside: Point, winner: Form = winner) -> Point | None:
                return self._branch(position, groups, [*chosen, winner], values, inside)

            witness = self._under(rows, point, deeper) if rows else deeper(point)
            if witness is not None:
                return witness  # type: ignore[no-any-return]
        return None

    def _winners(self, forms: list[Form]) -> Iterator[tuple[Form, list[tuple[Form, bool]]]]:
        """Yield each form that may be the first largest, with the rows that say so."""
        for k, form in enumerate(forms):
            rows = []
            for j, other in enumerate(forms):
                if j == k:
                    continue
                excess = tuple(a - b for a, b in zip(other, form, strict=True))
                strict = j < k
                least, most = self._range(excess)
                if least > 0 or (strict and least >= 0):
                    break
                if not (most < 0 or (not strict and most <= 0)):
                    rows.append((excess, strict))
            else:
                yield form, rows

    def _range(self, form: Form) -> tuple[Fraction, Fraction]:
        """Bound a form over the box, exactly."""
        least = most = form[-1]
        for coefficient, low, high in zip(form, *self.box, strict=False):
            ends = (coefficient * low, coefficient * high)
            least, most = least + min(ends), most + max(ends)
        return least, most

    def _affine(self, node: Node, values: dict[str, list[Form]]) -> list[Form]:
        assert isinstance(node.op, Affine)
        width = self.network.size_in + 1
        result = []
        for row, bias in enumerate(node.op.bias):
            total = [Fraction(0)] * (width - 1) + [Fraction(float(bias))]
            for rows, name in zip(self.matrices[node.name], node.arguments, strict=True):
                for column, weight in rows[row]:
                    total = [t + weight * a if a else t for t, a in zip(total, values[name][column], strict=True)]
            result.append(tuple(total))
        return result

    def _unsafe(self, values: dict[str, list[Form]], point: Point) -> Point | None:
        outputs = [form for name in self.network.outputs for form in values[name]]
        for conjunction in self.region.unsafe:
            rows = [(self._form(atom.expression, outputs), atom.strict) for atom in conjunction]
            witness = self._under(rows, point, lambda inside: inside)
            if witness is not None:
                return witness  # type: ignore[no-any-return]
        return None

    def _form(self, expression: LinearExpression, outputs: Sequence[Form]) -> Form:
        size = self.network.size_in
        total = [Fraction(0)] * size + [expression.constant]
        for symbol, coefficient in expression.terms:
            if symbol.side is Side.INPUT:
                total[symbol.index] += coefficient
            else:
                total = [t + coefficient * a for t, a in zip(total, outputs[symbol.index], strict=True)]
        return tuple(total)


def _rows_of(linear_map: LinearMap) -> list[list[tuple[int, Fraction]]]:
    sparse = linear_map.to_sparse()
    return [
        [(int(sparse.columns[k]), Fraction(float(sparse.weights[k]))) for k in range(start, end)]
        for start, end in zip(sparse.offsets[:-1], sparse.offsets[1:], strict=True)
    ]


def _ball_rows(ball: L1Ball, size: int) -> Iterator[Form]:
    """Yield one row for each choice of signs: exact, and small enough for a handful of coordinates."""
    for mask in range(1 << len(ball.coordinates)):
        form, constant = [Fraction(0)] * size, -ball.radius
        for bit, (i, centre) in enumerate(zip(ball.coordinates, ball.centre, strict=True)):
            sign = 1 if mask >> bit & 1 else -1
            form[i] += sign
            constant -= sign * centre
        yield (*form, constant)


def _holds(form: Form, strict: bool, point: Point) -> bool:
    value = form[-1] + sum((a * x for a, x in zip(form, point, strict=False)), Fraction(0))
    return value < 0 if strict else value <= 0
