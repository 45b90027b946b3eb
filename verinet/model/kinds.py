"""Properties: what may be asked of a network, one class for each kind.

Inputs are columns of the network's input vector. The class of an output vector is its largest entry, which must be
larger than every other one; with one output the class is whether it is positive.
"""

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from verinet.model.formula import Formula
from verinet.model.linear import Atom

__all__ = [
    "Equivalent",
    "Fair",
    "Linear",
    "Lipschitz",
    "Monotone",
    "Norm",
    "Property",
    "Range",
    "Robust",
    "Rule",
]


class Norm(Enum):
    """How far a perturbed input may be."""

    LINF = "linf"
    L1 = "l1"


@dataclass(frozen=True)
class Linear:
    """A formula over inputs and outputs holds at every input, or at every choice of several inputs.

    Parameters
    ----------
    name : str
    require : Formula
    where : tuple of Atom
        Conditions on the inputs; elsewhere nothing is claimed.
    copies : tuple of str
        Names of the inputs that are compared; empty for one input. With several, input i of copy k is the symbol
        ``k * inputs + i``, and output j of copy k the symbol ``k * outputs + j``, in `require` and in `where`.
    shared : tuple of int
        Network inputs that all copies have in common.
    """

    name: str
    require: Formula
    where: tuple[Atom, ...] = ()
    copies: tuple[str, ...] = ()
    shared: tuple[int, ...] = ()


@dataclass(frozen=True)
class Monotone:
    """Raising some inputs, all else equal, never lowers (or never raises) an output.

    Parameters
    ----------
    name : str
    inputs : tuple of int
        Network inputs that rise together.
    output : int
    increasing : bool
    where : tuple of Atom
        Conditions that both inputs of the compared pair meet.
    """

    name: str
    inputs: tuple[int, ...]
    output: int
    increasing: bool
    where: tuple[Atom, ...] = ()


@dataclass(frozen=True)
class Robust:
    """Small changes of one input keep its class, or keep an output within a band.

    A tie of the largest outputs counts as a change of the class.

    Parameters
    ----------
    name : str
    centre : tuple of Fraction
    radius : tuple of Fraction
        One for each input; the largest change of that input. In the L1 norm the changes, each as a share of its radius,
        are at most one together.
    norm : Norm
    label : int or None
        The class that must be kept; None means the network's class at the centre.
    band : Fraction or None
        If given, every output stays within this distance of its value at the centre, and classes play no part.
    where : tuple of Atom
        Conditions on the changed input.
    top : int
        The class must stay among so many largest outputs; one means that it is kept.
    """

    name: str
    centre: tuple[Fraction, ...]
    radius: tuple[Fraction, ...]
    norm: Norm = Norm.LINF
    label: int | None = None
    band: Fraction | None = None
    where: tuple[Atom, ...] = ()
    top: int = 1


@dataclass(frozen=True)
class Fair:
    """Inputs that differ in protected entries only, or nearly so, get the same class, or nearly the same outputs.

    Parameters
    ----------
    name : str
    protected : tuple of int
        Network inputs that may take any value on either side; all columns of a categorical one, or none.
    tolerance : tuple of Fraction
        One for each network input: how much the two sides may differ in it. Empty means not at all.
    band : Fraction or None
        If given, no output differs by more, and classes play no part.
    where : tuple of Atom
        Conditions that both inputs of the compared pair meet.
    """

    name: str
    protected: tuple[int, ...]
    tolerance: tuple[Fraction, ...] = ()
    band: Fraction | None = None
    where: tuple[Atom, ...] = ()


@dataclass(frozen=True)
class Range:
    """An output stays within limits.

    Parameters
    ----------
    name : str
    output : int
    lower, upper : Fraction or None
        Both ends are allowed; None means no limit.
    where : tuple of Atom
    """

    name: str
    output: int
    lower: Fraction | None = None
    upper: Fraction | None = None
    where: tuple[Atom, ...] = ()


@dataclass(frozen=True)
class Lipschitz:
    """An output changes by at most a constant times the distance of the inputs.

    Parameters
    ----------
    name : str
    inputs : tuple of int
        Network inputs that may change; all others are equal on both sides.
    output : int
    constant : Fraction
        At least zero.
    norm : Norm
        LINF measures the largest change of an input, L1 the sum of all changes.
    where : tuple of Atom
        Conditions that both inputs of the compared pair meet.
    """

    name: str
    inputs: tuple[int, ...]
    output: int
    constant: Fraction
    norm: Norm = Norm.LINF
    where: tuple[Atom, ...] = ()


@dataclass(frozen=True)
class Equivalent:
    """The network agrees with another one: on the class, or on every output within a band.

    Where one of both has a class, the other must have the same.

    Parameters
    ----------
    name : str
    reference : str
        The name of the other network.
    band : Fraction or None
        If given, no output differs by more, and classes play no part.
    where : tuple of Atom
    """

    name: str
    reference: str
    band: Fraction | None = None
    where: tuple[Atom, ...] = ()


@dataclass(frozen=True)
class Rule:
    """If the inputs meet a condition, then inputs and outputs meet another one, and the class is one of some.

    Parameters
    ----------
    name : str
    condition : Formula
        Over the inputs.
    conclusion : Formula or None
        Over inputs and outputs; None demands nothing.
    classes : tuple of int
        If any are given, the class must be among them.
    where : tuple of Atom
    """

    name: str
    condition: Formula
    conclusion: Formula | None = None
    classes: tuple[int, ...] = ()
    where: tuple[Atom, ...] = ()


Property = Linear | Monotone | Robust | Fair | Range | Lipschitz | Equivalent | Rule
"""Every kind; a table keyed on type covers these."""
