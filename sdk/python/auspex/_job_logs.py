"""The stream of a job's log: what a run prints, as it prints it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Iterable, Iterator, Optional

from .errors import UnreadableAnswer


@dataclass(frozen=True)
class LogEvent:
    """A piece of a log, or its end.

    ``text`` is what the attempt ``attempt`` printed; ``left_out`` says how many bytes before it were not kept. With the last event ``state`` says how
    the job ended; ``failure_kind`` and ``error_message`` why, when it failed. ``id`` is the place up to which everything was told.
    """

    attempt: int
    text: str = ""
    left_out: int = 0
    state: Optional[str] = None
    failure_kind: Optional[str] = None
    error_message: Optional[str] = None
    id: Optional[str] = None


def read_log_events(lines: Iterable[bytes]) -> Iterator[LogEvent]:
    """The events of the stream; one that is cut off by its end is none.

    >>> [event] = read_log_events([b"id: a.3\\n", b"event: log\\n", b'data: {"attempt": 1, "offset": 0, "text": "one"}\\n', b"\\n", b"event: log\\n"])
    >>> event.attempt, event.text, event.id
    (1, 'one', 'a.3')
    """
    fields = {}
    for line in lines:
        text = line.decode().rstrip("\r\n")
        if text and not text.startswith(":"):
            name, _, value = text.partition(": ")
            fields[name] = value
        elif not text:
            if fields.get("event") in ("log", "end") and "data" in fields:
                yield _event(fields)
            fields = {}


def _event(fields) -> LogEvent:
    try:
        data = json.loads(fields["data"])
        return LogEvent(
            data["attempt"], data.get("text", ""), data.get("left_out") or 0, data.get("state"), data.get("failure_kind"), data.get("error_message"),
            fields.get("id"))
    except (ValueError, KeyError, AttributeError):
        raise UnreadableAnswer("an event is not what this version of the package understands") from None
