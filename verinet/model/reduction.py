"""From properties to queries: each kind becomes the search for a counterexample in one network.

A property that compares several inputs becomes a query on a *product network*: one network that holds several copies of
the given one, or other networks beside it, over shared inputs. Everything behind this point handles one network, one
domain and one set of atoms.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from verinet.errors import PropertyError
from verinet.model.classes import class_changes, class_lost, class_outranked
from verinet.model.domain import Domain, L1Ball, VariableType
from verinet.model.evaluation import evaluate_exact
from verinet.model.formula import All, disjunctive_form, negate
from verinet.model.kinds import Equivalent, Fair, Linear, Lipschitz, Monotone, Norm, Property, Range, Robust, Rule
from verinet.model.linear import Atom, Conjunction, LinearExpression, Side, Symbol
from verinet.model.linear_map import Sparse
from verinet.model.network import Network, Node
from verinet.model.ops import Affine, Input
from verinet.model.query import Query, Region

__all__ = ["Reduction", "join_networks", "product_network", "reduce_property"]


@dataclass(frozen=True, eq=False)
class Reduction:
    """A query and the way back from its counterexample to the user's inputs.

    Parameters
    ----------
    query : Query
        ``violated`` if and only if it has a counterexample.
    copies : tuple of tuple of int
        For each compared input: which entry of the query's input each of its entries is.
    networks : tuple of Network
        The network that takes each of them; empty where all are the user's.
    """

    query: Query
    copies: tuple[tuple[int, ...], ...]
    networks: tuple[Network, ...] = ()

    @property
    def compares(self) -> bool:
        """Whether the query is about more than one evaluation."""
        return len(self.copies) > 1

    def invert(self, point: Sequence[Fraction]) -> tuple[tuple[Fraction, ...], ...]:
        """Return the user's inputs that a counterexample of the query stands for."""
        return tuple(tuple(point[i] for i in copy) for copy in self.copies)


def join_networks(networks: Sequence[Network], copies: Sequence[Sequence[int]], size: int) -> Network:
    """Put networks side by side over shared inputs.

    Parameters
    ----------
    networks : sequence of Network
    copies : sequence of sequence of int
        For each network: which entry of the joint input each of its inputs is.
    size : int
        Of the joint input; entries that no network reads are allowed.

    Returns
    -------
    Network
        Its outputs are those of the first network, then of the second, and so on. Nodes of number k are named
        ``copy{k}/...``. A network that stands several times keeps its operations: they are the same objects.
    """
    nodes = [Node("input", Input(size))]
    for k, (network, copy) in enumerate(zip(networks, copies, strict=True)):
        for node, columns in zip(
            (network.by_name[name] for name in network.inputs),
            network.split_input(np.array(copy)),
            strict=True,
        ):
            selection = Affine((Sparse.selection(columns, size),), np.zeros(len(columns)))
            nodes.append(Node(f"copy{k}/{node.name}", selection, ("input",), node.shape))
        nodes += [
            replace(node, name=f"copy{k}/{node.name}", arguments=tuple(f"copy{k}/{a}" for a in node.arguments))
            for node in network.nodes
            if not isinstance(node.op, Input)
        ]
    outputs = tuple(f"copy{k}/{name}" for k, network in enumerate(networks) for name in network.outputs)
    notes = dict.fromkeys(note for network in networks for note in network.notes)
    return Network(tuple(nodes), outputs, tuple(notes))


def product_network(network: Network, copies: Sequence[Sequence[int]], size: int | None = None) -> Network:
    """Put copies of one network side by side over shared inputs; see `join_networks`.

    Parameters
    ----------
    network : Network
    copies : sequence of sequence of int
    size : int or None
        By default what the copies need.
    """
    needed = 1 + max(max(copy) for copy in copies)
    return join_networks([network] * len(copies), copies, needed if size is None else size)


