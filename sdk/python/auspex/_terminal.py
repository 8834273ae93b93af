"""What strangers' code printed, made harmless for a terminal: it must not move the cursor, set the title, or look like something that we said."""

from __future__ import annotations

import unicodedata
from typing import Any

#: Controls, formats (marks that turn the direction of what follows, that take no room, tags), line and paragraph separators; surrogates, which no terminal
#: can be sent.
HIDDEN = ("Cc", "Cf", "Zl", "Zp", "Cs")


def plain(text: Any) -> str:
    """The text with its control characters and its hidden directions written out; line ends and tabs stay.

    >>> print(plain("ok\\x1b[2Jgone\\x07"))
    ok\\x1b[2Jgone\\x07
    >>> plain("a\\tb\\nc")
    'a\\tb\\nc'
    """
    return "".join(
        _written(character) if unicodedata.category(character) in HIDDEN and character not in "\n\t" else character
        for character in str(text).replace("\r\n", "\n"))


def plain_line(text: Any) -> str:
    """The first line of the text, made harmless; empty when there is none."""
    return plain((str(text).splitlines() or [""])[0])


def _written(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
