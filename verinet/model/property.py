"""Property sets in the user's terms: named inputs and outputs, and properties of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from verinet.errors import PropertyError
from verinet.model.domain import Domain, VariableType
from verinet.model.kinds import Property
from verinet.model.linear import Side, Symbol
from verinet.numeric import readable

__all__ = ["Feature", "PropertySet"]


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

    def copy_names(self, copies: Sequence[str], shared: Sequence[int]) -> Mapping[Symbol, str]:
        """Return names of the inputs and outputs of several copies, numbered one copy after another; see `Linear`.

        Shared inputs keep their names in every copy.
        """
        names = {}
        for k, copy in enumerate(copies):
            for i, name in enumerate(self.input_names):
                names[Symbol(Side.INPUT, k * len(self.input_names) + i)] = name if i in shared else f"{copy}.{name}"
            for i, name in enumerate(self.outputs):
                names[Symbol(Side.OUTPUT, k * len(self.outputs) + i)] = f"{copy}.{name}"
        return names

    def feature_names(self, inputs: Sequence[int]) -> tuple[str, ...]:
        """Return the names of the features that some network inputs belong to, in order."""
        return tuple(name for name, columns in self.columns.items() if any(i in inputs for i in columns))

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
