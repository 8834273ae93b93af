"""The main job through the gateway, once with one and once with two processes of every service."""

import os
import time
import unittest
from pathlib import Path

from auspex_cli.demo import LOCK
from auspex_cli.downloads import Fetched
from auspex_cli.layout import REPOSITORY
from auspex_cli.process import wait_until
from auspex_demo import accounts
from auspex_demo.api import API, APIProblem
from auspex_demo.main_job import MainJob, changed_by_one_byte
from auspex_demo.market import sources
from auspex_demo.private_platform import PrivatePlatform

BINARIES = Path(os.environ.get("AUSPEX_TEST_BINARIES", REPOSITORY / ".build" / "debug"))
SECONDS_A_BAR = 3.0


def real_bars(layout) -> list:
    """Seconds of real trades where the reference data are, else the samples."""
    shared = os.environ.get("AUSPEX_SHARED")
    return sources(Path(shared) / "data" if shared else None, Fetched(LOCK, layout.downloads / "samples", layout))


class MainJobCase:
    """The steps in their order; mixed into a test case for each number of replicas."""

    replicas = 1

    @classmethod
    def setUpClass(cls):
        cls.platform = PrivatePlatform(f"e2e-{cls.replicas}", replicas=cls.replicas, binaries=BINARIES)
        cls.addClassCleanup(cls.platform.down)
        cls.platform.up()
        cls.job = MainJob(cls.platform.api, cls.platform.plan, cls.platform.control, "/usr/bin/python3")
        cls.sources = real_bars(cls.platform.layout)
        cls.cast = cls.job.cast()

    def test_1_real_bars_are_imported_once(self):
        first = self.job.load_bars(self.cast, self.sources)
        again = self.job.load_bars(self.cast, self.sources)
        for answer, repeated in zip(first, again):
            self.assertGreater(answer["rows"], 1000)
            self.assertEqual(answer["bad_row_count"], 0)
            self.assertEqual(repeated["days_added"] + repeated["days_extended"] + repeated["days_revised"], 0, "the same file again changes nothing")

    def test_2_predictions_come_before_their_outcome(self):
        self.job.start_replays(self.cast, self.sources, SECONDS_A_BAR)
        self.job.publish(self.cast)
        self.job.subscribe(self.cast)
        for which in self.cast.signals:
            row = self.job.first_prediction(self.cast, which)
            self.assertEqual(row["seq"], 1)
            self.assertEqual(row["feed"], "replay")
            self.assertEqual(row["version_sha256"], which.version_sha256)
        settled = self.job.settled(self.cast, self.cast.signals[0])
        self.assertGreater(settled["known_now"], 0)
        self.assertEqual(settled["known_when_made"], 0, "no bar that decides it was released when the prediction was made")
        self.assertFalse(settled["outcome"]["counts"], "a replay never counts for a record")

    def test_3_a_killed_executor_ends_the_run_once(self):
        job = self.job.kill_executor_in_a_run(self.cast)
        ended = self.job.ended_once(self.cast, job)
        self.assertEqual(ended["state"], "completed", ended)
        self.assertGreater(ended["attempt"], 1, ended)
        self.assertEqual((ended["rows_reported"], ended["rows_recorded"]), (1, 1), ended)
        self.assertIsNotNone(ended["occurrence"].get("recorded_at"), ended)

    def test_4_the_ledger_verifies_and_a_changed_byte_is_named(self):
        self.job.verify_ledger()
        export = self.job.export(self.cast, self.cast.signals[0])
        self.assertTrue(self.job.verdict(export)["ok"])
        copied, seq = changed_by_one_byte(export)
        verdict = self.job.verdict(copied)
        self.assertFalse(verdict["ok"])
        self.assertEqual(verdict["seq"], seq)

    def test_5_keys_and_entitlements_hold(self):
        which = self.cast.signals[0]
        for api in (self.platform.api, API(self.platform.api.base, key="aus_" + "0" * 38)):
            with self.assertRaises(APIProblem) as caught:
                api.get(f"/api/predictions/{which.id}")
            self.assertEqual(caught.exception.status, 401)
        stranger = self.job.as_(self._stranger())
        with self.assertRaises(APIProblem) as caught:
            stranger.get(f"/api/predictions/{which.id}")
        self.assertEqual((caught.exception.status, caught.exception.code), (403, "not_subscribed"))

    def test_5_limits_of_a_key_hold_over_all_services_and_replicas(self):
        owner = self.job.as_(accounts.register(self.platform.api, "limited", ["subscriber"]))
        paths = ["/api/signals", "/api/bars?instrument=NONE&interval=1h", "/api/jobs"]

        def key_with(**limits) -> tuple[str, API]:
            made = owner.post("/api/keys", {"name": "limited", "scopes": ["predictions:read"], **limits})
            return made["id"], API(self.platform.api.base, key=made["key"])

        def let_in(program: API, path: str) -> bool:
            try:
                program.get(path)
            except APIProblem as problem:
                return problem.code not in ("rate_limited", "usage_exceeded")
            return True

        _, program = key_with(requests_per_minute=4)
        began = time.monotonic()
        admitted = sum(let_in(program, path) for path in paths * 4)
        # Where it took long, some of it has slid out of sight.
        self.assertGreaterEqual(admitted, 4)
        if time.monotonic() - began < 10:
            self.assertEqual(admitted, 4)

        identity, program = key_with(credits=5)
        self.assertEqual(sum(let_in(program, path) for path in paths * 4), 5, "one credit a request, wherever it goes")
        self.assertEqual(owner.get(f"/api/keys/{identity}")["credits"], 0)
        owner.put(f"/api/keys/{identity}", {"credits": None})
        for path in paths:
            self.assertTrue(wait_until(lambda: let_in(program, path), 60), "a limit that was taken away is gone")

    def _stranger(self):
        return accounts.register(self.platform.api, "stranger", ["subscriber"])

    def test_6_what_is_inside_stays_inside(self):
        for path in ("/internal/v1/published", "/metrics", "/readyz", "/healthz", "/internal/v1/keys/verify"):
            with self.subTest(path), self.assertRaises(APIProblem) as caught:
                self.platform.api.get(path)
            self.assertEqual(caught.exception.status, 404)

    def test_7_the_audit_finds_nothing_lost_and_nothing_doubled(self):
        result = self.platform.audited()
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_8_no_secret_is_in_any_log(self):
        secrets = [self.cast.key, self.cast.provider.password, self.cast.subscriber.password, self.cast.admin.password]
        secrets += [path.read_text().strip() for path in self.platform.layout.secrets.rglob("*password") if path.is_file()]
        for log in self.platform.layout.logs.glob("*.log"):
            text = log.read_text(errors="replace")
            for secret in secrets:
                self.assertNotIn(secret, text, log.name)


class OneReplica(MainJobCase, unittest.TestCase):
    replicas = 1


class TwoReplicas(MainJobCase, unittest.TestCase):
    replicas = 2


if __name__ == "__main__":
    unittest.main()
