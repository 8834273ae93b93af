"""The synchronous client: for subscribers who read predictions and for providers who publish signals."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Mapping, Optional, Sequence

from . import _calls
from ._credentials import Credentials
from ._following import Place
from ._job_logs import LogEvent, log_event
from ._messages import Call, Endpoint, read_answer
from ._retry import ATTEMPTS, Backoff
from ._streaming import BarEvent, EventLines, bar_event
from .errors import AuspexError, ConnectionFailed, ProblemError, RateLimited, Unavailable, UnreadableAnswer
from .ledger import LedgerCheck, Verdict
from .models import DryRun, Page, PredictionPage, RecordedPrediction, Signal, Subscription, Version

if TYPE_CHECKING:
    from .jobs import Jobs
    from .schedules import Schedules


class Client:
    """A client of one platform. It may be used from several threads; each has a connection of its own.

    ``api_key`` is what a subscriber's program needs. ``login`` gives a client that may do all that its user may.

    >>> client = Client("http://127.0.0.1:8080", api_key="aus_...")
    >>> client
    Client('http://127.0.0.1:8080', Credentials(api key))

    Reading the newest rows, and then every new one as it comes::

        page = client.predictions(signal_id, limit=10)
        for prediction in client.follow(signal_id, after_seq=page.seq):
            print(prediction.seq, prediction.made_at, prediction.value)

    Calls that may safely be repeated (reads, and changes with their idempotency key) are tried again when a connection is lost.
    """

    def __init__(
        self, base_url: str, api_key: Optional[str] = None, *, key: Optional[str] = None, access_token: Optional[str] = None,
        refresh_token: Optional[str] = None, timeout: float = 15.0, context: Optional[ssl.SSLContext] = None,
    ):
        self._endpoint = Endpoint.parse(base_url)
        self._base_url = base_url
        self._credentials = Credentials(api_key or key, access_token, refresh_token)
        self._timeout = timeout
        self._context = context
        self._local = threading.local()
        self._renewing = threading.Lock()

    @classmethod
    def login(cls, base_url: str, email: str, password: str, **options: Any) -> "Client":
        """A client for a user; its token is renewed by itself for as long as the session lives."""
        client = cls(base_url, **options)
        client._credentials.take(client.call(_calls.login(email, password)))
        return client

    @classmethod
    def register(
        cls, base_url: str, email: str, password: str, roles: Sequence[str] = ("subscriber",), display_name: Optional[str] = None, **options: Any
    ) -> "Client":
        """Makes an account and logs in."""
        client = cls(base_url, **options)
        client.call(_calls.register(email, password, roles, display_name))
        client._credentials.take(client.call(_calls.login(email, password)))
        return client

    def __repr__(self) -> str:
        return f"Client({self._base_url!r}, {self._credentials!r})"

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    @property
    def base_url(self) -> str:
        """Where the platform is, in one spelling."""
        return f"{self._endpoint.scheme}://{self._endpoint.authority}{self._endpoint.prefix}"

    def close(self) -> None:
        """Closes this thread's connection; the client can still be used."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    # Subscribers

    def predictions(
        self, signal_id: str, *, after_seq: Optional[int] = None, limit: Optional[int] = None, wait: Optional[int] = None,
        cursor: Optional[str] = None,
    ) -> PredictionPage:
        """Rows of a signal: the newest first, or with ``after_seq`` what came after that row, oldest first.

        ``wait``, with ``after_seq``: up to 30 seconds until there is something new.
        """
        return self.call(_calls.predictions(signal_id, after_seq, limit, wait, cursor))

    def history(self, signal_id: str, *, limit: int = 200) -> Iterator[RecordedPrediction]:
        """Every row from the newest to the first, page by page."""
        cursor = None
        while True:
            page = self.predictions(signal_id, limit=limit, cursor=cursor)
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def follow(self, signal_id: str, *, after_seq: Optional[int] = None, wait: int = 30) -> Iterator[RecordedPrediction]:
        """Each new row as it is recorded, for ever: waits for it, survives lost connections, and never skips one.

        Without ``after_seq`` it begins with what comes next; ``after_seq=0`` begins with the first row of all.
        Refusals that will not pass by themselves (a revoked key, an ended subscription) are raised.
        """
        place = Place(after_seq)
        backoff = Backoff()
        while True:
            try:
                page = self.predictions(signal_id, after_seq=place.seq, wait=wait if place.seq is not None else None)
            except (ConnectionFailed, Unavailable, RateLimited) as error:
                time.sleep(backoff.next(getattr(error, "retry_after", None)))
                continue
            backoff.reset()
            yield from place.take(page)

    def follow_bars(self, topics: Sequence[str], *, after: Optional[int] = None) -> Iterator[BarEvent]:
        """Bars as they become known, for ever: topics such as ``"1m:SPY"`` or ``"5s:BTCUSD@replay-3"``, 64 at most.

        It begins with the last bar that closed and the one that runs, or with what became known after the event with the id ``after``; survives lost
        connections, and misses nothing. A bar may come twice when a connection broke between two ids: topic and start tell that it is the same.

            for event in client.follow_bars(["1m:SPY"]):
                if event.kind == "bar":
                    print(event.data["start"], event.data["close"])
        """
        place = [after]
        for event in self._follow(lambda: _calls.bar_stream(topics, place[0]), bar_event):
            if event.id is not None:
                place[0] = event.id
            if event.kind != "mark":
                yield event

    def follow_log(self, job_id: str, *, after: Optional[str] = None) -> Iterator[LogEvent]:
        """What a job prints, as it prints it, until it has ended: the last event has its ``state``. Survives lost connections, and repeats nothing.

            for event in client.follow_log(job_id):
                print(event.text, end="")
        """
        place = [after]
        for event in self._follow(lambda: _calls.job_log_stream(job_id, place[0]), log_event):
            place[0] = event.id or place[0]
            yield event
            if event.state is not None:
                return

    def _follow(
        self, call: Callable[[], Call], read: Callable[[Mapping[str, str]], Any], on_line: Callable[[], None] = lambda: None
    ) -> Iterator[Any]:
        """The events of a stream, for ever: ``call`` opens it, and opens it again from the place reached by then when it is lost or ends."""
        backoff = Backoff()
        renewed = False
        while True:
            on_line()
            try:
                for event in self._events(call(), read, on_line):
                    backoff.reset()
                    renewed = False
                    yield event
                pause = backoff.next()
            except ProblemError as error:
                if error.status == 401 and not renewed and self._credentials.can_renew(error.code):
                    self._renew()
                    renewed = True
                    continue
                if not isinstance(error, (Unavailable, RateLimited)):
                    raise
                pause = backoff.next(error.retry_after)
            except ConnectionFailed:
                pause = backoff.next()
            time.sleep(pause)

    def _events(self, call: Call, read: Callable[[Mapping[str, str]], Any], on_line: Callable[[], None]) -> Iterator[Any]:
        """The events of one answer, on a connection of its own; ``on_line`` is called with every line, signs of life too, and may raise."""
        connection = self._connect()
        try:
            connection.timeout = self._timeout + call.waits
            headers = {**call.headers(), **self._credentials.headers(), "Accept": "text/event-stream"}
            try:
                connection.request(call.method, self._endpoint.prefix + call.target, None, headers)
                answer = connection.getresponse()
                body = answer.read() if answer.status != 200 else b""
            except (OSError, http.client.HTTPException) as error:
                raise ConnectionFailed(f"{self._base_url} does not answer: {error or type(error).__name__}") from error
            if answer.status != 200:
                read_answer(call, answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)
                raise UnreadableAnswer(f"a stream of events begins with 200, not {answer.status}")
            lines = EventLines()
            for line in self._lines(answer, on_line):
                fields = lines.take(line)
                event = None if fields is None else read(fields)
                if event is not None:
                    yield event
        finally:
            connection.close()

    def _lines(self, answer: http.client.HTTPResponse, on_line: Callable[[], None]) -> Iterator[bytes]:
        while True:
            on_line()
            try:
                line = answer.readline()
            except (OSError, http.client.HTTPException) as error:
                raise ConnectionFailed(f"{self._base_url} has hung up: {error or type(error).__name__}") from error
            if not line:
                return
            yield line

    def signals(
        self, *, instrument: Optional[str] = None, interval: Optional[str] = None, text: Optional[str] = None, mine: bool = False,
        limit: Optional[int] = None,
    ) -> Iterator[Signal]:
        """Published signals and one's own, filtered."""
        return self._pages(lambda cursor: _calls.signals(instrument, interval, text, mine, limit, cursor))

    def signal(self, signal_id: str) -> Signal:
        """One signal, with the end of its chain and its due times in ``raw``."""
        return self.call(_calls.signal(signal_id))

    def subscribe(self, signal_id: str) -> Subscription:
        """Subscribes; the same again gives the same subscription."""
        return self.call(_calls.subscribe(signal_id))

    def unsubscribe(self, subscription_id: str) -> None:
        """Ends a subscription."""
        self.call(_calls.unsubscribe(subscription_id))

    def subscriptions(self) -> Iterator[Subscription]:
        """One's subscriptions."""
        return self._pages(_calls.subscriptions)

    def create_key(
        self, name: str, scopes: Iterable[str], expires_at: Optional[str] = None, *, requests_per_minute: Optional[int] = None,
        credits: Optional[int] = None,
    ) -> str:
        """Makes an API key and returns its text, which is shown this once only.

        ``requests_per_minute`` and ``credits`` (one a request) bound what it may use up; None for the platform's default and for any number.
        """
        answer = self.call(_calls.create_key(name, scopes, expires_at, requests_per_minute, credits))
        return answer["key"]

    def ledger(self, signal_id: str, *, after_seq: int = 0, limit: int = 1000) -> Mapping[str, Any]:
        """A part of the ledger as a document for :func:`auspex.verify_ledger`: links and roots for all, payloads for the entitled."""
        return self.call(_calls.ledger(signal_id, after_seq, limit))

    def ledger_parts(self, signal_id: str, *, limit: int = 1000) -> Iterator[Mapping[str, Any]]:
        """The whole ledger, part by part: a part ends after ``limit`` rows, or sooner when its seals are large."""
        after_seq: Optional[int] = 0
        while after_seq is not None:
            part = self.ledger(signal_id, after_seq=after_seq, limit=limit)
            yield part
            after_seq = part.get("next_after_seq")

    def verify_ledger(self, signal_id: str, *, limit: int = 1000) -> Verdict:
        """Checks a signal's whole ledger with the platform's keys, part by part; see :func:`auspex.verify_ledger`."""
        check = LedgerCheck(self.ledger_keys())
        for part in self.ledger_parts(signal_id, limit=limit):
            if not check.take(part):
                break
        return check.verdict()

    def ledger_keys(self) -> Mapping[str, Any]:
        """The public keys that seals are signed with, as a JWK set."""
        return self.call(_calls.ledger_keys())

    # Providers

    def create_signal(self, name: str, description: str = "") -> Signal:
        """Makes a signal without code yet."""
        return self.call(_calls.create_signal(name, description))

    def upload_blob(self, signal_id: str, sha256: str, data: bytes) -> None:
        """Uploads a file, or one part of a large one, of at most 8 MiB."""
        self.call(_calls.upload_blob(signal_id, sha256, data))

    def create_version(self, signal_id: str, files: Sequence[Mapping[str, Any]], note: str = "") -> Version:
        """Uploads a version. Each file is a path with one of ``text``, ``content_base64``, ``sha256``, or ``sha256`` and ``parts``."""
        return self.call(_calls.create_version(signal_id, files, note))

    def dry_run(
        self, signal_id: str, version: int, *, parameters: Optional[Mapping[str, Any]] = None, timeout: float = 900.0, poll: float = 0.5
    ) -> DryRun:
        """Runs a version once in the sandbox, records nothing, and waits for the end. ``parameters`` are other values of those that the manifest declares."""
        run_id = self.call(_calls.start_dry_run(signal_id, version, parameters))
        end = time.monotonic() + timeout
        while True:
            run: DryRun = self.call(_calls.dry_run(signal_id, run_id))
            if run.is_over:
                return run
            if time.monotonic() > end:
                raise AuspexError(f"the dry run {run_id} is not over after {timeout:.0f} s")
            time.sleep(poll)

    def publish(self, signal_id: str, version: Optional[int] = None) -> Signal:
        """Publishes a version, or the newest one: from now on it runs when it is due."""
        return self.call(_calls.publish(signal_id, version))

    def unpublish(self, signal_id: str, reason: Optional[str] = None) -> Signal:
        """Ends the runs of a signal; its ledger stays."""
        return self.call(_calls.unpublish(signal_id, reason))

    @property
    def jobs(self) -> "Jobs":
        """One's jobs: ``client.jobs.wait(id)``, ``client.jobs.list(state="failed")``, …; see :class:`auspex.Jobs`."""
        from .jobs import Jobs

        return Jobs(self)

    @property
    def schedules(self) -> "Schedules":
        """When one's signals run: ``client.schedules.preview(id)``, ``client.schedules.pause(id)``, …; see :class:`auspex.Schedules`."""
        from .schedules import Schedules

        return Schedules(self)

    # Travel

    def call(self, call: Call) -> Any:
        """Makes a call, again if it may be repeated and was lost."""
        backoff = Backoff()
        renewed = False
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._once(call)
            except ProblemError as error:
                if error.status == 401 and not renewed and call.needs_login and self._credentials.can_renew(error.code):
                    self._renew()
                    renewed = True
                    continue
                if not (isinstance(error, Unavailable) and call.repeatable and attempt < ATTEMPTS):
                    raise
                time.sleep(backoff.next(error.retry_after))
            except ConnectionFailed:
                if not call.repeatable or attempt == ATTEMPTS:
                    raise
                time.sleep(backoff.next())
        return self._once(call)

    def _pages(self, call: Callable[[Optional[str]], Call]) -> Iterator[Any]:
        """The items of a list, page by page; ``call`` asks for the page at a cursor."""
        cursor: Optional[str] = None
        while True:
            page: Page = self.call(call(cursor))
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def _renew(self) -> None:
        token = self._credentials.refresh_token
        with self._renewing:
            # Another thread may have been faster; a refresh token that is used twice ends the session.
            if token is not None and token == self._credentials.refresh_token:
                self._credentials.take(self._once(_calls.refresh(token)))

    def _once(self, call: Call) -> Any:
        connection = getattr(self._local, "connection", None)
        if connection is not None and call.repeatable:
            try:
                return self._exchange(connection, call)
            except ConnectionFailed:
                # A kept connection that the server has closed meanwhile says nothing about the server.
                pass
        # What must not be sent twice gets a connection that cannot have been closed meanwhile.
        self.close()
        connection = self._local.connection = self._connect()
        try:
            return self._exchange(connection, call)
        except ConnectionFailed:
            self.close()
            raise

    def _connect(self) -> http.client.HTTPConnection:
        endpoint = self._endpoint
        if endpoint.scheme == "https":
            return http.client.HTTPSConnection(
                endpoint.host, endpoint.port, timeout=self._timeout, context=self._context or ssl.create_default_context())
        return http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=self._timeout)

    def _exchange(self, connection: http.client.HTTPConnection, call: Call) -> Any:
        headers = call.headers()
        if call.needs_login:
            headers.update(self._credentials.headers())
        try:
            connection.timeout = self._timeout + call.waits
            if connection.sock is not None:
                connection.sock.settimeout(self._timeout + call.waits)
            connection.request(call.method, self._endpoint.prefix + call.target, call.body, headers)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException, socket.timeout) as error:
            raise ConnectionFailed(f"{self._base_url} does not answer: {error or type(error).__name__}") from error
        except BaseException:
            # Interrupted in the middle of an answer: the connection is of no more use.
            self.close()
            raise
        if answer.will_close:
            self.close()
        return read_answer(call, answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)
