"""``[schedule]`` of a manifest: when a signal runs, and what becomes of due times that meet a run or come late."""

from __future__ import annotations

from typing import Optional
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from . import _cron
from ._table import Table, interval_seconds

OVERLAPS = ("skip", "buffer_one", "buffer_all", "cancel_other", "terminate_other", "allow_all")
#: The keys of the kind ``session`` with the least number of seconds that each takes.
SESSION_KEYS = {"every_seconds": 1, "after_open_seconds": 0, "before_close_seconds": 0}
DAY = 86_400


def check_schedule(table: Table, deadline_seconds: int) -> None:
    """Raises :class:`ProjectError` with the key that is at fault.

    >>> check_schedule(Table({"kind": "interval", "seconds": 60, "overlap": "queue"}, "schedule."), 60)
    Traceback (most recent call last):
    ...
    auspex._table.ProjectError: auspex.toml: schedule.overlap must be one of skip, buffer_one, buffer_all, cancel_other, terminate_other, allow_all
    """
    kind = table.word("kind", ("interval", "cron", "bar_close", "session"))
    step = None
    if kind == "interval":
        step = table.number("seconds", 1, highest=366 * DAY)
    elif kind == "cron":
        if fault := _cron.fault(table.take("expression", str, required=True)):
            raise table.fault("expression", fault)
        zone = table.take("zone", str, "UTC")
        if not _is_zone(zone):
            raise table.fault("zone", f"'{zone}' is no IANA time zone of a place, such as Europe/Berlin, nor UTC")
    elif kind == "bar_close":
        table.take("instrument", str, required=True)
        interval_seconds(table.take("interval", str, required=True))
    else:
        table.take("instrument", str, required=True)
        given = [key for key in SESSION_KEYS if table.has(key)]
        if len(given) != 1:
            raise table.fault("kind", f'"session" needs one of {", ".join(SESSION_KEYS)}')
        seconds = table.number(given[0], SESSION_KEYS[given[0]], highest=DAY)
        step = seconds if given[0] == "every_seconds" else None
    _check_policy(table, kind, step, deadline_seconds)
    table.done()


def _is_zone(name: str) -> bool:
    """Whether it names a place, or UTC, as the platform wants it (``Zone.swift``); a machine that has no list of places knows all."""
    if (name != "UTC" and "/" not in name) or name.startswith(("right/", "posix/")):
        return False

    def is_known(one: str) -> bool:
        try:
            ZoneInfo(one)
        except (ValueError, OSError, ZoneInfoNotFoundError):
            return False
        return True

    return is_known(name) or not is_known("Europe/Berlin")


def _check_policy(table: Table, kind: str, step: Optional[int], deadline_seconds: int) -> None:
    table.word("overlap", OVERLAPS, "skip")
    if table.has("catch_up_seconds"):
        table.number("catch_up_seconds", 10, highest=31 * DAY)
    jitter = table.number("jitter_seconds", 0, 0, 3600)
    if jitter >= deadline_seconds:
        raise table.fault("jitter_seconds", f"must be less than deadline_seconds ({deadline_seconds}): a run that begins after the deadline counts for nothing")
    if step is not None and 0 < step <= jitter:
        raise table.fault("jitter_seconds", f"must be less than the {step} seconds between two due times")
    start, end = table.moment("start_at"), table.moment("end_at")
    if start and end and end < start:
        raise table.fault("end_at", "must not be before start_at")
    if table.has("pause_after_failures"):
        table.number("pause_after_failures", 1, highest=1000)
    if table.take("in_session", str) is not None and kind not in ("interval", "cron"):
        raise table.fault("in_session", "belongs to the kinds interval and cron: the others follow a market already")
