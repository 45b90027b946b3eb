"""Formulas as disjunctions of cases that stay grouped by their input part, and the regions they become.

A disjunctive form that is written out fully repeats the outputs for every box and the box for every output. Here a
case keeps one conjunction over the inputs together with all its conjunctions over the outputs, so that ``boxes and
outputs`` takes room for the boxes plus the outputs and not for their product.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, product

from verinet.errors import EmptyDomainError, PropertyError
from verinet.io.decimals import approximate, checked
from verinet.model import Atom, Conjunction, Domain, LinearExpression, Region, Side, Symbol

__all__ = ["Bound", "Case", "Form", "atomic", "conjunction", "disjunction", "regions"]

MOST_WORK = 30_000_000
"""A formula that takes more copied atoms than this to write out is refused: it would take minutes and all memory."""


@dataclass(frozen=True, slots=True)
class Bound:
    """``x_index <= value`` (upper) or ``x_index >= value``, without the equality if strict."""

    index: int
    upper: bool
    value: Fraction
    strict: bool

    def tighter_than(self, other: "Bound | None") -> bool:
        """Decide whether this bound implies `other`, one of the same direction, and differs from it."""
        if other is None:
            return True
        if self.value == other.value:
            return self.strict and not other.strict
        return (self.value < other.value) is self.upper

    @property
    def atom(self) -> Atom:
        """The bound as a condition."""
        sign = Fraction(1 if self.upper else -1)
        return Atom(LinearExpression(((Symbol(Side.INPUT, self.index), sign),), -sign * self.value), self.strict)


@dataclass(frozen=True, slots=True)
class Case:
    """All of `inputs` hold, and all atoms of one member of `unsafe` do.

    Parameters
    ----------
    inputs : tuple of Bound or Atom
        Over inputs only.
    unsafe : tuple of Conjunction
        Atoms that speak of an output.
    """

    inputs: tuple[Bound | Atom, ...]
    unsafe: tuple[Conjunction, ...]


@dataclass(frozen=True, slots=True)
class Form:
    """Some case holds.

    Parameters
    ----------
    cases : tuple of Case
    work : int
        How many atoms were copied to write it out, for the limit.
    """

    cases: tuple[Case, ...]
    work: int = 0


ALWAYS = Case((), ((),))


def atomic(atom: Atom) -> Form:
    """Return the form of one atom.

    Raises
    ------
    InputError
        If it bounds an input by a number beyond the range of float64.
    """
    terms = atom.expression.terms
    if not terms:
        return Form((ALWAYS,) if atom.holds(()) else ())
    if any(symbol.side is Side.OUTPUT for symbol, _ in terms):
        return Form((Case((), ((atom,),)),))
    if len(terms) > 1:
        return Form((Case((atom,), ((),)),))
    symbol, coefficient = terms[0]
    value = checked(-atom.expression.constant / coefficient)
    bound = Bound(symbol.index, coefficient > 0, value, atom.strict)
    return Form((Case((bound,), ((),)),))


def disjunction(forms: Sequence[Form]) -> Form:
    """Return the form that holds where one of the given ones does; cases without an input part become one case."""
    if len(forms) == 1:
        return forms[0]
    cases: list[Case] = []
    unconditional: list[Conjunction] = []
    place = 0
    for case in chain.from_iterable(form.cases for form in forms):
        if case.inputs:
            cases.append(case)
            continue
        if not unconditional:
            place = len(cases)
        unconditional.extend(case.unsafe)
    work = _limited(sum(form.work for form in forms) + len(cases) + len(unconditional))
    if unconditional:
        cases.insert(place, Case((), tuple(unconditional)))
    return Form(tuple(cases), work)


def conjunction(forms: Sequence[Form]) -> Form:
    """Return the form that holds where all the given ones do."""
    if len(forms) == 1:
        return forms[0]
    plain = [form.cases[0] for form in forms if _is_plain(form)]
    first = Case(
        tuple(chain.from_iterable(case.inputs for case in plain)),
        (tuple(chain.from_iterable(case.unsafe[0] for case in plain)),),
    )
    work = sum(form.work for form in forms) + len(first.inputs) + len(first.unsafe[0])
    total = Form((first,), _limited(work))
    for form in forms:
        if not _is_plain(form):
            total = _product(total, form)
    return total


def _is_plain(form: Form) -> bool:
    return len(form.cases) == 1 and len(form.cases[0].unsafe) == 1


def _product(left: Form, right: Form) -> Form:
    work = _limited(left.work + _product_work(left.cases, right.cases) + _product_work(right.cases, left.cases))
    cases = tuple(
        Case(a.inputs + b.inputs, _unsafe_product(a.unsafe, b.unsafe)) for a, b in product(left.cases, right.cases)
    )
    return Form(cases, work)


def _product_work(cases: Sequence[Case], others: Sequence[Case]) -> int:
    """Return how many atoms of `cases` are copied when each is combined with each of `others`."""
    atoms = sum(1 + len(conj) for case in cases if case.unsafe != ALWAYS.unsafe for conj in case.unsafe)
    conjunctions = sum(len(case.unsafe) for case in others)
    return sum(1 + len(case.inputs) for case in cases) * len(others) + atoms * conjunctions


def _unsafe_product(left: tuple[Conjunction, ...], right: tuple[Conjunction, ...]) -> tuple[Conjunction, ...]:
    if left == ALWAYS.unsafe:
        return right
    if right == ALWAYS.unsafe:
        return left
    return tuple(a + b for a, b in product(left, right))


def _limited(work: int) -> int:
    if work > MOST_WORK:
        raise PropertyError(
            f"the assertions need more than {MOST_WORK} copied atoms once their 'or's are written out; split the file "
            "into several with fewer alternatives"
        )
    return work


def regions(
    form: Form,
    names: Sequence[str],
    *,
    implied: bool = True,
    reach: Fraction | None = None,
    tolerance: Fraction = Fraction(0),
) -> tuple[Region, ...]:
    """Return one region for each different input part, in the order in which they first appear.

    Bounds of single inputs become the box. A strict bound is kept as a condition beside the closed box, unless another
    bound makes it superfluous. Cases without any input are dropped.

    Parameters
    ----------
    form : Form
    names : sequence of str
        What to call each input in a sentence.
    implied : bool
        Whether a bound that is missing may follow from conditions and the bounds of other inputs.
    reach : Fraction or None
        If given, inputs without a bound go as far as this: the regions then hold a part of what the form describes.
    tolerance : Fraction
        Relative distance up to which bounds that cross are refused, for what rounding might make of them.

    Returns
    -------
    tuple of Region

    Raises
    ------
    EmptyDomainError
        If no case has an input.
    PropertyError
        If an input has no lower or no upper bound in some case, and other inputs' bounds imply none.
    """
    size = len(names)
    found: dict[_Key, tuple[Domain, dict[Conjunction, None]]] = {}
    empty = ""
    for case in form.cases:
        lower, upper = _tightest(case.inputs, size)
        if implied:
            _imply_missing(lower, upper, case.inputs)
        if reach is not None:
            _cap(lower, upper, reach)
        clash = _clash(lower, upper, names, tolerance)
        if clash:
            empty = empty or clash
            continue
        bounds = [_required(bound, name, "lower") for name, bound in zip(names, lower, strict=True)]
        bounds += [_required(bound, name, "upper") for name, bound in zip(names, upper, strict=True)]
        conditions = _conditions(case, bounds)
        # Pairs of integers are cheaper to hash than fractions are.
        key = (tuple(bound.value.as_integer_ratio() for bound in bounds), conditions)
        if key not in found:
            values = tuple(bound.value for bound in bounds)
            found[key] = Domain(values[:size], values[size:], conditions=conditions), {}
        found[key][1].update(dict.fromkeys(case.unsafe))
    if not found:
        raise EmptyDomainError(empty or "the assertions contradict each other whatever the inputs are; correct them")
    return tuple(Region(domain, tuple(unsafe)) for domain, unsafe in found.values())


_Key = tuple[tuple[tuple[int, int], ...], tuple[Atom, ...]]


def _tightest(inputs: Iterable[Bound | Atom], size: int) -> tuple[list[Bound | None], list[Bound | None]]:
    lower: list[Bound | None] = [None] * size
    upper: list[Bound | None] = [None] * size
    for bound in inputs:
        if isinstance(bound, Bound):
            side = upper if bound.upper else lower
            if bound.tighter_than(side[bound.index]):
                side[bound.index] = bound
    return lower, upper


def _cap(lower: list[Bound | None], upper: list[Bound | None], reach: Fraction) -> None:
    """Give inputs without a bound one at a distance of `reach` from zero, or from their other bound."""
    for i, (low, high) in enumerate(zip(lower, upper, strict=True)):
        if low is None:
            lower[i] = Bound(i, False, min(-reach, high.value - reach) if high is not None else -reach, strict=False)
        if high is None:
            upper[i] = Bound(i, True, max(reach, low.value + reach) if low is not None else reach, strict=False)


def _imply_missing(lower: list[Bound | None], upper: list[Bound | None], inputs: Iterable[Bound | Atom]) -> None:
    """Fill in bounds that follow from linear conditions, as ``x <= y`` and ``y <= 1`` give one for x.

    A bound found so is a consequence of the case and adds nothing to it; it is never strict, since the condition says
    that already.
    """
    conditions = [atom for atom in inputs if isinstance(atom, Atom)]
    progress = bool(conditions) and (None in lower or None in upper)
    while progress:
        progress = False
        for atom in conditions:
            for symbol, coefficient in atom.expression.terms:
                side = upper if coefficient > 0 else lower
                if side[symbol.index] is None:
                    value = _implied(atom, symbol, lower, upper)
                    if value is not None:
                        side[symbol.index] = Bound(symbol.index, coefficient > 0, value, strict=False)
                        progress = True


def _implied(atom: Atom, symbol: Symbol, lower: list[Bound | None], upper: list[Bound | None]) -> Fraction | None:
    """Return the bound of one symbol that a condition gives, if the others have the bounds that this takes."""
    total, own = atom.expression.constant, Fraction(0)
    for other, coefficient in atom.expression.terms:
        if other == symbol:
            own = coefficient
            continue
        bound = (lower if coefficient > 0 else upper)[other.index]
        if bound is None:
            return None
        total = checked(total + coefficient * bound.value)
    return checked(-total / own)


def _clash(lower: list[Bound | None], upper: list[Bound | None], names: Sequence[str], tolerance: Fraction) -> str:
    """Say which input's bounds leave it no value; empty if there is none."""
    narrow = ""
    for name, low, high in zip(names, lower, upper, strict=True):
        if low is None or high is None:
            continue
        strict = low.strict or high.strict
        if 0 < low.value - high.value <= tolerance * (abs(low.value) + abs(high.value)):
            narrow = name
        elif low.value > high.value or (strict and low.value == high.value):
            return (
                f"the input box is empty: {name} has lower bound {approximate(low.value)} and upper bound "
                f"{approximate(high.value)}{' with a strict inequality' if strict else ''}; check its assertions"
            )
    if narrow:
        raise PropertyError(
            f"input {narrow} has a lower bound so little above its upper bound that a float type may not tell them "
            "apart; correct its assertions, or declare every variable real"
        )
    return ""


def _conditions(case: Case, bounds: Iterable[Bound]) -> tuple[Atom, ...]:
    conditions = [atom for atom in case.inputs if isinstance(atom, Atom)]
    conditions += [bound.atom for bound in bounds if bound.strict]
    return tuple(dict.fromkeys(conditions))


def _required(bound: Bound | None, name: str, direction: str) -> Bound:
    if bound is None:
        relation = ">=" if direction == "lower" else "<="
        raise PropertyError(
            f"input {name} has no {direction} bound in at least one case, and unbounded inputs are not supported; "
            f"add an assertion ({relation} {name} ...)"
        )
    return bound
