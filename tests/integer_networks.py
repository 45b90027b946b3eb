"""Training programmes of small networks with integer weights, products and all."""

import numpy as np

from verinet.program import Expressions, Maximum, Product, Programme, ProgrammeBuilder, VariableKind


def integer_training(
    inputs: np.ndarray, labels: np.ndarray, hidden: int = 1, bound: int = 1, layers: int = 1, step: float = 1.0
) -> Programme:
    """Build hinge-loss training of a ReLU network with integer weights of at most `bound`, and biases in steps."""
    builder, samples = ProgrammeBuilder(), len(inputs)

    def weights(name: str, size: int) -> np.ndarray:
        return builder.variables(name, np.full(size, -bound), np.full(size, bound), VariableKind.INTEGER)

    def bias(name: str) -> Expressions:
        return Expressions.variables(np.repeat(weights(name, 1), samples)).scaled(step)

    def relu(name: str, before: Expressions) -> np.ndarray:
        low, high = builder.enclosure(before)
        after = builder.variables(name, np.zeros(samples), np.maximum(high, 0.0))
        builder.semantic(Maximum.relu(after, before, low, high))
        return after

    def combined(name: str, layer: list[np.ndarray]) -> Expressions:
        total = bias(f"bias_{name}")
        for k, after in enumerate(layer):
            _, high = builder.bounds(after)
            part = builder.variables(f"part_{name}_{k}", -bound * high, bound * high)
            factor = np.repeat(weights(f"weight_{name}_{k}", 1), samples)
            builder.semantic(Product(part, factor, Expressions.variables(after), np.zeros(samples), high))
            total = total + Expressions.variables(part)
        return total

    layer = [
        relu(f"h{k}", Expressions.rows(inputs, weights(f"w{k}", inputs.shape[1]), np.zeros(samples)) + bias(f"b{k}"))
        for k in range(hidden)
    ]
    for depth in range(1, layers):
        layer = [relu(f"h{depth}_{k}", combined(f"{depth}_{k}", layer)) for k in range(hidden)]
    loss = builder.variables("loss", np.zeros(samples), np.full(samples, np.inf))
    builder.rows(combined("out", layer).scaled(labels) + Expressions.variables(loss), lower=step)
    builder.objective = Expressions.variables(loss).total()
    return builder.build()
