"""A network as rules: IF the conditions of a linear region hold THEN its affine formula, for the regions of data."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from verinet.audit.conditions import Condition, Rows, Simplifier
from verinet.audit.names import counted, printable
from verinet.audit.regions import AffineForm, linear_regions
from verinet.audit.rounding import DecimalCondition, DecimalForm, round_condition, round_form
from verinet.errors import DataError
from verinet.model import Network
from verinet.numeric import FloatArray, IntArray

__all__ = ["Rule", "Rules", "Sample", "Target", "extract_rules", "rule_summary", "rules_text"]

FORMULA_TOLERANCE = Fraction(1, 1000)
"""How far a written formula may be off at a row of its rule, as a share of the outputs' spread over the data."""

MOST_PROGRAMMES = 1500
"""Linear programmes for testing conditions against each other."""


@dataclass(frozen=True, eq=False)
class Target:
    """What the rows say the network's only output should be.

    Parameters
    ----------
    name : str
    values : ndarray, shape (rows,)
        Numbers, or -1 and 1 for classes.
    classes : tuple of str
        The names of the classes -1 and 1; empty for numbers. The class of a row is 1 where the output is above zero.
    """

    name: str
    values: FloatArray
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows of data in a network's terms.

    Parameters
    ----------
    x : ndarray, shape (rows, size_in)
    features : tuple of str
        One for each of the network's inputs, in order.
    outputs : tuple of str
        One for each of the network's outputs.
    target : Target or None
        For a network with one output.
    """

    x: FloatArray
    features: tuple[str, ...]
    outputs: tuple[str, ...]
    target: Target | None = None


@dataclass(frozen=True, eq=False)
class Rule:
    """One linear region: its conditions, what the network is there, and how well that fits.

    Parameters
    ----------
    rows : ndarray of int
    conditions : tuple of Condition
        Exact. Within the data's box a point meets them if and only if it lies in the region.
    forms : tuple of AffineForm
        The network's outputs there, exactly.
    written_conditions : tuple of DecimalCondition
        The conditions in decimals; each true at the same rows as its exact one.
    written_forms : tuple of DecimalForm
    simplified : bool
        Whether conditions on several features were tested against each other.
    mean : float or None
        Of the target; of classes, the share of the second one. None without a target.
    error : float or None
        Mean absolute error; of classes, the share of rows on the wrong side of zero.
    """

    rows: IntArray
    conditions: tuple[Condition, ...]
    forms: tuple[AffineForm, ...]
    written_conditions: tuple[DecimalCondition, ...]
    written_forms: tuple[DecimalForm, ...]
    simplified: bool
    mean: float | None = None
    error: float | None = None


@dataclass(frozen=True, eq=False)
class Rules:
    """The rules that some rows fall under, each row under one.

    Parameters
    ----------
    sample : Sample
    rules : tuple of Rule
        Most rows first.
    deviation : float
        How far the written formulas are off at most at any row.
    """

    sample: Sample
    rules: tuple[Rule, ...]
    deviation: float


def extract_rules(network: Network, sample: Sample, *, programmes: int = MOST_PROGRAMMES) -> Rules:
    """Turn a network into the rules that rows of data fall under.

    Parameters
    ----------
    network : Network
    sample : Sample
    programmes : int
        Linear programmes for testing conditions against each other; the largest rules come first.

    Returns
    -------
    Rules
        Every row meets the conditions of exactly one rule, whose formula is the network's exact output there; so for
        the exact rules, and with the written conditions too.

    Raises
    ------
    DataError
        If the rows do not fit the network or are not finite.
    """
    if sample.x.ndim != 2 or sample.x.shape[1] != network.size_in or not len(sample.x):
        raise DataError(
            f"rules need rows of {network.size_in} numbers as the network takes them, found {sample.x.shape}"
        )
    if not np.isfinite(sample.x).all():
        raise DataError("rules need finite numbers, found NaN or infinity in the data")
    if sample.target is not None and network.size_out != 1:
        raise DataError(f"a target needs a network with one output, found {network.size_out}; leave the target out")
    rows = Rows.of(sample.x)
    simplifier = Simplifier(rows)
    outputs = [(region, _values(region.forms, rows, region.rows)) for region in linear_regions(network, rows)]
    flat = [value for _, values in outputs for column in values for value in column]
    tolerance = FORMULA_TOLERANCE * (max(flat) - min(flat) or abs(flat[0]))
    keep_sign = sample.target is not None and bool(sample.target.classes)
    written: dict[Condition, DecimalCondition] = {}
    rules, deviation = [], Fraction(0)
    for region, values in outputs:
        thorough = simplifier.programmes < programmes
        conditions = simplifier.simplify(region.conditions, thorough=thorough)
        for condition in conditions:
            if condition not in written:
                written[condition] = round_condition(condition, rows)
        forms = [round_form(form, rows, region.rows.tolist(), tolerance, keep_sign) for form in region.forms]
        deviation = max([deviation, *(off for _, off in forms)])
        rule = Rule(
            region.rows,
            conditions,
            region.forms,
            tuple(written[c] for c in conditions),
            tuple(form for form, _ in forms),
            thorough,
        )
        rules.append(rule if sample.target is None else _judged(rule, values[0], sample.target))
    return Rules(sample, tuple(rules), float(deviation))


def _values(forms: Sequence[AffineForm], rows: Rows, members: IntArray) -> list[list[Fraction]]:
    return [[v + form.constant for v in rows.exact_values(form.coefficients, members.tolist())] for form in forms]


def _judged(rule: Rule, outputs: Sequence[Fraction], target: Target) -> Rule:
    """Compare the network's outputs at the rule's rows with the target."""
    y = target.values[rule.rows]
    if target.classes:
        wrong = [(value > 0) != (label > 0) for value, label in zip(outputs, y, strict=True)]
        return replace(rule, mean=float((y > 0).mean()), error=float(np.mean(wrong)))
    found = np.array([float(value) for value in outputs])
    return replace(rule, mean=float(y.mean()), error=float(np.abs(found - y).mean()))


def rules_text(rules: Rules) -> str:
    """Write rules as text, with names in place of features and numbers rounded as the data allows.

    Returns
    -------
    str
        A heading and one paragraph a rule.
    """
    sample, count = rules.sample, len(rules.sample.x)
    names = [printable(name) for name in sample.features]
    lines = [
        f"{counted(len(rules.rules), 'linear region')} {'holds' if len(rules.rules) == 1 else 'hold'} the "
        f"{counted(count, 'row')}; each row meets the conditions of one rule.",
        "Numbers are rounded so that conditions keep their truth at every row; conditions that follow from the data's",
        f"range or from others are left out. Formulas are off by at most {rules.deviation:.2g} at any row.",
    ]
    unsimplified = next((n for n, rule in enumerate(rules.rules, start=1) if not rule.simplified), None)
    if unsimplified is not None:
        lines.append(f"From rule {unsimplified} on, some conditions may follow from several others.")
    for number, rule in enumerate(rules.rules, start=1):
        lines += ["", f"Rule {number}: {rule_summary(rule, sample)}"]
        conditions = [condition.render(names) for condition in rule.written_conditions] or ["always"]
        lines += [f"  {'IF  ' if i == 0 else 'AND '} {text}" for i, text in enumerate(conditions)]
        for name, form in zip(sample.outputs, rule.written_forms, strict=True):
            lines.append(f"  THEN {printable(name)} = {form.render(names)}")
    return "\n".join(lines)


def rule_summary(rule: Rule, sample: Sample) -> str:
    """Say how many rows fall under a rule and how well it fits them."""
    text = f"{counted(len(rule.rows), 'row')} ({len(rule.rows) / len(sample.x):.1%})"
    if sample.target is None:
        return text
    if sample.target.classes:
        second = printable(sample.target.classes[1])
        return f"{text}, {rule.mean:.1%} of them {second}, {rule.error:.1%} misjudged"
    return f"{text}, mean {printable(sample.target.name)} {rule.mean:.6g}, mean absolute error {rule.error:.3g}"
