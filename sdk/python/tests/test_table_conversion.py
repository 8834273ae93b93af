"""The converter of foreign tables: what becomes of layouts that people have, exactness, and files that mean harm."""

import decimal
import gzip
import io
import json
import math
import os
import pickle
import random
import struct
import zipfile
from datetime import date, datetime
from pathlib import Path

import numpy
import pandas
import polars
import pyarrow
import pytest
from pyarrow import feather, parquet

from auspex import _table_conversion as conversion

SHARED = Path(os.environ.get("AUSPEX_SHARED") or Path(__file__).parents[4] / "shared") / "data" / "freqtrade"
OHLCV = {"open": [1.5, 2.5], "high": [1.75, 2.75], "low": [1.25, 2.25], "close": [1.5, 2.5], "volume": [10, 0]}
TIMES = [datetime(2020, 1, 1, 9, 30), datetime(2020, 1, 1, 9, 31)]


def in_parquet(table, **options):
    sink = io.BytesIO()
    parquet.write_table(table if isinstance(table, pyarrow.Table) else pyarrow.Table.from_pandas(table), sink, **options)
    return sink.getvalue()


def in_feather(table, **options):
    sink = io.BytesIO()
    feather.write_feather(table, sink, **options)
    return sink.getvalue()


def zipped(entries, **options):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", **options) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return sink.getvalue()


def answer(file, **bounds):
    report, text = conversion.answer_to(file, **bounds)
    return report, gzip.decompress(text).decode().splitlines() if text else []


def lines(file, **bounds):
    report, found = answer(file, **bounds)
    assert "refused" not in report, report
    assert len(found) == report["rows"] + 1
    return found


def refusal(file, **bounds):
    report, found = answer(file, **bounds)
    assert found == []
    return report["refused"]["code"]


# Layouts


BARS = ["1.5,1.75,1.25,1.5,10", "2.5,2.75,2.25,2.5,0"]


@pytest.mark.parametrize("write", [in_parquet, lambda frame: in_feather(frame.reset_index()), lambda frame: in_feather(frame.reset_index(), compression="zstd")])
def test_a_frame_with_an_index_of_times(write):
    frame = pandas.DataFrame(OHLCV, index=pandas.DatetimeIndex(TIMES, name="Datetime"))
    assert lines(write(frame)) == ["Datetime,open,high,low,close,volume", "2020-01-01 09:30:00," + BARS[0], "2020-01-01 09:31:00," + BARS[1]]


@pytest.mark.parametrize("name", [None, "index", "whatever"])
def test_an_index_may_be_called_anything(name):
    frame = pandas.DataFrame(OHLCV, index=pandas.DatetimeIndex(TIMES, name=name))
    assert lines(in_parquet(frame))[0] == "datetime,open,high,low,close,volume"


def test_an_index_of_whole_numbers_is_a_time_or_nothing():
    nanoseconds = pandas.DataFrame(OHLCV, index=pandas.Index([1577871000000000000, 1577871060000000000], name="index"))
    assert lines(in_parquet(nanoseconds))[:2] == ["datetime,open,high,low,close,volume", "1577871000000000000," + BARS[0]]
    counted = pandas.DataFrame({"date": TIMES, **OHLCV}, index=[5, 9])
    assert lines(in_parquet(counted))[0] == "date,open,high,low,close,volume"


@pytest.mark.parametrize("name, other", [("t", "n"), ("window_start", "transactions"), ("ts_event", "count"), ("transact_time", "first_id")])
def test_vendors_call_their_times_otherwise(name, other):
    whole = pyarrow.table({other: [7, 8], **OHLCV, name: [1577871000000, 1577871060000]})
    assert lines(in_parquet(whole))[:2] == [f"datetime,{other},open,high,low,close,volume", f"1577871000000,7,{BARS[0]}"]
    typed = pyarrow.table({"ts_recv": pyarrow.array([5, 6], pyarrow.timestamp("ns")), **OHLCV, "ts_event": pyarrow.array([1, 2], pyarrow.timestamp("s"))})
    assert lines(in_parquet(typed))[0] == "datetime,ts_recv,open,high,low,close,volume"
    # A volume is no time, however large.
    large = pyarrow.table({"trades_until": [10**12, 10**12], "close": [1.0, 2.0]})
    assert lines(in_parquet(large))[0] == "trades_until,close"


