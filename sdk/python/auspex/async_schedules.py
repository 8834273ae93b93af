"""The schedules of one's signals, on asyncio: the same calls as :class:`auspex.Schedules`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, AsyncIterator, Mapping, Optional, Union

from . import _calls
from ._moments import Moment, moment_text
from ._progress import Progress
from .models import Page
from .schedules import Backfill, BackfillRun, Occurrence, Preview, Schedule, unsaved, words

if TYPE_CHECKING:
    from .async_client import AsyncClient


class AsyncSchedules:
    """``client.schedules`` of an :class:`auspex.AsyncClient`."""

    def __init__(self, client: "AsyncClient"):
        self._client = client

    def list(self, *, page: int = 50) -> AsyncIterator[Schedule]:
        """Every schedule, page by page as they are asked for."""
        return self._client._pages(lambda cursor: _calls.schedules(Page.of(Schedule.read), page, cursor))

    async def get(self, schedule_id: str) -> Schedule:
        """One schedule."""
        return await self._client.call(_calls.schedule(Schedule.read, schedule_id))

    async def of_signal(self, signal_id: str) -> Optional[Schedule]:
        """The schedule of a signal, or None when it was never published."""
        async for schedule in self.list(page=200):
            if schedule.signal_id == signal_id:
                return schedule
        return None

    async def preview(self, schedule: Union[str, Mapping[str, Any]]) -> Preview:
        """The next ten due times, of a live schedule or of one that nobody has published; see :meth:`auspex.Schedules.preview`."""
        if isinstance(schedule, str):
            return await self._client.call(_calls.schedule_preview(Preview.read, schedule))
        return await self._client.call(_calls.unsaved_preview(Preview.read, unsaved(schedule)))

    async def pause(self, schedule_id: str, reason: Optional[str] = None) -> Schedule:
        """Skips what is due until it is resumed, and never catches it up."""
        return await self._client.call(_calls.pause_schedule(Schedule.read, schedule_id, reason))

    async def resume(self, schedule_id: str) -> Schedule:
        """Goes on from the grid."""
        return await self._client.call(_calls.resume_schedule(Schedule.read, schedule_id))

    async def run(self, schedule_id: str) -> str:
        """Runs the live version once, now, as a dry run; gives its job's id. See :meth:`auspex.Schedules.run`."""
        return await self._client.call(_calls.run_schedule(schedule_id))

    def occurrences(self, schedule_id: str, *, page: int = 50) -> AsyncIterator[Occurrence]:
        """Due times and what became of them, the latest first."""
        return self._client._pages(lambda cursor: _calls.occurrences(Page.of(Occurrence.read), schedule_id, page, cursor))

    async def cadence(self, schedule_id: str, *, start: Optional[str] = None, end: Optional[str] = None) -> Mapping[str, Any]:
        """How reliably it ran, by UTC day; see :meth:`auspex.Schedules.cadence`."""
        return await self._client.call(_calls.schedule_cadence(schedule_id, start, end))

    async def backfill(self, schedule_id: str, start: Moment, end: Moment, *, overlap: str = "sequential") -> Backfill:
        """Begins to run the due times of the past; see :meth:`auspex.Schedules.backfill`."""
        return await self._client.call(_calls.start_backfill(Backfill.read, schedule_id, moment_text(start), moment_text(end), overlap))

    def backfills(self, schedule_id: str, *, page: int = 50) -> AsyncIterator[Backfill]:
        """The backfills of a schedule, newest first."""
        return self._client._pages(lambda cursor: _calls.backfills(Page.of(Backfill.read), schedule_id, page, cursor))

    async def get_backfill(self, schedule_id: str, backfill_id: str) -> Backfill:
        """How far a backfill is."""
        return await self._client.call(_calls.backfill(Backfill.read, schedule_id, backfill_id))

    def backfill_runs(self, schedule_id: str, backfill_id: str, *, page: int = 50) -> AsyncIterator[BackfillRun]:
        """The runs of a backfill in the order of time."""
        return self._client._pages(lambda cursor: _calls.backfill_runs(Page.of(BackfillRun.read), schedule_id, backfill_id, page, cursor))

    async def cancel_backfill(self, schedule_id: str, backfill_id: str) -> Backfill:
        """Makes no more runs and cancels those that have not ended; the same again changes nothing."""
        return await self._client.call(_calls.cancel_backfill(Backfill.read, schedule_id, backfill_id))

    async def wait_backfill(
        self, schedule_id: str, backfill_id: str, *, timeout: Optional[float] = None, poll: float = 2.0, progress: bool = True
    ) -> Backfill:
        """Waits for the end of a backfill; see :meth:`auspex.Schedules.wait_backfill`."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        with Progress(f"backfill {backfill_id[-8:]}") as bar:
            while True:
                found = await self.get_backfill(schedule_id, backfill_id)
                if found.is_over:
                    return found
                if progress:
                    bar.step(found.progress / 100, words(found))
                if deadline is not None and loop.time() > deadline:
                    raise TimeoutError(f"backfill {backfill_id} is not over after {timeout:.0f} s")
                await asyncio.sleep(poll)
