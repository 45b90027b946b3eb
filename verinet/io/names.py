"""What to say when a name is unknown: the names that are near it, or all of them."""

import difflib
from collections.abc import Collection

__all__ = ["suggestion"]

MOST_LISTED = 12


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
        return f"did you mean {' or '.join(map(repr, close))}?"
    listed = list(known)
    more = f" and {len(listed) - MOST_LISTED} more" if len(listed) > MOST_LISTED else ""
    return f"known names: {', '.join(map(repr, listed[:MOST_LISTED]))}{more}"
