"""Bars for notebooks: columns over one buffer, pages that are joined, what is kept on disk and what a second call costs."""

import io
import os
import re
import subprocess
import sys
import threading
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import numpy
import pandas
import polars
import pyarrow
import pytest
from bars_double import BEGINNING, MINUTE, BarsDouble, binary, minute

import auspex
from auspex._bar_cache import BarCache
from auspex._progress import Progress
from auspex.bar_history import join

README = Path(__file__).parent.parent / "README.md"
NAN = float("nan")


@pytest.fixture
def double(monkeypatch):
    with BarsDouble() as one:
        monkeypatch.setenv("AUSPEX_URL", one.url)
        monkeypatch.setenv("AUSPEX_API_KEY", "aus_k")
        yield one


def closes(history):
    return list(history.close)


ALL = [600 + number / 4 for number in range(10)]
PAST = "2016-10-09T00:00:00Z"


# Columns


def history(count=10, **options):
    return auspex.BarHistory("BTCUSD", "1m", binary([minute(number) for number in range(count)], **options))


def address(values):
    return values.__array_interface__["data"][0]


def test_columns_are_views_of_one_buffer():
    body = binary([minute(number) for number in range(10)])
    bars = auspex.BarHistory("BTCUSD", "1m", body)
    base = address(numpy.frombuffer(body, "u1"))
    for place, name in enumerate(("start", "end", "open", "high", "low", "close", "volume", "trades")):
        column = getattr(bars, name)
        assert address(column) == base + 64 + 80 * place, name
        assert not column.flags.writeable
    assert bars.start.dtype == bars.end.dtype == "datetime64[us]" and bars.time.dtype == "int64"
    assert bars.start[1] == numpy.datetime64("2016-10-08T12:01:00")
    assert closes(bars) == ALL and list(bars.trades) == list(range(10))
    assert (bars.price_decimals, bars.volume_decimals, bars.interval_seconds, bars.data_sha256) == (2, 0, 60, "07" * 32)
    assert isinstance(bars, auspex.Bars) and list(bars.frame().columns) == ["open", "high", "low", "close", "volume"]


def test_slices_share_and_numbers_are_bars():
    bars = history()
    part = bars[2:-1][1:]
    assert len(part) == 6 and closes(part) == ALL[3:9]
    assert address(part.close) == address(bars.close) + 24
    assert part.to_pandas().shape == (6, 7) and part.to_arrow().num_rows == 6
    assert len(bars[5:2]) == 0 and bars[5:2].to_polars().height == 0
    assert bars[-1] == auspex.Bar(
        datetime(2016, 10, 8, 12, 9, tzinfo=timezone.utc), datetime(2016, 10, 8, 12, 10, tzinfo=timezone.utc), 602.25, 603.25, 601.25, 602.25, 9.0, 9)
    assert [bar.close for bar in bars] == ALL
    with pytest.raises(IndexError):
        bars[10]
    with pytest.raises(ValueError, match="one piece"):
        bars[::2]


def test_what_is_unknown_stays_unknown():
    rows = [(*minute(0)[:6], NAN, -1), minute(1)]
    bars = auspex.BarHistory("X", "1m", binary(rows))
    assert bars[0].volume is None and bars[0].trades is None and bars[1].trades == 1
    assert bars.to_polars()["volume"].to_list() == [None, 1.0] and bars.to_polars()["trades"].to_list() == [None, 1]
    assert bars.to_arrow()["volume"].to_pylist() == [None, 1.0] and bars.to_arrow()["trades"].to_pylist() == [None, 1]
    assert bars.to_pandas()["trades"].isna().tolist() == [True, False]
    without = auspex.BarHistory("X", "1m", binary(rows, flags=0))
    assert numpy.isnan(without.volume).all() and list(without.trades) == [-1, -1] and without[1:][0].volume is None
    assert without.to_arrow()["volume"].null_count == 2


