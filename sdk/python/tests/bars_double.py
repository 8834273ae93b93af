"""A stand-in for a platform that has bars: as much of its market data as the Python client asks about."""

import hashlib
import struct
from array import array
from email.utils import formatdate
from urllib.parse import parse_qs, unquote, urlsplit

from platform_double import PlatformDouble

MINUTE = 60_000_000
#: 2016-10-08T12:00:00Z
BEGINNING = 1_475_928_000_000_000


def iso(microseconds):
    from datetime import datetime, timedelta, timezone

    return (datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=microseconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def micros(text):
    from datetime import datetime, timedelta, timezone

    return (datetime.fromisoformat(text.replace("Z", "+00:00")) - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)


def binary(rows, digest=b"\7" * 32, flags=3, decimals=2):
    """Rows of (start, end, open, high, low, close, volume, trades) as ``format=binary`` writes them."""
    header = struct.pack("<4sHHQiiII32s", b"AUSB", 1, flags, len(rows), decimals, 0, 60, 64, digest)
    columns = list(zip(*rows)) if rows else [[]] * 8
    kinds = "qqdddddq"[:6] + ("d" if flags & 1 else "") + ("q" if flags & 2 else "")
    chosen = columns[:6] + ([columns[6]] if flags & 1 else []) + ([columns[7]] if flags & 2 else [])
    return header + b"".join(array(kind, column).tobytes() for kind, column in zip(kinds, chosen))


def minute(number, close=None):
    start = BEGINNING + number * MINUTE
    price = 600 + number / 4
    return (start, start + MINUTE, price, price + 1, price - 1, price if close is None else close, float(number), number)


class BarsDouble:
    """One instrument with minutes; ``now`` is the platform's clock."""

    def __init__(self, count=10, page=50_000):
        self.rows = [minute(number) for number in range(count)]
        self.page = page
        self.now = BEGINNING + 86_400_000_000
        self.instrument = {
            "id": "i1", "symbol": "BTCUSD", "asset_class": "crypto", "time_zone": "UTC", "calendar": "always", "feed": "live", "names": [],
            "series": [{"interval_seconds": 60, "price": "trade", "origin": "imported", "first_day": "2016-10-08", "last_day": "2016-10-08"}]}
        self.actions = []
        self.before = lambda request: None
        self.platform = PlatformDouble(self.answer)

    def __enter__(self):
        self.platform.__enter__()
        return self

    def __exit__(self, *exception):
        self.platform.__exit__(*exception)

    @property
    def url(self):
        return self.platform.url

    def asked(self):
        """The paths that were asked since the last look, without the queries."""
        paths = [urlsplit(request["path"]).path for request in self.platform.requests]
        self.queries = [parse_qs(urlsplit(request["path"]).query) for request in self.platform.requests]
        self.platform.requests.clear()
        return paths

    @property
    def data_sha256(self):
        return hashlib.sha256(repr(self.rows).encode()).hexdigest()

    def answer(self, request):
        special = self.before(request)
        if special is not None:
            return special
        url = urlsplit(request["path"])
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        path = unquote(url.path)
        date = {"Date": formatdate(self.now // 1_000_000, usegmt=True)}
        if path == "/api/instruments/BTCUSD":
            return 200, self.instrument, date
        if path == "/api/instruments/BTCUSD/actions":
            return 200, {"actions": self.actions}, date
        if path.startswith("/api/datasets/bars.crypto.BTCUSD."):
            return 200, {"end": iso(self.rows[-1][1]), "partitions": [
                {"name": "2016-10", "start": iso(self.rows[0][0]), "end": iso(self.rows[-1][1]), "data_sha256": self.data_sha256}]}, date
        if path == "/api/bars":
            assert query["format"] == "binary"
            if query["instrument"] != "BTCUSD":
                return 404, {"code": "unknown_instrument", "detail": "No instrument has this symbol."}
            end = micros(query["end"]) if "end" in query else 1 << 62
            rows = [row for row in self.rows if row[0] < end]
            headers = {"Content-Type": "application/vnd.auspex.bars", **date}
            if "start" in query:
                rows = [row for row in rows if row[0] >= micros(query["start"])]
                limit = min(int(query["limit"]), self.page)
                if len(rows) > limit:
                    headers["X-Auspex-Next-Start"] = iso(rows[limit][0])
                rows = rows[:limit]
            else:
                rows = rows[-int(query.get("countback", 500)):]
            return 200, binary(rows), headers
        return 404, {"code": "not_found", "detail": "There is nothing here."}, date
