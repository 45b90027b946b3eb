"""Encodings: what a network, a domain or a semantic constraint is in a programme.

Trainer and verifier use the same functions. Conventions: an encoding takes affine expressions and bounds, never
layers; bounds it is given are trusted; rounding only ever enlarges the feasible set. Exact solvers read the semantic
form and never see `lower_programme`.
"""

from verinet.encode.domain import QueryProgramme, encode_domain, encode_query
from verinet.encode.lowering import Lowered, Relus, lower_indicator, lower_maximum, lower_product, lower_programme
from verinet.encode.network import Encoded, encode_network, maximum, relu, variable_affine
from verinet.encode.pattern import fix_pattern
from verinet.encode.rows import Places, add_atoms, exact_row, linear_row
from verinet.encode.separation import ReluCuts

__all__ = [
    "Encoded",
    "Lowered",
    "Places",
    "QueryProgramme",
    "ReluCuts",
    "Relus",
    "add_atoms",
    "encode_domain",
    "encode_network",
    "encode_query",
    "exact_row",
    "fix_pattern",
    "linear_row",
    "lower_indicator",
    "lower_maximum",
    "lower_product",
    "lower_programme",
    "maximum",
    "relu",
    "variable_affine",
]
