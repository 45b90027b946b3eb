"""The difference of two ReLUs as an operation of its own, for bounds that compare two copies of a network.

Two independent enclosures of ``max(0, a)`` and ``max(0, b)`` forget that a and b are near each other. Their difference
lies between 0 and b - a, whatever a is, and is one of both where signs are known.
"""

from dataclasses import dataclass

__all__ = ["Difference"]


@dataclass(frozen=True, eq=False)
class Difference:
    """``max(0, b) - max(0, a)``, entry by entry, from the arguments b - a, a and b.

    It is no operation of networks: only tapes know it, and nothing evaluates it but kernels.

    Parameters
    ----------
    size : int
        Number of entries.
    """

    size: int

    @property
    def sizes_in(self) -> tuple[int, int, int]:
        """Length of each argument."""
        return (self.size, self.size, self.size)

    @property
    def size_out(self) -> int:
        """Length of the result."""
        return self.size
