"""Server-sent events out of an open answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Iterable, Iterator, Mapping, Optional

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


def read_events(lines: Iterable[bytes]) -> Iterator[BarEvent]:
    """The events of a stream; one that is cut off by its end is none.

    >>> [event] = read_events([b": alive\\n", b"\\n", b"id: 7\\n", b"event: bar\\n", b'data: {"topic": "1m:SPY"}\\n', b"\\n", b"event: bar\\n"])
    >>> event.kind, event.topic, event.id
    ('bar', '1m:SPY', 7)
    """
    fields = {}
    for line in lines:
        text = line.decode().rstrip("\r\n")
        if not text:
            if "data" in fields:
                yield _event(fields)
            fields = {}
        elif not text.startswith(":"):
            name, _, value = text.partition(": ")
            fields[name] = fields[name] + "\n" + value if name == "data" and name in fields else value


def _event(fields: Mapping[str, str]) -> BarEvent:
    try:
        data = json.loads(fields["data"])
        return BarEvent(fields.get("event", "message"), data.get("topic", ""), data, int(fields["id"]) if "id" in fields else None)
    except (ValueError, AttributeError):
        raise UnreadableAnswer("an event is not what this version of the package understands") from None
