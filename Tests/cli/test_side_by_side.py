"""Parts of the tests beside each other: what they wait for, what they say, and how they end."""

import contextlib
import io
import sys
import threading
import unittest
from unittest import mock

from auspex_cli import console, runner, side_by_side as module
from auspex_cli.console import Failure, say, speaking_as
from auspex_cli.outcome import Outcome
from auspex_cli.runner import Ended, Running, run_logged
from auspex_cli.side_by_side import side_by_side
from auspex_cli.test_parts import LANES, PARTS
from support import folder_for


class SideBySide(unittest.TestCase):
    def setUp(self):
        # An end is for good: each test has programs of its own to end.
        running = Running()
        for place in (runner, module):
            self.enterContext(mock.patch.object(place, "running", running))

    def test_lanes_run_at_the_same_time_and_each_in_its_order(self):
        meeting = threading.Barrier(2, timeout=60)
        seen: list[str] = []

        def task(name: str, meets: bool = False):
            def run(_) -> Outcome:
                if meets:
                    meeting.wait()
                seen.append(name)
                return Outcome(passed=1, failures=[name])
            return run

        with side_by_side([[task("a", True), task("b")], [task("c", True), task("d")]]) as lanes:
            outcome = lanes.outcome()
        self.assertEqual((outcome.passed, outcome.failures), (4, ["a", "b", "c", "d"]))
        self.assertLess(seen.index("a"), seen.index("b"))
        self.assertLess(seen.index("c"), seen.index("d"))

    def test_who_needs_something_waits_until_it_is_given(self):
        seen: list[object] = []

        def task(lanes) -> Outcome:
            seen.append(lanes.wait_for("build"))
            return Outcome(passed=1)

        with side_by_side([[task]]) as lanes:
            self.assertEqual(seen, [])
            lanes.give("build", "built")
            self.assertEqual(lanes.outcome().passed, 1)
        self.assertEqual(seen, ["built"])

    def test_a_failed_build_ends_what_runs_and_what_waits(self):
        begun, log = threading.Event(), folder_for(self) / "log"
        ended: list[str] = []

        def runs(_) -> Outcome:
            try:
                run_logged([sys.executable, "-c", "print('here', flush=True); import signal; signal.pause()"], log, on_line=lambda _: begun.set())
                run_logged([sys.executable, "-c", ""], log)
            except Ended:
                ended.append("runs")
                raise
            return Outcome(passed=1)

        def waits(lanes) -> Outcome:
            try:
                lanes.wait_for("build")
            except Ended:
                ended.append("waits")
                raise
            return Outcome(passed=1)

        with self.assertRaises(Failure), side_by_side([[runs, runs], [waits, waits]]):
            self.assertTrue(begun.wait(60))
            raise Failure("it does not compile")
        self.assertEqual(sorted(ended), ["runs", "waits"])

    def test_lines_of_several_have_names(self):
        with contextlib.redirect_stdout(io.StringIO()) as said:
            with speaking_as("e2e"), console.step("install something"):
                say("  one")
            say("  two")
        first, second, third = said.getvalue().splitlines()
        self.assertEqual((first, third), ("e2e           one", "  two"))
        self.assertTrue(second.startswith("e2e           ✓ install something"), second)

    def test_each_part_has_a_lane(self):
        self.assertEqual(sorted(part for lane in LANES for part in lane), sorted(PARTS))


if __name__ == "__main__":
    unittest.main()
