"""`auspex.bars` against the real services: pages that join, a revision that is noticed, and a past that does not move."""

import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock
from urllib.parse import urlencode

import auspex
from auspex_cli.layout import REPOSITORY
from auspex_cli.process import wait_until
from auspex_demo.main_job import MainJob
from auspex_demo.private_platform import PrivatePlatform

BINARIES = Path(os.environ.get("AUSPEX_TEST_BINARIES", REPOSITORY / ".build" / "debug"))
DAYS = [f"2024-01-{day:02}" for day in range(1, 32)] + [f"2024-02-{day:02}" for day in range(1, 8)]


def lines_of(day: str, closes: dict[int, str] | None = None) -> list[str]:
    lines = []
    for minute in range(1440):
        price = 100 + minute % 50
        lines.append(f"{day} {minute // 60:02}:{minute % 60:02}:00,{price},{price + 1},{price - 1},{(closes or {}).get(minute, f'{price}.25')},{minute % 7}")
    return lines


class Notebook(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.platform = PrivatePlatform("notebook", binaries=BINARIES)
        cls.addClassCleanup(cls.platform.down)
        cls.platform.up()
        job = MainJob(cls.platform.api, cls.platform.plan, cls.platform.control, "/usr/bin/python3")
        cast = job.cast()
        cls.admin, cls.reader = job.as_(cast.admin), job.as_(cast.subscriber)
        cls.load([line for day in DAYS for line in lines_of(day)])
        key = cls.reader.post("/api/keys", {"name": "notebook", "scopes": ["bars:read"]})["key"]
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.enterClassContext(mock.patch.dict(os.environ, AUSPEX_URL=cls.platform.api.base, AUSPEX_API_KEY=key, AUSPEX_CACHE=folder))

    @classmethod
    def load(cls, lines: list[str]) -> dict:
        query = urlencode({"filename": "NOTEUSD.csv", "symbol": "NOTEUSD", "asset_class": "crypto"})
        return cls.admin.post(f"/api/imports?{query}", raw="\n".join(["time,open,high,low,close,volume", *lines]).encode(), content_type="text/csv", seconds=120)

    def test_bars_of_a_notebook(self):
        asked = ("NOTEUSD", "1m", "2024-01-01", "2024-02-08")
        whole = auspex.bars(*asked)
        self.assertEqual(len(whole), 1440 * len(DAYS), "more than one page holds")
        closes = []
        start = "2024-01-01T00:00:00Z"
        while start:
            page = self.reader.get(f"/api/bars?instrument=NOTEUSD&interval=1m&start={start}&end=2024-02-08T00:00:00Z&limit=50000")
            closes += page["bars"]["close"]
            start = page["next_start"]
        self.assertEqual(whole.close.tolist(), [float(close) for close in closes])
        self.assertEqual(str(whole.end[-1]), "2024-02-08T00:00:00.000000")
        again = auspex.bars(*asked)
        self.assertTrue(again.from_cache)
        self.assertEqual(again.to_arrow(), whole.to_arrow())

        past = auspex.bars("NOTEUSD", "5m", "2024-01-02", "2024-01-03", as_of="2024-03-01")
        self.assertEqual(len(past), 288)
        adjusted = auspex.bars(*asked, adjustment="split")
        self.assertEqual(adjusted.close.tolist(), whole.close.tolist())
        self.assertTrue(auspex.bars(*asked, adjustment="split").from_cache)

        answer = self.load(lines_of("2024-01-02", {4: "104.75"}))
        self.assertEqual(answer["days_revised"], 1, answer)
        # What is as of now is as of the second that has begun: the correction shows from the next one on.
        self.assertTrue(wait_until(lambda: not auspex.bars(*asked).from_cache, 60))
        corrected = auspex.bars(*asked)
        self.assertTrue(corrected.from_cache)
        self.assertEqual(corrected.close[1440 + 4], 104.75)
        self.assertEqual((corrected.close != whole.close).sum(), 1)
        for cache in (True, False):
            unmoved = auspex.bars("NOTEUSD", "5m", "2024-01-02", "2024-01-03", as_of="2024-03-01", cache=cache)
            self.assertEqual((unmoved.from_cache, unmoved.to_arrow()), (cache, past.to_arrow()), "no correction shows through the past")


if __name__ == "__main__":
    unittest.main()
