"""Small steps of `up` and `reset` that a whole platform is too large to show."""

import contextlib
import io
import os
import re
import subprocess
import unittest
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from unittest import mock

from auspex_cli import python_environment
from auspex_cli.bring_up import sandbox_level
from auspex_cli.commands.reset import delete_tree
from auspex_cli.layout import REPOSITORY, SERVICES
from auspex_cli.services import ServicePlan
from auspex_cli.settings import Settings
from support import folder_for


class SandboxLevel(unittest.TestCase):
    def test_is_read_from_the_metrics_as_they_are_written(self):
        text = '# TYPE auspex_sandbox_level gauge\nauspex_sandbox_level{level="full"} 0.0\nauspex_sandbox_level{level="reduced"} 1.0\n'
        self.assertEqual(sandbox_level(text), "reduced")
        self.assertEqual(sandbox_level('auspex_sandbox_level{level="full",replica="1"} 1\n'), "full")
        self.assertIsNone(sandbox_level("nothing"))


class SettingsNobodyReads(unittest.TestCase):
    HELP = "Settings:\n\n  AUSPEX_LOG_LEVEL\n      least level; default info\n  AUSPEX_DATABASE_URL[_FILE]\n      Postgres; required\n"

    def told(self, broken: str | None = None, **values: str) -> list[str]:
        binaries = folder_for(self)
        for service in SERVICES:
            program = binaries / service
            program.write_text(f"#!/bin/sh\ncat <<'END'\n{self.HELP}END\n" if service != broken else "#!/bin/sh\nexit 127\n")
            program.chmod(0o755)
        settings = Settings(values, "")
        deployment = SimpleNamespace(settings=settings, choices=SimpleNamespace(binaries=str(binaries)))
        return ServicePlan(deployment, "", rights=SimpleNamespace()).settings_nobody_reads()

    def test_are_named_with_what_may_have_been_meant(self):
        self.assertEqual(
            self.told(AUSPEX_LOG_LEVL="debug", AUSPEX_GATWAY_PORT="80", AUSPEX_HAT="red", AUSPEX_LOG_LEVEL="info", AUSPEX_DATABASE_URL_FILE="x"),
            ["AUSPEX_GATWAY_PORT (is it AUSPEX_GATEWAY_PORT?)", "AUSPEX_HAT", "AUSPEX_LOG_LEVL (is it AUSPEX_LOG_LEVEL?)"])

    def test_what_is_ours_or_for_a_test_is_no_fault(self):
        self.assertEqual(self.told(AUSPEX_REPLICAS="2", AUSPEX_TEST_REDIS_URL="x", AUSPEX_DTN_LOGIN="x"), [])

    def test_a_program_that_cannot_say_what_it_reads_makes_no_setting_a_fault(self):
        self.assertEqual(self.told("executor", AUSPEX_LOG_LEVEL="info", AUSPEX_HAT="red"), [])

    def test_what_others_of_this_house_read_is_no_fault_and_goes_to_no_service(self):
        """The SDK, the build, the tests and the benchmarks: whatever of their code asks the environment for is known here."""
        asked = re.compile(r'(?:environ|environment)(?:\.get\(|\[)\s*"(AUSPEX_[A-Z0-9_]+)"')
        files = [
            path for folder in ("sdk", "scripts", "bench", "Tests", "Package.swift") for path in [REPOSITORY / folder, *(REPOSITORY / folder).rglob("*")]
            if path.suffix in (".py", ".swift") and path.is_file()]
        names = {name for path in files for name in asked.findall(path.read_text())}
        self.assertLess({"AUSPEX_API_KEY", "AUSPEX_KEEP", "AUSPEX_TARGETS", "AUSPEX_BENCH_TENANTS", "AUSPEX_STORM_SECONDS"}, names)
        # A benchmark and a test give these to programs of services themselves.
        names -= {"AUSPEX_DATABASE_URL", "AUSPEX_REDIS_CACHE_URL", "AUSPEX_UV"}
        given = {name: "x" for name in [*names, "AUSPEX_URL"]}
        self.assertEqual(self.told(**given), [])
        self.assertEqual(Settings(given, "").for_services(), {})


class Environments(unittest.TestCase):
    def test_two_who_want_the_same_make_it_once(self):
        folder, made = folder_for(self), []

        def pretend(arguments: list[str], *_, **__) -> None:
            if "venv" in arguments:
                made.append(arguments)
                (folder / "tools" / "bin").mkdir(parents=True)
            else:
                (folder / "tools" / "bin" / "python").touch()

        with mock.patch.object(python_environment, "must", pretend), contextlib.redirect_stdout(io.StringIO()), ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: python_environment.environment(folder / "tools", ["x==1"], folder / "log"), range(4)))
        self.assertEqual((set(found), len(made)), ({str(folder / "tools" / "bin" / "python")}, 1))


class Deletion(unittest.TestCase):
    def test_folders_that_their_owner_may_not_write_go_too(self):
        folder = folder_for(self)
        outside = folder / "outside"
        outside.mkdir(mode=0o755)
        inner = folder / "state" / "environments" / "one"
        inner.mkdir(parents=True)
        (inner / "requirements.txt").write_text("x")
        (inner / "link").symlink_to(outside)
        for path in (inner, inner.parent):
            path.chmod(0o555)
        (folder / "state" / "closed").mkdir(mode=0o000)
        if os.geteuid() == 0:  # root may do all of this anyway
            subprocess.run(["chown", "-R", "nobody", str(folder)], check=True)
            child = os.fork()
            if child == 0:
                os.setuid(65534)
                try:
                    delete_tree(folder / "state")
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
        else:
            delete_tree(folder / "state")
        self.assertFalse((folder / "state").exists())
        self.assertEqual(outside.stat().st_mode & 0o777, 0o755)


if __name__ == "__main__":
    unittest.main()
