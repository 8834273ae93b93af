"""The scenarios of market data: bars put together, stored, read and imported, each beside what others do with the same rows."""

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import load
from line import Line

ROWS_NOTE = "5,834,794 seconds of a synthetic year"


def _bars_bench(stage, *arguments: str, environment: dict[str, str] | None = None) -> list[dict]:
    """The JSON lines of our own tool, built in release mode beside the services."""
    result = subprocess.run([str(stage.plan_binaries / "bars-bench"), *arguments], env=os.environ | (environment or {}), capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"bars-bench {arguments[0]}: {result.stdout.strip()} {result.stderr.strip()}")
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith('{"bench"')]


def _same_bars(ours: list, theirs: list) -> bool:
    """The counts, the last bucket and the sums of the columns, which both print to two decimals."""
    return len(ours) == len(theirs) and all(abs(one - other) <= 0.02 for one, other in zip(ours, theirs))


def resample(stage, peers, options) -> Iterator[Line]:
    """A year of seconds in memory → minutes, five minutes, hours; one thread."""
    folder = peers.year()
    if folder is None:
        return
    ours = {line["step_s"]: line for line in _bars_bench(stage, "resample", str(folder))}
    for step, name in ((60, "1 m"), (300, "5 m"), (3600, "1 h")):
        theirs = {engine: peers.resample(engine, step) for engine in ("numba_div", "numba_edge", "polars", "duckdb")}
        mine = ours[step]
        for engine, line in theirs.items():
            if line is None:
                continue
            if not _same_bars(mine["check"], line["check"]):
                raise SystemExit(f"{engine} has other bars than ours at {name}: {line['check']} and {mine['check']}")
            yield Line(
                "resample", f"year of seconds → {name}, million rows/s", mine["rows_per_s"] / 1e6, "M/s", engine, line["rows_per_s"] / 1e6,
                f"{mine['wall_med_s'] * 1e3:.1f} ms against {line['wall_med_s'] * 1e3:.1f} ms")


def store(stage, peers, options) -> Iterator[Line]:
    """The year in Postgres as marketdata keeps it, beside files and stores made for columns; and all seconds of SPY there are."""
    if peers.year() is None:
        return
    symbol = _import_year(stage, peers)[0]
    platform = stage.platform
    size = _stored_size(platform, symbol)
    read = _bars_bench(stage, "stored", symbol, environment=stage.stores())[0]
    yield Line("store", "year of seconds, bytes a row", size.bytes_a_row, "B", note=f"{size}; bar under 3")
    yield Line("store", "a day from Postgres, decoded, p50", read["read_day_ms"], "ms", note="23,400 rows; bar 3 ms")
    yield Line("store", "a day from Redis, decoded, p50", read["read_day_redis_ms"], "ms", note="bar 1.5 ms")
    yield Line("store", "a day from the process's own, p50", read["read_day_process_ms"], "ms", note="bar 0.1 ms")
    for engine in ("parquet", "parquet_tuned", "duckdb", "arctic"):
        if line := peers.storage(engine):
            yield Line("store", "year of seconds, bytes a row", size.bytes_a_row, "B", engine, line["bytes_per_row"])
            yield Line("store", "the whole year read, s", read["read_full_s"], "s", engine, line["read_full_s"])
    yield from _spy(stage, peers)


@dataclasses.dataclass(frozen=True)
class StoredSize:
    """What an instrument's seconds take in the database, in bytes: the days, what is known of each second of a day, and both tables' indexes."""

    rows: int
    days: int
    bitmaps: int
    indexes: float

    @property
    def bytes_a_row(self) -> float:
        return (self.days + self.bitmaps + self.indexes) / self.rows

    def __str__(self) -> str:
        parts = {"columns": self.days, "bitmaps of coverage": self.bitmaps, "indexes": self.indexes}
        return ", ".join(f"{name} {size / self.rows:.3f} B" for name, size in parts.items())


def _stored_size(platform, symbol: str) -> StoredSize:
    def of_table(table: str) -> tuple[int, float, list[str]]:
        """The bytes of the instrument's rows, and its share of the indexes."""
        count, size, *more = platform.sql(
            f"SELECT count(*), coalesce(sum(pg_column_size(c.*)), 0){', sum(rows)' if table == 'chunks' else ''} FROM marketdata.{table} c "
            f"JOIN marketdata.instruments i ON i.id = c.instrument_id WHERE i.symbol = '{symbol}' AND interval_seconds = 1").split("|")
        a_row = platform.sql(
            f"SELECT coalesce((SELECT sum(pg_indexes_size(relid)) FROM pg_partition_tree('marketdata.{table}') WHERE isleaf), "
            f"pg_indexes_size('marketdata.{table}'))::float / (SELECT count(*) FROM marketdata.{table})")
        return int(size), float(a_row) * int(count), more

    days, indexes, (rows,) = of_table("chunks")
    bitmaps, more_indexes, _ = of_table("chunk_slots")
    return StoredSize(int(rows), days, bitmaps, indexes + more_indexes)


