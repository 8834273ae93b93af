"""Bars as Parquet files and items of PyStore, and what comes of them when they are imported again."""

import gzip
import json
import math
import random
import zipfile
from datetime import datetime, timedelta, timezone

import pandas
import pytest
from bars_double import BEGINNING, MINUTE, BarsDouble, binary, minute
from pyarrow import parquet

import auspex
from auspex import _table_conversion as conversion
from auspex.cli import main

DAY = 1440 * MINUTE


def history(rows, interval="1m", symbol="BTC/USD", **options):
    return auspex.BarHistory(symbol, interval, binary(rows, **options), as_of="2016-10-09T00:00:00Z")


def texts(place):
    """The report and the rows of what a platform would import."""
    report, packed = conversion.answer_to(place.read_bytes())
    assert "refused" not in report, report
    header, *rows = gzip.decompress(packed).decode().splitlines()
    return report, header.split(","), [row.split(",") for row in rows]


def awkward(count=3_000):
    """Prices of all kinds, such as sums that miss a decimal by the last bit."""
    random.seed(5)
    rows = []
    for number in range(count):
        start = BEGINNING + number * 7 * MINUTE
        price = random.choice([0.1 + 0.2, 600.25, random.random() * 1e5, 1e-7, math.nextafter(0.3, 1)])
        rows.append((start, start + MINUTE, price, price * 2, price / 2, price, math.nextafter(float(number % 9), 99), number))
    return rows


def check_exact(rows, header, texts):
    names = [name.lower() for name in header]
    for row, text in zip(rows, texts, strict=True):
        cells = dict(zip(names, text))
        assert [float(cells[name]) for name in ("open", "high", "low", "close", "volume")] == list(row[2:7])
        assert int(cells["trades"]) == row[7]
        moment = datetime.fromisoformat((cells.get("start") or cells["date"]).replace("Z", "+00:00"))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        assert moment == datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=row[0])


def test_parquet_gives_every_bit_back(tmp_path):
    rows = awkward()
    place = history(rows).to_parquet(tmp_path / "new" / "bars.parquet")
    report, header, found = texts(place)
    check_exact(rows, header, found)
    assert report["item"] == {"name": "BTC/USD", "symbol": "BTC/USD", "interval": "1m"}
    assert list(place.parent.iterdir()) == [place]
    said = json.loads(parquet.read_schema(place).metadata[b"auspex"])
    assert said["as_of"] == "2016-10-09T00:00:00Z" and said["data_sha256"] == "07" * 32


@pytest.mark.parametrize("packed", [True, False])
def test_pystore_gives_every_bit_back(tmp_path, packed):
    rows = awkward()
    place = history(rows).to_pystore(tmp_path / ("bars.zip" if packed else "store"), "crypto")
    if packed:
        names = zipfile.ZipFile(place).namelist()
        assert names == ["crypto/BTC_USD_1m/part.0.parquet", "crypto/BTC_USD_1m/pystore_metadata.json", "crypto/_snapshots/", "pystore_metadata.json"]
    else:
        assert place == tmp_path / "store" / "crypto" / "BTC_USD_1m"
        assert sorted(path.name for path in place.iterdir()) == ["part.0.parquet", "pystore_metadata.json"]
        assert json.loads((tmp_path / "store" / "pystore_metadata.json").read_text())["engine"] == "pyarrow"
        assert sorted(path.name for path in (tmp_path / "store").iterdir()) == ["crypto", "pystore_metadata.json"]
        assert (place.parent / "_snapshots").is_dir()
        frame = pandas.read_parquet(place / "part.0.parquet")
        assert frame.index.name == "Date" and str(frame.index.dtype) == "datetime64[ns]" and frame.index.tz is None
        assert {str(kind) for name, kind in frame.dtypes.items() if name != "Trades"} == {"float64"}
        archive = tmp_path / "item.zip"
        with zipfile.ZipFile(archive, "w") as file:
            for path in place.iterdir():
                file.write(path, f"crypto/BTC_USD_1m/{path.name}")
        place = archive
    report, header, found = texts(place)
    check_exact(rows, header, found)
    assert report["item"] == {"name": "BTC_USD_1m", "pystore": True, "symbol": "BTC/USD", "interval": "1m"}


