"""Server-sent events out of an open answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

from .errors import UnreadableAnswer


@dataclass(frozen=True)
class BarEvent:
    """What a stream of bars says.

    ``kind`` is ``bar`` (it closed), ``running`` (it still runs), ``empty`` (intervals closed without a trade), ``revised`` (bars from ``data["from"]`` on
    and before ``data["to"]`` were corrected) or ``reset`` (more was missed than a stream repeats: read the bars again). ``data`` is the event as the
    platform sent it. ``id``, where there is one, is the place up to which everything was told.
    """

    kind: str
    topic: str
    data: Mapping[str, Any]
    id: Optional[int] = None


class EventLines:
    """Puts the lines of a stream together to events; one that is cut off by the stream's end is none.

    >>> lines = EventLines()
    >>> [lines.take(line) for line in [b": alive\\n", b"\\n", b"id: 7\\n", b"event: bar\\n", b"data: {}\\n", b"\\n"]][-1]
    {'id': '7', 'event': 'bar', 'data': '{}'}
    """

    def __init__(self) -> None:
        self._fields: Dict[str, str] = {}

    def take(self, line: bytes) -> Optional[Mapping[str, str]]:
        """The fields of the event that ends with this line, if one does."""
        text = line.decode().rstrip("\r\n")
        if not text:
            fields, self._fields = self._fields, {}
            return fields if "data" in fields else None
        if not text.startswith(":"):
            name, _, value = text.partition(": ")
            self._fields[name] = self._fields[name] + "\n" + value if name == "data" and name in self._fields else value
        return None


def bar_event(fields: Mapping[str, str]) -> BarEvent:
    """An event of a stream of bars."""
    kind, data, place = _parts(fields)
    return BarEvent(kind, data.get("topic", ""), data, place)


@dataclass(frozen=True)
class JobEvent:
    """What a stream of jobs says: ``job`` with a job as it is now, ``mark`` with a place alone, or ``reset`` when more was missed than a stream repeats."""

    kind: str
    data: Mapping[str, Any]
    id: Optional[int] = None


def job_event(fields: Mapping[str, str]) -> JobEvent:
    """An event of a stream of jobs."""
    return JobEvent(*_parts(fields))


def _parts(fields: Mapping[str, str]) -> Tuple[str, Mapping[str, Any], Optional[int]]:
    try:
        data = json.loads(fields["data"])
        if not isinstance(data, dict):
            raise ValueError
        return fields.get("event", "message"), data, int(fields["id"]) if "id" in fields else None
    except ValueError:
        raise UnreadableAnswer("an event is not what this version of the package understands") from None
