"""From properties to queries: each kind becomes the search for a counterexample in one network.

A property that compares two inputs becomes a query on a *product network*: one network that holds two copies of the
given one over shared inputs. Everything behind this point handles one network, one domain and one set of atoms.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from verinet.errors import PropertyError
from verinet.model.domain import Domain, L1Ball
from verinet.model.evaluation import evaluate_exact
from verinet.model.formula import disjunctive_form, negate
from verinet.model.linear import Atom, Conjunction, LinearExpression, Side, Symbol
from verinet.model.linear_map import Sparse
from verinet.model.network import Network, Node
from verinet.model.ops import Affine, Input
from verinet.model.property import Linear, Monotone, Norm, Property, Robust
from verinet.model.query import Query, Region

__all__ = ["Reduction", "composed_network", "product_network", "reduce_property"]


@dataclass(frozen=True, eq=False)
class Reduction:
    """A query and the way back from its counterexample to the user's inputs.

    Parameters
    ----------
    query : Query
        ``violated`` if and only if it has a counterexample.
    copies : tuple of tuple of int
        For each compared input: which entry of the query's input each of its entries is.
    """

    query: Query
    copies: tuple[tuple[int, ...], ...]

    def invert(self, point: Sequence[Fraction]) -> tuple[tuple[Fraction, ...], ...]:
        """Return the user's inputs that a counterexample of the query stands for."""
        return tuple(tuple(point[i] for i in copy) for copy in self.copies)


def composed_network(parts: Sequence[tuple[Network, Sequence[int]]], size: int) -> Network:
    """Put networks side by side over one input.

    Parameters
    ----------
    parts : sequence of (Network, sequence of int)
        Each network, and which entry of the common input each of its inputs is.
    size : int
        Length of the common input.

    Returns
    -------
    Network
        Its outputs are those of the first part, then of the second, and so on. Part k's nodes are named
        ``copy{k}/...``, and parts of one network share its parameters.
    """
    nodes = [Node("input", Input(size))]
    for k, (network, columns) in enumerate(parts):
        for node, own in zip(
            (network.by_name[name] for name in network.inputs),
            network.split_input(np.array(columns)),
            strict=True,
        ):
            selection = Affine((Sparse.selection(own, size),), np.zeros(len(own)))
            nodes.append(Node(f"copy{k}/{node.name}", selection, ("input",), node.shape))
        nodes += [
            replace(node, name=f"copy{k}/{node.name}", arguments=tuple(f"copy{k}/{a}" for a in node.arguments))
            for node in network.nodes
            if not isinstance(node.op, Input)
        ]
    outputs = tuple(f"copy{k}/{name}" for k, (network, _) in enumerate(parts) for name in network.outputs)
    notes = dict.fromkeys(note for network, _ in parts for note in network.notes)
    return Network(tuple(nodes), outputs, tuple(notes))


def product_network(network: Network, copies: Sequence[Sequence[int]]) -> Network:
    """Put copies of a network side by side over shared inputs.

    Parameters
    ----------
    network : Network
    copies : sequence of sequence of int
        For each copy: which entry of the product's input each of its inputs is.

    Returns
    -------
    Network
        See `composed_network`.
    """
    return composed_network([(network, copy) for copy in copies], 1 + max(max(copy) for copy in copies))


def _output(index: int) -> LinearExpression:
    return LinearExpression.from_terms([(Symbol(Side.OUTPUT, index), Fraction(1))])


def _input(index: int) -> LinearExpression:
    return LinearExpression.from_terms([(Symbol(Side.INPUT, index), Fraction(1))])


def _restricted(domain: Domain, where: tuple[Atom, ...]) -> Domain:
    return replace(domain, conditions=domain.conditions + where)


def _check_index(what: str, index: int, size: int) -> None:
    if not 0 <= index < size:
        raise PropertyError(f"{what} {index} does not exist, the network has {size}")


def _reduce_linear(network: Network, domain: Domain, prop: Linear) -> Reduction:
    unsafe = disjunctive_form(negate(prop.require))
    region = Region(_restricted(domain, prop.where), unsafe)
    return Reduction(Query(network, (region,)), (tuple(range(network.size_in)),))


