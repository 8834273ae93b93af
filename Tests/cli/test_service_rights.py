"""Run as root, each service gives root up for a user that reads its own secrets and blobs, and nobody else's."""

import os
import shutil
import signal
import subprocess
import unittest

from auspex_cli.deployment import Choices, Deployment
from auspex_cli.layout import DATABASE_SERVICES, SERVICES, Layout, Ports
from auspex_cli.platform_control import PlatformControl
from auspex_cli.process import ProcessSpec, alive, wait_until
from auspex_cli.service_rights import BELOW_ROOT, ServiceRights, holds_id
from auspex_cli.services import ServicePlan
from auspex_cli.settings import Settings
from support import folder_for

is_root = os.geteuid() == 0
only_for_root = unittest.skipUnless(is_root, "only root can give root up")


def as_user(uid: int, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(arguments, user=uid, group=uid, extra_groups=[], capture_output=True, text=True, cwd="/")


class Identities(unittest.TestCase):
    def test_every_service_of_every_platform_has_an_id_of_its_own(self):
        ids = []
        for base in (1024, 18000, 18500, 60000):
            ports = Ports(base)
            ids += [ports.user_id(service) for service in SERVICES]
            # The runs of an executor use up to a thousand ids from its first on.
            ids += [ports.sandbox_user_id(replica) + number for replica in range(9) for number in (0, 999)]
        self.assertEqual(len(ids), len(set(ids)))

    def test_a_container_with_few_ids_is_known_by_its_map(self):
        self.assertTrue(holds_id("         0          0 4294967295\n", 569002))
        few = "         0       1000          1\n         1     100000      65536\n"
        self.assertTrue(holds_id(few, 65536))
        self.assertFalse(holds_id(few, 569002))


class Rights(unittest.TestCase):
    def setUp(self):
        self.layout = Layout(folder_for(self) / "var")
        self.layout.prepare()
        self.deployment = Deployment(self.layout, Choices(), Settings({}, ""))
        self.plan = ServicePlan(self.deployment, "")
        self.plan.passwords()
        self.plan.write_addresses()
        for name in ("services.jwks", "master.key", *(f"{service}/service-key.pem" for service in SERVICES)):
            self.deployment.secrets.write(name, f"content of {name}")

    def files_told_to(self, service: str, **more) -> dict[str, str]:
        return {name: value for name, value in self.plan.environment(service, **more).items() if name.endswith("_FILE")}

    @only_for_root
    def test_a_service_reads_what_it_is_told_of_and_cannot_change_it(self):
        self.plan.rights.hand_over()
        for service in BELOW_ROOT:
            uid = self.deployment.ports.user_id(service)
            for name, path in self.files_told_to(service).items():
                with self.subTest(service, setting=name):
                    self.assertEqual(as_user(uid, "cat", path).returncode, 0)
                    self.assertNotEqual(as_user(uid, "sh", "-c", f"echo x >> {path}").returncode, 0)
                    self.assertNotEqual(as_user(uid, "rm", "-f", path).returncode, 0)

    @only_for_root
    def test_a_service_reads_no_other_secret(self):
        self.plan.rights.hand_over()
        own = {service: set(self.files_told_to(service).values()) for service in BELOW_ROOT}
        everything = [str(path) for folder in (self.layout.secrets, self.layout.state) for path in folder.rglob("*") if path.is_file()]
        self.assertGreater(len(everything), 40)
        for service in BELOW_ROOT:
            readable = as_user(self.deployment.ports.user_id(service), "sh", "-c", 'for f; do cat "$f" >/dev/null 2>&1 && echo "$f"; done', "sh", *everything)
            self.assertEqual(set(readable.stdout.split()), own[service])
        copies = [path for path in everything if "/credentials/" in path]
        self.assertFalse([path for path in copies if "owner" in path or "migration" in path or path.endswith("-password")])
        self.assertEqual(len([path for path in copies if path.endswith("master.key")]), 1)

    @only_for_root
    def test_what_an_earlier_version_left_to_root_is_handed_over(self):
        old = self.layout.state / "blobs" / "signals" / "ab"
        old.mkdir(parents=True)
        (old / "abcd").write_text("blob")
        (self.layout.state / "blobs").chmod(0o700)
        for path in (self.layout.state / "blobs" / "signals", old):
            path.chmod(0o750)
        (old / "abcd").chmod(0o640)
        (old / "elsewhere").symlink_to(self.layout.secrets / "master.key")
        for _ in range(2):
            self.plan.rights.hand_over()
            own, other = self.deployment.ports.user_id("signals"), self.deployment.ports.user_id("scheduler")
            self.assertEqual(as_user(own, "cat", str(old / "abcd")).stdout, "blob")
            self.assertEqual(as_user(own, "sh", "-c", f"mkdir -p {old.parent}/cd && echo b > {old.parent}/cd/cdef").returncode, 0)
            self.assertNotEqual(as_user(other, "cat", str(old / "abcd")).returncode, 0)
            self.assertEqual((self.layout.secrets / "master.key").stat().st_uid, 0, "a link leads nowhere")

    @only_for_root
    def test_what_a_process_of_root_put_between_is_handed_over_too(self):
        self.plan.rights.hand_over()
        between = self.layout.state / "blobs" / "signals" / "locks"
        between.mkdir(mode=0o750)
        (between / "ab").touch(0o640)
        self.plan.rights.hand_over()
        self.assertEqual(as_user(self.deployment.ports.user_id("signals"), "sh", "-c", f": >> {between}/ab").returncode, 0)

    @only_for_root
    def test_a_process_that_runs_as_somebody_else_is_noticed(self):
        rights = self.plan.rights
        for user, noticed in ((0, True), (rights.user_id("auth"), False)):
            process = subprocess.Popen(["/usr/bin/sleep", "60"], user=user, group=user, extra_groups=[])
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            self.assertEqual(rights.disregarded("auth", process.pid), noticed)
            self.assertFalse(rights.disregarded("executor", process.pid))
        self.assertFalse(rights.disregarded("auth", None))

    @only_for_root
    def test_a_changed_secret_and_another_port_base_reach_the_services(self):
        self.plan.rights.hand_over()
        self.deployment.secrets.write("auth/broker-url", "amqp://new")
        moved = ServiceRights(self.layout, Ports(20000))
        moved.hand_over()
        path = moved.credential("auth", "auth/broker-url")
        self.assertEqual(as_user(Ports(20000).user_id("auth"), "cat", str(path)).stdout, "amqp://new\n")
        self.assertNotEqual(as_user(Ports(18000).user_id("auth"), "cat", str(path)).returncode, 0)

    @only_for_root
    def test_commands_of_ours_and_the_executor_read_where_secrets_are_kept(self):
        self.plan.rights.hand_over()
        folder = str(self.layout.secrets)
        for service in DATABASE_SERVICES:
            for path in self.files_told_to(service, for_command=True, migrating=True).values():
                self.assertTrue(path.startswith(folder), path)
        self.assertIsNone(self.plan.rights.user_id("executor"))
        self.assertEqual(str(self.plan.rights.credential("executor", "executor/broker-url")), f"{folder}/executor/broker-url")

    def test_an_ordinary_user_stays_who_it_is(self):
        rights = ServiceRights(self.layout, self.deployment.ports, as_root=False)
        rights.hand_over()
        self.assertFalse((self.layout.state / "credentials").exists())
        for service in BELOW_ROOT:
            self.assertIsNone(rights.user_id(service))
            self.assertEqual(rights.credential(service, f"{service}/broker-url"), self.layout.secrets / service / "broker-url")
            self.assertEqual(rights.program(service, self.layout.var / "auth"), self.layout.var / "auth")

    @only_for_root
    def test_a_program_in_a_folder_that_others_cannot_enter_is_copied(self):
        hidden = self.layout.var / "hidden"
        hidden.mkdir(mode=0o700)
        shutil.copy("/usr/bin/true", hidden / "auth")
        for _ in range(2):
            program = self.plan.rights.program("auth", hidden / "auth")
            self.assertEqual(program, self.layout.state / "programs" / "auth")
            self.assertEqual(as_user(self.deployment.ports.user_id("auth"), str(program)).returncode, 0)
            # Built anew: the copy follows.
            shutil.copy("/usr/bin/env", hidden / "auth")
        self.assertEqual((self.layout.state / "programs" / "auth").read_bytes(), (hidden / "auth").read_bytes())
        hidden.chmod(0o755)
        self.assertEqual(self.plan.rights.program("auth", hidden / "auth"), hidden / "auth")

    @only_for_root
    def test_a_program_that_the_user_cannot_run_is_told_before_anything_starts(self):
        shutil.copy("/usr/bin/false", self.layout.var / "auth")
        with self.assertRaises(Exception) as caught:
            self.plan.rights.program("auth", self.layout.var / "auth")
        self.assertIn("cannot be run by an unprivileged user", str(caught.exception.reason))


class UnderTheSupervisor(unittest.TestCase):
    @only_for_root
    def test_it_runs_with_its_own_ids_alone_and_ends_with_the_supervisor(self):
        layout = Layout(folder_for(self) / "var")
        layout.prepare()
        control = PlatformControl(layout, owner=os.getpid())
        self.addCleanup(control.end)
        program = "import os, signal; print(os.getresuid(), os.getresgid(), os.getgroups(), flush=True); signal.pause()"
        uid = Ports().user_id("auth")
        control.apply([ProcessSpec("a", ["/usr/bin/python3", "-c", program], str(layout.log("a")), uid=uid)])
        control.wait_ready(["a"], 20)
        self.assertTrue(wait_until(lambda: layout.log("a").read_text() == f"{(uid,) * 3} {(uid,) * 3} []\n", 60), layout.log("a").read_text())
        child = control.status()["a"]["pid"]
        os.kill(control.pid, signal.SIGKILL)
        self.assertTrue(wait_until(lambda: not alive(child), 60))


if __name__ == "__main__":
    unittest.main()