def test_tables_of_polars():
    frame = polars.DataFrame({"symbol": ["SPY", "SPY"], "venue": ["A", None], "time": TIMES, **OHLCV}, schema_overrides={"symbol": polars.Categorical, "volume": polars.UInt32})
    for write in (frame.write_parquet, frame.write_ipc):
        sink = io.BytesIO()
        write(sink)
        assert lines(sink.getvalue())[:2] == ["symbol,venue,time,open,high,low,close,volume", "SPY,A,2020-01-01 09:30:00," + BARS[0]]


def test_times_say_their_zone_where_they_have_one():
    for zone, text in (("UTC", "09:30:00Z"), ("America/New_York", "14:30:00Z"), (None, "09:30:00")):
        frame = pandas.DataFrame({"date": pandas.DatetimeIndex(TIMES).tz_localize(zone), **OHLCV})
        assert lines(in_parquet(frame))[1].split(",")[0] == f"2020-01-01 {text}"


def test_midnights_are_dates():
    days = [datetime(2020, 1, 2), datetime(2020, 1, 3)]
    for zone in (None, "UTC", "America/New_York"):
        frame = pandas.DataFrame({"Date": pandas.DatetimeIndex(days).tz_localize(zone), **OHLCV})
        assert [line.split(",")[0] for line in lines(in_parquet(frame))] == ["Date", "2020-01-02", "2020-01-03"]
    table = pyarrow.table({"day": pyarrow.array([date(2020, 1, 2), date(2020, 1, 3)]), **OHLCV})
    assert lines(in_parquet(table))[1].startswith("2020-01-02,")


def test_fractions_of_seconds_are_written_where_there_are_some():
    for unit, value, text in (("ms", 1577871000123, "09:30:00.123"), ("us", 1577871000123456, "09:30:00.123456"), ("ns", 1577871000123456789, "09:30:00.123456789")):
        table = pyarrow.table({"time": pyarrow.array([value, value + 1], pyarrow.timestamp(unit)), "price": [1.0, 2.0], "size": [1, 2]})
        assert lines(in_parquet(table, coerce_timestamps=None))[1].split(",")[0] == f"2020-01-01 {text}"


def test_periods_dates_and_times_of_day():
    frame = pandas.DataFrame(OHLCV, index=pandas.period_range("2020-01-01 09:30", periods=2, freq="min"))
    assert lines(in_parquet(frame))[1].split(",")[0] == "2020-01-01 09:30:00"
    table = pyarrow.table({
        "Date": pyarrow.array([date(2020, 1, 2)] * 2), "Time": pyarrow.array([34200, 34260], pyarrow.time32("s")), **OHLCV})
    assert lines(in_parquet(table))[1].startswith("2020-01-02,09:30:00")


def test_columns_of_two_levels():
    columns = pandas.MultiIndex.from_product([["Open", "High", "Low", "Close", "Volume"], ["SPY"]], names=["Price", "Ticker"])
    frame = pandas.DataFrame([[1.5, 1.75, 1.25, 1.5, 10]] * 2, columns=columns, index=pandas.DatetimeIndex([datetime(2020, 1, 2), datetime(2020, 1, 3)], name="Date"))
    assert lines(in_parquet(frame)) == ["Date,Open,High,Low,Close,Volume", "2020-01-02,1.5,1.75,1.25,1.5,10", "2020-01-03,1.5,1.75,1.25,1.5,10"]
    both = pandas.concat([frame, frame.rename(columns={"SPY": "AIG"})], axis=1)
    assert refusal(in_parquet(both)) == "several_instruments"


def test_two_levels_of_rows_name_the_instrument():
    index = pandas.MultiIndex.from_product([["SPY"], TIMES], names=["symbol", "timestamp"])
    assert lines(in_parquet(pandas.DataFrame(OHLCV, index=index)))[:2] == [
        "symbol,timestamp,open,high,low,close,volume", "SPY,2020-01-01 09:30:00," + BARS[0]]


def test_text_cannot_break_a_line():
    table = pyarrow.table({"time": ["a\nb", "c,\"d"], "close": [1.0, 2.0], "symbol": pyarrow.array(["SPY", None]).dictionary_encode()})
    assert lines(in_parquet(table)) == ["time,close,symbol", "a b,1,SPY", "c d,2,"]


def test_what_no_table_of_prices_holds_is_left_out():
    table = pyarrow.table({
        "time": TIMES, "close": [1.0, 2.0], "list": [[1], [2]], "bytes": [b"x", b"y"], "nothing": pyarrow.nulls(2), "struct": [{"a": 1}, {"a": 2}]})
    report, found = answer(in_parquet(table))
    assert found[0] == "time,close"
    assert report["notes"] == ["columns that are neither numbers, times nor text are left out: list, bytes, struct"]


