"""The schedules of one's signals: when they are due, whether they run, what became of it, and runs of the past."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Dict, Iterator, Mapping, Optional, Tuple, Union

from . import _calls
from ._moments import Moment, moment_text
from ._progress import Progress
from .models import Page, parse_time, reading, required_time

if TYPE_CHECKING:
    from .client import Client

#: The keys of ``[schedule]`` that are not the cadence itself.
POLICY = ("overlap", "catch_up_seconds", "jitter_seconds", "start_at", "end_at", "pause_after_failures", "in_session")


@dataclass(frozen=True)
class Schedule:
    """When a published signal runs. ``state`` is ``active``, ``paused``, ``unpublished`` or ``invalid``; ``raw`` has the rest (policy, market, failures)."""

    id: str
    signal_id: str
    state: str
    cadence: Mapping[str, Any]
    next_due_at: Optional[datetime]
    pause_reason: Optional[str]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "Schedule":
        with reading("a schedule"):
            return cls(
                raw["schedule_id"], raw["signal_id"], raw["state"], raw.get("cadence") or {}, parse_time(raw.get("next_due_at")), raw.get("pause_reason"), raw)


@dataclass(frozen=True)
class DueTime:
    """A due time, the clocks of its zone then, and what they do on that day."""

    due_at: datetime
    local_time: str
    zone: str
    note: Optional[str]


@dataclass(frozen=True)
class Preview:
    """The next due times of a schedule, ten at most, and what is to be known of all of them."""

    due_times: Tuple[DueTime, ...]
    note: Optional[str]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "Preview":
        with reading("a preview"):
            times = tuple(DueTime(required_time(item["due_at"]), item["local_time"], item["zone"], item.get("note")) for item in raw["next_due_times"])
            return cls(times, raw.get("note"), raw)


@dataclass(frozen=True)
class Occurrence:
    """A due time and what became of it: ``fired``, ``late``, ``missed``, ``skipped`` or ``failed``, with a reason where there is one."""

    id: str
    due_at: datetime
    outcome: str
    reason: Optional[str]
    job_id: Optional[str]
    recorded_at: Optional[datetime]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "Occurrence":
        with reading("an occurrence"):
            return cls(
                raw["occurrence_id"], required_time(raw["due_at"]), raw["outcome"], raw.get("reason"), raw.get("job_id"), parse_time(raw.get("recorded_at")), raw)


@dataclass(frozen=True)
class Backfill:
    """Runs of a past range with what was known then; nothing of it is recorded. ``start`` and ``end`` are its first and its last due time."""

    id: str
    schedule_id: str
    state: str
    start: datetime
    end: datetime
    due_count: int
    completed: int
    failed: int
    cancelled: int
    progress: int
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "Backfill":
        with reading("a backfill"):
            return cls(
                raw["backfill_id"], raw["schedule_id"], raw["state"], required_time(raw["from"]), required_time(raw["to"]), int(raw["due_count"]), int(raw["completed"]),
                int(raw["failed"]), int(raw["cancelled"]), int(raw["progress"]), raw)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state != "open"


@dataclass(frozen=True)
class BackfillRun:
    """A run of a backfill; its result and its log are those of its job."""

    due_at: datetime
    job_id: str
    state: str

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "BackfillRun":
        with reading("a run of a backfill"):
            return cls(required_time(raw["due_at"]), raw["job_id"], raw["state"])


def unsaved(schedule: Mapping[str, Any]) -> Dict[str, Any]:
    """What is asked about a table ``[schedule]`` that nobody has published: its cadence, and the rest as its policy.

    >>> unsaved({"kind": "interval", "seconds": 60, "overlap": "skip"})
    {'schedule': {'kind': 'interval', 'seconds': 60}, 'policy': {'overlap': 'skip'}}
    """
    values = {key: moment_text(value) if isinstance(value, datetime) else value for key, value in schedule.items()}
    policy = {key: value for key, value in values.items() if key in POLICY}
    return {"schedule": {key: value for key, value in values.items() if key not in POLICY}, **({"policy": policy} if policy else {})}


class Schedules:
    """``client.schedules``: what one does with the schedules of one's signals. An API key needs the scope ``jobs:write``."""

    def __init__(self, client: "Client"):
        self._client = client

    def list(self, *, page: int = 50) -> Iterator[Schedule]:
        """Every schedule, page by page as they are asked for."""
        return self._client._pages(lambda cursor: _calls.schedules(Page.of(Schedule.read), page, cursor))

    def get(self, schedule_id: str) -> Schedule:
        """One schedule."""
        return self._client.call(_calls.schedule(Schedule.read, schedule_id))

    def of_signal(self, signal_id: str) -> Optional[Schedule]:
        """The schedule of a signal, or None when it was never published."""
        return next((schedule for schedule in self.list(page=200) if schedule.signal_id == signal_id), None)

    def preview(self, schedule: Union[str, Mapping[str, Any]]) -> Preview:
        """The next ten due times: of a live schedule by its id, or of a table such as ``[schedule]`` in ``auspex.toml`` that nobody has published.

            client.schedules.preview({"kind": "cron", "expression": "30 2 * * *", "zone": "Europe/Berlin"})
        """
        if isinstance(schedule, str):
            return self._client.call(_calls.schedule_preview(Preview.read, schedule))
        return self._client.call(_calls.unsaved_preview(Preview.read, unsaved(schedule)))

    def pause(self, schedule_id: str, reason: Optional[str] = None) -> Schedule:
        """Skips what is due until it is resumed, and never catches it up; subscribers see it as ``skipped``, ``paused``."""
        return self._client.call(_calls.pause_schedule(Schedule.read, schedule_id, reason))

    def resume(self, schedule_id: str) -> Schedule:
        """Goes on from the grid."""
        return self._client.call(_calls.resume_schedule(Schedule.read, schedule_id))

    def run(self, schedule_id: str) -> str:
        """Runs the live version once, now, as a dry run that is never recorded; gives its job's id, for ``client.jobs.wait``. One at a time."""
        return self._client.call(_calls.run_schedule(schedule_id))

    def occurrences(self, schedule_id: str, *, page: int = 50) -> Iterator[Occurrence]:
        """Due times and what became of them, the latest first."""
        return self._client._pages(lambda cursor: _calls.occurrences(Page.of(Occurrence.read), schedule_id, page, cursor))

    def cadence(self, schedule_id: str, *, start: Optional[str] = None, end: Optional[str] = None) -> Mapping[str, Any]:
        """How reliably it ran: ``total``, and ``days`` with the ``counts`` of each UTC day (due, on time, late, missed, skipped, failed, share on time).

        ``start`` and ``end`` are the first and the last day; the last 30 days unless told.
        """
        return self._client.call(_calls.schedule_cadence(schedule_id, start, end))

    def backfill(self, schedule_id: str, start: Moment, end: Moment, *, overlap: str = "sequential") -> Backfill:
        """Begins to run the due times from ``start`` to ``end``, both included, with what was known then; 10,000 at most.

        For intervals and cron schedules only. ``overlap="allow_all"`` runs several at once. Nothing of it is ever recorded.
        """
        return self._client.call(_calls.start_backfill(Backfill.read, schedule_id, moment_text(start), moment_text(end), overlap))

    def backfills(self, schedule_id: str, *, page: int = 50) -> Iterator[Backfill]:
        """The backfills of a schedule, newest first."""
        return self._client._pages(lambda cursor: _calls.backfills(Page.of(Backfill.read), schedule_id, page, cursor))

    def get_backfill(self, schedule_id: str, backfill_id: str) -> Backfill:
        """How far a backfill is."""
        return self._client.call(_calls.backfill(Backfill.read, schedule_id, backfill_id))

    def backfill_runs(self, schedule_id: str, backfill_id: str, *, page: int = 50) -> Iterator[BackfillRun]:
        """The runs of a backfill in the order of time."""
        return self._client._pages(lambda cursor: _calls.backfill_runs(Page.of(BackfillRun.read), schedule_id, backfill_id, page, cursor))

    def cancel_backfill(self, schedule_id: str, backfill_id: str) -> Backfill:
        """Makes no more runs and cancels those that have not ended; the same again changes nothing."""
        return self._client.call(_calls.cancel_backfill(Backfill.read, schedule_id, backfill_id))

    def wait_backfill(
        self, schedule_id: str, backfill_id: str, *, timeout: Optional[float] = None, poll: float = 2.0, progress: bool = True
    ) -> Backfill:
        """Waits for the end of a backfill; shows how far it is, on a terminal or in a notebook only.

        After ``timeout`` seconds it raises :class:`TimeoutError`; the backfill goes on.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with Progress(f"backfill {backfill_id[-8:]}") as bar:
            while True:
                found = self.get_backfill(schedule_id, backfill_id)
                if found.is_over:
                    return found
                if progress:
                    bar.step(found.progress / 100, words(found))
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(f"backfill {backfill_id} is not over after {timeout:.0f} s")
                time.sleep(poll)


def words(backfill: Backfill) -> str:
    """How a backfill stands, in a few words."""
    ended = backfill.completed + backfill.failed + backfill.cancelled
    more = "".join(f", {count} {name}" for name, count in (("failed", backfill.failed), ("cancelled", backfill.cancelled)) if count)
    return f"{ended} of {backfill.due_count} runs{more}"