def _spy(stage, peers) -> Iterator[Line]:
    """All seconds of SPY in ../shared/data."""
    files = sorted((peers.data / "lean/equity/usa/second/spy").glob("*_trade.zip"))
    result = stage.marketdata("import", *map(str, files))
    if result.returncode != 0:
        raise SystemExit(f"SPY was not imported: {result.stdout}{result.stderr}")
    ours = _stored_size(stage.platform, "SPY")
    lines: list[list[int]] = []
    for path in files:
        with zipfile.ZipFile(path) as archive:
            day = int(time.strftime("%s", time.strptime(path.name[:8], "%Y%m%d"))) * 1000
            for text in archive.read(archive.namelist()[0]).decode().split():
                values = text.split(",")
                lines.append([day + int(values[0]), *map(int, values[1:6])])
    if len(lines) != ours.rows:
        raise SystemExit(f"SPY has {len(lines)} seconds in its files and {ours.rows} in the store")
    for name, size in peers.spy_storage(lines).items():
        yield Line("store", "all seconds of SPY, bytes a row", ours.bytes_a_row, "B", name, size, f"{ours.rows} rows")


def _import_year(stage, peers) -> tuple[str, float]:
    """The symbol under which the year was imported from CSV, and how long the command took."""
    if stage.year is None:
        path = peers.year_csv(stage.platform.layout.var / "year.csv")
        seconds = []
        for number in range(3):
            symbol = f"YEAR{number}"
            began = time.monotonic()
            result = stage.marketdata("import", str(path), "--symbol", symbol, "--asset-class", "equity", "--time-zone", "UTC")
            seconds.append(time.monotonic() - began)
            if result.returncode != 0:
                raise SystemExit(f"the year was not imported: {result.stdout}{result.stderr}")
        stage.year = (symbol, statistics.median(seconds))
    return stage.year


def imports(stage, peers, options) -> Iterator[Line]:
    """A year of seconds from CSV, durable, beside COPY of the same file into a plain table of the same server."""
    if peers.year() is None:
        return
    ours = _import_year(stage, peers)[1]
    path = stage.platform.layout.var / "year.csv"
    seconds = []
    for _ in range(3):
        stage.platform.sql("DROP TABLE IF EXISTS public.plain_bars")
        stage.platform.sql(
            "CREATE TABLE public.plain_bars (time timestamptz NOT NULL, open float8 NOT NULL, high float8 NOT NULL, low float8 NOT NULL, "
            "close float8 NOT NULL, volume bigint NOT NULL)")
        began = time.monotonic()
        stage.platform.sql(f"\\copy public.plain_bars FROM '{path}' CSV HEADER")
        seconds.append(time.monotonic() - began)
    stage.platform.sql("DROP TABLE public.plain_bars")
    theirs = statistics.median(seconds)
    yield Line(
        "imports", "CSV → durable, thousand rows/s", 5_834_794 / ours / 1e3, "k/s", "Postgres COPY", 5_834_794 / theirs / 1e3,
        f"{ROWS_NOTE}: {ours:.2f} s against {theirs:.2f} s")


def streams(stage, peers, options) -> Iterator[Line]:
    """A bar of a replay closes every 200 ms: from the moment that its transaction was stamped to the last byte at each of 1,000 listeners."""
    stage.market()
    provider = stage.job.as_(stage.cast.provider)
    key = stage.job.as_(stage.cast.subscriber).post("/api/keys", {"name": "stream", "scopes": ["bars:read"]})["key"]
    replay = provider.post("/api/replays", {"instrument": "BENCH", "start": "2024-01-02T01:00:00Z", "interval": "1m", "speed": 300})
    port = stage.url("marketdata").rpartition(":")[2]
    before = load.cpu_seconds(stage.pid("marketdata"))
    path = f"/api/stream/bars?topic=1m:{replay['instrument']}"
    line = _listeners(port, path, "1000", "200", environment={"AUSPEX_BENCH_KEY": key})
    cost = (load.cpu_seconds(stage.pid("marketdata")) - before) / (line["events"] + 5) / 1_000 * 1e6
    provider.delete(f"/api/replays/{replay['id']}")
    note = f"{line['events']} bars, no gateway, the commit counts; {cost:.1f} us of CPU a listener and bar"
    bare = _listeners("bare", "280", "1000", "100")
    name = "a bare loop of send"
    yield Line("streams", "bar closed to 1,000 listeners, p50", line["p50"], "ms", name, bare["p50"], note)
    yield Line("streams", "bar closed to 1,000 listeners, p99", line["p99"], "ms", name, bare["p99"], f"bar 15 ms; the slowest of all {line['max']:.1f} ms; {line['slow']} bars took longer than 50 ms to all")
    yield Line("streams", "bar closed to the first of 1,000 listeners, p50", line["first_p50"], "ms", name, bare["first_p50"])
    yield Line("streams", "bar closed to the last of 1,000 listeners, p50", line["last_p50"], "ms", name, bare["last_p50"], f"p99 {line['last_p99']:.1f} ms")


def _listeners(*arguments: str, environment: dict[str, str] | None = None) -> dict:
    """What a thousand sockets saw, by a program of its own."""
    program = [sys.executable, str(Path(__file__).with_name("listeners.py")), *arguments]
    result = subprocess.run(program, env=os.environ | (environment or {}), capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"listeners: {result.stderr.strip()}")
    return json.loads(result.stdout)


ALL = {"resample": resample, "store": store, "imports": imports, "streams": streams}
