"""Feather, Parquet and PyStore through the gateway: an executor converts them in its sandbox, and the bars are those of the same rows as text."""

import io
import math
import os
import signal
import struct
import tempfile
import unittest
from pathlib import Path
from unittest import mock
from urllib.parse import urlencode

import auspex
import numpy
import pyarrow
from auspex_cli.layout import REPOSITORY
from auspex_demo.api import API
from auspex_demo.main_job import MainJob, until
from auspex_demo.private_platform import PrivatePlatform
from pyarrow import feather, parquet

BINARIES = Path(os.environ.get("AUSPEX_TEST_BINARIES", REPOSITORY / ".build" / "debug"))
PART = 65_536
MINUTE = 60_000_000
#: 2024-03-01T00:00:00Z
BEGINNING = 1_709_251_200_000_000


def columns(days: int = 3) -> dict:
    """Minutes with prices of many digits, a hole, and volumes of eight places."""
    numbers = [number for number in range(days * 1440) if number % 97]

    def price(number: int, more: int = 0) -> float:
        return (1_002_500_000 + number % 50 * 10_000_000 + number + more) / 1e7

    close = [price(number) for number in numbers]
    return {
        "date": pyarrow.array([BEGINNING + number * MINUTE for number in numbers], pyarrow.timestamp("us", "UTC")),
        "open": close, "high": [price(number, 15_000_000) for number in numbers], "low": [price(number, -15_000_000) for number in numbers], "close": close,
        "volume": [round(number % 7 + 0.12345678, 8) for number in numbers]}


def text_of(table: dict) -> bytes:
    stamps = [str(moment)[:19] for moment in table["date"].to_pylist()]
    rows = zip(stamps, *(map(repr, table[name]) for name in ("open", "high", "low", "close", "volume")))
    return "\n".join(["date,open,high,low,close,volume", *map(",".join, rows)]).encode()


