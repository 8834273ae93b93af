"""Live bars the whole way: an exchange tells trades, and listeners and signals behind the gateway get each bar once, though the service is killed."""

import base64
import hashlib
import http.client
import http.server
import json
import os
import signal
import struct
import threading
import time
import unittest
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlencode, urlsplit

from auspex import BarEvent
from auspex._streaming import EventLines, bar_event
from auspex_cli.layout import REPOSITORY
from auspex_demo import signals
from auspex_demo.api import API
from auspex_demo.main_job import MainJob, until
from auspex_demo.private_platform import PrivatePlatform

BINARIES = Path(os.environ.get("AUSPEX_TEST_BINARIES", REPOSITORY / ".build" / "debug"))
SYMBOL = "LIVEUSD"
SECOND = 1_000_000
ORIGIN = datetime(1970, 1, 1, tzinfo=timezone.utc)


def microseconds(text: str) -> int:
    """A moment as the platform writes it, exactly."""
    return (datetime.fromisoformat(text.replace("Z", "+00:00")) - ORIGIN) // timedelta(microseconds=1)


def text_of(moment: int) -> str:
    return (ORIGIN + timedelta(microseconds=moment)).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True)
class Trade:
    number: int
    milliseconds: int
    price: Decimal
    size: Decimal
    is_late: bool = False

    @property
    def time(self) -> int:
        return self.milliseconds * 1000


def bars_of(trades: list[Trade], seconds: int) -> dict[int, dict]:
    """What one gets by hand: the bars by their start, trades in order of time and then of their number."""
    bars: dict[int, dict] = {}
    for trade in sorted(trades, key=lambda one: (one.milliseconds, one.number)):
        start = trade.time // (seconds * SECOND) * seconds * SECOND
        bar = bars.setdefault(start, {"open": trade.price, "high": trade.price, "low": trade.price, "volume": Decimal(0), "trades": 0})
        bar |= {"high": max(bar["high"], trade.price), "low": min(bar["low"], trade.price), "close": trade.price}
        bar |= {"volume": bar["volume"] + trade.size, "trades": bar["trades"] + 1}
    return bars


