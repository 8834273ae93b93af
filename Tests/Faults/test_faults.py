"""Faults in the middle of the main job. Each ends with the audit: nothing lost, nothing doubled."""

import os
import signal
import unittest
from pathlib import Path

from auspex_cli.demo import LOCK
from auspex_cli.downloads import fetch
from auspex_cli.layout import REPOSITORY
from auspex_demo.main_job import MainJob, until
from auspex_demo.market import sources
from auspex_demo.private_platform import PrivatePlatform

BINARIES = Path(os.environ.get("AUSPEX_TEST_BINARIES", REPOSITORY / ".build" / "debug"))


class Faults(unittest.TestCase):
    """One platform with the demo signals running for all of them; each test breaks something and sees it heal."""

    @classmethod
    def setUpClass(cls):
        cls.platform = PrivatePlatform("faults", binaries=BINARIES)
        cls.addClassCleanup(cls.platform.down)
        cls.platform.up()
        cls.job = MainJob(cls.platform.api, cls.platform.plan, cls.platform.control, "/usr/bin/python3")
        cls.cast = cls.job.cast()
        shared = os.environ.get("AUSPEX_SHARED")
        layout = cls.platform.layout
        bars = sources(Path(shared) / "data" if shared else None, fetch(LOCK, layout.downloads / "samples", layout))
        cls.job.load_bars(cls.cast, bars)
        cls.job.start_replays(cls.cast, bars, 3.0)
        cls.job.publish(cls.cast)
        cls.job.subscribe(cls.cast)
        cls.job.first_prediction(cls.cast, cls.cast.signals[0])

    def newest(self) -> int:
        """The last seq that a subscriber can read; a gateway that has just lost a service says so for a moment."""
        rows = until(lambda: self.job.rows(self.cast, self.cast.signals[0], 1), 60, "the newest prediction")
        return rows[0]["seq"]

    def goes_on(self, seconds: float = 150):
        """A prediction comes that was not there when the fault was over: what was made before it proves nothing."""
        since = self.newest()
        until(lambda: self.newest() > since, seconds, "a prediction after the fault", 0.5)

    def audited(self):
        """The books agree as soon as what was under way when the fault came has settled."""
        result = self.platform.audited()
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def kill(self, name: str, number: int = signal.SIGKILL):
        self.platform.control.restart(name, number, 90)

    def test_kill_9_of_each_service(self):
        for service in ("auth", "marketdata", "signals", "scheduler", "executor"):
            with self.subTest(service):
                self.kill(service)
                self.goes_on()
        self.audited()

    def test_kill_9_of_an_executor_in_a_run(self):
        job = self.job.kill_executor_in_a_run(self.cast)
        ended = self.job.ended_once(self.cast, job)
        self.assertEqual((ended["state"], ended["rows_reported"], ended["rows_recorded"]), ("completed", 1, 1), ended)
        self.assertGreater(ended["attempt"], 1, ended)
        self.audited()

    def test_the_broker_restarts(self):
        self.kill("broker", signal.SIGTERM)
        self.goes_on()
        self.kill("broker")
        self.goes_on()
        self.audited()

    def test_postgres_restarts(self):
        self.kill("postgres", signal.SIGTERM)
        self.goes_on()
        self.kill("postgres")
        self.goes_on()
        self.audited()

    def test_redis_goes_away(self):
        wanted = self.platform.control.wanted()
        self.platform.control.apply([spec for spec in wanted if not spec.name.startswith("redis")])
        try:
            until(lambda: not any(name.startswith("redis") for name in self.platform.control.status()), 60, "Redis being away")
            self.goes_on()
        finally:
            self.platform.control.apply(wanted)
        self.platform.wait_ready()
        self.goes_on()
        self.audited()

    def test_the_audit_finds_a_planted_loss_and_a_planted_double(self):
        self.audited()
        sql = self.platform.sql
        which = self.cast.signals[0].id
        lost = "SET session_replication_role = replica; DELETE FROM signals.predictions WHERE signal_id = '{0}' AND seq = 2;"
        with self.subTest("lost"), _Undone(self.platform, which):
            sql(lost.format(which))
            result = self.platform.command("audit")
            self.assertEqual(result.returncode, 1)
            self.assertIn("BAD", result.stdout)
        with self.subTest("doubled"), _Undone(self.platform, which):
            # The rows of one run once more, as a second delivery would write them if nothing stood against it.
            sql(
                "SET session_replication_role = replica;"
                "CREATE TEMP TABLE one AS SELECT * FROM signals.predictions WHERE signal_id = '{0}' AND seq = 2;"
                "UPDATE one SET row = row + 1, seq = (SELECT max(seq) + 1 FROM signals.predictions WHERE signal_id = '{0}');"
                "INSERT INTO signals.predictions SELECT * FROM one;".format(which))
            result = self.platform.command("audit")
            self.assertEqual(result.returncode, 1)
            self.assertIn("BAD", result.stdout)
        self.audited()


class _Undone:
    """Keeps a signal's rows aside and puts them back, with the services that write them standing still meanwhile."""

    def __init__(self, platform: PrivatePlatform, signal_id: str):
        self.platform, self.signal_id = platform, signal_id

    def __enter__(self):
        self.wanted = self.platform.control.wanted()
        resting = [spec for spec in self.wanted if not spec.name.startswith(("signals", "gateway"))]
        self.platform.control.apply(resting)
        until(lambda: not any(name.startswith("signals") for name in self.platform.control.status()), 30, "signals standing still")
        self.platform.sql(f"DROP TABLE IF EXISTS public.kept; CREATE TABLE public.kept AS SELECT * FROM signals.predictions WHERE signal_id = '{self.signal_id}';")

    def __exit__(self, *_):
        self.platform.sql(
            f"SET session_replication_role = replica; DELETE FROM signals.predictions WHERE signal_id = '{self.signal_id}';"
            "INSERT INTO signals.predictions SELECT * FROM public.kept; DROP TABLE public.kept;")
        self.platform.control.apply(self.wanted)
        self.platform.wait_ready()


if __name__ == "__main__":
    unittest.main()
