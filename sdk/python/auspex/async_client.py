"""The asynchronous client: the same calls as :class:`auspex.Client`, on asyncio."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, AsyncGenerator, AsyncIterator, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from . import _calls
from ._credentials import Credentials
from ._following import Place
from ._job_logs import LogEvent, log_event
from ._messages import Call, Endpoint, read_answer, split_head
from ._retry import ATTEMPTS, Backoff
from ._streaming import BarEvent, EventLines, bar_event
from .errors import AuspexError, ConnectionFailed, ProblemError, RateLimited, Unavailable, UnreadableAnswer
from .ledger import LedgerCheck, Verdict
from .models import DryRun, Page, PredictionPage, RecordedPrediction, Signal, Subscription, Version

if TYPE_CHECKING:
    from .async_jobs import AsyncJobs
    from .async_schedules import AsyncSchedules

_Streams = Tuple[asyncio.StreamReader, asyncio.StreamWriter]
LARGEST_ANSWER = 256 * 1024 * 1024
LARGEST_LINE = 16 * 1024 * 1024
PIECE = 256 * 1024
#: What a connection that is of no more use raises.
_LOST = (OSError, EOFError, asyncio.TimeoutError, asyncio.LimitOverrunError, ValueError)


class AsyncClient:
    """A client of one platform for programs on asyncio.

    >>> async def main(signal_id):
    ...     async with AsyncClient("https://auspex.example", api_key="aus_...") as client:
    ...         async for prediction in client.follow(signal_id):
    ...             print(prediction.seq, prediction.value)

    It keeps idle connections and uses as many as there are calls at once. It belongs to the event loop that first used it.
    """

    def __init__(
        self, base_url: str, api_key: Optional[str] = None, *, key: Optional[str] = None, access_token: Optional[str] = None,
        refresh_token: Optional[str] = None, timeout: float = 15.0, context: Optional[ssl.SSLContext] = None,
    ):
        self._endpoint = Endpoint.parse(base_url)
        self._base_url = base_url
        self._credentials = Credentials(api_key or key, access_token, refresh_token)
        self._timeout = timeout
        self._context = context or (ssl.create_default_context() if self._endpoint.scheme == "https" else None)
        self._idle: List[_Streams] = []
        self._renewing: Optional[asyncio.Lock] = None

    @classmethod
    async def login(cls, base_url: str, email: str, password: str, **options: Any) -> "AsyncClient":
        """A client for a user; its token is renewed by itself for as long as the session lives."""
        client = cls(base_url, **options)
        client._credentials.take(await client.call(_calls.login(email, password)))
        return client

    @classmethod
    async def register(
        cls, base_url: str, email: str, password: str, roles: Sequence[str] = ("subscriber",), display_name: Optional[str] = None, **options: Any
    ) -> "AsyncClient":
        """Makes an account and logs in."""
        client = cls(base_url, **options)
        await client.call(_calls.register(email, password, roles, display_name))
        client._credentials.take(await client.call(_calls.login(email, password)))
        return client

    def __repr__(self) -> str:
        return f"AsyncClient({self._base_url!r}, {self._credentials!r})"

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *exception: Any) -> None:
        await self.close()

    @property
    def base_url(self) -> str:
        """Where the platform is, in one spelling."""
        return f"{self._endpoint.scheme}://{self._endpoint.authority}{self._endpoint.prefix}"

    async def close(self) -> None:
        """Closes the idle connections."""
        idle, self._idle = self._idle, []
        for _, writer in idle:
            writer.close()

    # Subscribers

    async def predictions(
        self, signal_id: str, *, after_seq: Optional[int] = None, limit: Optional[int] = None, wait: Optional[int] = None,
        cursor: Optional[str] = None,
    ) -> PredictionPage:
        """Rows of a signal; see :meth:`auspex.Client.predictions`."""
        return await self.call(_calls.predictions(signal_id, after_seq, limit, wait, cursor))

    async def history(self, signal_id: str, *, limit: int = 200) -> AsyncIterator[RecordedPrediction]:
        """Every row from the newest to the first, page by page."""
        cursor = None
        while True:
            page = await self.predictions(signal_id, limit=limit, cursor=cursor)
            for row in page.items:
                yield row
            cursor = page.next_cursor
            if cursor is None:
                return

    async def follow(self, signal_id: str, *, after_seq: Optional[int] = None, wait: int = 30) -> AsyncIterator[RecordedPrediction]:
        """Each new row as it is recorded, for ever; see :meth:`auspex.Client.follow`."""
        place = Place(after_seq)
        backoff = Backoff()
        while True:
            try:
                page = await self.predictions(signal_id, after_seq=place.seq, wait=wait if place.seq is not None else None)
            except (ConnectionFailed, Unavailable, RateLimited) as error:
                await asyncio.sleep(backoff.next(getattr(error, "retry_after", None)))
                continue
            backoff.reset()
            for row in place.take(page):
                yield row

    async def follow_bars(self, topics: Sequence[str], *, after: Optional[int] = None) -> AsyncIterator[BarEvent]:
        """Bars as they become known, for ever; see :meth:`auspex.Client.follow_bars`."""
        place = [after]
        events = self._follow(lambda: _calls.bar_stream(topics, place[0]), bar_event)
        try:
            async for event in events:
                if event.id is not None:
                    place[0] = event.id
                if event.kind != "mark":
                    yield event
        finally:
            await events.aclose()

    async def follow_log(self, job_id: str, *, after: Optional[str] = None) -> AsyncIterator[LogEvent]:
        """What a job prints, as it prints it, until it has ended; see :meth:`auspex.Client.follow_log`."""
        place = [after]
        events = self._follow(lambda: _calls.job_log_stream(job_id, place[0]), log_event)
        try:
            async for event in events:
                place[0] = event.id or place[0]
                yield event
                if event.state is not None:
                    return
        finally:
            await events.aclose()

    async def signals(
        self, *, instrument: Optional[str] = None, interval: Optional[str] = None, text: Optional[str] = None, mine: bool = False,
        limit: Optional[int] = None,
    ) -> AsyncIterator[Signal]:
        """Published signals and one's own, filtered."""
        async for item in self._pages(lambda cursor: _calls.signals(instrument, interval, text, mine, limit, cursor)):
            yield item

    async def signal(self, signal_id: str) -> Signal:
        """One signal."""
        return await self.call(_calls.signal(signal_id))

    async def subscribe(self, signal_id: str) -> Subscription:
        """Subscribes; the same again gives the same subscription."""
        return await self.call(_calls.subscribe(signal_id))

    async def unsubscribe(self, subscription_id: str) -> None:
        """Ends a subscription."""
        await self.call(_calls.unsubscribe(subscription_id))

    def subscriptions(self) -> AsyncIterator[Subscription]:
        """One's subscriptions."""
        return self._pages(_calls.subscriptions)

    async def create_key(
        self, name: str, scopes: Iterable[str], expires_at: Optional[str] = None, *, requests_per_minute: Optional[int] = None,
        credits: Optional[int] = None,
    ) -> str:
        """Makes an API key and returns its text, which is shown this once only.

        ``requests_per_minute`` and ``credits`` (one a request) bound what it may use up; None for the platform's default and for any number.
        """
        return (await self.call(_calls.create_key(name, scopes, expires_at, requests_per_minute, credits)))["key"]

    async def ledger(self, signal_id: str, *, after_seq: int = 0, limit: int = 1000) -> Mapping[str, Any]:
        """A part of the ledger as a document for :func:`auspex.verify_ledger`."""
        return await self.call(_calls.ledger(signal_id, after_seq, limit))

    async def ledger_parts(self, signal_id: str, *, limit: int = 1000) -> AsyncIterator[Mapping[str, Any]]:
        """The whole ledger, part by part; see :meth:`auspex.Client.ledger_parts`."""
        after_seq: Optional[int] = 0
        while after_seq is not None:
            part = await self.ledger(signal_id, after_seq=after_seq, limit=limit)
            yield part
            after_seq = part.get("next_after_seq")

    async def verify_ledger(self, signal_id: str, *, limit: int = 1000) -> Verdict:
        """Checks a signal's whole ledger with the platform's keys, part by part."""
        check = LedgerCheck(await self.ledger_keys())
        async for part in self.ledger_parts(signal_id, limit=limit):
            if not check.take(part):
                break
        return check.verdict()

    async def ledger_keys(self) -> Mapping[str, Any]:
        """The public keys that seals are signed with, as a JWK set."""
        return await self.call(_calls.ledger_keys())

    # Providers

    async def create_signal(self, name: str, description: str = "") -> Signal:
        """Makes a signal without code yet."""
        return await self.call(_calls.create_signal(name, description))

    async def upload_blob(self, signal_id: str, sha256: str, data: bytes) -> None:
        """Uploads a file, or one part of a large one, of at most 8 MiB."""
        await self.call(_calls.upload_blob(signal_id, sha256, data))

    async def create_version(self, signal_id: str, files: Sequence[Mapping[str, Any]], note: str = "") -> Version:
        """Uploads a version; see :meth:`auspex.Client.create_version`."""
        return await self.call(_calls.create_version(signal_id, files, note))

    async def dry_run(
        self, signal_id: str, version: int, *, parameters: Optional[Mapping[str, Any]] = None, timeout: float = 900.0, poll: float = 0.5
    ) -> DryRun:
        """Runs a version once in the sandbox, records nothing, and waits for the end. ``parameters`` are other values of those that the manifest declares."""
        run_id = await self.call(_calls.start_dry_run(signal_id, version, parameters))
        end = asyncio.get_running_loop().time() + timeout
        while True:
            run: DryRun = await self.call(_calls.dry_run(signal_id, run_id))
            if run.is_over:
                return run
            if asyncio.get_running_loop().time() > end:
                raise AuspexError(f"the dry run {run_id} is not over after {timeout:.0f} s")
            await asyncio.sleep(poll)

    async def publish(self, signal_id: str, version: Optional[int] = None) -> Signal:
        """Publishes a version, or the newest one."""
        return await self.call(_calls.publish(signal_id, version))

    async def unpublish(self, signal_id: str, reason: Optional[str] = None) -> Signal:
        """Ends the runs of a signal; its ledger stays."""
        return await self.call(_calls.unpublish(signal_id, reason))

    @property
    def jobs(self) -> "AsyncJobs":
        """One's jobs: ``await client.jobs.wait(id)``, ``async for job in client.jobs.list()``, …; see :class:`auspex.Jobs`."""
        from .async_jobs import AsyncJobs

        return AsyncJobs(self)

    @property
    def schedules(self) -> "AsyncSchedules":
        """When one's signals run: ``await client.schedules.preview(id)``, …; see :class:`auspex.Schedules`."""
        from .async_schedules import AsyncSchedules

        return AsyncSchedules(self)

    # Travel

    async def call(self, call: Call) -> Any:
        """Makes a call, again if it may be repeated and was lost."""
        backoff = Backoff()
        renewed = False
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._once(call)
            except ProblemError as error:
                if error.status == 401 and not renewed and call.needs_login and self._credentials.can_renew(error.code):
                    await self._renew()
                    renewed = True
                    continue
                if not (isinstance(error, Unavailable) and call.repeatable and attempt < ATTEMPTS):
                    raise
                await asyncio.sleep(backoff.next(error.retry_after))
            except ConnectionFailed:
                if not call.repeatable or attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(backoff.next())
        return await self._once(call)

    async def _pages(self, call: Callable[[Optional[str]], Call]) -> AsyncIterator[Any]:
        """The items of a list, page by page; ``call`` asks for the page at a cursor."""
        cursor: Optional[str] = None
        while True:
            page: Page = await self.call(call(cursor))
            for item in page.items:
                yield item
            cursor = page.next_cursor
            if cursor is None:
                return

    async def _follow(self, call: Callable[[], Call], read: Callable[[Mapping[str, str]], Any]) -> AsyncGenerator[Any, None]:
        """The events of a stream, for ever: ``call`` opens it, and opens it again from the place reached by then when it is lost or ends."""
        backoff = Backoff()
        renewed = False
        while True:
            events = self._events(call(), read)
            try:
                async for event in events:
                    backoff.reset()
                    renewed = False
                    yield event
                pause = backoff.next()
            except ProblemError as error:
                if error.status == 401 and not renewed and self._credentials.can_renew(error.code):
                    await self._renew()
                    renewed = True
                    continue
                if not isinstance(error, (Unavailable, RateLimited)):
                    raise
                pause = backoff.next(error.retry_after)
            except ConnectionFailed:
                pause = backoff.next()
            finally:
                # Not when its turn comes by itself: an open connection would live on until then.
                await events.aclose()
            await asyncio.sleep(pause)

    async def _events(self, call: Call, read: Callable[[Mapping[str, str]], Any]) -> AsyncGenerator[Any, None]:
        """The events of one answer, on a connection of its own."""
        reader, writer = await self._connect()
        patience = self._timeout + call.waits
        lines, rest, pieces = EventLines(), b"", None
        try:
            try:
                status, answer = await asyncio.wait_for(self._ask(reader, writer, call, "text/event-stream"), patience)
                body = b"" if status == 200 else await asyncio.wait_for(self._read_body(reader, status, answer), patience)
            except _LOST as error:
                raise ConnectionFailed(f"{self._base_url} does not answer: {error or type(error).__name__}") from error
            if status != 200:
                read_answer(call, status, answer, body)
                raise UnreadableAnswer(f"a stream of events begins with 200, not {status}")
            pieces = self._pieces(reader, answer)
            while True:
                try:
                    piece = await asyncio.wait_for(pieces.__anext__(), patience)
                except StopAsyncIteration:
                    return
                except _LOST as error:
                    raise ConnectionFailed(f"{self._base_url} has hung up: {error or type(error).__name__}") from error
                *whole, rest = (rest + piece).split(b"\n")
                if len(rest) > LARGEST_LINE:
                    raise UnreadableAnswer("a line of the stream is too long")
                for line in whole:
                    fields = lines.take(line)
                    event = None if fields is None else read(fields)
                    if event is not None:
                        yield event
        finally:
            writer.close()
            if pieces is not None:
                await pieces.aclose()

    async def _renew(self) -> None:
        if self._renewing is None:
            self._renewing = asyncio.Lock()
        token = self._credentials.refresh_token
        async with self._renewing:
            if token is not None and token == self._credentials.refresh_token:
                self._credentials.take(await self._once(_calls.refresh(token)))

    async def _once(self, call: Call) -> Any:
        while self._idle and call.repeatable:
            streams = self._idle.pop()
            if streams[0].at_eof() or streams[1].is_closing():
                streams[1].close()
                continue
            try:
                return await self._exchange(streams, call)
            except ConnectionFailed:
                # A kept connection that the server has closed meanwhile says nothing about the server.
                break
        return await self._exchange(await self._connect(), call)

    async def _connect(self) -> _Streams:
        try:
            return await asyncio.wait_for(
                asyncio.open_connection(self._endpoint.host, self._endpoint.port, ssl=self._context), self._timeout)
        except (OSError, asyncio.TimeoutError) as error:
            raise ConnectionFailed(f"{self._base_url} does not answer: {error or type(error).__name__}") from error

    async def _exchange(self, streams: _Streams, call: Call) -> Any:
        reader, writer = streams
        try:
            status, headers, body, keeps = await asyncio.wait_for(self._send(reader, writer, call), self._timeout + call.waits)
        except _LOST as error:
            writer.close()
            raise ConnectionFailed(f"{self._base_url} does not answer: {error or type(error).__name__}") from error
        except BaseException:
            writer.close()
            raise
        if keeps:
            self._idle.append(streams)
        else:
            writer.close()
        return read_answer(call, status, headers, body)

    async def _send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, call: Call) -> Tuple[int, Dict[str, str], bytes, bool]:
        status, answer = await self._ask(reader, writer, call)
        body = await self._read_body(reader, status, answer)
        has_end = status in (204, 304) or _is_chunked(answer) or "content-length" in answer
        return status, answer, body, has_end and answer.get("connection", "").lower() != "close"

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, call: Call, accept: Optional[str] = None
    ) -> Tuple[int, Dict[str, str]]:
        """Sends the request and reads the head of the answer."""
        body = call.body or b""
        headers = {"Host": self._endpoint.authority, **call.headers(), **({"Accept": accept} if accept else {})}
        if call.needs_login:
            headers.update(self._credentials.headers())
        if body or call.method in ("POST", "PUT"):
            headers["Content-Length"] = str(len(body))
        lines = [f"{call.method} {self._endpoint.prefix}{call.target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        if any("\r" in line or "\n" in line for line in lines):
            raise AuspexError("a header or a path holds a line end")
        writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        await writer.drain()
        while True:
            status, answer = split_head(await reader.readuntil(b"\r\n\r\n"))
            if status >= 200:
                return status, answer

    async def _read_body(self, reader: asyncio.StreamReader, status: int, answer: Mapping[str, str]) -> bytes:
        if status in (204, 304):
            return b""
        parts: List[bytes] = []
        total = 0
        async for piece in self._pieces(reader, answer):
            total += len(piece)
            if total > LARGEST_ANSWER:
                raise UnreadableAnswer("the answer is too large")
            parts.append(piece)
        return b"".join(parts)

    @staticmethod
    async def _pieces(reader: asyncio.StreamReader, answer: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """The body as it comes."""
        if _is_chunked(answer):
            while True:
                size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
                if not 0 <= size <= LARGEST_ANSWER:
                    raise UnreadableAnswer("the answer is too large")
                if size == 0:
                    while await reader.readuntil(b"\r\n") != b"\r\n":
                        pass
                    return
                yield await reader.readexactly(size)
                await reader.readexactly(2)
        left = int(answer["content-length"]) if "content-length" in answer else None
        if left is not None and not 0 <= left <= LARGEST_ANSWER:
            raise UnreadableAnswer("the answer is too large")
        while left is None or left > 0:
            piece = await reader.read(PIECE if left is None else min(PIECE, left))
            if not piece:
                if left:
                    raise EOFError("the answer was cut off")
                return
            if left is not None:
                left -= len(piece)
            yield piece


def _is_chunked(answer: Mapping[str, str]) -> bool:
    return "chunked" in answer.get("transfer-encoding", "").lower()
