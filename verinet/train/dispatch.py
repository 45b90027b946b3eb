"""One door to both methods of training: the kind of specification decides."""

from verinet.train.any_width import train_any_width, train_universal
from verinet.train.data import TrainingData
from verinet.train.result import TrainingResult
from verinet.train.specification import AnyWidthSpecification, Specification, TrainOptions
from verinet.train.trainer import train

__all__ = ["train_network"]


def train_network(
    data: TrainingData, specification: Specification | AnyWidthSpecification, options: TrainOptions | None = None
) -> TrainingResult:
    """Train a network by the method of its specification.

    Parameters
    ----------
    data : TrainingData
    specification : Specification or AnyWidthSpecification
        Of so many units, by a mixed-integer programme; or of any width, by column generation, with counterexamples
        where there are universal constraints.
    options : TrainOptions or None

    Returns
    -------
    TrainingResult

    Raises
    ------
    InputError, DataError
        If data and specification do not fit.
    """
    if isinstance(specification, AnyWidthSpecification):
        method = train_universal if specification.universal else train_any_width
        return method(data, specification, options)
    return train(data, specification, options)
