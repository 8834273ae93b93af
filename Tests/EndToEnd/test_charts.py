"""Charts through the gateway: a session, its columns in parts, the datafeed by a token in the path, and logs without that token."""

import gzip
import http.client
import json
import os
import unittest
from pathlib import Path
from urllib.parse import urlencode

from auspex_cli.layout import REPOSITORY
from auspex_cli.process import wait_until
from auspex_demo.main_job import MainJob
from auspex_demo.private_platform import PrivatePlatform

BINARIES = Path(os.environ.get("AUSPEX_TEST_BINARIES", REPOSITORY / ".build" / "debug"))


class Charts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.platform = PrivatePlatform("charts", binaries=BINARIES, settings={"AUSPEX_RESAMPLE_ALL_ROWS": "7000"})
        cls.addClassCleanup(cls.platform.down)
        cls.platform.up()
        job = MainJob(cls.platform.api, cls.platform.plan, cls.platform.control, "/usr/bin/python3")
        cast = job.cast()
        lines = ["time,open,high,low,close,volume"]
        for day in range(1, 6):
            for minute in range(1440):
                price = 100 + minute % 50
                lines.append(f"2024-01-0{day} {minute // 60:02}:{minute % 60:02}:00,{price},{price + 1},{price - 1},{price}.25,{minute % 7}")
        query = urlencode({"filename": "CHARTUSD.csv", "symbol": "CHARTUSD", "asset_class": "crypto"})
        job.as_(cast.admin).post(f"/api/imports?{query}", raw="\n".join(lines).encode(), content_type="text/csv", seconds=120)
        cls.reader = job.as_(cast.subscriber)
        cls.admin = job.as_(cast.admin)
        cls.token = cls.reader.get("/utils/session/initiate")["session_token"]

    def ask(self, method: str, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        """Without any credential but what stands in the path."""
        connection = http.client.HTTPConnection(self.platform.api.base.removeprefix("http://"), timeout=60)
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer, body

    def test_all_parts_joined_are_one_call(self):
        asked = f"symbol=CHARTUSD&interval=1m&start=2024-01-01&end=2024-01-05&session_token={self.token}"
        answer, body = self.ask("GET", f"/historical/?{asked}")
        self.assertEqual(answer.status, 200, body[:300])
        part = json.loads(body)
        self.assertEqual(part["count"], 5000)
        closes = part["columns"]["close"]
        while part["has_more"]:
            _, body = self.ask("GET", f"/historical/chunk?request_id={part['request_id']}&before={part['next_before']}&session_token={self.token}")
            part = json.loads(body)
            closes = part["columns"]["close"] + closes
        whole = self.reader.get("/api/bars?instrument=CHARTUSD&interval=1m&start=2024-01-01T00:00:00Z&end=2024-01-06T00:00:00Z&limit=50000")
        self.assertEqual(closes, whole["bars"]["close"])

        packed, bytes_ = self.ask("GET", f"/historical?{asked}", Accept_Encoding="gzip")
        self.assertEqual(packed.getheader("Content-Encoding"), "gzip")
        self.assertEqual(json.loads(gzip.decompress(bytes_))["count"], 5000)
        self.assertIn("Accept-Encoding", packed.getheader("Vary"))

    def test_the_other_intervals_are_made_behind_a_chart(self):
        asked = f"symbol=CHARTUSD&start=2024-01-01&end=2024-01-05&session_token={self.token}"
        self.assertEqual(self.ask("GET", f"/historical/?interval=5m&{asked}")[0].status, 200)

        def jobs() -> list[dict]:
            return self.admin.get("/api/jobs?kind=resample_all")["items"]

        self.assertTrue(wait_until(lambda: any(job["state"] == "completed" for job in jobs()), 60), jobs())
        made = next(job for job in jobs() if job["state"] == "completed")["result"]["made"]
        self.assertEqual(made, ["1m", "5m", "15m", "30m", "1h", "4h", "1d"])
        self.assertEqual(self.reader.get("/api/jobs?kind=resample_all")["items"], [])
        # A chart of one of them, and the general question, find their answers.
        before = self.cache_hits()
        self.assertEqual(json.loads(self.ask("GET", f"/historical/?interval=4h&{asked}")[1])["count"], 30)
        self.reader.get("/api/bars?instrument=CHARTUSD&interval=30m&start=2024-01-01T00:00:00Z&end=2024-01-06T00:00:00Z")
        self.assertEqual(self.cache_hits(), before + 2)

    def cache_hits(self) -> int:
        port = self.platform.deployment.ports.internal("marketdata", 0)
        connection = http.client.HTTPConnection(f"127.0.0.1:{port}", timeout=60)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        return next(int(line.split()[1]) for line in lines if line.startswith("marketdata_result_cache_hits_total"))

    def test_the_library_needs_the_path_alone(self):
        base = f"/udf/session/{self.token}"
        configuration, body = self.ask("GET", f"{base}/config", Origin="https://charts.example.org")
        self.assertEqual(configuration.status, 200, body)
        self.assertEqual(configuration.getheader("Access-Control-Allow-Origin"), "*")
        symbol = json.loads(self.ask("GET", f"{base}/symbols?symbol=CHARTUSD")[1])
        self.assertEqual((symbol["session"], symbol["pricescale"], symbol["has_daily"]), ("24x7", 100, True))
        history = json.loads(self.ask("GET", f"{base}/history?symbol=CHARTUSD&resolution=1D&from=0&to=1704412800&countback=3")[1])
        self.assertEqual(history["t"], [1704153600, 1704240000, 1704326400])
        self.assertEqual(self.ask("GET", "/udf/session/x/config")[0].status, 401)
        asked, _ = self.ask("OPTIONS", "/utils/session/heartbeat", Origin="https://charts.example.org", Access_Control_Request_Method="POST")
        self.assertEqual((asked.status, asked.getheader("Access-Control-Allow-Origin")), (204, "*"))
        beat, body = self.ask("POST", f"/utils/session/heartbeat?session_token={self.token}")
        self.assertEqual(beat.status, 200, body)

    def test_the_token_stands_in_no_log(self):
        self.ask("GET", f"/udf/session/{self.token}/time")
        self.ask("GET", f"/udf/session/{self.token}/no/such/thing")
        self.ask("GET", f"/historical/?session_token={self.token}")
        self.assertTrue(wait_until(lambda: "/udf/session/…/no/such/thing" in self.platform.log("marketdata"), 60))
        for log in self.platform.layout.logs.glob("*.log"):
            self.assertNotIn(self.token, log.read_text(errors="replace"), log.name)


if __name__ == "__main__":
    unittest.main()
