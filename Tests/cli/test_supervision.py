"""The supervisor: what dies comes back, what changes is started anew, and nothing is left behind."""

import os
import signal
import subprocess
import sys
import unittest
from unittest import mock

from auspex_cli.console import Failure
from auspex_cli.deployment import Choices, Deployment
from auspex_cli.layout import REPOSITORY, Layout
from auspex_cli.platform_control import PlatformControl
from auspex_cli.process import ProcessSpec, alive, wait_until
from auspex_cli.settings import Settings
from auspex_demo.private_platform import PrivatePlatform
from support import folder_for

PROGRAM = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print('up', flush=True); signal.pause()"


class Supervision(unittest.TestCase):
    def setUp(self):
        self.layout = Layout(folder_for(self) / "var")
        self.layout.prepare()
        self.control = PlatformControl(self.layout, owner=os.getpid())
        self.addCleanup(self.control.end)

    def spec(self, name: str, program: str = PROGRAM, **more) -> ProcessSpec:
        return ProcessSpec(name, [sys.executable, "-c", program], str(self.layout.log(name)), **more)

    def pid(self, name: str) -> int | None:
        return self.control.status().get(name, {}).get("pid")

    def test_what_is_killed_comes_back_and_all_of_it_ends(self):
        self.control.apply([self.spec("a"), self.spec("b")])
        self.control.wait_ready(["a", "b"], 60)
        first, other = self.pid("a"), self.pid("b")
        os.kill(first, signal.SIGKILL)
        self.assertTrue(wait_until(lambda: self.pid("a") not in (None, first), 60), "was not started again")
        self.assertEqual(self.pid("b"), other, "the other process was left alone")
        self.assertEqual(self.control.status()["a"]["restarts"], 1)
        pids = [self.pid("a"), self.pid("b")]
        self.assertTrue(self.control.end())
        self.assertFalse(any(alive(pid) for pid in pids))
        self.assertFalse(self.control.end())

    def test_only_what_changed_is_started_anew(self):
        self.control.apply([self.spec("a", replaces="1"), self.spec("b")])
        self.control.wait_ready(["a", "b"], 60)
        before = (self.pid("a"), self.pid("b"))
        self.control.apply([self.spec("a", replaces="2"), self.spec("b")])
        self.assertTrue(wait_until(lambda: self.pid("a") not in (None, before[0]), 60))
        self.assertEqual(self.pid("b"), before[1])
        self.control.apply([self.spec("b")])
        self.assertTrue(wait_until(lambda: "a" not in self.control.status(), 60))

    def test_who_is_not_there_cannot_be_restarted(self):
        self.control.apply([self.spec("a")])
        with self.assertRaises(Failure) as caught:
            self.control.restart("b")
        self.assertEqual((str(caught.exception), caught.exception.exit_code), ("there is no 'b' (there are: a)", 2))

    def test_children_end_with_a_killed_supervisor(self):
        self.control.apply([self.spec("a")])
        self.control.wait_ready(["a"], 60)
        child = self.pid("a")
        os.kill(self.control.pid, signal.SIGKILL)
        self.assertTrue(wait_until(lambda: not alive(child), 60))
        self.assertIsNone(self.control.pid)

    def test_it_ends_with_its_owner_and_not_with_who_started_it(self):
        layout = Layout(folder_for(self) / "var")
        layout.prepare()
        other = PlatformControl(layout)
        self.addCleanup(other.end)
        # Both are started by a process that is gone at once; one is the property of another, one is ours.
        owner = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        self.addCleanup(owner.wait)
        self.addCleanup(owner.kill)
        program = (
            "import sys; from pathlib import Path; from auspex_cli.layout import Layout; from auspex_cli.platform_control import PlatformControl\n"
            "from auspex_cli.process import ProcessSpec\n"
            "for var, owner in zip(sys.argv[1::2], sys.argv[2::2]):\n"
            "    control = PlatformControl(Layout(Path(var)), int(owner))\n"
            "    control.apply([ProcessSpec('a', [sys.executable, '-c', 'import signal; signal.pause()'], var + '/log/a.log')])\n"
            "    control.wait_ready(['a'], 60)\n")
        subprocess.run(
            [sys.executable, "-c", program, str(self.layout.var), str(owner.pid), str(layout.var), str(os.getpid())],
            env=os.environ | {"PYTHONPATH": str(REPOSITORY / "scripts")}, check=True)
        child, supervisor = self.pid("a"), self.control.pid
        self.assertTrue(child and supervisor)
        owner.kill()
        self.assertTrue(wait_until(lambda: not alive(child) and not alive(supervisor), 60), "it is still there")
        self.assertTrue(other.pid and alive(other.status()["a"]["pid"]))

    def test_a_private_platform_belongs_to_who_makes_it(self):
        with mock.patch.dict(os.environ, {"AUSPEX_KEEP": ""}):
            settings = PrivatePlatform("never-up").settings
        self.assertEqual(Deployment(self.layout, Choices(), Settings(settings, "")).control.owner, os.getpid())
        with mock.patch.dict(os.environ, {"AUSPEX_KEEP": "1"}):
            settings = PrivatePlatform("never-up").settings
        self.assertIsNone(Deployment(self.layout, Choices(), Settings(settings, "")).control.owner)

    def test_one_that_keeps_dying_is_told(self):
        self.control.apply([self.spec("a", "import sys; sys.exit('no luck')", readiness_url="http://127.0.0.1:9/")])
        with self.assertRaises(Failure) as caught:
            self.control.wait_ready(["a"], 120)
        # Of one for which the time was over it would be said that it is not ready.
        self.assertIn("keeps ending", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
