"""The stream of a job's log: what a run prints, as it prints it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Mapping, Optional

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


def log_event(fields: Mapping[str, str]) -> Optional[LogEvent]:
    """An event of the stream; None for kinds that this version of the package does not know.

    >>> event = log_event({"id": "a.3", "event": "log", "data": '{"attempt": 1, "offset": 0, "text": "one"}'})
    >>> event.attempt, event.text, event.id
    (1, 'one', 'a.3')
    """
    if fields.get("event") not in ("log", "end"):
        return None
    try:
        data = json.loads(fields["data"])
        return LogEvent(
            data["attempt"], data.get("text", ""), data.get("left_out") or 0, data.get("state"), data.get("failure_kind"), data.get("error_message"),
            fields.get("id"))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UnreadableAnswer("an event is not what this version of the package understands") from None