class ForeignFiles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.platform = PrivatePlatform("foreign", binaries=BINARIES)
        cls.addClassCleanup(cls.platform.down)
        cls.platform.up()
        job = MainJob(cls.platform.api, cls.platform.plan, cls.platform.control, "/usr/bin/python3")
        cast = job.cast()
        cls.admin, cls.reader = job.as_(cast.admin), job.as_(cast.subscriber)
        key = cls.reader.post("/api/keys", {"name": "notebook", "scopes": ["bars:read"]})["key"]
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.enterClassContext(mock.patch.dict(os.environ, AUSPEX_URL=cls.platform.api.base, AUSPEX_API_KEY=key, AUSPEX_CACHE=str(cls.folder / "cache")))
        cls.program = API(cls.platform.api.base, key=key)

    def begin(self, data: bytes, name: str, part: int = PART, **options) -> str:
        """Uploads a file in parts and has it imported; gives the upload's id."""
        upload = self.admin.post("/api/uploads", {"filename": name, "bytes": len(data), "part_bytes": part})
        for number in range(upload["parts"]):
            self.admin.put(f"/api/uploads/{upload['id']}/parts/{number + 1}", raw=data[number * part:(number + 1) * part], content_type="application/octet-stream")
        self.admin.post(f"/api/uploads/{upload['id']}/import?{urlencode(options)}")
        return upload["id"]

    def ended(self, upload: str) -> dict:
        """The upload as soon as it has ended, one way or the other."""
        def found():
            now = self.admin.get(f"/api/uploads/{upload}")
            return now if now["state"] in ("imported", "failed") else None

        return until(found, 300, f"the import of {upload}")

    def take(self, data: bytes, name: str, **options) -> dict:
        return self.ended(self.begin(data, name, **options))

    def text(self, data: bytes, name: str, **options) -> dict:
        return self.admin.post(f"/api/imports?{urlencode({'filename': name, **options})}", raw=data, content_type="text/csv", seconds=120)

    def bars(self, symbol: str, interval: str = "1m", start: str = "2024-03-01", end: str = "2024-03-06") -> dict:
        """The columns without what names the answer; prices as text."""
        found = self.program.get(f"/api/bars?{urlencode({'instrument': symbol, 'interval': interval, 'start': f'{start}T00:00:00Z', 'end': f'{end}T00:00:00Z', 'limit': 50000})}")
        return found["bars"]

    def test_the_same_rows_in_each_format_are_the_same_bars(self):
        table = columns()
        self.text(text_of(table), "TEXTUSD.csv", symbol="TEXTUSD", asset_class="crypto")
        expected = self.bars("TEXTUSD")
        self.assertEqual(len(expected["close"]), 3 * 1440 - 45)
        arrow = pyarrow.table(table)
        files = {}
        for name, write in {
            "FEATHUSD.feather": lambda sink: feather.write_feather(arrow, sink), "PARQUSD.parquet": lambda sink: parquet.write_table(arrow, sink),
            "OLDUSD.feather": lambda sink: feather.write_feather(arrow.set_column(0, "date", arrow["date"].cast(pyarrow.int64())), sink, version=1),
        }.items():
            sink = io.BytesIO()
            write(sink)
            files[name] = sink.getvalue()
        for name, data in files.items():
            with self.subTest(name):
                symbol = name.partition(".")[0]
                ended = self.take(data, name, symbol=symbol, asset_class="crypto")
                self.assertEqual(ended["state"], "imported", ended)
                self.assertEqual((ended["converted_percent"], ended["result"]["days_added"]), (100, 3), ended)
                self.assertEqual(self.bars(symbol), expected)
                again = self.take(data, name, symbol=symbol, asset_class="crypto")["result"]
                self.assertEqual((again["days_unchanged"], again["days_revised"]), (3, 0), again)

    def test_what_was_exported_comes_back_bit_for_bit(self):
        table = columns(4)
        # Numbers that no short decimal is near to, and some that one is.
        table["close"] = table["open"] = [value / 3 for value in table["close"]]
        table["high"] = [value + 0.1 + 0.2 for value in table["open"]]
        table["low"] = [value / 7 for value in table["open"]]
        self.text(text_of(table), "FROMUSD.csv", symbol="FROMUSD", asset_class="crypto")
        for interval in ("1m", "5m", "1d"):
            exported = auspex.bars("FROMUSD", interval, "2024-03-01", "2024-03-05", as_of="2024-06-01")
            self.assertGreater(len(exported), 3)
            places = [exported.to_parquet(self.folder / f"{interval}.parquet"), exported.to_pystore(self.folder / f"{interval}.zip")]
            for number, place in enumerate(places):
                with self.subTest(place.name):
                    symbol = f"BACK{interval.upper()}{number}USD"
                    ended = self.take(place.read_bytes(), place.name, symbol=symbol, asset_class="crypto")
                    self.assertEqual(ended["state"], "imported", ended)
                    back = auspex.bars(symbol, interval, "2024-03-01", "2024-03-05")
                    for name in ("start", "end", "open", "high", "low", "close", "volume"):
                        numpy.testing.assert_array_equal(getattr(back, name), getattr(exported, name), f"{place.name} {name}")
        # Without a symbol the file's own is taken, which is that of the bars that it was made of: nothing changes.
        own = self.take(places[1].read_bytes(), "whatever.zip")
        self.assertEqual((own["state"], own["result"]["instrument"]), ("imported", "FROMUSD"), own)

    def test_files_that_mean_harm_are_refused(self):
        sink = io.BytesIO()
        parquet.write_table(pyarrow.table(columns()), sink)
        whole = sink.getvalue()
        for data, code in {
            whole[:len(whole) // 2]: "damaged_file", b"PARE" + b"\0" * 100: "encrypted_file", b"FEA1" + struct.pack("<Q", 1 << 60) * 9 + b"FEA1": "damaged_file",
        }.items():
            with self.subTest(code):
                ended = self.take(data, "HARMUSD.parquet")
                self.assertEqual((ended["state"], ended["problem"]["code"]), ("failed", code), ended)

    @unittest.skipUnless(os.environ.get("AUSPEX_SHARED"), "no reference data")
    def test_freqtrades_feather_gives_the_bars_of_its_json(self):
        data = Path(os.environ["AUSPEX_SHARED"]) / "data" / "freqtrade"
        for stem, twin, intervals in (
            ("UNITTEST_BTC-1m", "UNITTEST_BTC-1m.json", ("1m", "5m", "1h")), ("XRP_ETH-trades", "XRP_ETH-trades.json.gz", ("1s", "1m", "5m")),
        ):
            text = (data / twin).read_bytes()
            self.text(text, f"TWIN_{stem}.json", symbol=f"TWIN.{stem.partition('-')[0]}", asset_class="crypto")
            ended = self.take((data / f"{stem}.feather").read_bytes(), f"{stem}.feather")
            self.assertEqual((ended["state"], ended["result"]["bad_row_count"]), ("imported", 0), ended)
            symbol = ended["result"]["instrument"]
            self.assertEqual(symbol, stem.partition("-")[0])
            for interval in intervals:
                expected = self.bars(f"TWIN.{symbol}", interval, "2017-01-01", "2020-01-01")
                self.assertGreater(len(expected["close"]), 200)
                found = self.bars(symbol, interval, "2017-01-01", "2020-01-01")
                self.assertEqual(found.keys(), expected.keys())
                # The Feather's floats miss the decimals of the JSON by the last bit, and are kept as they are.
                for name, values in expected.items():
                    same = [one == other or math.isclose(float(one), float(other), rel_tol=1e-13) for one, other in zip(found[name], values, strict=True)]
                    self.assertTrue(all(same), f"{stem} {interval} {name}")
                if stem.startswith("XRP") and interval != "1s":
                    self.assertEqual(len(expected["close"]), {"1m": 2469, "5m": 706}[interval])

    def test_who_converts_and_who_imports_may_be_killed(self):
        rows = 400 * 1440
        close = pyarrow.array([100 + number % 1000 / 8 for number in range(rows)])
        sink = io.BytesIO()
        times = pyarrow.array(range(BEGINNING, BEGINNING + rows * MINUTE, MINUTE), pyarrow.timestamp("us", "UTC"))
        parquet.write_table(pyarrow.table({"date": times, "open": close, "high": close, "low": close, "close": close}), sink)
        upload = self.begin(sink.getvalue(), "KILLUSD.parquet", 1 << 20, symbol="KILLUSD", asset_class="crypto")

        def look() -> dict:
            return self.admin.get(f"/api/uploads/{upload}")

        def running():
            jobs = self.admin.get("/api/jobs?kind=table_conversion&limit=1")["items"]
            return jobs and jobs[0]["state"] == "running" or look()["state"] != "importing"

        until(running, 120, "the conversion", 0.02)
        self.platform.control.restart_all(["executor"], signal.SIGKILL, 90)
        until(lambda: look()["days_done"] > 0 or look()["state"] != "importing", 200, "the first days", 0.02)
        self.platform.control.restart_all(["marketdata"], signal.SIGKILL, 90)
        ended = self.ended(upload)
        self.assertEqual((ended["state"], ended["days_total"]), ("imported", 400), ended)
        result = ended["result"]
        self.assertEqual((result["days_added"] + result["days_unchanged"], result["days_revised"]), (400, 0), result)
        kept = self.platform.sql("SELECT count(*), max(revision) FROM marketdata.chunks c JOIN marketdata.instruments i ON i.id = c.instrument_id WHERE symbol = 'KILLUSD'")
        self.assertEqual(kept.replace("|", " ").split(), ["400", "1"], "each day once")
        found = self.bars("KILLUSD", "1d", "2024-01-01", "2026-01-01")
        self.assertEqual(len(found["close"]), 400)


if __name__ == "__main__":
    unittest.main()
