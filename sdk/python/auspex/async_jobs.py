"""One's jobs on a platform, on asyncio: the same calls as :class:`auspex.Jobs`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, AsyncIterator, Mapping, Optional, Sequence, Union

from . import _calls
from ._moments import Moment
from ._progress import Progress
from ._streaming import job_event
from .jobs import Job, LogLines, words
from .models import Page

if TYPE_CHECKING:
    from .async_client import AsyncClient


class AsyncJobs:
    """``client.jobs`` of an :class:`auspex.AsyncClient`."""

    def __init__(self, client: "AsyncClient"):
        self._client = client

    def list(
        self, *, state: Optional[str] = None, kind: Union[str, Sequence[str], None] = None, signal: Optional[str] = None, parent: Optional[str] = None,
        batch: Optional[str] = None, created_from: Optional[str] = None, created_to: Optional[str] = None, oldest_first: bool = False,
        page: int = 50,
    ) -> AsyncIterator[Job]:
        """One's jobs, newest first; see :meth:`auspex.Jobs.list`."""
        query = _calls.job_filter(state, kind, signal, parent, batch, created_from, created_to, oldest_first, page)
        return self._client._pages(lambda cursor: _calls.job_list(Page.of(Job.read), {**query, "cursor": cursor}))

    async def get(self, job_id: str) -> Job:
        """One job with its spec, its result and its place in the queue (in ``raw``)."""
        return await self._client.call(_calls.job(Job.read, job_id))

    async def cancel(self, job_id: str, *, children: bool = False) -> Job:
        """Cancels a job; see :meth:`auspex.Jobs.cancel`."""
        return await self._client.call(_calls.cancel_job(Job.read, job_id, children))

    async def logs(self, job_id: str) -> str:
        """What the last attempt printed."""
        return (await self._client.call(_calls.job_log(job_id))).get("log") or ""

    def search_logs(
        self, text: str, *, signal: Optional[str] = None, start: Optional[Moment] = None, end: Optional[Moment] = None, page: int = 20
    ) -> AsyncIterator[LogLines]:
        """The newest logs that hold a text; see :meth:`auspex.Jobs.search_logs`."""
        query = _calls.log_filter(text, signal, start, end, page)
        return self._client._pages(lambda cursor: _calls.job_logs(Page.of(LogLines.read), {**query, "cursor": cursor}))

    async def batch(self, batch_id: str) -> Mapping[str, Any]:
        """How far jobs are that the platform made together; see :meth:`auspex.Jobs.batch`."""
        return await self._client.call(_calls.job_batch(batch_id))

    async def cancel_batch(self, batch_id: str) -> Mapping[str, Any]:
        """Cancels what has not ended of a batch."""
        return await self._client.call(_calls.cancel_job_batch(batch_id))

    async def costs(self, *, start: Optional[str] = None, end: Optional[str] = None, group: str = "kind") -> Mapping[str, Any]:
        """What one's jobs have cost, by ``kind`` or ``day``; the last 30 days unless told."""
        return await self._client.call(_calls.job_costs({"from": start, "to": end, "group": group}))

    async def wait(self, job_id: str, *, timeout: Optional[float] = None, progress: bool = True) -> Job:
        """Waits for the end of a job and gives it with its result; see :meth:`auspex.Jobs.wait`."""
        try:
            return await asyncio.wait_for(self._end(job_id, progress), timeout)
        except asyncio.TimeoutError:
            raise TimeoutError(f"job {job_id} is not over after {timeout:.0f} s") from None

    async def _end(self, job_id: str, progress: bool) -> Job:
        events = self._client._follow(lambda: _calls.job_stream(job_id), job_event)
        try:
            with Progress(f"job {job_id[-8:]}") as bar:
                async for event in events:
                    if event.kind != "job":
                        continue
                    job = Job.read(event.data)
                    if job.is_over:
                        return await self.get(job_id)
                    if progress:
                        bar.step(job.progress / 100, words(job))
        finally:
            await events.aclose()
        raise AssertionError("the stream is opened again for ever")

    async def follow(self, *, after: Optional[int] = None) -> AsyncIterator[Job]:
        """One's jobs as they change, for ever; see :meth:`auspex.Jobs.follow`."""
        place = [after]
        events = self._client._follow(lambda: _calls.account_jobs_stream(place[0]), job_event)
        try:
            async for event in events:
                if event.id is not None:
                    place[0] = event.id
                if event.kind == "job":
                    yield Job.read(event.data)
        finally:
            await events.aclose()
