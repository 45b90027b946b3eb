"""verinet: train small ReLU networks to proven optimality, verify piecewise-linear networks, keep the evidence."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verinet.train.estimators import ReluClassifier, ReluRegressor

__all__ = ["ReluClassifier", "ReluRegressor", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the estimators when they are first asked for: the verifier starts without scikit-learn."""
    if name in ("ReluClassifier", "ReluRegressor"):
        from verinet.train import estimators

        return getattr(estimators, name)
    raise AttributeError(f"module 'verinet' has no attribute {name!r}")
