"""What is true: networks, their evaluation, typed input domains, properties and the queries they become.

Conventions: vectors are flat float64 arrays, the last axis; a decimal is a `fractions.Fraction`; every decision about
a single point (membership, violation) is exact. This room imports no other.
"""

from verinet.model.description import describe
from verinet.model.domain import Domain, L1Ball, VariableType
from verinet.model.evaluation import evaluate, evaluate_exact, evaluate_exact_batch
from verinet.model.formula import All, Any, Formula, disjunctive_form, negate
from verinet.model.identification import Identification, identify_equal_inputs
from verinet.model.kinds import Equivalent, Fair, Linear, Lipschitz, Monotone, Norm, Property, Range, Robust, Rule
from verinet.model.linear import Atom, Conjunction, LinearExpression, Side, Symbol
from verinet.model.linear_map import Convolution, Dense, LinearMap, Sparse
from verinet.model.network import Algebra, Network, Node, dense_network, walk
from verinet.model.ops import Affine, Input, Maximum, Op, Relu
from verinet.model.property import Feature, PropertySet
from verinet.model.query import Arithmetic, Query, Region
from verinet.model.reduction import Reduction, join_networks, product_network, reduce_property
from verinet.model.requirement import Demand, DemandRow, OutputTerm, Requirement, requirement_of

__all__ = [
    "Affine",
    "Algebra",
    "All",
    "Any",
    "Arithmetic",
    "Atom",
    "Conjunction",
    "Convolution",
    "Demand",
    "DemandRow",
    "Dense",
    "Domain",
    "Equivalent",
    "Fair",
    "Feature",
    "Formula",
    "Identification",
    "Input",
    "L1Ball",
    "Linear",
    "LinearExpression",
    "LinearMap",
    "Lipschitz",
    "Maximum",
    "Monotone",
    "Network",
    "Node",
    "Norm",
    "Op",
    "OutputTerm",
    "Property",
    "PropertySet",
    "Query",
    "Range",
    "Reduction",
    "Region",
    "Relu",
    "Requirement",
    "Robust",
    "Rule",
    "Side",
    "Sparse",
    "Symbol",
    "VariableType",
    "dense_network",
    "describe",
    "disjunctive_form",
    "evaluate",
    "evaluate_exact",
    "evaluate_exact_batch",
    "identify_equal_inputs",
    "join_networks",
    "negate",
    "product_network",
    "reduce_property",
    "requirement_of",
    "walk",
]
