"""An evaluator of VNN-LIB 2 text that shares nothing with the reader: nested lists, recursion, fractions."""

import itertools
import re
from fractions import Fraction

RELATIONS = {
    "<=": lambda a, b: a <= b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    ">": lambda a, b: a > b,
    "==": lambda a, b: a == b,
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


def nested(text: str) -> list:
    stack: list[list] = [[]]
    for token in re.findall(r'[()]|"[^"]*"|\[[^]]*\]|[^\s()\[\]"]+', re.sub(r";[^\n]*", "", text)):
        if token == "(":
            stack.append([])
        elif token == ")":
            done = stack.pop()
            stack[-1].append(done)
        elif token[0] == "[" and stack[-1] and isinstance(stack[-1][-1], str) and stack[-1][0] != "declare-input":
            stack[-1][-1] += token.replace(" ", "")
        else:
            stack[-1].append(token)
    return stack[0]


def variables(text: str) -> list[tuple[str, str, str, tuple[int, ...]]]:
    """Return (kind, name, type, shape) of every declared tensor, in order."""
    found = re.findall(r"\(\s*declare-(input|hidden|output)\s+(\w+)\s+(\w+)\s*\[([^]]*)\]", text)
    return [(kind, name, type_, tuple(map(int, re.findall(r"\d+", shape)))) for kind, name, type_, shape in found]


def value(expression, point):
    if isinstance(expression, str):
        return point[expression] if expression in point else Fraction(expression)
    operator, *rest = expression
    numbers = [value(part, point) for part in rest]
    if operator == "-" and len(numbers) == 1:
        return -numbers[0]
    total = numbers[0]
    for number in numbers[1:]:
        total = {"+": total + number, "-": total - number, "*": total * number}[operator]
    return total


def holds(formula, point) -> bool:
    operator, *rest = formula
    if operator in ("and", "or"):
        return (all if operator == "and" else any)(holds(part, point) for part in rest)
    return RELATIONS[operator](*(value(part, point) for part in rest))


def entries(name: str, shape: tuple[int, ...]) -> list[str]:
    return [f"{name}[{','.join(map(str, i))}]" for i in itertools.product(*map(range, shape))] if shape else [name]


def satisfied(text: str, assignment: dict[str, list[Fraction]]) -> bool:
    """Decide whether every assertion holds under values for every declared tensor."""
    point = {}
    for _, name, _, shape in variables(text):
        point |= dict(zip(entries(name, shape), assignment[name], strict=True))
    return all(holds(group[1], point) for group in nested(text) if group[0] == "assert")


def read_assignment(lines: list[str]) -> tuple[list[tuple[str, str, tuple[int, ...]]], dict[str, list[Fraction]]]:
    """Read the lines below ``sat``: the heads, and each tensor's values."""
    heads, values = [], {}
    rest = list(lines)
    while rest:
        name, type_, shape = rest.pop(0).split(" ")
        size = tuple(map(int, re.findall(r"\d+", shape)))
        assert shape == f"[{','.join(map(str, size))}]"
        count = 1
        for n in size:
            count *= n
        heads.append((name, type_, size))
        values[name] = [Fraction(rest.pop(0)) for _ in range(count)]
    return heads, values