def _output(index: int) -> LinearExpression:
    return LinearExpression.from_terms([(Symbol(Side.OUTPUT, index), Fraction(1))])


def _input(index: int) -> LinearExpression:
    return LinearExpression.from_terms([(Symbol(Side.INPUT, index), Fraction(1))])


def _outputs(network: Network, first: int = 0) -> tuple[LinearExpression, ...]:
    return tuple(_output(first + i) for i in range(network.size_out))


def _restricted(domain: Domain, where: tuple[Atom, ...]) -> Domain:
    return replace(domain, conditions=domain.conditions + where)


def _check_index(what: str, index: int, size: int) -> None:
    if not 0 <= index < size:
        raise PropertyError(f"{what} {index} does not exist, the network has {size}")


def _identity(network: Network, domain: Domain, unsafe: tuple[Conjunction, ...]) -> Reduction:
    """Ask about one input of the network itself."""
    return Reduction(Query(network, (Region(domain, unsafe),)), (tuple(range(network.size_in)),))


@dataclass(frozen=True)
class _Joint:
    """Several inputs of one domain in one vector: the first one, then what each other one has of its own.

    Parameters
    ----------
    domain : Domain
        Of that vector: each input meets the conditions.
    copies : tuple of tuple of int
        Which entry of the vector each entry of each input is.
    """

    domain: Domain
    copies: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, domain: Domain, own: Sequence[int], count: int = 2) -> "_Joint":
        """Join inputs that have all entries in common but some; a one-hot group is common as a whole or not at all."""
        size = domain.size
        moving = sorted(set(own))
        for group in domain.groups:
            if 0 < sum(i in moving for i in group) < len(group):
                raise PropertyError("a categorical input is compared with all of its columns or with none")
        copies = [tuple(range(size))]
        for k in range(1, count):
            entries = {i: size + (k - 1) * len(moving) + n for n, i in enumerate(moving)}
            copies.append(tuple(entries.get(i, i) for i in range(size)))
        conditions = [_renamed(atom, copy) for copy in copies for atom in domain.conditions]
        balls = [replace(b, coordinates=tuple(copy[i] for i in b.coordinates)) for copy in copies for b in domain.balls]
        groups = [tuple(copy[i] for i in group) for copy in copies for group in domain.groups]
        places = [*range(size), *(moving * (count - 1))]
        joint = Domain(
            tuple(domain.lower[i] for i in places),
            tuple(domain.upper[i] for i in places),
            tuple(domain.types[i] for i in places),
            tuple(dict.fromkeys(groups)),
            tuple(dict.fromkeys(conditions)),
            tuple(dict.fromkeys(balls)),
        )
        return cls(joint, tuple(copies))

    def pairs(self, own: Sequence[int]) -> list[tuple[LinearExpression, LinearExpression]]:
        """Return some entries of the first input beside those of the second."""
        return [(_input(self.copies[0][i]), _input(self.copies[1][i])) for i in own]

    def meeting(self, conditions: Sequence[Atom]) -> "_Joint":
        """Add conditions on the joint vector."""
        return replace(self, domain=_restricted(self.domain, tuple(conditions)))

    def question(self, network: Network, unsafe: tuple[Conjunction, ...]) -> Reduction:
        """Ask about copies of a network."""
        product = product_network(network, self.copies, self.domain.size)
        return Reduction(Query(product, (Region(self.domain, unsafe),)), self.copies)


def _renamed(atom: Atom, copy: Sequence[int]) -> Atom:
    return Atom(atom.expression.substitute(lambda symbol: _input(copy[symbol.index])), atom.strict)