def test_other_libraries_share_the_memory():
    bars = history()
    frame = bars.to_pandas()
    assert numpy.shares_memory(frame["close"].to_numpy(), bars.close) and numpy.shares_memory(frame["volume"].to_numpy(), bars.volume)
    assert frame.index.name == "start" and frame.index[1] == pandas.Timestamp("2016-10-08T12:01:00Z")
    table = bars.to_arrow()
    assert table["close"].chunk(0).buffers()[1].address == address(bars.close)
    assert table.schema.field("start").type == pyarrow.timestamp("us", "UTC") and not table.schema.field("close").nullable
    polar = bars.to_polars()
    assert polar.schema["start"] == polars.Datetime("us", "UTC") and polar["close"].to_list() == ALL
    assert polar["end"][0] == datetime(2016, 10, 8, 12, 1, tzinfo=timezone.utc)
    assert numpy.shares_memory(bars.to_numpy()["low"], bars.low)


def test_a_missing_library_is_named(monkeypatch):
    for method, name in (("to_pandas", "pandas"), ("to_polars", "polars"), ("to_arrow", "pyarrow"), ("to_numpy", "numpy")):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(ImportError, match=rf"{method}\(\) needs {name}.*pip install {name}"):
                getattr(history(), method)()


def test_without_numpy_columns_are_memoryviews(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", None)
    bars = history()
    assert isinstance(bars.close, memoryview) and bars.close.tolist() == ALL
    assert bars.start[0] == BEGINNING and bars.end[0] == BEGINNING + MINUTE
    assert bars[1:3].trades.tolist() == [1, 2] and bars[0].open == 600
    assert "10 bars" in repr(bars)


def test_a_notebook_sees_both_ends():
    assert repr(history()) == "BarHistory('BTCUSD', '1m', 10 bars, 2016-10-08 12:00 to 2016-10-08 12:10 UTC)"
    assert repr(history(0)) == "BarHistory('BTCUSD', '1m', 0 bars)"
    page = history(20)._repr_html_()
    assert page.count("<tr>") == 8 and "<td style='text-align:right'>600.00</td>" in page and "2016-10-08 12:19" in page and "…" in page
    assert history(0)._repr_html_().count("<tr>") == 1
    assert "&lt;b&gt;" in auspex.BarHistory("<b>", "1m", binary([]))._repr_html_()


def test_bars_that_are_none_are_refused():
    whole = binary([minute(0)])
    for broken in (b"", whole[:40], whole[:-8], whole + bytes(8), b"XXXX" + whole[4:], whole[:4] + b"\2\0" + whole[6:]):
        with pytest.raises(auspex.UnreadableAnswer):
            auspex.BarHistory("X", "1m", broken)


def test_pages_of_different_columns_join():
    first, second = binary([minute(0), minute(1)], flags=0, decimals=1), binary([minute(2)], flags=7, digest=b"\10" * 32)
    bars = auspex.BarHistory("X", "1m", b"".join(join([first, second])))
    assert closes(bars) == ALL[:3] and list(bars.trades) == [-1, -1, 2] and bars.price_decimals == 2
    assert bars[0].volume is None and bars[2].volume == 2 and bars.last_is_partial and not bars[:1].last_is_partial
    assert bars.data_sha256 not in ("07" * 32, "08" * 32)


# Reading


def test_pages_are_joined_as_of_one_moment(double):
    double.page = 4
    bars = auspex.bars("BTCUSD", "1m", "2016-10-08", "2016-10-09")
    assert closes(bars) == ALL and not bars.from_cache
    assert bars.as_of == PAST.replace("Z", ".000000Z").replace("09T00", "09T12")
    assert double.asked() == ["/api/instruments/BTCUSD", "/api/datasets/bars.crypto.BTCUSD.1m.trade"] + ["/api/bars"] * 3
    assert {query["as_of"][0] for query in double.queries[1:]} == {bars.as_of}
    assert [query["start"][0][11:16] for query in double.queries[2:]] == ["00:00", "12:04", "12:08"]
    assert double.queries[2]["end"] == ["2016-10-09T00:00:00.000000Z"]


@pytest.mark.parametrize("start", [
    "2016-10-08T12:05:00Z", "2016-10-08T14:05+02:00", datetime(2016, 10, 8, 12, 5), datetime(2016, 10, 8, 14, 5, tzinfo=timezone(timedelta(hours=2))),
    BEGINNING + 5 * MINUTE, numpy.datetime64("2016-10-08T12:05"), numpy.int64(BEGINNING + 5 * MINUTE), pandas.Timestamp("2016-10-08T12:05Z")])
def test_a_moment_may_be_written_in_many_ways(double, start):
    assert closes(auspex.bars("BTCUSD", "1m", start, date(2016, 10, 9), cache=False)) == ALL[5:]


def test_the_latest_bars(double):
    assert closes(auspex.bars("BTCUSD", "1m", countback=3, cache=False)) == ALL[-3:]
    assert double.asked() == ["/api/bars"] and "start" not in double.queries[0]
    assert closes(auspex.bars("BTCUSD", "1m", end="2016-10-08T12:02:00Z", session="all", price="trade", adjustment="raw", cache=False)) == ALL[:2]
    double.asked()
    assert (double.queries[0]["session"], double.queries[0]["price"], double.queries[0]["adjustment"]) == (["all"], ["trade"], ["raw"])


def test_wrong_questions_are_not_asked(double):
    for arguments, options, text in (
        (("yesterday",), {}, "start is a moment such as"), (("2016-10-08", "2016-10-08"), {}, "end is not after start"),
        (("2016-10-08",), {"countback": 3}, "not both"), ((), {"cache": "always"}, "cache is True"),
    ):
        with pytest.raises(ValueError, match=text):
            auspex.bars("BTCUSD", "1m", *arguments, **options)
    with pytest.raises(TypeError, match="not float"):
        auspex.bars("BTCUSD", "1m", 1.5)
    with pytest.raises(TypeError, match="not AsyncClient"):
        auspex.bars("BTCUSD", "1m", client=auspex.AsyncClient(double.url, "aus_k"))
    assert double.asked() == []
    with pytest.raises(auspex.NotFound, match="No instrument has this symbol"):
        auspex.bars("NONE", "1m", "2016-10-08")


def test_a_missing_key_is_said(monkeypatch):
    with pytest.raises(auspex.MissingSettings, match="AUSPEX_API_KEY.*bars:read.*AUSPEX_URL"):
        auspex.bars("BTCUSD", "1m")


def test_a_client_of_ones_own(double, monkeypatch):
    monkeypatch.delenv("AUSPEX_API_KEY")
    with auspex.Client(double.url, api_key="aus_other") as client:
        assert closes(auspex.bars("BTCUSD", "1m", client=client, cache=False)) == ALL
    assert double.platform.requests[0]["headers"]["x-api-key"] == "aus_other"


def test_limits_are_waited_out_and_large_questions_cut(double):
    refusals = iter([
        (429, {"code": "busy", "detail": "Too many long questions."}, {"Retry-After": "1"}),
        (422, {"code": "too_many_base_rows", "detail": "Less would be right.", "field": "limit"}),
    ])
    double.before = lambda request: next(refusals, None) if request["path"].startswith("/api/bars") else None
    assert closes(auspex.bars("BTCUSD", "1m", "2016-10-08", cache=False)) == ALL
    double.asked()
    assert [query["limit"] for query in double.queries[1:]] == [["50000"], ["50000"], ["6250"]]


def test_an_answer_that_does_not_move_on_is_no_endless_loop(double):
    headers = {"Content-Type": "application/vnd.auspex.bars", "X-Auspex-Next-Start": "2016-10-08T00:00:00.000000Z"}
    double.before = lambda request: (200, binary([minute(0)]), headers) if request["path"].startswith("/api/bars") else None
    with pytest.raises(auspex.UnreadableAnswer, match="begin no later"):
        auspex.bars("BTCUSD", "1m", "2016-10-08")


# What is kept


def test_a_past_moment_is_asked_once(double):
    first = auspex.bars("BTCUSD", "1m", "2016-10-08", as_of=PAST)
    assert double.asked() == ["/api/bars"] and not first.from_cache
    again = auspex.bars("BTCUSD", "1m", date(2016, 10, 8), as_of=datetime(2016, 10, 9))
    assert double.asked() == [] and again.from_cache and again.as_of == first.as_of
    assert closes(again) == closes(first) == ALL and again.data_sha256 == first.data_sha256
    assert address(again.close) % 8 == 0 and not again.close.flags.writeable
    for other in ({"end": "2016-10-09"}, {"session": "all"}, {"price": "trade"}, {"adjustment": "split"}):
        auspex.bars("BTCUSD", "1m", "2016-10-08", as_of=PAST, **other)
        assert double.asked() == ["/api/bars"], other


def test_a_moment_to_come_or_just_gone_is_asked_each_time(double):
    minute_ago = double.now - MINUTE
    for _ in range(2):
        auspex.bars("BTCUSD", "1m", "2016-10-08", as_of=minute_ago + 1)
        assert double.asked() == ["/api/bars"]
    auspex.bars("BTCUSD", "1m", "2016-10-08", as_of=minute_ago)
    auspex.bars("BTCUSD", "1m", "2016-10-08", as_of=minute_ago)
    assert double.asked() == ["/api/bars"]


CHECK = ["/api/instruments/BTCUSD", "/api/datasets/bars.crypto.BTCUSD.1m.trade"]


def test_without_a_moment_the_revision_is_checked(double):
    first = auspex.bars("BTCUSD", "5m", "2016-10-08")
    assert double.asked() == CHECK + ["/api/bars"]
    double.now += 3_600_000_000
    again = auspex.bars("BTCUSD", "5m", "2016-10-08")
    assert double.asked() == CHECK and again.from_cache and again.as_of == first.as_of
    double.rows[3] = minute(3, close=1.0)
    corrected = auspex.bars("BTCUSD", "5m", "2016-10-08")
    assert double.asked() == CHECK + ["/api/bars"] and corrected.close[3] == 1.0
    assert auspex.bars("BTCUSD", "5m", "2016-10-08").close[3] == 1.0 and double.asked() == CHECK


def test_bars_that_still_run_are_not_kept(double):
    # Five minutes that began with the last row are over one minute later at the earliest: until then only time completes them.
    double.now = double.rows[-1][1] + 299_000_000
    for _ in range(2):
        auspex.bars("BTCUSD", "5m", "2016-10-08")
        assert double.asked()[-1] == "/api/bars"
    double.now += 1_000_000
    auspex.bars("BTCUSD", "5m", "2016-10-08")
    auspex.bars("BTCUSD", "5m", "2016-10-08")
    assert double.asked() == CHECK + ["/api/bars"] + CHECK
    # Older ones are over, whatever still comes.
    double.now = double.rows[-1][1]
    auspex.bars("BTCUSD", "1m", "2016-10-08", "2016-10-08T12:05:00Z")
    assert auspex.bars("BTCUSD", "1m", "2016-10-08", "2016-10-08T12:05:00Z").from_cache


@pytest.mark.parametrize("change", [
    {"feed": "replay"},
    {"names": [{"ticker": "BTCUSD", "first_day": "2016-10-08", "last_day": None}]},
    {"names": [{"ticker": "XBT", "first_day": "2001-01-01", "last_day": None}]},
])
def test_what_hashes_do_not_tell_is_asked_each_time(double, change):
    double.instrument.update(change)
    for _ in range(2):
        assert not auspex.bars("BTCUSD", "1m", "2016-10-08", "2016-10-08T12:05:00Z").from_cache


def test_a_name_that_is_certain_is_kept(double):
    double.instrument["names"] = [{"ticker": "BTCUSD", "first_day": "2001-01-01", "last_day": "2016-10-09"}]
    for _ in range(2):
        bars = auspex.bars("BTCUSD", "1m", "2016-10-08", "2016-10-08T12:05:00Z")
    assert bars.from_cache
    double.asked()
    assert double.queries[0]["at"] == ["2016-10-08"]


def test_adjusted_bars_hang_on_the_actions(double):
    def read():
        return auspex.bars("BTCUSD", "1m", "2016-10-08", adjustment="split").from_cache

    assert [read(), read()] == [False, True]
    double.actions.append({"day": "2016-10-08"})
    assert [read(), read()] == [False, True]


def test_a_former_name_is_checked_by_todays_symbol(double):
    double.instrument.update(names=[{"ticker": "XBT", "first_day": "2001-01-01", "last_day": "2016-12-31"}])
    of_old, double.before = double.instrument, lambda request: (
        (200, of_old, {"Date": "Sun, 09 Oct 2016 12:00:00 GMT"}) if request["path"].startswith("/api/instruments/XBT?")
        else double.answer({**request, "path": request["path"].replace("instrument=XBT", "instrument=BTCUSD")}) if "instrument=XBT" in request["path"]
        else None)
    reads = [auspex.bars("XBT", "1m", "2016-10-08", "2016-10-08T12:05:00Z", adjustment="full").from_cache for _ in range(2)]
    assert reads == [False, True]
    assert double.asked()[1:3] == ["/api/datasets/bars.crypto.BTCUSD.1m.trade", "/api/instruments/BTCUSD/actions"]


def test_another_series_is_another_revision(double):
    def read():
        return auspex.bars("BTCUSD", "1h", "2016-10-08").from_cache

    assert [read(), read()] == [False, True]
    double.instrument["series"].append({"interval_seconds": 3600, "price": "trade", "origin": "derived", "first_day": "2016-10-08"})
    double.asked()
    assert [read(), read()] == [False, True]
    assert "/api/datasets/bars.crypto.BTCUSD.1h.trade.derived" in double.asked()


def test_cache_false_and_refresh(double):
    auspex.bars("BTCUSD", "1m", "2016-10-08", as_of=PAST)
    double.rows.append(minute(10))
    assert len(auspex.bars("BTCUSD", "1m", "2016-10-08", as_of=PAST)) == 10
    assert len(auspex.bars("BTCUSD", "1m", "2016-10-08", as_of=PAST, cache=False)) == 11
    assert len(auspex.bars("BTCUSD", "1m", "2016-10-08", as_of=PAST)) == 10
    assert len(auspex.bars("BTCUSD", "1m", "2016-10-08", as_of=PAST, cache="refresh")) == 11
    assert len(auspex.bars("BTCUSD", "1m", "2016-10-08", as_of=PAST)) == 11


def kept_files():
    return sorted(BarCache().folder.glob("*.bars"))


@pytest.mark.parametrize("damage", [
    lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:], lambda data: data[:-1], lambda data: b"", lambda data: data + b"x",
    lambda data: data[:-30] + b"?" + data[-29:]])
