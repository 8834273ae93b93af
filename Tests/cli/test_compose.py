"""What containers get: a seccomp profile that follows the engine's own, and a compose file whose parts exist."""

import os
import re
import subprocess
import unittest
from pathlib import Path

import yaml

from auspex_cli.compose_files import ComposeFiles
from auspex_cli.layout import DATABASE_SERVICES, REPOSITORY, SERVICES
from auspex_cli.process import free_ports, port_answers, wait_until
from auspex_cli.seccomp_profile import SANDBOX_CALLS, executor_profile
from support import folder_for


class Seccomp(unittest.TestCase):
    DEFAULT = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["mount", "bpf"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["chroot"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_SYS_CHROOT"]}},
        ],
    }

    def test_allows_the_sandbox_and_keeps_every_other_refusal(self):
        profile = executor_profile(self.DEFAULT)
        self.assertEqual(profile["syscalls"][0]["names"], SANDBOX_CALLS)
        refused = {name for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ERRNO" for name in rule["names"]}
        self.assertEqual(refused, {"bpf"})
        self.assertEqual(profile["defaultAction"], "SCMP_ACT_ERRNO")

    def test_a_profile_that_allows_by_default_is_refused(self):
        with self.assertRaises(ValueError):
            executor_profile({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []})


class ComposeFile(unittest.TestCase):
    def setUp(self):
        self.compose = yaml.safe_load((REPOSITORY / "compose" / "compose.yaml").read_text())

    def test_every_service_has_a_container_without_privilege(self):
        for service in (*SERVICES, "gateway", "migrations"):
            container = self.compose["services"][service]
            self.assertEqual(container["cap_drop"], ["ALL"], service)
            self.assertTrue(container["read_only"], service)
            self.assertIn("no-new-privileges:true", container["security_opt"], service)
            self.assertNotIn("privileged", container)
            self.assertIn("mem_limit", container)
            self.assertIn("pids_limit", container)

    def test_only_the_gateway_has_a_port_and_the_executor_no_database(self):
        with_ports = [name for name, container in self.compose["services"].items() if "ports" in container]
        self.assertEqual(with_ports, ["gateway"])
        self.assertNotIn("postgres", str(self.compose["services"]["executor"]))

    def test_the_executor_meets_only_those_that_it_works_for(self):
        networks = {name: set(container["networks"]) for name, container in self.compose["services"].items()}
        met = {name for name, of_it in networks.items() if name != "executor" and of_it & networks["executor"]}
        self.assertEqual(met, {"broker", "scheduler", "signals", "marketdata"})
        leading_out = {name for name, network in self.compose["networks"].items() if not network.get("internal")}
        self.assertEqual({name for name, of_it in networks.items() if of_it & leading_out}, {"executor", "gateway"})
        self.assertEqual(set().union(*networks.values()), set(self.compose["networks"]))

    def test_the_executor_may_drain_before_it_is_killed(self):
        settings = (REPOSITORY / "services" / "executor" / "ExecutorSettings.swift").read_text()
        drain = int(re.search(r'"AUSPEX_DRAIN_SECONDS".*default: (\d+)', settings)[1])
        self.assertGreaterEqual(int(self.compose["services"]["executor"]["stop_grace_period"].rstrip("s")), drain + 10)

    def test_the_operators_script_keeps_to_its_bounds_and_acts_on_what_it_was_told_alone(self):
        """The script of docs/operators.md, with a stand-in for docker: what it asks for, by what waits and how many executors there are."""
        script = next(text for text in re.findall(r"```sh\n(.*?)```", (REPOSITORY / "docs" / "operators.md").read_text(), re.S) if "least=" in text)
        folder = folder_for(self)
        (folder / "docker").write_text("""#!/bin/sh
case "$*" in
"compose exec -T gateway curl "*" http://scheduler:8081/metrics") cat "$FOLDER/metrics" ;;
"compose ps -q executor") cat "$FOLDER/executors" ;;
"compose up "*) echo "$*" >> "$FOLDER/asked" ;;
*) exit 2 ;;
esac
""")
        (folder / "docker").chmod(0o755)
        wait = 'auspex_scheduler_claimable_oldest_seconds{class="%s"} %s\n'
        quiet, others = wait % ("signal", "0"), wait % ("marketdata", "900")
        for metrics, executors, scale in (
            (quiet + wait % ("small", "15.9") + others, 2, None), (quiet + wait % ("small", "16.2"), 2, 3), (wait % ("large", "700") + quiet, 6, None),
            (quiet + others, 3, 2), (quiet, 2, None), (quiet, 1, 2), ("auspex_other 1\n", 3, None), (None, 3, None),
        ):
            with self.subTest(metrics=metrics, executors=executors):
                for name in ("metrics", "asked"):
                    (folder / name).unlink(missing_ok=True)
                if metrics is not None:
                    (folder / "metrics").write_text(metrics)
                (folder / "executors").write_text("0123456789ab\n" * executors)
                subprocess.run(
                    ["sh", "-c", script.replace("/path/to/compose", str(folder))], capture_output=True,
                    env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "FOLDER": str(folder)})
                asked = (folder / "asked").read_text() if (folder / "asked").exists() else ""
                self.assertEqual(asked, "" if scale is None else f"compose up -d --no-deps --no-recreate --scale executor={scale} executor\n")

    def test_what_a_redis_mounts_and_runs_is_written(self):
        folder = folder_for(self) / "compose"
        ComposeFiles(folder, Path("nowhere"), Path("nowhere"))._servers()
        for role in ("cache", "limits"):
            container = self.compose["services"][f"redis-{role}"]
            source, target, _ = container["volumes"][0].split(":")
            written = folder / Path(source).relative_to("../var/compose")
            for inside in (container["command"][1], container["healthcheck"]["test"][2]):
                self.assertTrue((written / Path(inside).relative_to(target)).is_file(), inside)
            # Some engines split the words of a health check at blanks.
            self.assertFalse([word for word in container["healthcheck"]["test"] if " " in word])

    def test_container_files_exist_and_copy_only_what_the_context_has(self):
        for container in self.compose["services"].values():
            if "build" in container:
                text = (REPOSITORY / "compose" / container["build"]["dockerfile"]).read_text()
                for source in re.findall(r"^COPY (\S+)", text, re.MULTILINE):
                    self.assertIn(source, ("bin/", "migrate-all", "tools/uv", "sdk/"))


