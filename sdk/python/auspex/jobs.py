"""One's jobs on a platform: what runs, ran or waits."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Iterator, Mapping, Optional, Sequence, Tuple, Union

from . import _calls
from ._moments import Moment
from ._progress import Progress
from ._streaming import job_event
from .models import Page, parse_time, reading

if TYPE_CHECKING:
    from .client import Client

OVER = ("completed", "failed", "cancelled")


@dataclass(frozen=True)
class Job:
    """A job as the platform showed it; the rest of what it said (places in the queue, costs, children) is in ``raw``."""

    id: str
    kind: str
    state: str
    progress: int
    attempt: int
    created_at: Optional[datetime]
    started_at: Optional[datetime]
    completed_at: Optional[datetime]
    estimated_seconds: Optional[float]
    failure_kind: Optional[str]
    error_message: Optional[str]
    result: Any
    version: int
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "Job":
        with reading("a job"):
            return cls(
                raw["job_id"], raw["kind"], raw["state"], int(raw["progress"]), int(raw["attempt"]), parse_time(raw.get("created_at")),
                parse_time(raw.get("started_at")), parse_time(raw.get("completed_at")), raw.get("estimated_seconds"), raw.get("failure_kind"),
                raw.get("error_message"), raw.get("result"), int(raw.get("version", 0)), raw,
            )

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in OVER

    @property
    def succeeded(self) -> bool:
        """Whether it ended with a result."""
        return self.state == "completed"


@dataclass(frozen=True)
class LogLines:
    """The lines of an attempt's log that hold a text: the first twenty with their numbers, and how many there are."""

    job_id: str
    attempt: int
    lines: Tuple[Tuple[int, str], ...]
    count: int
    stored_at: Optional[datetime]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "LogLines":
        with reading("lines of a log"):
            lines = tuple((int(line["number"]), line["text"]) for line in raw["lines"])
            return cls(raw["job_id"], int(raw["attempt"]), lines, int(raw["count"]), parse_time(raw.get("stored_at")), raw)


class Jobs:
    """``client.jobs``: lists, shows, cancels and waits for jobs. An API key needs the scope ``jobs:write``."""

    def __init__(self, client: "Client"):
        self._client = client

    def list(
        self, *, state: Optional[str] = None, kind: Union[str, Sequence[str], None] = None, signal: Optional[str] = None, parent: Optional[str] = None,
        batch: Optional[str] = None, created_from: Optional[str] = None, created_to: Optional[str] = None, oldest_first: bool = False,
        page: int = 50,
    ) -> Iterator[Job]:
        """One's jobs, newest first, page by page as they are asked for."""
        query = _calls.job_filter(state, kind, signal, parent, batch, created_from, created_to, oldest_first, page)
        return self._client._pages(lambda cursor: _calls.job_list(Page.of(Job.read), {**query, "cursor": cursor}))

    def get(self, job_id: str) -> Job:
        """One job with its spec, its result and its place in the queue (in ``raw``)."""
        return self._client.call(_calls.job(Job.read, job_id))

    def cancel(self, job_id: str, *, children: bool = False) -> Job:
        """Cancels a job, and with ``children`` what has not ended of those that are parts of it; a running one ends within seconds."""
        return self._client.call(_calls.cancel_job(Job.read, job_id, children))

    def logs(self, job_id: str) -> str:
        """What the last attempt printed."""
        answer = self._client.call(_calls.job_log(job_id))
        return answer.get("log") or ""

    def search_logs(
        self, text: str, *, signal: Optional[str] = None, start: Optional[Moment] = None, end: Optional[Moment] = None, page: int = 20
    ) -> Iterator[LogLines]:
        """The newest logs that hold a text, whatever the case of its letters, of jobs made from ``start`` on and before ``end``.

        It goes on to the oldest job for as long as it is asked for more: take as many as are wanted.
        """
        query = _calls.log_filter(text, signal, start, end, page)
        return self._client._pages(lambda cursor: _calls.job_logs(Page.of(LogLines.read), {**query, "cursor": cursor}))

    def batch(self, batch_id: str) -> Mapping[str, Any]:
        """How far jobs are that the platform made together (``raw["batch_id"]`` of each): one ``state`` and ``progress``, ``counts``, ``first_errors``."""
        return self._client.call(_calls.job_batch(batch_id))

    def cancel_batch(self, batch_id: str) -> Mapping[str, Any]:
        """Cancels what has not ended of a batch."""
        return self._client.call(_calls.cancel_job_batch(batch_id))

    def costs(self, *, start: Optional[str] = None, end: Optional[str] = None, group: str = "kind") -> Mapping[str, Any]:
        """What one's jobs have cost, by ``kind`` or ``day``; the last 30 days unless told."""
        return self._client.call(_calls.job_costs({"from": start, "to": end, "group": group}))

    def wait(self, job_id: str, *, timeout: Optional[float] = None, progress: bool = True) -> Job:
        """Waits for the end of a job and gives it with its result; shows how far it is, on a terminal or in a notebook only.

        It is told of each change as it happens and survives lost connections. After ``timeout`` seconds it raises :class:`TimeoutError`; the job goes on.
        """
        deadline = None if timeout is None else time.monotonic() + timeout

        def still_time() -> None:
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"job {job_id} is not over after {timeout:.0f} s")

        with Progress(f"job {job_id[-8:]}") as bar:
            for event in self._client._follow(lambda: _calls.job_stream(job_id), job_event, still_time):
                if event.kind != "job":
                    continue
                job = Job.read(event.data)
                if job.is_over:
                    return self.get(job_id)
                if progress:
                    bar.step(job.progress / 100, words(job))
        raise AssertionError("the stream is opened again for ever")

    def follow(self, *, after: Optional[int] = None) -> Iterator[Job]:
        """One's jobs as they change, for ever, from any replica; a change may come twice, with the same ``version``.

        A job that changes several times in a moment comes once, as it is then. Results and logs are not in it. None is missed, unless more than 2,000
        jobs changed while a connection was lost: what they are by then is in :meth:`list`.
        """
        place = [after]
        for event in self._client._follow(lambda: _calls.account_jobs_stream(place[0]), job_event):
            if event.id is not None:
                place[0] = event.id
            if event.kind == "job":
                yield Job.read(event.data)


def words(job: Job) -> str:
    """How a job that is not over stands, in a few words.

    >>> words(Job.read({"job_id": "1", "kind": "noop", "state": "pending", "progress": 0, "attempt": 0, "blocked_by": 2}))
    'waits for 2 jobs'
    """
    blocked = job.raw.get("blocked_by") or 0
    if job.state == "pending":
        return f"waits for {blocked} job{'s' if blocked > 1 else ''}" if blocked else "waits for a worker"
    if job.raw.get("cancel_requested_at"):
        return "is being cancelled"
    return f"attempt {job.attempt}" if job.attempt > 1 else "runs"