def test_a_wide_table_keeps_what_may_matter():
    table = pyarrow.table({"time": TIMES, **OHLCV, **{f"feature_{number}": [0.5, 0.25] for number in range(100)}})
    assert lines(in_parquet(table))[0] == "time,open,high,low,close,volume"
    assert refusal(in_parquet(pyarrow.table({f"x{number}": [1] for number in range(2_001)}))) == "too_many_columns"


def test_rows_of_empty_intervals_are_no_bars():
    frame = pandas.DataFrame({"price": [1.0, 2.0, 3.0], "size": [1, 1, 1]}, index=pandas.to_datetime(["2020-01-01 00:00", "2020-01-01 00:01", "2020-01-01 00:04"]))
    bars = frame["price"].resample("1min").ohlc()
    bars["volume"] = frame["size"].resample("1min").sum()
    report, found = answer(in_parquet(bars))
    assert found[3:5] == ["", ""] and found[5].startswith("2020-01-01 00:04:00,3,3,3,3,1")
    assert report["notes"] == ["2 rows without prices are intervals without a trade"]


def test_parts_of_several_row_groups_are_one_table():
    table = pyarrow.table({"time": pyarrow.array(range(200_000)), "price": pyarrow.array([number / 8 for number in range(200_000)]), "size": [1] * 200_000})
    found = lines(in_parquet(table, row_group_size=70_000))
    assert found[1:] == [f"{number},{repr(number / 8).removesuffix('.0')},1" for number in range(200_000)]


# Exactness


def test_numbers_come_out_exactly():
    random.seed(7)
    floats = [struct.unpack("<d", random.randbytes(8))[0] for _ in range(5_000)]
    floats = [value for value in floats if math.isfinite(value)] + [5e-324, 1.7976931348623157e308, -0.0, 1e22, 0.1]
    singles = [struct.unpack("<f", random.randbytes(4))[0] for _ in range(len(floats))]
    decimals = [decimal.Decimal(random.randrange(-10**30, 10**30)).scaleb(-18, decimal.Context(prec=60)) for _ in floats]
    table = pyarrow.table({
        "time": list(range(len(floats))), "price": floats, "single": pyarrow.array(singles, pyarrow.float32()),
        "amount": pyarrow.array(decimals, pyarrow.decimal128(38, 18)), "count": pyarrow.array([2**63 - 1 - index for index in range(len(floats))]),
        "unsigned": pyarrow.array([2**64 - 1 - index for index in range(len(floats))], pyarrow.uint64())})
    for index, line in enumerate(lines(in_parquet(table))[1:]):
        _, price, single, amount, count, unsigned = line.split(",")
        assert struct.pack("<d", float(price)) == struct.pack("<d", floats[index])
        assert math.isnan(singles[index]) and single == "" or numpy.float32(single) == numpy.float32(singles[index])
        assert decimal.Decimal(amount) == decimals[index]
        assert (int(count), int(unsigned)) == (2**63 - 1 - index, 2**64 - 1 - index)


def test_what_is_no_value_is_empty():
    table = pyarrow.table({"time": [1, 2, 3], "price": [1.0, float("nan"), None], "size": pyarrow.array([1, None, 3]), "x": [float("inf"), 1.0, 2.0]})
    assert lines(in_parquet(table))[1:] == ["1,1,1,inf", "2,,,1", "3,,3,2"]


def test_floats_stay_what_they_are():
    # Decimals that a program's arithmetic left by the last bit are other numbers than the decimals.
    noisy = [math.nextafter(number / 1000, 9) if number % 3 == 0 else number / 1000 for number in range(1, 400)]
    report, found = answer(in_parquet(pyarrow.table({"time": list(range(399)), "price": noisy, "size": [1.5] * 399})))
    assert [float(line.split(",")[1]) for line in found[1:]] == noisy
    assert report["notes"] == []


def test_floats_of_any_size_stay_what_they_are():
    random.seed(3)
    table = pyarrow.table({
        "time": list(range(5_000)), "price": [random.random() * 10 ** random.randrange(-3, 7) for _ in range(5_000)],
        "close": [number / 8 for number in range(4_999)] + [math.pi]})
    report, found = answer(in_parquet(table))
    assert [float(line.split(",")[1]) for line in found[1:]] == table["price"].to_pylist()
    assert [float(line.split(",")[2]) for line in found[1:]] == table["close"].to_pylist()
    assert report["notes"] == []


