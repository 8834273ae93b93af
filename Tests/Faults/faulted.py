"""One platform with two processes of every service and the demo signals on it, shared by all fault tests of a run."""

import atexit
import os
import signal
import unittest
from functools import cache
from pathlib import Path

from auspex_cli.demo import LOCK
from auspex_cli.downloads import Fetched
from auspex_cli.layout import REPOSITORY
from auspex_demo.main_job import MainJob, until
from auspex_demo.market import sources
from auspex_demo.private_platform import PrivatePlatform

BINARIES = Path(os.environ.get("AUSPEX_TEST_BINARIES", REPOSITORY / ".build" / "debug"))
SECONDS_A_BAR = 3.0
SERVICES = ("auth", "marketdata", "signals", "scheduler", "executor")


class Stage:
    """The platform, its cast, and what is said of both. Comes up once; goes when the tests are over."""

    def __init__(self):
        self.platform = PrivatePlatform("faults", replicas=2, binaries=BINARIES)
        atexit.register(self.platform.down)
        self.platform.up()
        self.job = MainJob(self.platform.api, self.platform.plan, self.platform.control, "/usr/bin/python3")
        self.cast = self.job.cast()
        shared = os.environ.get("AUSPEX_SHARED")
        layout = self.platform.layout
        bars = sources(Path(shared) / "data" if shared else None, Fetched(LOCK, layout.downloads / "samples", layout))
        self.job.load_bars(self.cast, bars)
        self.job.start_replays(self.cast, bars, SECONDS_A_BAR)
        self.job.publish(self.cast)
        self.job.subscribe(self.cast)
        for one in self.cast.signals:
            self.job.first_prediction(self.cast, one)


stage = cache(Stage)


class FaultCase(unittest.TestCase):
    """A test breaks something, sees the main job go on, and ends with the audit."""

    @classmethod
    def setUpClass(cls):
        one = stage()
        cls.platform, cls.job, cls.cast = one.platform, one.job, one.cast
        cls.control, cls.sql = one.platform.control, staticmethod(one.platform.sql)

    def newest(self) -> int:
        """The last seq that a subscriber can read; a gateway that has just lost a service says so for a moment."""
        return until(lambda: self.job.rows(self.cast, self.cast.signals[0], 1), 60, "the newest prediction")[0]["seq"]

    def goes_on(self, seconds: float = 150) -> None:
        """A prediction comes that was not there when the fault was over: what was made before it proves nothing."""
        since = self.newest()
        until(lambda: self.newest() > since, seconds, "a prediction after the fault", 0.3)

    def audited(self) -> None:
        """The books agree as soon as what was under way when the fault came has settled."""
        result = self.platform.audited()
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def ended_once(self, job: dict) -> dict:
        """A run that lost its executor ends once all the same: on another attempt, with its rows in the ledger once."""
        ended = self.job.ended_once(self.cast, job)
        self.assertEqual((ended["state"], ended["rows_reported"], ended["rows_recorded"]), ("completed", 1, 1), ended)
        self.assertGreater(ended["attempt"], 1, ended)
        self.assertIsNotNone(ended["occurrence"].get("recorded_at"), ended)
        return ended

    def names(self, *services: str) -> list[str]:
        """The processes of these services, all replicas."""
        return [spec.name for spec in self.control.wanted() if spec.name.partition("-")[0] in services]

    def kill(self, names: list[str], number: int = signal.SIGKILL) -> None:
        self.control.restart_all(names, number, 90)

    def without(self, *prefixes: str) -> None:
        """Stops the processes whose names begin so, and waits until they have gone."""
        self.control.apply([spec for spec in self.control.wanted() if not spec.name.startswith(prefixes)])
        until(lambda: not any(name.startswith(prefixes) for name in self.control.status()), 90, f"{', '.join(prefixes)} being away")