def test_days_are_known_by_their_trading_date(tmp_path):
    # A session from the evening before, as foreign exchange has it, and one of New York.
    evening = BEGINNING - 12 * 60 * MINUTE + 21 * 60 * MINUTE
    rows = [(evening, evening + DAY, 1.0, 1.0, 1.0, 1.0, 1.0, 1), (evening + DAY + 990 * MINUTE, evening + 2 * DAY, 2.0, 2.0, 2.0, 2.0, 1.0, 1)]
    bars = history(rows, "1d", "EURUSD")
    _, header, found = texts(bars.to_parquet(tmp_path / "a.parquet"))
    assert header[0] == "date" and "end" not in header and [row[0] for row in found] == ["2016-10-09", "2016-10-10"]
    _, header, found = texts(bars.to_pystore(tmp_path / "a.zip"))
    assert header[0] == "Date" and [row[0] for row in found] == ["2016-10-09", "2016-10-10"]


def test_what_is_not_known_is_not_made_up(tmp_path):
    rows = [row[:6] + (float("nan"), -1) for row in map(minute, range(3))]
    for place in (history(rows).to_parquet(tmp_path / "a.parquet"), history(rows).to_pystore(tmp_path / "a.zip")):
        assert not {"volume", "trades"} & {name.lower() for name in texts(place)[1]}
    some = [minute(0)[:6] + (float("nan"), -1), minute(1)]
    _, header, found = texts(history(some).to_parquet(tmp_path / "b.parquet"))
    assert [row[header.index("volume")] for row in found] == ["", "1"]


def test_a_bar_that_still_runs_is_left_out(tmp_path):
    running = history([minute(number) for number in range(3)], flags=7)
    assert running.last_is_partial
    assert len(texts(running.to_parquet(tmp_path / "a.parquet"))[2]) == 2
    assert len(texts(running.to_pystore(tmp_path / "a.zip"))[2]) == 2


def test_an_item_is_replaced_only_when_that_is_meant(tmp_path):
    bars = history([minute(number) for number in range(5)])
    place = bars.to_pystore(tmp_path)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        bars[:2].to_pystore(tmp_path)
    assert len(pandas.read_parquet(place / "part.0.parquet")) == 5
    bars[:2].to_pystore(tmp_path, overwrite=True)
    assert len(pandas.read_parquet(place / "part.0.parquet")) == 2
    for name in ("", "_snapshots", "a/b", ".hidden"):
        with pytest.raises(ValueError):
            bars.to_pystore(tmp_path, name)


def test_long_items_are_written_in_parts(tmp_path, monkeypatch):
    from auspex import _table_files

    monkeypatch.setattr(_table_files, "ROWS_A_PART", 4)
    rows = [minute(number) for number in range(45)]
    place = history(rows).to_pystore(tmp_path / "a.zip")
    assert sum("part." in name for name in zipfile.ZipFile(place).namelist()) == 12
    check_exact(rows, *texts(place)[1:])


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    place = history([minute(1)]).to_parquet(tmp_path / "a.parquet")
    before = place.read_bytes()

    def full(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(parquet, "write_table", full)
    with pytest.raises(OSError, match="no space"):
        history([minute(2)]).to_parquet(place)
    with pytest.raises(OSError, match="no space"):
        history([minute(2)]).to_pystore(tmp_path / "store")
    assert place.read_bytes() == before
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".auspex")]


def test_the_command_writes_both(tmp_path, monkeypatch, capsys):
    with BarsDouble() as double:
        monkeypatch.setenv("AUSPEX_URL", double.url)
        monkeypatch.setenv("AUSPEX_API_KEY", "aus_k")
        monkeypatch.setenv("AUSPEX_CACHE", str(tmp_path / "cache"))
        asked = ["bars", "BTCUSD", "1m", "2016-10-08", "2016-10-09"]
        assert main([*asked, "--parquet", str(tmp_path / "a.parquet")]) == 0
        assert main([*asked, "--pystore", str(tmp_path / "a.zip"), "--collection", "coins"]) == 0
        assert capsys.readouterr().out.count("10 bars in ") == 2
        for name in ("a.parquet", "a.zip"):
            check_exact([minute(number) for number in range(10)], *texts(tmp_path / name)[1:])
        assert main([*asked, "--pystore", str(tmp_path / "a.zip"), "--collection", "coins"]) == 1
        with pytest.raises(SystemExit):
            main(asked)