@pytest.mark.skipif(not SHARED.exists(), reason="no reference data")
def test_freqtrades_feather_says_what_its_json_says():
    # Its floats miss the decimals of the JSON by the last bit here and there: bit for bit they are those of the file.
    found = lines((SHARED / "UNITTEST_BTC-1m.feather").read_bytes())
    twin = json.loads((SHARED / "UNITTEST_BTC-1m.json").read_text())
    columns = feather.read_table(SHARED / "UNITTEST_BTC-1m.feather")
    assert found[0] == "date,open,high,low,close,volume"
    for line, row, *values in zip(found[1:], twin, *(columns[name].to_pylist() for name in found[0].split(",")[1:]), strict=True):
        stamp, *numbers = line.split(",")
        assert datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp() * 1000 == row[0]
        assert [float(number) for number in numbers] == values
        assert all(abs(value - number) <= math.ulp(number) for value, number in zip(values, row[1:], strict=True))
    trades = lines((SHARED / "XRP_ETH-trades.feather").read_bytes())
    for line, row in zip(trades[1:], json.loads(gzip.decompress((SHARED / "XRP_ETH-trades.json.gz").read_bytes())), strict=True):
        stamp, _, _, price, amount, _ = line.split(",")
        assert int(stamp) == row[0]
        assert all(abs(float(text) - number) <= math.ulp(number) for text, number in ((price, row[4]), (amount, row[5])))


# PyStore


def item(frame, **metadata):
    half = len(frame) // 2 or len(frame)
    return {
        "store/prices/SPY/part.0.parquet": in_parquet(frame.iloc[:half], compression="snappy"), "store/prices/SPY/part.1.parquet": in_parquet(frame.iloc[half:]),
        "store/prices/SPY/pystore_metadata.json": json.dumps({"_updated": "2020-01-01 00:00:00.0", **metadata}), "store/pystore_metadata.json": "{}"}


FRAME = pandas.DataFrame({name.capitalize(): values for name, values in OHLCV.items()}, index=pandas.DatetimeIndex(TIMES, name="Date"))


def test_an_item_of_pystore():
    report, found = answer(zipped(item(FRAME, symbol="SPY.X", interval="1m")))
    assert found == ["Date,Open,High,Low,Close,Volume", "2020-01-01 09:30:00," + BARS[0], "2020-01-01 09:31:00," + BARS[1]]
    assert report["item"] == {"name": "SPY", "pystore": True, "symbol": "SPY.X", "interval": "1m"}
    assert "may lack repeated rows" in report["notes"][0]


def test_parts_come_in_the_order_of_their_numbers_and_leftovers_do_not_count():
    table = pyarrow.table({"time": [1], "price": [0.5], "size": [1]})
    parts = {f"c/SPY/part.{number}.parquet": in_parquet(table.set_column(0, "time", pyarrow.array([number + 100]))) for number in (10, 2, 0, 1)}
    extra = {"c/_snapshots/old/SPY/part.0.parquet": b"x", "c/__SPY/part.0.parquet": b"x", "c/SPY/_metadata": b"x", "c/SPY/_common_metadata": b"x"}
    report, found = answer(zipped({**parts, **extra}))
    assert [line.split(",")[0] for line in found[1:]] == ["100", "101", "102", "110"]
    assert report["item"] == {"name": "SPY"}


def test_an_archive_has_to_be_one_table():
    two = {**item(FRAME), "store/prices/AIG/part.0.parquet": in_parquet(FRAME)}
    assert refusal(zipped(two)) == "several_items"
    assert refusal(zipped({"a/readme.txt": b"x"})) == "bad_archive"
    unlike = {"a/part.0.parquet": in_parquet(FRAME), "a/part.1.parquet": in_parquet(FRAME.rename(columns={"Open": "Other"}))}
    assert refusal(zipped(unlike)) == "unlike_parts"
    broken = {**item(FRAME), "store/prices/SPY/pystore_metadata.json": "{"}
    assert any("cannot be read" in note for note in answer(zipped(broken))[0]["notes"])
    without = {name: data for name, data in item(FRAME).items() if "metadata" not in name}
    assert lines(zipped(without))[0].startswith("Date,")


# Harm