def test_a_damaged_file_is_read_anew(double, damage):
    auspex.bars("BTCUSD", "1m", "2016-10-08", as_of=PAST)
    path, = kept_files()
    path.write_bytes(damage(path.read_bytes()))
    double.asked()
    assert closes(auspex.bars("BTCUSD", "1m", "2016-10-08", as_of=PAST)) == ALL
    assert double.asked() == ["/api/bars"]
    assert auspex.bars("BTCUSD", "1m", "2016-10-08", as_of=PAST).from_cache


def test_a_folder_that_cannot_be_written_costs_only_the_keeping(double, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AUSPEX_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="not kept on disk"):
        assert closes(auspex.bars("BTCUSD", "1m", "2016-10-08", as_of=PAST)) == ALL


def test_the_folder_is_private_and_by_convention(double, monkeypatch, tmp_path):
    auspex.bars("BTCUSD", "1m", "2016-10-08", as_of=PAST)
    assert BarCache().folder == tmp_path / "cache" / "bars-1" and os.stat(BarCache().folder).st_mode & 0o077 == 0
    assert b"aus_k" not in kept_files()[0].read_bytes()
    monkeypatch.delenv("AUSPEX_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert BarCache().folder == tmp_path / "xdg" / "auspex" / "bars-1"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert BarCache().folder == tmp_path / ".cache" / "auspex" / "bars-1"
    monkeypatch.setenv("AUSPEX_CACHE_BYTES", "much")
    with pytest.raises(ValueError, match="AUSPEX_CACHE_BYTES"):
        BarCache()


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    cache = BarCache(tmp_path, bytes_max=1 << 20)
    size = len(cache.put({"n": 0}, [bytes(1000)], {}))
    assert size == 1000
    cache = BarCache(tmp_path, bytes_max=cache.bytes * 3 + 10)
    for number in (1, 2):
        cache.put({"n": number}, [bytes(1000)], {})
    for age, path in enumerate((cache._path({"n": number}) for number in (2, 1, 0)), start=1):
        os.utime(path, (1000 - age, 1000 - age))
    assert cache.get({"n": 0}) is not None  # the oldest, but just used
    cache.put({"n": 3}, [bytes(1000)], {})
    assert [cache.get({"n": number}) is not None for number in range(4)] == [True, False, True, True]
    assert cache.put({"n": 4}, [bytes(100_000)], {}) is None and cache.get({"n": 4}) is None
    assert cache.get({"n": 0}) is not None, "what is too large drives nothing out"
    abandoned = tmp_path / "x.unfinished"
    abandoned.write_bytes(b"half")
    os.utime(abandoned, (1000, 1000))
    cache.clear()
    assert list(tmp_path.iterdir()) == [] and cache.bytes == 0


def test_bars_outlive_their_file(double):
    auspex.bars("BTCUSD", "1m", "2016-10-08", as_of=PAST)
    bars = auspex.bars("BTCUSD", "1m", "2016-10-08", as_of=PAST)
    auspex.BarCache().clear()
    assert kept_files() == [] and closes(bars) == ALL


def test_writers_at_once_leave_whole_files(tmp_path):
    """Processes and threads write the same entry over and over; whoever reads sees one of them whole."""
    program = (
        "import sys; from auspex import BarCache; cache = BarCache(sys.argv[1], 1 << 30)\n"
        "for _ in range(100): cache.put({'q': 1}, [bytes([int(sys.argv[2])]) * 50000] * 2, {})")
    cache = BarCache(tmp_path, 1 << 30)
    cache.put({"q": 1}, [bytes(100_000)], {})
    writers = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(number)]) for number in (1, 2)]
    inside = threading.Thread(target=lambda: [cache.put({"q": 1}, [b"\3" * 100_000], {}) for _ in range(100)])
    inside.start()
    reads = 0
    while inside.is_alive() or any(writer.poll() is None for writer in writers):
        body, _ = cache.get({"q": 1})
        assert len(body) == 100_000 and len(set(bytes(body))) == 1
        reads += 1
    assert reads > 0 and [writer.returncode for writer in writers] == [0, 0]
    assert len(list(tmp_path.iterdir())) == 1


# What is shown


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_for_those_who_look_and_wait():
    moments = iter([0.0, 0.5, 2.0, 3.0])
    terminal = Terminal()
    with Progress("SPY 1s", terminal, lambda: next(moments)) as progress:
        progress.show(0.1, 1_000_000)
        assert terminal.getvalue() == ""
        progress.show(0.5, 5_000_000)
        assert "SPY 1s" in terminal.getvalue() and " 50% 5 MB" in terminal.getvalue()
    assert terminal.getvalue().endswith(" \r")
    moments = iter([0.0, 9.0])
    with Progress("SPY 1s", io.StringIO(), lambda: next(moments)) as progress:
        progress.show(0.5, 1)
        assert progress._stream.getvalue() == ""


def test_the_readme_example_runs(double, capsys):
    block = next(text for text in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL) if "auspex.bars(" in text)
    exec(compile(block, "README.md", "exec"), {})
    assert "10 bars" in capsys.readouterr().out
