"""``auspex.bars``: bars from a platform, page by page, and from disk where they are known not to have changed.

Whether an answer may be kept is a matter of whose knowledge it is:

- As of a moment that has passed, no correction changes it: it is kept for good.
- As of now, it is pinned to the second in which the call began (the platform's clock), and kept under the revision of what it was made of: the
  hashes of those stored datasets that can take part, as of that second. The same revision later means the same answer, but only if each bar was
  over already: one that still ran is completed by time alone, which no hash shows.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from datetime import date, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from . import _calls
from ._bar_cache import BarCache
from ._messages import DEFAULT_URL
from ._progress import Progress
from ._retry import Backoff
from .bar_history import BarHistory, Header, join
from .client import Client
from .errors import BadRequest, MissingSettings, NotFound, RateLimited, UnreadableAnswer

PAGE_BARS = 50_000
#: Microseconds after which a moment has certainly passed for all clocks of a platform.
SETTLING = 60_000_000
#: How often a refusal for being asked too much is waited out.
PATIENCE = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "M": 2_592_000}

Moment = Union[str, int, date, datetime, Any]


def bars(
    instrument: str, interval: str, start: Optional[Moment] = None, end: Optional[Moment] = None, *, as_of: Optional[Moment] = None,
    price: Optional[str] = None, session: Optional[str] = None, adjustment: Optional[str] = None, countback: Optional[int] = None,
    client: Optional[Client] = None, cache: Union[bool, str, BarCache] = True,
) -> BarHistory:
    """The bars of an instrument that start at or after ``start`` and before ``end``, however many::

        spy = auspex.bars("SPY", "5m", "2013-10-01", "2013-11-01")
        spy.close.mean(), spy.to_pandas()

    Without ``start`` the latest ``countback`` (500 unless told) before ``end`` are given. Moments are ISO 8601 texts, dates and datetimes (UTC unless
    they say otherwise; a bare date is its midnight), numpy's or pandas' times, or microseconds since 1970. ``as_of`` is whose knowledge counts.
    ``price``, ``session`` and ``adjustment`` are those of ``GET /api/bars``.

    The platform and the key are those of ``client``, or of ``AUSPEX_URL`` (default http://127.0.0.1:8080) and ``AUSPEX_API_KEY``; the key needs the
    scope ``bars:read``.

    ``cache``: True keeps what was read on disk, False neither looks there nor keeps, ``"refresh"`` reads anew and keeps that, and a
    :class:`auspex.BarCache` is a folder of one's own. What is kept costs these requests when it is asked for again:

    - with an ``as_of`` that had passed, by a minute at least, when it was read: none. Corrections never show through such a moment; a day that was *first* imported
      since then would, and needs ``cache="refresh"``.
    - without ``as_of``: one for the instrument and one for each stored series that can take part, mostly one (and one for the corporate actions
      of adjusted prices), none of which carries bars. Bars that still come, and a replay's, are read anew each time.
    """
    own = None
    if client is None:
        client = own = _client_of_the_environment()
    elif not isinstance(client, Client):
        raise TypeError(f"client is an auspex.Client, not {type(client).__name__}")
    try:
        question = _Question(instrument, interval, start, end, as_of, price, session, adjustment, countback)
        return _read(client, question, cache)
    finally:
        if own is not None:
            own.close()


def _client_of_the_environment() -> Client:
    key = os.environ.get("AUSPEX_API_KEY")
    if not key:
        raise MissingSettings(
            "set AUSPEX_API_KEY to an API key with the scope bars:read (and AUSPEX_URL, where the platform is not at "
            f"{DEFAULT_URL}), or give client=auspex.Client(url, api_key=…)")
    return Client(os.environ.get("AUSPEX_URL") or DEFAULT_URL, api_key=key)


class _Question:
    """What is asked, in one spelling."""

    def __init__(self, instrument, interval, start, end, as_of, price, session, adjustment, countback):
        self.instrument, self.interval = str(instrument), str(interval)
        self.start, self.end, self.as_of = (_microseconds(value, name) for name, value in (("start", start), ("end", end), ("as_of", as_of)))
        if self.start is not None and countback is not None:
            raise ValueError("countback counts back from end: give it or start, not both")
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise ValueError("end is not after start")
        self.countback = None if countback is None else int(countback)
        self.choices = {"price": price, "session": session, "adjustment": adjustment}

    @property
    def is_adjusted(self) -> bool:
        return self.choices["adjustment"] not in (None, "raw")

    @property
    def seconds(self) -> Optional[int]:
        """How long a bar is by name (a month is 30 days); None for an interval that only the platform can judge."""
        number, unit = (self.interval, "s") if self.interval.isdecimal() else (self.interval[:-1], self.interval[-1:])
        return int(number) * _UNIT_SECONDS[unit] if number.isdecimal() and unit in _UNIT_SECONDS else None

    @property
    def reach(self) -> int:
        """Microseconds after its start in which a bar is over for sure: days and longer follow calendars."""
        seconds = self.seconds or 0
        return (seconds + (seconds // 30 + 172_800 if seconds >= 86_400 else 0)) * 1_000_000

    def query(self) -> Dict[str, Any]:
        return {"instrument": self.instrument, "interval": self.interval, "end": _iso(self.end), **self.choices}

    def key(self, platform: str, revision: str) -> Dict[str, Any]:
        return {"platform": platform, **self.query(), "start": _iso(self.start), "countback": self.countback, "revision": revision}


def _read(client: Client, question: _Question, cache: Union[bool, str, BarCache]) -> BarHistory:
    kept = BarCache() if cache is True or cache == "refresh" else cache if isinstance(cache, BarCache) else None
    if kept is None and cache is not False:
        raise ValueError('cache is True, False, "refresh" or a BarCache')
    platform = client.base_url
    revision, pinned = (f"as of {_iso(question.as_of)}", question.as_of) if question.as_of is not None else (None, None)

    def found() -> Optional[BarHistory]:
        if kept is None or cache == "refresh" or revision is None:
            return None
        entry = kept.get(question.key(platform, revision))
        if entry is None:
            return None
        body, note = entry
        return BarHistory(question.instrument, question.interval, body, as_of=note["as_of"], from_cache=True)

    history = found()
    if history is not None:
        return history
    if question.as_of is None and (kept is not None or question.start is not None):
        pinned, revision = _Revision(client, question, is_wanted=kept is not None).read()
        history = found()
        if history is not None:
            return history

    pages, asked_at, pinned = _pages(client, question, pinned)
    as_of = _iso(pinned)
    if question.as_of is not None and (asked_at is None or question.as_of + SETTLING > asked_at):
        # A moment that is still to come may change, and one that has just gone as well: the clocks of a platform differ a little.
        revision = None
    body: Any = None
    if kept is not None and revision is not None:
        try:
            body = kept.put(question.key(platform, revision), join(pages), {"as_of": as_of})
        except OSError as error:
            warnings.warn(f"the bars are not kept on disk: {error}", stacklevel=4)
    if body is None:
        body = pages[0] if len(pages) == 1 else b"".join(join(pages))
    return BarHistory(question.instrument, question.interval, body, as_of=as_of)


def _pages(client: Client, question: _Question, pinned: Optional[int]) -> Tuple[List[bytes], Optional[int], Optional[int]]:
    """The bars in their pages, the platform's time at the first one, and the moment that they are all as of."""
    query = question.query()
    if question.start is None:
        query["countback"] = question.countback
    limit, start, asked_at, pages = PAGE_BARS, _iso(question.start), None, []
    with Progress(f"{question.instrument} {question.interval}") as progress:
        while True:
            asked = {**query, "as_of": _iso(pinned)}
            if question.start is not None:
                asked.update(start=start, limit=limit)
            try:
                body, headers = _patiently(client, _calls.bar_page(asked))
            except BadRequest as error:
                # So many bars of this interval would be made of more stored ones than one request may read.
                if error.code != "too_many_base_rows" or question.start is None or limit == 1:
                    raise
                limit = max(1, limit // 8)
                continue
            if not isinstance(body, bytes):
                raise UnreadableAnswer("the answer holds no bars")
            header = Header.read(memoryview(body))
            pages.append(body)
            if asked_at is None:
                asked_at = _time_of(headers)
            if pinned is None:
                pinned = asked_at
            following = headers.get("x-auspex-next-start")
            if question.start is None or following is None:
                return pages, asked_at, pinned
            if header.count == 0 or _microseconds(following, "next_start") <= _microseconds(start, "start"):
                raise UnreadableAnswer("the bars that follow begin no later than those before")
            start = following
            until = question.end if question.end is not None else pinned
            if until is not None:
                progress.show((_microseconds(start, "start") - question.start) / max(1, until - question.start), sum(map(len, pages)))


class _Revision:
    """What the bars of a question are made of at the moment of asking, in a few small requests."""

    def __init__(self, client: Client, question: _Question, is_wanted: bool):
        self.client, self.question, self.is_wanted = client, question, is_wanted

    def read(self) -> Tuple[Optional[int], Optional[str]]:
        """The moment to pin the answer to, and the revision; no revision where an answer must not be kept."""
        question = self.question
        try:
            described, headers = _patiently(self.client, _calls.instrument(question.instrument, self._name_day()))
        except NotFound:
            # Nobody certainly bears the name on that day: whom the platform takes it for, only the bars tell.
            return None, None
        now = _time_of(headers)
        if now is None or not self.is_wanted or not self._is_certain(described, now):
            return now, None
        moment = _iso(now)
        # A series that came or went may change which price and which stored bars count.
        parts: List[Any] = [described[name] for name in ("id", "calendar", "time_zone", "asset_class")]
        parts.append(sorted([one["interval_seconds"], one["price"], one["origin"], one["first_day"]] for one in described["series"]))
        last = None
        try:
            for name in self._datasets(described):
                dataset = _patiently(self.client, _calls.dataset(name, moment))
                parts.append([name, [[part["name"], part["data_sha256"]] for part in dataset["partitions"] if self._takes_part(part)]])
                if dataset.get("end"):
                    last = max(last or 0, _microseconds(dataset["end"], "end"))
            if question.is_adjusted:
                # By the symbol of today: what was asked may be somebody else's name by now.
                parts.append(_patiently(self.client, _calls.actions(described["symbol"], moment)))
        except NotFound:
            return now, None
        until = min([one for one in (question.end, last) if one is not None], default=None)
        if until is None or until + question.reach > now:
            return now, None
        return now, hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _name_day(self) -> Optional[str]:
        """The day on which the name is meant; none for today."""
        end = self.question.end
        if end is None or end > time.time() * 1e6 - 2 * 86_400e6:
            return None
        return _iso(end - 1)[:10]

    def _is_certain(self, described: Mapping[str, Any], now: int) -> bool:
        """Whether it is this instrument that the question means, and whether hashes tell what its bars are made of."""
        if described.get("feed") == "replay" or self.question.seconds is None or "series" not in described:
            # A replay's clock is another one.
            return False
        if self._name_day() is None and self.question.end is not None and self.question.end < now - 3 * 86_400_000_000:
            # Our own clock is behind: the name was asked of another day than the one that is meant.
            return False
        names = described.get("names") or []
        day = date.fromisoformat(self._name_day() or _iso(now)[:10])
        # The exchange's day may be the one before or after.
        first, last = str(day - timedelta(days=1)), str(day + timedelta(days=1))
        return not names or any(
            name["ticker"] == self.question.instrument and name["first_day"] <= first and (name.get("last_day") or "9999") >= last for name in names)

    def _datasets(self, described: Mapping[str, Any]) -> List[str]:
        """Names of the datasets whose bars can take part."""
        seconds, asked = self.question.seconds, self.question.choices["price"]
        series = [one for one in described["series"] if seconds % one["interval_seconds"] == 0]
        sides = {one["price"] for one in series}
        if asked in ("trade", "bid", "ask"):
            sides &= {asked}
        elif asked is None and "trade" in sides and not self.question.is_adjusted:
            sides = {"trade"}
        return sorted(
            f"bars.{described['asset_class']}.{described['symbol']}.{_spelled(one['interval_seconds'])}.{one['price']}"
            + (".derived" if one["origin"] == "derived" else "")
            for one in series if one["price"] in sides)

    def _takes_part(self, partition: Mapping[str, Any]) -> bool:
        start, end = self.question.start, self.question.end
        margin = self.question.reach + 172_800_000_000
        return (start is None or _microseconds(partition["end"], "end") >= start - margin) \
            and (end is None or _microseconds(partition["start"], "start") <= end + margin)


def _patiently(client: Client, call: Any) -> Any:
    backoff = Backoff()
    for _ in range(PATIENCE):
        try:
            return client.call(call)
        except RateLimited as error:
            time.sleep(backoff.next(error.retry_after))
    return client.call(call)


def _spelled(seconds: int) -> str:
    """An interval as names of datasets spell it.

    >>> [_spelled(seconds) for seconds in (5, 60, 14_400, 86_400, 604_800, 2_592_000)]
    ['5s', '1m', '4h', '1d', '1w', '1M']
    """
    for unit in ("M", "w", "d", "h", "m"):
        if seconds % _UNIT_SECONDS[unit] == 0:
            return f"{seconds // _UNIT_SECONDS[unit]}{unit}"
    return f"{seconds}s"


def _time_of(headers: Mapping[str, str]) -> Optional[int]:
    """When the platform answered, to the second that had begun."""
    try:
        return _since_1970(parsedate_to_datetime(headers["date"]))
    except (KeyError, TypeError, ValueError):
        return None


def _since_1970(moment: datetime) -> int:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _iso(microseconds: Optional[int]) -> Optional[str]:
    if microseconds is None:
        return None
    return (_EPOCH + timedelta(microseconds=microseconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _microseconds(value: Optional[Moment], name: str) -> Optional[int]:
    """Any spelling of a moment as microseconds since 1970.

    >>> _microseconds("2016-10-08", "start") == _microseconds("2016-10-08T02:00:00+02:00", "start") == _microseconds(date(2016, 10, 8), "start")
    True
    """
    if value is None:
        return None
    if isinstance(value, datetime):
        return _since_1970(value)
    if isinstance(value, date):
        return _since_1970(datetime(value.year, value.month, value.day))
    if isinstance(value, str):
        # Python before 3.11 reads neither Z nor fractions of other than three or six digits.
        text = value[:-1] + "+00:00" if value.endswith(("Z", "z")) else value
        try:
            return _since_1970(datetime.fromisoformat(text))
        except ValueError:
            raise ValueError(f"{name} is a moment such as 2016-10-08 or 2016-10-08T12:00:00Z, not {value!r}") from None
    if type(value).__module__ == "numpy" and type(value).__name__ == "datetime64":
        return int(value.astype("datetime64[us]").astype("int64"))
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} is a text, a date, a datetime or microseconds since 1970, not {type(value).__name__}")
    return value.__index__()
