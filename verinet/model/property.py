"""Properties in the user's terms: named inputs, and what must hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from functools import cached_property

from verinet.errors import PropertyError
from verinet.model.domain import Domain, VariableType
from verinet.model.formula import Formula
from verinet.model.linear import Atom, Side, Symbol
from verinet.numeric import readable

__all__ = ["Feature", "Linear", "Monotone", "Norm", "Property", "PropertySet", "Robust"]


class Norm(Enum):
    """How far a perturbed input may be."""

    LINF = "linf"
    L1 = "l1"


@dataclass(frozen=True)
class Feature:
    """A named input in raw units.

    Parameters
    ----------
    name : str
    lower, upper : Fraction
        Its range, both ends included.
    type : VariableType
    values : tuple of str
        For a categorical input: the names of its one-hot columns. Empty otherwise.
    """

    name: str
    lower: Fraction
    upper: Fraction
    type: VariableType = VariableType.CONTINUOUS
    values: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Number of network inputs that the feature takes."""
        return len(self.values) or 1


@dataclass(frozen=True)
class Linear:
    """A formula over inputs and outputs holds at every input.

    Parameters
    ----------
    name : str
    require : Formula
    where : tuple of Atom
        Conditions on the inputs; elsewhere nothing is claimed.
    """

    name: str
    require: Formula
    where: tuple[Atom, ...] = ()


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

    With several outputs the class is the largest one and a tie counts as a change; with one output the class is
    whether it is positive.

    Parameters
    ----------
    name : str
    centre : tuple of Fraction
    radius : tuple of Fraction
        One for each input; the largest change of that input. For the L1 norm every nonzero radius must be equal.
    norm : Norm
    label : int or None
        The class that must be kept; None means the network's class at the centre.
    band : Fraction or None
        If given, every output stays within this distance of its value at the centre, and classes play no part.
    where : tuple of Atom
        Conditions on the changed input.
    """

    name: str
    centre: tuple[Fraction, ...]
    radius: tuple[Fraction, ...]
    norm: Norm = Norm.LINF
    label: int | None = None
    band: Fraction | None = None
    where: tuple[Atom, ...] = ()


Property = Linear | Monotone | Robust
"""Every kind; a table keyed on type covers these."""


@dataclass(frozen=True)
class PropertySet:
    """What a property file says: named inputs and outputs, and properties of them.

    Parameters
    ----------
    features : tuple of Feature
        In the order of the network's inputs.
    outputs : tuple of str
        Names of the outputs; may be empty, then they are ``Y_0``, ``Y_1``, ...
    properties : tuple of Property
    """

    features: tuple[Feature, ...]
    outputs: tuple[str, ...]
    properties: tuple[Property, ...]

    @cached_property
    def columns(self) -> Mapping[str, tuple[int, ...]]:
        """The network inputs that each feature takes."""
        columns, start = {}, 0
        for feature in self.features:
            columns[feature.name] = tuple(range(start, start + feature.width))
            start += feature.width
        return columns

    @cached_property
    def input_names(self) -> tuple[str, ...]:
        """One name for each network input; ``feature=value`` for the columns of a categorical one."""
        labels = [[f"{f.name}={value}" for value in f.values] or [f.name] for f in self.features]
        return tuple(label for group in labels for label in group)

    def output_names(self, count: int) -> tuple[str, ...]:
        """Return one name for each of the network's outputs; ``Y_i`` where the file gives none."""
        return (*self.outputs, *(f"Y_{i}" for i in range(len(self.outputs), count)))[:count]

    @cached_property
    def names(self) -> Mapping[Symbol, str]:
        """What to call each input and output in a sentence."""
        inputs = {Symbol(Side.INPUT, i): name for i, name in enumerate(self.input_names)}
        return inputs | {Symbol(Side.OUTPUT, i): name for i, name in enumerate(self.outputs)}

    @cached_property
    def domain(self) -> Domain:
        """The typed box of all features.

        Raises
        ------
        PropertyError
            If a range is empty.
        """
        lower: list[Fraction] = []
        upper: list[Fraction] = []
        types: list[VariableType] = []
        for feature in self.features:
            if feature.lower > feature.upper:
                raise PropertyError(
                    f"the range of input {feature.name!r} is empty: {readable(feature.lower)} exceeds "
                    f"{readable(feature.upper)}"
                )
            kind = VariableType.BINARY if feature.values else feature.type
            lower += [Fraction(0) if feature.values else feature.lower] * feature.width
            upper += [Fraction(1) if feature.values else feature.upper] * feature.width
            types += [kind] * feature.width
        groups = tuple(self.columns[f.name] for f in self.features if f.values)
        return Domain(tuple(lower), tuple(upper), tuple(types), groups)
