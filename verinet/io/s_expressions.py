"""S-expressions: text to nested groups of tokens, without recursion, so that no depth of nesting is too deep."""

import re
from dataclasses import dataclass
from typing import NamedTuple

from verinet.errors import FileFormatError, InputError, PropertyError
from verinet.io.names import quoted

__all__ = ["Group", "Source", "read_groups"]

_TOKEN = re.compile(r'[()]|;[^\n\r]*|"(?:[^"\\]|\\.)*"|\[[^]["();]*\]|[^]["\s();]+|\S')
"""A parenthesis, a comment, a quoted name, indices in brackets, a word; else a character, so that none is lost."""


class Group(NamedTuple):
    """A parenthesised list.

    Parameters
    ----------
    items : list of str and Group
    position : int
        Where its opening parenthesis stands in the text.
    """

    items: list["str | Group"]
    position: int


@dataclass(frozen=True)
class Source:
    """A text and where it comes from, to say in which line something is wrong.

    Parameters
    ----------
    text : str
    file : str
        What to call the text in an error.
    """

    text: str
    file: str

    def place(self, position: int) -> str:
        """Name the line at a position."""
        return f"{self.file}, line {self.text.count(chr(10), 0, position) + 1}"

    def placed(self, error: InputError, group: Group) -> InputError:
        """Return the error with the group's line in front of its sentence."""
        kind = PropertyError if isinstance(error, PropertyError) else FileFormatError
        return kind(f"{self.place(group.position)}: {error}")


def read_groups(source: Source) -> list[Group]:
    """Read all top-level groups; comments run from ``;`` to the end of the line.

    Raises
    ------
    FileFormatError
        If parentheses do not match, or there is text outside of them.
    """
    groups: list[Group] = []
    enclosing: list[Group] = []
    for match in _TOKEN.finditer(source.text):
        piece = match.group()
        if piece == "(":
            group = Group([], match.start())
            if enclosing:
                enclosing[-1].items.append(group)
            else:
                groups.append(group)
            enclosing.append(group)
        elif piece[0] == ";":
            continue
        elif not enclosing:
            found = "a closing parenthesis that was never opened" if piece == ")" else quoted(piece)
            raise FileFormatError(f"{source.place(match.start())}: expected an opening parenthesis, found {found}")
        elif piece == ")":
            enclosing.pop()
        else:
            enclosing[-1].items.append(piece)
    if enclosing:
        raise FileFormatError(
            f"{source.place(enclosing[0].position)}: the command that starts here is never closed; "
            f"parentheses still open at the end: {len(enclosing)}"
        )
    return groups