def _reduce_monotone(network: Network, domain: Domain, prop: Monotone) -> Reduction:
    size = network.size_in
    _check_index("output", prop.output, network.size_out)
    for i in prop.inputs:
        _check_index("input", i, size)
        if any(i in group for group in domain.groups):
            raise PropertyError(f"{prop.name!r}: a categorical input has no order to be monotone in")
    raised = {i: size + k for k, i in enumerate(prop.inputs)}
    second = tuple(raised.get(i, i) for i in range(size))

    def to_second(symbol: Symbol) -> LinearExpression:
        return _input(second[symbol.index])

    first_domain = _restricted(domain, prop.where)
    conditions = list(first_domain.conditions)
    conditions += [Atom(a.expression.substitute(to_second), a.strict) for a in first_domain.conditions]
    conditions += [Atom(_input(i) - _input(raised[i])) for i in prop.inputs]
    balls = list(domain.balls)
    balls += [replace(b, coordinates=tuple(second[i] for i in b.coordinates)) for b in domain.balls]
    doubled = Domain(
        domain.lower + tuple(domain.lower[i] for i in prop.inputs),
        domain.upper + tuple(domain.upper[i] for i in prop.inputs),
        domain.types + tuple(domain.types[i] for i in prop.inputs),
        domain.groups,
        tuple(dict.fromkeys(conditions)),
        tuple(dict.fromkeys(balls)),
    )
    low, high = _output(prop.output), _output(network.size_out + prop.output)
    drop = low - high if prop.increasing else high - low
    unsafe = ((Atom(-drop, strict=True),),)
    copies = (tuple(range(size)), second)
    return Reduction(Query(product_network(network, copies), (Region(doubled, unsafe),)), copies)


def _class_changes(outputs: Sequence[Fraction], label: int | None) -> tuple[Conjunction, ...]:
    """Return the ways in which the class can differ from `label`, or from that of the given outputs."""
    if len(outputs) == 1:
        _check_index("class", label or 0, 2)
        positive = outputs[0] > 0 if label is None else bool(label)
        atom = Atom(_output(0)) if positive else Atom(-_output(0), strict=True)
        return ((atom,),)
    kept = max(range(len(outputs)), key=lambda i: outputs[i]) if label is None else label
    _check_index("class", kept, len(outputs))
    return tuple((Atom(_output(kept) - _output(i)),) for i in range(len(outputs)) if i != kept)


def _band_exits(outputs: Sequence[Fraction], band: Fraction) -> tuple[Conjunction, ...]:
    exits: list[Conjunction] = []
    for i, value in enumerate(outputs):
        above = _output(i) + LinearExpression((), -value - band)
        below = _output(i) + LinearExpression((), -value + band)
        exits += [(Atom(-above, strict=True),), (Atom(below, strict=True),)]
    return tuple(exits)


def _reduce_robust(network: Network, domain: Domain, prop: Robust) -> Reduction:
    if len(prop.centre) != network.size_in or len(prop.radius) != network.size_in:
        raise PropertyError(
            f"{prop.name!r}: the network takes {network.size_in} inputs, the centre has {len(prop.centre)} "
            f"and the radius {len(prop.radius)}"
        )
    if min((*prop.radius, prop.band or 0)) < 0:
        raise PropertyError(f"{prop.name!r}: every radius and the band need to be at least 0")
    lower = tuple(max(low, c - r) for low, c, r in zip(domain.lower, prop.centre, prop.radius, strict=True))
    upper = tuple(min(high, c + r) for high, c, r in zip(domain.upper, prop.centre, prop.radius, strict=True))
    near = replace(_restricted(domain, prop.where), lower=lower, upper=upper)
    if prop.norm is Norm.L1:
        moving = tuple(i for i, r in enumerate(prop.radius) if r)
        if len({prop.radius[i] for i in moving}) > 1:
            raise PropertyError(f"{prop.name!r}: the L1 norm needs one radius for all inputs that may change")
        radius = prop.radius[moving[0]] if moving else Fraction(0)
        near = replace(near, balls=(*near.balls, L1Ball(moving, tuple(prop.centre[i] for i in moving), radius)))
    outputs = evaluate_exact(network, prop.centre)
    unsafe = _class_changes(outputs, prop.label) if prop.band is None else _band_exits(outputs, prop.band)
    return Reduction(Query(network, (Region(near, unsafe),)), (tuple(range(network.size_in)),))


REDUCTIONS: Mapping[type, Callable[[Network, Domain, object], Reduction]] = {
    Linear: _reduce_linear,  # type: ignore[dict-item]  # the key guarantees the third argument's type
    Monotone: _reduce_monotone,  # type: ignore[dict-item]
    Robust: _reduce_robust,  # type: ignore[dict-item]
}
"""How each kind of property becomes a query."""


def reduce_property(network: Network, domain: Domain, prop: Property) -> Reduction:
    """Turn a property into the search for a counterexample.

    Parameters
    ----------
    network : Network
    domain : Domain
        The typed box of the property file.
    prop : Property

    Returns
    -------
    Reduction
        The property holds if and only if the query has no counterexample.

    Raises
    ------
    PropertyError
        If the property does not fit the network.
    """
    if domain.size != network.size_in:
        raise PropertyError(
            f"{prop.name!r}: the network takes {network.size_in} inputs, but the property gives {domain.size}"
        )
    return REDUCTIONS[type(prop)](network, domain, prop)
