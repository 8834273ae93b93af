"""Reads one table of ``auspex.toml`` and says which key is at fault."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, List, Optional, Tuple

from .errors import AuspexError

MANIFEST = "auspex.toml"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class ProjectError(AuspexError):
    """Something in the folder is not as it has to be; the text says where and what would be right."""


def interval_seconds(text: str) -> int:
    """A bar length in seconds.

    >>> interval_seconds("15s"), interval_seconds("4h")
    (15, 14400)
    """
    found = re.fullmatch(r"([1-9][0-9]{0,6})([smhdw])", text) if isinstance(text, str) else None
    if not found:
        raise ProjectError(f"{text!r} is not a bar length such as 15s, 1m, 4h or 1d")
    return int(found[1]) * UNITS[found[2]]


class Table:
    """Reads one table of the manifest; what nobody asked for is most likely misspelt."""

    def __init__(self, members: Any, path: str):
        if not isinstance(members, dict):
            raise ProjectError(f"{MANIFEST}: {path or 'the file'} must be a table")
        self._members = members
        self._path = path
        self._known: List[str] = []

    def take(self, key: str, kind: type, default: Any = None, required: bool = False) -> Any:
        self._known.append(key)
        if key not in self._members:
            if required:
                raise ProjectError(f"{MANIFEST}: {self._path}{key} is missing")
            return default
        value = self._members[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ProjectError(f"{MANIFEST}: {self._path}{key} must be {_NAMES[kind]}")
        return value

    def number(self, key: str, lowest: int, default: Optional[int] = None, highest: Optional[int] = None) -> int:
        value = self.take(key, int, default, required=default is None)
        if value < lowest:
            raise ProjectError(f"{MANIFEST}: {self._path}{key} must be at least {lowest}")
        if highest is not None and value > highest:
            raise ProjectError(f"{MANIFEST}: {self._path}{key} must be at most {highest}")
        return value

    def word(self, key: str, words: Tuple[str, ...], default: Optional[str] = None) -> str:
        value = self.take(key, str, default, required=default is None)
        if value not in words:
            raise ProjectError(f"{MANIFEST}: {self._path}{key} must be one of {', '.join(words)}")
        return value

    def has(self, key: str) -> bool:
        return key in self._members

    def fault(self, key: str, message: str) -> ProjectError:
        return ProjectError(f"{MANIFEST}: {self._path}{key} {message}")

    def moment(self, key: str) -> Optional[datetime]:
        """A time with its offset from UTC, as TOML's own or as text."""
        self._known.append(key)
        value = self._members.get(key)
        if value is None:
            return None
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", value))
            except ValueError:
                pass
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise self.fault(key, "must be a time with its offset from UTC, such as 2026-01-31T08:00:00Z")
        return value

    def done(self) -> None:
        for key in sorted(set(self._members) - set(self._known)):
            raise ProjectError(f"{MANIFEST}: {self._path}{key} is not a key that is known here; known are {', '.join(sorted(self._known))}")


_NAMES = {str: "text", int: "a whole number", dict: "a table", list: "a list of tables"}
