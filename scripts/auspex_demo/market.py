"""Real bars, imported once, and shown again under a name of their own by a replay."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlencode

from .api import API, APIProblem


@dataclass(frozen=True)
class Source:
    """A file of real bars, and where a replay of it begins."""

    path: Path
    filename: str  # as the importer shall read it: the folders of a Lean file say what it holds
    symbol: str
    start: str
    interval: str
    interval_seconds: int
    options: tuple[tuple[str, str], ...] = ()
    bars_ahead: int = 4

    @property
    def horizon_seconds(self) -> int:
        return self.interval_seconds * self.bars_ahead


@dataclass(frozen=True)
class Market:
    """A running replay."""

    replay_id: str
    symbol: str
    source: Source
    seconds_a_bar: float

    @property
    def interval(self) -> str:
        return self.source.interval

    @property
    def horizon_seconds(self) -> int:
        return self.source.horizon_seconds


class Samples(Protocol):
    """Files by name."""

    def __getitem__(self, name: str, /) -> Path: ...


def sources(data: Path | None, samples: Samples) -> list[Source]:
    """Seconds of SPY and BTCUSD where the reference data are, else hourly EURUSD out of the samples; one for each demo signal.

    The samples are looked at only where they are needed: they may have to be fetched first."""
    if data is not None:
        spy = "lean/equity/usa/second/spy/20131008_trade.zip"
        bitcoin = "lean/crypto/coinbase/second/btcusd/20161008_trade.zip"
        if (data / spy).exists() and (data / bitcoin).exists():
            return [
                Source(data / spy, spy.removeprefix("lean/"), "SPY", "2013-10-08T14:00:00Z", "15s", 15),
                Source(data / bitcoin, bitcoin.removeprefix("lean/"), "BTCUSD", "2016-10-08T12:00:00Z", "15s", 15),
            ]
    options = (("symbol", "EURUSD"), ("time_zone", "UTC"), ("asset_class", "fx"), ("price", "ask"))
    euro = Source(samples["FOREX_EURUSD_1H_ASK.csv"], "FOREX_EURUSD_1H_ASK.csv", "EURUSD", "2017-02-01T00:00:00Z", "1h", 3600, options)
    return [euro, euro]


def load(admin: API, source: Source) -> dict:
    """Imports a file; the same file again changes nothing."""
    query = urlencode([("filename", source.filename), *source.options], quote_via=quote)
    return admin.post(f"/api/imports?{query}", raw=source.path.read_bytes(), content_type="application/octet-stream", seconds=120)


def replay(provider: API, source: Source, seconds_a_bar: float) -> Market:
    """Starts to release the bars of a source, one in so many seconds."""
    answer = provider.post("/api/replays", {
        "instrument": source.symbol, "start": source.start, "interval": source.interval, "speed": source.interval_seconds / seconds_a_bar})
    return Market(answer["id"], answer["instrument"], source, seconds_a_bar)


def stop(provider: API, market: Market) -> None:
    """Ends a replay that may have ended already."""
    try:
        provider.delete(f"/api/replays/{market.replay_id}")
    except APIProblem as problem:
        if problem.status not in (404, 409):
            raise


def stop_all(provider: API) -> int:
    """Ends the replays that this provider runs; those of others stay as they are. Gives their number."""
    ended, cursor = 0, None
    while True:
        page = provider.get("/api/replays?limit=200" + (f"&cursor={quote(cursor)}" if cursor else ""))
        for one in page["items"]:
            if one["state"] in ("running", "paused"):
                try:
                    provider.delete(f"/api/replays/{one['id']}")
                    ended += 1
                except APIProblem as problem:
                    if problem.status not in (403, 404, 409):
                        raise
        cursor = page.get("next_cursor")
        if not cursor:
            return ended


def bars_known(reader: API, market: Market, *, as_of: str | None, start: str, end: str) -> int:
    """How many bars between two recorded times were known at a moment."""
    query = {"instrument": market.symbol, "interval": market.interval, "start": start, "end": end} | ({"as_of": as_of} if as_of else {})
    return reader.get(f"/api/bars?{urlencode(query)}")["count"]
