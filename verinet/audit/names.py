"""Names as they may stand in texts and pictures: on one line, and short."""

__all__ = ["counted", "printable", "shortened"]


def printable(name: str) -> str:
    """Put a name on one line, without characters that a document may not hold."""
    return "".join(c if c.isprintable() else " " for c in name)


def shortened(name: str, longest: int) -> str:
    """Cut a name to so many characters, so that labels do not run into each other."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def counted(count: int, what: str) -> str:
    """Write so many of something."""
    return f"{count} {what}{'' if count == 1 else 's'}"