class Exchange:
    """Speaks like Binance on one port: combined streams over a WebSocket, and the history of the same trades over HTTP."""

    def __init__(self):
        self.changed = threading.Condition()
        self.trades: list[Trade] = []
        self.asked: list[dict[str, str]] = []
        self.silent: set[int] = set()
        self._watchers: dict[object, set[str]] = {}
        self._over = threading.Event()
        exchange = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                if self.headers.get("Upgrade", "").lower() == "websocket":
                    exchange._stream(self)
                elif url.path == "/api/v3/aggTrades":
                    self._answer(exchange._history(query))
                elif url.path == "/api/v3/klines":
                    self._answer([])
                else:
                    self.send_error(404)

            def _answer(self, value):
                body = json.dumps(value).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, address):
                """Who was killed hangs up in the middle of something."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._threads = [threading.Thread(target=self._server.serve_forever), threading.Thread(target=self._trade)]

    def open(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._over.set()
        if self._threads[0].is_alive():
            self._server.shutdown()
            for thread in self._threads:
                thread.join()
        self._server.server_close()

    # Trades

    def _trade(self) -> None:
        """Some trades a second, none in each second that ends at six (so some are empty inside of longer bars), none where it was told to be silent."""
        while not self._over.wait(0.15):
            with self.changed:
                now = time.time_ns() // 1_000_000
                second = now // 1000
                if second % 5 != 1 and second // 5 * 5 not in self.silent:
                    self._tell(now)

    def tell_late(self, start: int) -> Trade:
        """A trade in the middle of the second that starts then."""
        with self.changed:
            return self._tell(start // 1000 + 500, is_late=True)

    def _tell(self, milliseconds: int, is_late: bool = False) -> Trade:
        number = len(self.trades) + 1
        price = Decimal(10_000_000 + number * 7_919 % 300_000).scaleb(-5) + (1000 if is_late else 0)
        trade = Trade(number, milliseconds, price, Decimal(number % 13 + 1).scaleb(-4), is_late)
        self.trades.append(trade)
        data = {
            "e": "trade", "E": milliseconds, "s": SYMBOL, "t": number, "p": f"{trade.price:f}", "q": f"{trade.size:f}", "T": milliseconds, "m": False,
            "M": True}
        name = f"{SYMBOL.lower()}@trade"
        for connection, names in list(self._watchers.items()):
            if name in names:
                try:
                    self._send(connection, {"stream": name, "data": data})
                except OSError:
                    # Its reader finds out, too.
                    self._watchers.pop(connection, None)
        self.changed.notify_all()
        return trade

    def silence(self) -> int:
        """Keeps a stretch of five seconds that has not begun free of trades; gives its start in seconds."""
        with self.changed:
            start = (time.time_ns() // 1_000_000_000 // 5 + 1) * 5
            self.silent.add(start)
            return start

    def told(self) -> list[Trade]:
        with self.changed:
            return list(self.trades)

    def _history(self, query: dict[str, str]) -> list[dict]:
        with self.changed:
            self.asked.append(query)
            first, begin, end = (int(query.get(name, default)) for name, default in (("fromId", 0), ("startTime", 0), ("endTime", 1 << 60)))
            found = [one for one in self.trades if one.number >= first and begin <= one.milliseconds <= end][:int(query.get("limit", 500))]
        return [
            {"a": one.number, "p": f"{one.price:f}", "q": f"{one.size:f}", "f": one.number, "l": one.number, "T": one.milliseconds, "m": False, "M": True}
            for one in found]

    # WebSocket (RFC 6455)

    @property
    def watchers(self) -> int:
        with self.changed:
            return sum(bool(names) for names in self._watchers.values())

    def _stream(self, request: http.server.BaseHTTPRequestHandler) -> None:
        accept = hashlib.sha1((request.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        request.send_response(101)
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", base64.b64encode(accept).decode())):
            request.send_header(name, value)
        request.end_headers()
        request.close_connection = True
        connection = request.connection
        try:
            while frame := self._receive(request.rfile):
                code, payload = frame
                if code == 8:
                    return
                with self.changed:
                    if code == 9:
                        connection.sendall(bytes([0x8A, len(payload)]) + payload)
                    elif code == 1:
                        wanted = json.loads(payload)
                        names = self._watchers.setdefault(connection, set())
                        (names.update if wanted["method"] == "SUBSCRIBE" else names.difference_update)(wanted["params"])
                        self._send(connection, {"result": None, "id": wanted["id"]})
        except OSError:
            return
        finally:
            with self.changed:
                self._watchers.pop(connection, None)

    @staticmethod
    def _receive(file) -> tuple[int, bytes] | None:
        """One frame of a client, which are short and masked."""
        head = file.read(2)
        if len(head) < 2:
            return None
        length = head[1] & 0x7F
        if length == 126:
            length, = struct.unpack(">H", file.read(2))
        mask = file.read(4)
        payload = file.read(length)
        return head[0] & 0x0F, bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))

    @staticmethod
    def _send(connection, message: dict) -> None:
        text = json.dumps(message).encode()
        connection.sendall((bytes([0x81, len(text)]) if len(text) < 126 else struct.pack(">BBH", 0x81, 126, len(text))) + text)


class Listener:
    """A program that listens to topics and comes back with the last id, whatever happens. Events count when their id has come: a group that was cut off
    comes again whole."""

    def __init__(self, base: str, key: str, topics: list[str], after: int):
        self._place = urlsplit(base)
        self._key = key
        self._path = "/api/stream/bars?" + urlencode([("topic", topic) for topic in topics] + [("after", str(after))])
        self._over = threading.Event()
        self.changed = threading.Condition()
        self.events: list[BarEvent] = []
        self.resumed_with: list[int | None] = []
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def leave(self) -> None:
        """It does not come back; what it reads now ends with the service."""
        self._over.set()

    def join(self) -> None:
        self._thread.join()

    def _listen(self) -> None:
        last: int | None = None
        while not self._over.is_set():
            connection = http.client.HTTPConnection(self._place.hostname, self._place.port, timeout=40)
            try:
                headers = {"X-API-Key": self._key, "Accept": "text/event-stream"} | ({"Last-Event-ID": str(last)} if last else {})
                connection.request("GET", self._path, headers=headers)
                answer = connection.getresponse()
                if answer.status == 200:
                    self.resumed_with.append(last)
                    group: list[BarEvent] = []
                    lines = EventLines()
                    for event in (bar_event(fields) for line in iter(answer.readline, b"") if (fields := lines.take(line))):
                        group.append(event)
                        if event.id is not None:
                            last = event.id
                            with self.changed:
                                self.events += group
                                self.changed.notify_all()
                            group = []
                        if self._over.is_set():
                            return
                else:
                    answer.read()
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            # The service is away, or has no bars of the instrument yet.
            self._over.wait(0.1)

    def all(self, kind: str, topic: str) -> list[BarEvent]:
        with self.changed:
            return [event for event in self.events if event.kind == kind and event.topic == topic]

    def wait(self, what: str, condition, seconds: float = 120):
        """The first truthy answer of a look at what has come."""
        found = None

        def look():
            nonlocal found
            found = condition()
            return found

        with self.changed:
            if not self.changed.wait_for(look, seconds):
                raise AssertionError(f"{what} did not come within {seconds:.0f} s; the last events: {self.events[-6:]}")
        return found


class LiveBars(unittest.TestCase):
    """The steps in their order."""

    @classmethod
    def setUpClass(cls):
        cls.exchange = Exchange()
        # No trade is late but the one that means to be, however slow the machine is; the next trade closes a second at once.
        cls.platform = PrivatePlatform("live", binaries=BINARIES, settings={
            "AUSPEX_BINANCE_REST_URL": f"http://{cls.exchange.address}", "AUSPEX_BINANCE_STREAM_URL": f"ws://{cls.exchange.address}/stream",
            "AUSPEX_LIVE_LATENESS_MS": "250,binance=8000"})
        cls.listener = None
        cls.addClassCleanup(cls.end)
        cls.platform.up()
        cls.exchange.open()
        cls.job = MainJob(cls.platform.api, cls.platform.plan, cls.platform.control, "/usr/bin/python3")
        cls.cast = cls.job.cast()
        cls.admin, cls.provider = cls.job.as_(cls.cast.admin), cls.job.as_(cls.cast.provider)
        key = cls.job.as_(cls.cast.subscriber).post("/api/keys", {"name": "listener", "scopes": ["bars:read"]})["key"]
        cls.program = API(cls.platform.api.base, key=key)
        cls.begin_live()
        cls.listener = Listener(cls.platform.api.base, key, [cls.topic(1), cls.topic(5)], cls.began)

    @classmethod
    def end(cls) -> None:
        if cls.listener:
            cls.listener.leave()
        cls.platform.down()
        if cls.listener:
            cls.listener.join()
        cls.exchange.close()

    @classmethod
    def begin_live(cls) -> None:
        """Has the instrument live. A new one begins with the next full minute; one whose feed stood there a moment ago goes on at once, and asks for the
        rest: a minute of waiting is spared."""
        cls.admin.post("/api/instruments", {"symbol": SYMBOL, "asset_class": "crypto"})
        first = cls.exchange.told() or until(cls.exchange.told, 60, "a trade")
        cls.began = first[0].time // SECOND * SECOND
        cls.platform.sql(
            "INSERT INTO marketdata.live_feeds VALUES ('binance', 'an earlier one', now() - interval '1 minute') ON CONFLICT DO NOTHING; "
            "INSERT INTO marketdata.live_closed SELECT 'binance', id, 1, 'trade', 'derived', "
            f"'{text_of(cls.began)}' FROM marketdata.instruments WHERE symbol = '{SYMBOL}'")
        answer = cls.admin.put(f"/api/sources/binance/live?instrument={SYMBOL}", {"stream": "trades"})
        assert answer["state"] == "waiting", answer

    @staticmethod
    def topic(seconds: int) -> str:
        return f"{seconds}s:{SYMBOL}"

    # What is true at any time

    def bars(self, seconds: int, start: int, end: int, as_of: str | None = None) -> dict[int, dict]:
        """What `/api/bars` says, by start."""
        query = {"instrument": SYMBOL, "interval": f"{seconds}s", "start": text_of(start), "end": text_of(end)} | ({"as_of": as_of} if as_of else {})
        columns = self.program.get(f"/api/bars?{urlencode(query)}")["bars"]
        if not columns["start"]:
            # Of what is not there it cannot say whether it has volumes.
            return {}
        names = ("open", "high", "low", "close", "volume", "trades")
        rows = zip(columns["start"], *(columns[name] for name in names), strict=True)
        return {microseconds(start): self.numbers(dict(zip(names, values))) for start, *values in rows}

    @staticmethod
    def numbers(bar) -> dict:
        return {name: int(bar[name]) if name == "trades" else Decimal(bar[name]) for name in ("open", "high", "low", "close", "volume", "trades")}

    def expect_bar(self, event: BarEvent, trades: list[Trade]) -> None:
        """A close is what its trades make, and what a question as of then says; a moment that is its end did not know it."""
        seconds = int(event.topic.partition("s:")[0])
        start, end = microseconds(event.data["start"]), microseconds(event.data["end"])
        with self.subTest(event.topic, start=event.data["start"]):
            self.assertEqual(end - start, seconds * SECOND)
            expected = bars_of(trades, seconds)[start]
            self.assertEqual(self.numbers(event.data), expected)
            self.assertEqual(self.bars(seconds, start, end, event.data["known_at"]), {start: expected})
            self.assertGreater(microseconds(event.data["known_at"]), end)
            self.assertEqual(self.bars(seconds, start, end, event.data["end"]), {})

    # The steps

    def test_1_bars_close_with_the_numbers_of_the_trades(self):
        closes = self.listener.wait("six seconds and two times five", lambda: (
            self.listener.all("bar", self.topic(1)) if len(self.listener.all("bar", self.topic(1))) >= 6 and len(self.listener.all("bar", self.topic(5))) >= 2
            else None))
        trades = self.exchange.told()
        for event in closes + self.listener.all("bar", self.topic(5)):
            # The first five seconds began before the exchange was there.
            if microseconds(event.data["start"]) >= self.began:
                self.expect_bar(event, trades)
        # As soon as there are bars a signal can be scheduled on them.
        market = SimpleNamespace(symbol=SYMBOL, interval="5s", horizon_seconds=20)
        type(self).signal = until(lambda: signals.publish(self.provider, "momentum", "Live", "Each five seconds.", market), 90, "publishing the signal")
        type(self).published = time.time_ns() // 1000

    def test_2_five_seconds_without_a_trade_are_told_of(self):
        start = self.exchange.silence() * SECOND

        def told(kind: str):
            return [event for event in self.listener.all(kind, self.topic(5)) if microseconds(event.data["start"]) == start]

        event, = self.listener.wait("the empty five seconds", lambda: told("empty"))
        self.assertEqual((microseconds(event.data["end"]), event.data["intervals"], event.data["bar"]), (start + 5 * SECOND, 1, None))
        self.assertEqual(told("bar"), [])
        self.assertEqual(self.bars(5, start, start + 5 * SECOND, event.data["known_at"]), {})
        self.assertEqual(self.bars(1, start, start + 5 * SECOND), {})
        self.listener.wait("the bar after them", lambda: [
            event for event in self.listener.all("bar", self.topic(5)) if microseconds(event.data["start"]) > start])

    def test_3_a_late_trade_revises_and_closes_nothing_again(self):
        last = self.listener.all("bar", self.topic(5))[-1]
        five = microseconds(last.data["start"])
        second = [start for start in bars_of(self.exchange.told(), 1) if five <= start < five + 5 * SECOND][-1]
        late = self.exchange.tell_late(second)
        type(self).revised = {}
        for seconds, start in ((1, second), (5, five)):
            def revised():
                return [
                    event for event in self.listener.all("revised", self.topic(seconds))
                    if microseconds(event.data["from"]) <= start < microseconds(event.data["to"])]

            event = self.listener.wait(f"the revision of {seconds} s", revised)[0]
            close, = [event for event in self.listener.all("bar", self.topic(seconds)) if microseconds(event.data["start"]) == start]
            trades = self.exchange.told()
            before = bars_of([trade for trade in trades if not trade.is_late], seconds)[start]
            after = bars_of(trades, seconds)[start]
            self.assertEqual((after["high"], after["trades"]), (late.price, before["trades"] + 1))
            self.assertEqual(self.bars(seconds, start, start + seconds * SECOND, event.data["known_at"]), {start: after})
            self.assertEqual(self.bars(seconds, start, start + seconds * SECOND, close.data["known_at"]), {start: before})
            self.assertEqual(self.numbers(close.data), before)
        # Until the seconds around it are closed: an exchange has no gap in the numbers of its history, which the late one would be there.
        told = self.exchange.told()[-1].time
        self.listener.wait("the close after it", lambda: [
            event for event in self.listener.all("bar", self.topic(5)) if microseconds(event.data["start"]) > told])

    def test_4_killed_it_fetches_what_it_missed_and_goes_on(self):
        with self.exchange.changed:
            asked = len(self.exchange.asked)
        killed = len(self.exchange.told())
        self.platform.control.restart_all(["marketdata"], signal.SIGKILL, 120)
        until(lambda: self.exchange.watchers, 90, "the service at the exchange again")
        back = self.exchange.told()[-1]
        self.assertGreater(back.number - killed, 2, "trades went on meanwhile")
        missed = back.time // SECOND * SECOND
        self.listener.wait("a bar after all that was missed", lambda: [
            event for event in self.listener.all("bar", self.topic(5)) if microseconds(event.data["start"]) > missed])
        with self.exchange.changed:
            begins = [int(query["startTime"]) * 1000 for query in self.exchange.asked[asked:] if "startTime" in query]
        self.assertTrue(begins and min(begins) <= self.exchange.told()[killed].time, "the exchange was asked for what was missed")
        self.assertIsNotNone(self.listener.resumed_with[-1], "the listener came back with the last id that it had")

        def repaired() -> bool:
            live, = self.admin.get("/api/sources/binance/live")["items"]
            return live["state"] == "live" and not live["holes"]

        until(repaired, 90, "the word that the hole is no more")

    def test_5_nothing_is_missing_and_nothing_came_twice(self):
        trades = self.exchange.told()
        for seconds in (1, 5):
            length = seconds * SECOND
            closes = self.listener.all("bar", self.topic(seconds))
            starts = [microseconds(event.data["start"]) for event in closes]
            self.assertEqual(len(starts), len(set(starts)), "each bar once")
            through = max(starts) + length
            begin = -(-self.began // length) * length
            expected = {start for start in bars_of(trades, seconds) if begin <= start < through}
            self.assertEqual({start for start in starts if start >= begin}, expected)
            empty = [
                start for event in self.listener.all("empty", self.topic(seconds))
                for start in range(microseconds(event.data["start"]), microseconds(event.data["end"]), length)]
            self.assertEqual(len(empty), len(set(empty)), "each empty interval once")
            # How far a feed has come is known with its first close: of empty intervals before it nothing is told.
            known = -(-self.published // length) * length
            covered = sorted(start for start in starts + empty if known <= start < through)
            self.assertEqual(covered, list(range(known, through, length)), "each interval is told of, with trades or without")
            stored = self.bars(seconds, begin, through)
            self.assertEqual(stored, {start: bar for start, bar in bars_of(trades, seconds).items() if begin <= start < through})
            usual = [trade for trade in trades if not trade.is_late]
            for event in closes[-8:]:
                self.expect_bar(event, usual)
            self.assertEqual(self.listener.all("reset", self.topic(seconds)), [])

    def test_6_the_signal_is_due_with_each_close(self):
        schedule = next(one for one in self.provider.get("/api/schedules?limit=200")["items"] if one["signal_id"] == self.signal.id)
        closes = {
            microseconds(event.data["end"]): kind for kind in ("bar", "empty") for event in self.listener.all(kind, self.topic(5))
            if microseconds(event.data["known_at"]) > self.published + 5 * SECOND}

        def due() -> list[dict]:
            return self.provider.get(f"/api/schedules/{schedule['schedule_id']}/occurrences?limit=200")["items"]

        def settled():
            found = due()
            return found if set(closes) <= {microseconds(one["due_at"]) for one in found} else None

        found = until(settled, 60, f"an occurrence for each of {sorted(map(text_of, closes))}")
        moments = [microseconds(one["due_at"]) for one in found]
        self.assertEqual(len(moments), len(set(moments)), "each close once")
        for one in found:
            kind = closes.get(microseconds(one["due_at"]))
            with self.subTest(one["due_at"]):
                if kind == "empty":
                    self.assertEqual((one["outcome"], one["reason"]), ("skipped", "no_bar"), one)
                elif one["outcome"] == "skipped":
                    # On a slow machine the run before is not over.
                    self.assertEqual(one["reason"], "overlap", one)
        until(lambda: any(one.get("recorded_at") for one in due()), 60, "a prediction made of live bars")


if __name__ == "__main__":
    unittest.main()
