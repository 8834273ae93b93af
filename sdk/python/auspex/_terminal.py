"""What strangers' code printed, made harmless for a terminal: it must not move the cursor, set the title, or look like something that we said."""

from __future__ import annotations


def plain(text: str) -> str:
    """The text with its control characters and its hidden directions written out; line ends and tabs stay.

    >>> print(plain("ok\\x1b[2Jgone\\x07"))
    ok\\x1b[2Jgone\\x07
    >>> plain("a\\tb\\nc")
    'a\\tb\\nc'
    """
    return "".join(character if character in "\n\t" or not _is_hidden(character) else _written(character) for character in text.replace("\r\n", "\n"))


def _is_hidden(character: str) -> bool:
    code = ord(character)
    # Controls; line and paragraph separators; marks that turn the direction of what follows; surrogates, which no terminal can be sent.
    return (
        code < 0x20 or 0x7F <= code < 0xA0 or code in (0x061C, 0x200E, 0x200F, 0x2028, 0x2029, 0xFEFF) or 0x202A <= code <= 0x202E
        or 0x2066 <= code <= 0x2069 or 0xD800 <= code <= 0xDFFF)


def _written(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