def _reduce_linear(network: Network, domain: Domain, prop: Linear, _: Mapping[str, Network]) -> Reduction:
    unsafe = disjunctive_form(negate(prop.require))
    if not prop.copies:
        return _identity(network, _restricted(domain, prop.where), unsafe)
    size = network.size_in
    joint = _Joint.of(domain, [i for i in range(size) if i not in prop.shared], len(prop.copies))

    def place(symbol: Symbol) -> LinearExpression:
        copy, index = divmod(symbol.index, size)
        if symbol.side is Side.OUTPUT:
            return _output(symbol.index)
        _check_index("input number", copy, len(prop.copies))
        return _input(joint.copies[copy][index])

    def placed(atom: Atom) -> Atom:
        return Atom(atom.expression.substitute(place), atom.strict)

    conditions = [placed(atom) for atom in prop.where]
    cases = tuple(tuple(placed(atom) for atom in case) for case in unsafe)
    return joint.meeting(conditions).question(network, cases)


def _reduce_monotone(network: Network, domain: Domain, prop: Monotone, _: Mapping[str, Network]) -> Reduction:
    _check_index("output", prop.output, network.size_out)
    _check_ordered(network, domain, prop.name, prop.inputs, "be monotone in")
    joint = _Joint.of(_restricted(domain, prop.where), prop.inputs)
    joint = joint.meeting([Atom(low - high) for low, high in joint.pairs(prop.inputs)])
    low, high = _output(prop.output), _output(network.size_out + prop.output)
    drop = low - high if prop.increasing else high - low
    return joint.question(network, ((Atom(-drop, strict=True),),))


def _check_ordered(network: Network, domain: Domain, name: str, inputs: Sequence[int], use: str) -> None:
    for i in inputs:
        _check_index("input", i, network.size_in)
        if any(i in group for group in domain.groups):
            raise PropertyError(f"{name!r}: a categorical input has no order to {use}")


def _reduce_fair(network: Network, domain: Domain, prop: Fair, _: Mapping[str, Network]) -> Reduction:
    for i in prop.protected:
        _check_index("input", i, network.size_in)
    if prop.tolerance and len(prop.tolerance) != network.size_in:
        raise PropertyError(f"{prop.name!r}: the tolerance needs one number for each input")
    if min((*prop.tolerance, prop.band or Fraction(0), Fraction(0))) < 0:
        raise PropertyError(f"{prop.name!r}: tolerances and the band need to be at least 0")
    near = [i for i, most in enumerate(prop.tolerance) if most and i not in prop.protected]
    _check_ordered(network, domain, prop.name, near, "have a tolerance")
    joint = _Joint.of(_restricted(domain, prop.where), [*prop.protected, *near])
    conditions = []
    for i, (one, other) in zip(near, joint.pairs(near), strict=True):
        most = LinearExpression((), -prop.tolerance[i])
        conditions += [Atom(one - other + most), Atom(other - one + most)]
    first, second = _outputs(network), _outputs(network, network.size_out)
    # Either one of the pair may come first, so one direction says it all.
    if prop.band is None:
        unsafe = class_changes(first, second)
    else:
        band = LinearExpression((), prop.band)
        unsafe = tuple((Atom(b - a + band, strict=True),) for a, b in zip(first, second, strict=True))
    return joint.meeting(conditions).question(network, unsafe)


def _reduce_range(network: Network, domain: Domain, prop: Range, _: Mapping[str, Network]) -> Reduction:
    _check_index("output", prop.output, network.size_out)
    value = _output(prop.output)
    unsafe: list[Conjunction] = []
    if prop.lower is not None:
        unsafe.append((Atom(value + LinearExpression((), -prop.lower), strict=True),))
    if prop.upper is not None:
        unsafe.append((Atom(LinearExpression((), prop.upper) - value, strict=True),))
    if not unsafe:
        raise PropertyError(f"{prop.name!r}: a range needs a lower or an upper limit, found none")
    return _identity(network, _restricted(domain, prop.where), tuple(unsafe))