class RedisPasswords(unittest.TestCase):
    def setUp(self):
        self.folder = folder_for(self) / "compose"
        self.files = ComposeFiles(self.folder, Path("nowhere"), Path("nowhere"))
        self.files._servers()

    def password(self, role: str) -> str:
        return (self.folder / "redis" / role / "password").read_text()

    def test_each_role_has_one_of_its_own_and_services_read_it_from_a_file(self):
        self.assertNotEqual(self.password("cache"), self.password("limits"))
        for service in DATABASE_SERVICES:
            self.files._addresses(service)
            values = self.files._environment(service)
            for role in ("cache", "limits"):
                self.assertNotIn(f"AUSPEX_REDIS_{role.upper()}_URL", values)
                self.assertEqual(values[f"AUSPEX_REDIS_{role.upper()}_URL_FILE"], f"/run/auspex/{service}/redis-{role}-url")
                address = (self.folder / "secrets" / service / f"redis-{role}-url").read_text()
                self.assertEqual(address, f"redis://:{self.password(role)}@redis-{role}:6379/0\n")
            if service != "scheduler":
                self.assertEqual(values["AUSPEX_SCHEDULER_URL"], "http://scheduler:8081")
            self.assertFalse([value for value in values.values() if self.password("cache") in value or self.password("limits") in value])

    def test_the_executor_is_told_of_no_redis(self):
        self.files._addresses("executor")
        self.assertEqual([path.name for path in (self.folder / "secrets" / "executor").iterdir()], ["broker-url"])

    def test_a_real_redis_refuses_strangers_and_the_health_check_gets_in(self):
        folder, (port,) = self.folder / "redis" / "cache", free_ports(1)
        server = subprocess.Popen(
            ["redis-server", str(folder / "redis.conf"), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)],
            stdout=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        self.assertTrue(wait_until(lambda: port_answers(port), 60))
        stranger = subprocess.run(["redis-cli", "-p", str(port), "get", "a"], capture_output=True, text=True)
        self.assertIn("NOAUTH", stranger.stdout + stranger.stderr)

        # The same words as in the container, with this folder and this port in the place of its own.
        (folder / "redis-cli").write_text(f'#!/bin/sh\nexec /usr/bin/redis-cli -p {port} "$@"\n')
        (folder / "redis-cli").chmod(0o755)
        text = (folder / "healthy").read_text().replace("/run/auspex/redis", str(folder))

        def healthy() -> int:
            return subprocess.run(["sh", "-c", text], env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}, capture_output=True).returncode

        self.assertEqual(healthy(), 0)
        (folder / "password").write_text("another")
        self.assertNotEqual(healthy(), 0)


if __name__ == "__main__":
    unittest.main()
