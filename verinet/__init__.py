"""verinet: train small ReLU networks to proven optimality, verify piecewise-linear networks, keep the evidence."""

__version__ = "0.1.0"