def _reduce_lipschitz(network: Network, domain: Domain, prop: Lipschitz, _: Mapping[str, Network]) -> Reduction:
    """Add distances to the compared pair: one of the largest change, or one for each change.

    They are at least the changes, not equal to them: a distance that is larger than need be only shrinks the violation.
    """
    _check_index("output", prop.output, network.size_out)
    _check_ordered(network, domain, prop.name, prop.inputs, "measure a distance by")
    if prop.constant < 0 or not prop.inputs:
        raise PropertyError(f"{prop.name!r}: a Lipschitz constant is at least 0 and about at least one input")
    joint = _Joint.of(_restricted(domain, prop.where), prop.inputs)
    lower, upper = domain.exact_box()
    widths = [upper[i] - lower[i] for i in prop.inputs]
    if prop.norm is Norm.LINF:
        places, longest = [joint.domain.size] * len(widths), [max(widths)]
    else:
        places, longest = [joint.domain.size + k for k in range(len(widths))], widths
    conditions = []
    for place, (one, other) in zip(places, joint.pairs(prop.inputs), strict=True):
        conditions += [Atom(one - other - _input(place)), Atom(other - one - _input(place))]
    widened = replace(
        joint.domain,
        lower=joint.domain.lower + (Fraction(0),) * len(longest),
        upper=joint.domain.upper + tuple(max(width, Fraction(0)) for width in longest),
        types=joint.domain.types + (VariableType.CONTINUOUS,) * len(longest),
    )
    distance = LinearExpression((), Fraction(0))
    for place in dict.fromkeys(places):
        distance = distance + _input(place)
    # Either one of the pair may come first, so one direction says it all.
    excess = _output(prop.output) - _output(network.size_out + prop.output) - distance * prop.constant
    return replace(joint, domain=widened).meeting(conditions).question(network, ((Atom(-excess, strict=True),),))


def _reduce_equivalent(
    network: Network, domain: Domain, prop: Equivalent, references: Mapping[str, Network]
) -> Reduction:
    if prop.reference not in references:
        raise PropertyError(
            f"{prop.name!r} compares with the network {prop.reference!r}, which is not given; add --network "
            f"{prop.reference}=MODEL.onnx"
        )
    other = references[prop.reference]
    if (other.size_in, other.size_out) != (network.size_in, network.size_out):
        raise PropertyError(
            f"{prop.name!r}: the network has {network.size_in} inputs and {network.size_out} outputs, but "
            f"{prop.reference!r} has {other.size_in} and {other.size_out}"
        )
    if prop.band is not None and prop.band < 0:
        raise PropertyError(f"{prop.name!r}: the band needs to be at least 0")
    first, second = _outputs(network), _outputs(network, network.size_out)
    if prop.band is None:
        unsafe = class_changes(first, second) + class_changes(second, first)
    else:
        band = LinearExpression((), prop.band)
        differences = [difference for a, b in zip(first, second, strict=True) for difference in (a - b, b - a)]
        unsafe = tuple((Atom(band - difference, strict=True),) for difference in differences)
    copies = (tuple(range(network.size_in)),) * 2
    joined = join_networks((network, other), copies, network.size_in)
    region = Region(_restricted(domain, prop.where), unsafe)
    return Reduction(Query(joined, (region,)), copies, (network, other))


def _reduce_rule(network: Network, domain: Domain, prop: Rule, _: Mapping[str, Network]) -> Reduction:
    if prop.conclusion is None and not prop.classes:
        raise PropertyError(f"{prop.name!r}: a rule needs a conclusion or a class, found neither")
    for label in prop.classes:
        _check_index("class", label, max(network.size_out, 2))
    premises = disjunctive_form(prop.condition)
    broken = () if prop.conclusion is None else disjunctive_form(All((prop.condition, negate(prop.conclusion))))
    lost = class_lost(_outputs(network), prop.classes) if prop.classes else ()
    unsafe = (*broken, *((*premise, *case) for premise in premises for case in lost))
    return _identity(network, _restricted(domain, prop.where), unsafe)


