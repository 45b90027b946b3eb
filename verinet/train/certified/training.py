"""The door to training under properties: the kind of specification decides how."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from verinet.model import dense_network, requirement_of
from verinet.train.any_width import search_universal
from verinet.train.certified.layered import LayeredMaster
from verinet.train.certified.one_layer import OneLayerMaster
from verinet.train.certified.search import search_certified
from verinet.train.data import TrainingData
from verinet.train.layered import LayeredResult, LayeredSpecification
from verinet.train.result import CertifiedResult, TrainingResult
from verinet.train.specification import AnyWidthSpecification, Specification, TrainOptions, UniversalProperty

__all__ = ["CertifiedSpecification", "train_certified"]

CertifiedSpecification: TypeAlias = AnyWidthSpecification | Specification | LayeredSpecification
"""Everything that can be trained under properties."""


Properties: TypeAlias = Sequence[UniversalProperty]


def _layered(
    data: TrainingData, specification: LayeredSpecification, properties: Properties, options: TrainOptions
) -> CertifiedResult[LayeredResult]:
    _check_fit(data, specification.architecture.outputs, properties)
    return search_certified(LayeredMaster(data, specification, options), properties, options)


def _one_layer(
    data: TrainingData, specification: Specification, properties: Properties, options: TrainOptions
) -> CertifiedResult[TrainingResult]:
    _check_fit(data, 1, properties)
    return search_certified(OneLayerMaster(data, specification, options), properties, options)


def _any_width(
    data: TrainingData, specification: AnyWidthSpecification, properties: Properties, options: TrainOptions
) -> CertifiedResult[TrainingResult]:
    wanted = (*specification.universal, *properties)
    return search_universal(data, replace(specification, universal=wanted), options)


METHODS: Mapping[type, Callable[..., CertifiedResult[Any]]] = {
    AnyWidthSpecification: _any_width,
    Specification: _one_layer,
    LayeredSpecification: _layered,
}
"""How each kind of specification is trained."""


def _check_fit(data: TrainingData, outputs: int, properties: Properties) -> None:
    """Raise a PropertyError if a property does not fit networks with so many outputs."""
    inputs = data.x.shape[1]
    network = dense_network([np.zeros((outputs, inputs))], [np.zeros(outputs)])
    for wanted in properties:
        requirement_of(network, wanted.domain, wanted.prop, wanted.references)


def train_certified(
    data: TrainingData,
    specification: CertifiedSpecification,
    properties: Sequence[UniversalProperty],
    options: TrainOptions | None = None,
) -> CertifiedResult[Any]:
    """Train a network that has some properties at all inputs of their domains, and enclose the optimum of those.

    Parameters
    ----------
    data : TrainingData
    specification : AnyWidthSpecification, Specification or LayeredSpecification
    properties : sequence of UniversalProperty
        At least one.
    options : TrainOptions or None

    Returns
    -------
    CertifiedResult
        Its result is a TrainingResult, of a stack of layers a LayeredResult.

    Raises
    ------
    InputError, DataError, PropertyError
        If data, specification and properties do not fit.
    """
    return METHODS[type(specification)](data, specification, properties, options or TrainOptions())
