"""What containers get: a seccomp profile that follows the engine's own, and a compose file whose parts exist."""

import re
import unittest

import yaml

from auspex_cli.layout import REPOSITORY, SERVICES
from auspex_cli.seccomp_profile import SANDBOX_CALLS, executor_profile


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

    def test_container_files_exist_and_copy_only_what_the_context_has(self):
        for container in self.compose["services"].values():
            if "build" in container:
                text = (REPOSITORY / "compose" / container["build"]["dockerfile"]).read_text()
                for source in re.findall(r"^COPY (\S+)", text, re.MULTILINE):
                    self.assertIn(source, ("bin/", "migrate-all", "tools/uv", "sdk/"))


if __name__ == "__main__":
    unittest.main()
