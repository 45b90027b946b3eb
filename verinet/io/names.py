"""Names in sentences: quoted, and when one is unknown, what may have been meant."""

import difflib
from collections.abc import Collection

__all__ = ["quoted", "suggestion"]

MOST_LISTED = 12
MOST_CHARACTERS = 60


def quoted(name: str) -> str:
    """Return a name in quotes, cut if it is very long."""
    return repr(name if len(name) <= MOST_CHARACTERS else f"{name[:MOST_CHARACTERS]}...")


def suggestion(name: str, known: Collection[str]) -> str:
    """Return the rest of a sentence that names what may have been meant.

    Parameters
    ----------
    name : str
        The unknown one.
    known : collection of str

    Returns
    -------
    str
        Such as ``did you mean 'income'?`` or ``known names: 'age', 'debt'``.
    """
    close = difflib.get_close_matches(name, known, n=3)
    if close:
        return f"did you mean {' or '.join(map(quoted, close))}?"
    listed = list(known)
    more = f" and {len(listed) - MOST_LISTED} more" if len(listed) > MOST_LISTED else ""
    return f"known names: {', '.join(map(quoted, listed[:MOST_LISTED]))}{more}"
