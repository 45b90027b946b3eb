"""Products of expressions as products of variables, which is how solvers take them."""

from dataclasses import dataclass, replace

import numpy as np

from verinet.numeric import BoolArray, FloatArray, IntArray
from verinet.program import Bilinear, Expressions, Programme, ProgrammeBuilder

__all__ = ["Factored", "factored", "product_count"]


@dataclass(frozen=True, eq=False)
class Factored:
    """A programme whose products are of single variables, kept apart from it.

    Parameters
    ----------
    programme : Programme
        Without `Bilinear`. Its first variables are those of the original, then come the factors.
    results, left, right : ndarray of int, shape (products,)
        ``x[results] == x[left] * x[right]``.
    factors : Expressions
        What the new variables stand for.
    """

    programme: Programme
    results: IntArray
    left: IntArray
    right: IntArray
    factors: Expressions

    def extend(self, start: FloatArray) -> FloatArray:
        """Extend a start, which may have NaN entries, to the factors."""
        return np.concatenate([start, self.factors.value(start)])

    def restrict(self, values: FloatArray) -> FloatArray:
        """Return the part of a point that belongs to the original programme."""
        return values[: len(values) - self.factors.size]


def product_count(programme: Programme) -> int:
    """Count the products of two expressions."""
    return sum(len(constraint.results) for constraint in _bilinear(programme))


def factored(programme: Programme) -> Factored:
    """Give every factor that is no single variable a variable and an equation of its own.

    Multiplying the factors out instead would round their coefficients and widen their range.
    """
    products = _bilinear(programme)
    others = tuple(constraint for constraint in programme.semantic if not isinstance(constraint, Bilinear))
    none = np.zeros(0, dtype=np.int64)
    if not products:
        return Factored(programme, none, none, none, Expressions.constants([]))
    sides = Expressions.stack([side for product in products for side in (product.left, product.right)])
    single = _is_variable(sides)
    compound = sides[~single]
    builder = ProgrammeBuilder.extending(replace(programme, semantic=others))
    new = builder.variables("factor", *builder.enclosure(compound))
    if compound.size:
        builder.rows(Expressions.variables(new) - compound, 0.0, 0.0)
    variables = np.zeros(sides.size, dtype=np.int64)
    variables[single] = sides[single].matrix.indices
    variables[~single] = new
    parts = np.split(variables, np.cumsum([len(p.results) for p in products for _ in range(2)])[:-1])
    results = np.concatenate([product.results for product in products])
    return Factored(builder.build(), results, np.concatenate(parts[::2]), np.concatenate(parts[1::2]), compound)


def _bilinear(programme: Programme) -> tuple[Bilinear, ...]:
    return tuple(constraint for constraint in programme.semantic if isinstance(constraint, Bilinear))


def _is_variable(expressions: Expressions) -> BoolArray:
    """Tell where an expression is one variable with coefficient 1 and nothing else."""
    counts = np.diff(expressions.matrix.indptr)
    single = counts == 1
    single[single] = expressions.matrix.data[expressions.matrix.indptr[:-1][single]] == 1.0
    return np.asarray(single & (expressions.constant == 0.0))
