"""Parts of the tests beside each other: what they wait for, what they say, and how they end."""

import contextlib
import io
import sys
import threading
import unittest
from unittest import mock

from auspex_cli import console, runner, side_by_side as module
from auspex_cli.commands import test as test_command
from auspex_cli.console import Failure, say, speaking_as
from auspex_cli.layout import REPOSITORY, Layout
from auspex_cli.outcome import Outcome
from auspex_cli.platform_control import PlatformControl
from auspex_cli.process import alive, wait_until
from auspex_cli.runner import Ended, Running, run_logged
from auspex_cli.side_by_side import side_by_side
from auspex_cli.test_parts import LANES, PARTS, Part
from support import folder_for


def waits_for(name: str, ended: list[str]):
    """A task that waits for what it needs, and notes in `ended` that it was ended meanwhile."""
    def run(lanes) -> Outcome:
        try:
            lanes.wait_for(name)
        except Ended:
            ended.append("waits")
            raise
        return Outcome(passed=1)
    return run


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

        with self.assertRaises(Failure), side_by_side([[runs, runs], [waits_for("build", ended)] * 2]):
            self.assertTrue(begun.wait(60))
            raise Failure("it does not compile")
        self.assertEqual(sorted(ended), ["runs", "waits"])

    def test_what_a_part_has_started_ends_with_it(self):
        """A platform of a part has sessions of its own, which no signal to the part's group reaches."""
        layout, begun = Layout(folder_for(self) / "var"), threading.Event()
        layout.prepare()
        control = PlatformControl(layout)
        self.addCleanup(control.end)
        program = (
            "import os, signal, sys; from pathlib import Path; from auspex_cli.layout import Layout; from auspex_cli.process import ProcessSpec\n"
            "from auspex_cli.platform_control import PlatformControl\n"
            "control = PlatformControl(Layout(Path(sys.argv[1])), owner=os.getpid())\n"
            "control.apply([ProcessSpec('a', [sys.executable, '-c', 'import signal; signal.pause()'], sys.argv[1] + '/log/a.log')])\n"
            "control.wait_ready(['a'], 60); print('up', flush=True); signal.pause()\n")

        def runs(_) -> Outcome:
            run_logged(
                [sys.executable, "-c", program, str(layout.var)], layout.log("part"), environment={"PYTHONPATH": str(REPOSITORY / "scripts")},
                on_line=lambda _: begun.set())
            return Outcome(passed=1)

        with self.assertRaises(Failure), side_by_side([[runs]]):
            self.assertTrue(begun.wait(60))
            pids = [control.pid, control.status()["a"]["pid"]]
            raise Failure("it does not compile")
        self.assertTrue(wait_until(lambda: not any(alive(pid) for pid in pids), 60), "what it has started is still there")

    def test_a_process_that_is_gone_already_is_no_fault(self):
        running = Running()
        process = running.begin([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        with mock.patch.object(runner.os, "killpg", side_effect=ProcessLookupError):
            running.end_all()
        process.kill()
        running.end(process)

    def test_what_goes_wrong_in_one_lane_ends_the_others_at_once(self):
        ended: list[str] = []

        def fails(_) -> Outcome:
            raise ValueError("nobody has thought of this")

        with self.assertRaises(ValueError), side_by_side([[waits_for("what nobody gives", ended)], [fails]]) as lanes:
            last = threading.Timer(60, lanes.give, ["what nobody gives"])
            self.addCleanup(last.cancel)
            last.start()
            lanes.outcome()
        self.assertEqual(ended, ["waits"])

    def test_serial_parts_begin_when_all_is_built(self):
        seen: list[str] = []
        begun = threading.Event()

        def part(_) -> Outcome:
            begun.set()
            seen.append("part")
            return Outcome(passed=1)

        def build(_) -> None:
            begun.wait(1)  # for a part that does not wait; the others do not come before the end of this
            seen.append("build")

        parts = {"quick": Part(part), "built": Part(part, needs_build=True)}
        with (
            mock.patch.multiple(test_command, PARTS=parts, _build_tests=build, ensure=mock.DEFAULT), contextlib.redirect_stdout(io.StringIO()),
        ):
            outcome = test_command._run_parts(["quick", "built"], Layout(folder_for(self) / "var"), None, serial=True)
        self.assertEqual((outcome.passed, seen), (2, ["build", "part", "part"]))

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