def _robust_class_changes(outputs: Sequence[Fraction], prop: Robust) -> tuple[Conjunction, ...]:
    """Return the ways in which the class can differ from the given one, or from that of the given outputs."""
    symbols = tuple(_output(i) for i in range(len(outputs)))
    if len(outputs) == 1:
        _check_index("class", prop.label or 0, 2)
        kept = int(outputs[0] > 0) if prop.label is None else prop.label
    else:
        kept = max(range(len(outputs)), key=lambda i: outputs[i]) if prop.label is None else prop.label
        _check_index("class", kept, len(outputs))
    if prop.top == 1:
        return class_lost(symbols, (kept,))
    if not 1 <= prop.top < len(outputs):
        raise PropertyError(f"{prop.name!r}: top may be 1 to {len(outputs) - 1} of {len(outputs)}, found {prop.top}")
    return class_outranked(symbols, kept, prop.top)


def _band_exits(outputs: Sequence[Fraction], band: Fraction) -> tuple[Conjunction, ...]:
    exits: list[Conjunction] = []
    for i, value in enumerate(outputs):
        above = _output(i) + LinearExpression((), -value - band)
        below = _output(i) + LinearExpression((), -value + band)
        exits += [(Atom(-above, strict=True),), (Atom(below, strict=True),)]
    return tuple(exits)


def _reduce_robust(network: Network, domain: Domain, prop: Robust, _: Mapping[str, Network]) -> Reduction:
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
    outputs = evaluate_exact(network, prop.centre)
    unsafe = _robust_class_changes(outputs, prop) if prop.band is None else _band_exits(outputs, prop.band)
    moving = tuple(i for i, r in enumerate(prop.radius) if r)
    if prop.norm is Norm.L1 and len({prop.radius[i] for i in moving}) > 1:
        return _scaled_ball(near, prop, moving).question(network, unsafe)
    if prop.norm is Norm.L1:
        radius = prop.radius[moving[0]] if moving else Fraction(0)
        near = replace(near, balls=(*near.balls, L1Ball(moving, tuple(prop.centre[i] for i in moving), radius)))
    return _identity(network, near, unsafe)


def _scaled_ball(near: Domain, prop: Robust, moving: Sequence[int]) -> _Joint:
    """Keep the changes, each as a share of its radius, to one together; further inputs stand for their sizes.

    They are at least the changes, not equal to them: a size that is larger than need be only shrinks what is left.
    """
    conditions, spent = [], LinearExpression((), Fraction(-1))
    for place, i in enumerate(moving, start=near.size):
        change = _input(i) - LinearExpression((), prop.centre[i])
        conditions += [Atom(change - _input(place)), Atom(-change - _input(place))]
        spent = spent + _input(place) * (1 / prop.radius[i])
    widened = replace(
        near,
        lower=near.lower + (Fraction(0),) * len(moving),
        upper=near.upper + tuple(prop.radius[i] for i in moving),
        types=near.types + (VariableType.CONTINUOUS,) * len(moving),
    )
    return _Joint(widened, (tuple(range(near.size)),)).meeting([*conditions, Atom(spent)])


REDUCTIONS: Mapping[type, Callable[..., Reduction]] = {
    Linear: _reduce_linear,
    Monotone: _reduce_monotone,
    Robust: _reduce_robust,
    Fair: _reduce_fair,
    Range: _reduce_range,
    Lipschitz: _reduce_lipschitz,
    Equivalent: _reduce_equivalent,
    Rule: _reduce_rule,
}
"""How each kind of property becomes a query; the key is the type of the third argument."""


def reduce_property(
    network: Network, domain: Domain, prop: Property, references: Mapping[str, Network] | None = None
) -> Reduction:
    """Turn a property into the search for a counterexample.

    Parameters
    ----------
    network : Network
    domain : Domain
        The typed box of the property file.
    prop : Property
    references : Mapping or None
        Other networks that properties may compare with, by name.

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
    return REDUCTIONS[type(prop)](network, domain, prop, references or {})