def test_damaged_files_are_refused():
    for whole in (in_parquet(FRAME), in_feather(FRAME.reset_index(), compression="lz4"), zipped(item(FRAME))):
        for cut in (8, len(whole) // 2, len(whole) - 1):
            assert refusal(whole[:cut]) in ("damaged_file", "bad_archive", "unsupported_file", "unknown_layout")
    assert refusal(b"PAR1" + b"\xff" * 1_000 + b"PAR1") == "damaged_file"
    assert refusal(b"hello") == "unknown_layout"
    assert refusal(in_parquet(FRAME.iloc[:0])) == "empty_file"


def test_a_flipped_bit_never_gives_other_rows_than_the_file_says():
    random.seed(11)
    whole = in_parquet(pyarrow.table({"time": list(range(100)), "price": [number / 4 for number in range(100)]}), write_page_checksum=True)
    for _ in range(200):
        broken = bytearray(whole)
        broken[random.randrange(4, len(broken))] ^= 1 << random.randrange(8)
        report, found = answer(bytes(broken))
        assert "refused" in report or len(found) == report["rows"] + 1


def test_encrypted_files_are_refused():
    assert refusal(b"PARE" + b"\0" * 100) == "encrypted_file"
    locked = bytearray(zipped({"a/part.0.parquet": in_parquet(FRAME)}))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = locked.index(mark) + offset
        locked[at] |= 1
    assert refusal(bytes(locked)) == "encrypted_file"


def test_bounds_hold(monkeypatch):
    many = in_parquet(pyarrow.table({"close": pyarrow.array([1.0] * 1_000_000)}))
    assert len(many) < 100_000
    assert refusal(many, most_plain_bytes=1 << 20) == "too_large"
    assert refusal(in_parquet(pyarrow.table({"close": [random.random() for _ in range(9_000)]})), most_plain_bytes=1 << 17) == "too_large"
    assert refusal(in_parquet(pyarrow.table({"close": [random.random() for _ in range(9_000)]})), most_packed_bytes=1_000) == "too_large"
    monkeypatch.setattr(conversion, "MOST_UNPACKED_BYTES", 1 << 20)
    bomb = zipped({"a/part.0.parquet": b"PAR1" + b"\0" * (4 << 20)}, compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 1 << 14
    assert refusal(bomb) == "too_large"
    assert refusal(zipped({f"a/{number}": b"" for number in range(10_001)})) == "bad_archive"


def test_a_number_of_rows_that_is_not_true_is_refused(monkeypatch):
    monkeypatch.setattr(conversion.Parts, "rows", property(lambda parts: 3))
    assert refusal(in_parquet(FRAME)) == "damaged_file"


class Harm:
    def __reduce__(self):
        return (os.mkdir, (str(Harm.folder),))


def test_nothing_of_a_file_is_run(tmp_path):
    Harm.folder = tmp_path / "was-run"
    poison = pickle.dumps(Harm())
    field = pyarrow.field("close", pyarrow.float64(), metadata={"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": poison})
    other = pyarrow.field("time", pyarrow.int64())
    schema = pyarrow.schema([other, field], metadata={"pandas": poison, "ARROW:schema": poison, "auspex": poison})
    table = pyarrow.table([pyarrow.array([1, 2]), pyarrow.array([1.0, 2.0])], schema=schema)
    for file in (in_parquet(table), in_feather(table)):
        answer(file)
    title = "('Close', __import__('os').mkdir('%s'))" % Harm.folder
    answer(in_parquet(pyarrow.table({"time": [1], title: [1.0]})))
    assert not Harm.folder.exists()


def test_notes_that_are_no_notes_are_passed_over():
    for pandas_notes in (b"[]", b"{", b'{"index_columns": 3, "columns": {}}', b'{"index_columns": [{"kind": 1}], "columns": [1, {"field_name": 2}]}', b"[" * 100_000):
        table = pyarrow.table({"time": TIMES, **OHLCV}).replace_schema_metadata({"pandas": pandas_notes})
        assert len(lines(in_feather(table))) == 3
    assert refusal(in_feather(pyarrow.table([[1], [2]], names=["close", "close"]))) == "repeated_column"


def test_the_program_writes_report_and_text(tmp_path):
    """As the executor starts it: the file at descriptor 4, the answer at descriptor 3."""
    import subprocess
    import sys

    program = (
        "import os, sys; sys.path.insert(0, %r)\nos.dup2(os.open(sys.argv[2], os.O_RDONLY), 4); os.dup2(os.open(sys.argv[3], os.O_RDWR | os.O_CREAT), 3)\n"
        "from _table_conversion import main; main()" % str(Path(conversion.__file__).parent))
    (tmp_path / "in").write_bytes(in_parquet(FRAME))
    orders = json.dumps({"packages": str(tmp_path), "most_plain_bytes": 1 << 20, "most_packed_bytes": 1 << 20})
    done = subprocess.run([sys.executable, "-c", program, orders, str(tmp_path / "in"), str(tmp_path / "out")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    began, report, text = (tmp_path / "out").read_bytes().split(b"\n", 2)
    assert began == b"" and json.loads(report)["rows"] == 2
    assert gzip.decompress(text).decode().splitlines()[1] == "2020-01-01 09:30:00," + BARS[0]
