"""Every exception that verinet raises on purpose.

::

    VerinetError
    |-- InputError (ValueError)              what the caller gave cannot be used
    |   |-- FileFormatError                  a file does not say what its format demands
    |   |   +-- UnsupportedOperatorError (NotImplementedError)
    |   |-- PropertyError                    a property does not fit its network or contradicts itself
    |   |   +-- EmptyDomainError             its assertions leave no input at all
    |   |-- DataError                        a data table cannot be trained on
    |   +-- MissingFileError (FileNotFoundError)
    +-- SolverError (RuntimeError)           a backend could not do what was asked
        |-- SolverUnavailableError           it is not installed or has no licence
        |-- ModelTooLargeError               the model exceeds the licence's limits
        |-- UnsupportedModelError            it cannot express a constraint of the model
        +-- RejectedRowError                 it refused to take a row of the model

Every message is one sentence: what was expected, what was found and where, what to do about it.
The command line prints it and exits with code 2.
"""

__all__ = [
    "DataError",
    "EmptyDomainError",
    "FileFormatError",
    "InputError",
    "MissingFileError",
    "ModelTooLargeError",
    "PropertyError",
    "RejectedRowError",
    "SolverError",
    "SolverUnavailableError",
    "UnsupportedModelError",
    "UnsupportedOperatorError",
    "VerinetError",
]


class VerinetError(Exception):
    """Base of every exception raised on purpose."""


class InputError(VerinetError, ValueError):
    """What the caller gave cannot be used."""


class FileFormatError(InputError):
    """A file does not say what its format demands."""


class UnsupportedOperatorError(FileFormatError, NotImplementedError):
    """A network file uses an operator, or an attribute of one, that is not supported."""


class PropertyError(InputError):
    """A property does not fit its network or contradicts itself."""


class EmptyDomainError(PropertyError):
    """The assertions about inputs leave none."""


class DataError(InputError):
    """A data table cannot be trained on."""


class MissingFileError(InputError, FileNotFoundError):
    """A named file does not exist or cannot be read."""

    def __str__(self) -> str:
        return ValueError.__str__(self)


class SolverError(VerinetError, RuntimeError):
    """A backend could not do what was asked."""


class SolverUnavailableError(SolverError):
    """A backend is not installed or has no licence."""


class ModelTooLargeError(SolverError):
    """A model exceeds the limits of the backend's licence."""


class UnsupportedModelError(SolverError):
    """A backend cannot express a constraint of the model."""


class RejectedRowError(SolverError):
    """A backend refused to take a row of the model, so that solving would answer another question."""
