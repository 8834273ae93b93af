"""The OpenAPI documents are true: what they describe is sent to the running services, and what comes back is held against them."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import yaml
from auspex_cli import openapi
from auspex_cli.layout import DATABASE_SERVICES, REPOSITORY, SERVICES
from auspex_demo.main_job import MainJob
from auspex_demo.private_platform import PrivatePlatform

BINARIES = Path(os.environ.get("AUSPEX_TEST_BINARIES", REPOSITORY / ".build" / "debug"))
SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# These would end the session or lock out the account that everything else is asked with; an answer of the last one has no end to wait for.
DANGEROUS = r"^/api/(logout|refresh|me$|me/password|me/sessions|stream/)"

# An event stream has no end: what comes within these seconds is held against its description.
SETTINGS = """
[[operations]]
include-path-regex = "/stream$"
request-timeout = 3
"""

# Their answers to an administrator are others than to a provider.
ANSWERS_ADMINISTRATORS = ("auth", "marketdata")


@unittest.skipUnless(SCHEMATHESIS.exists(), "schemathesis is not installed in this environment")
class Descriptions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.platform = PrivatePlatform("descriptions", binaries=BINARIES)
        cls.addClassCleanup(cls.platform.down)
        cls.platform.up()
        job = MainJob(cls.platform.api, cls.platform.plan, cls.platform.control, "/usr/bin/python3")
        cast = job.cast()
        cls.tokens = {"provider": job.as_(cast.provider).token, "admin": job.as_(cast.admin).token}

    def test_each_service_answers_as_described(self):
        for service, document in openapi.read_all().items():
            for role in ("provider", "admin") if service in ANSWERS_ADMINISTRATORS else ("provider",):
                with self.subTest(service, role=role):
                    self.hold(service, role, document, self.platform.api.base)

    def test_the_executors_operational_port_answers_as_described(self):
        document = yaml.safe_load((REPOSITORY / "services" / "executor" / "openapi.yaml").read_text())
        for replica in range(self.platform.replicas):
            port = self.platform.deployment.ports.internal("executor", replica)
            self.hold("executor", "nobody", document, f"http://127.0.0.1:{port}")

    def hold(self, service: str, role: str, document: dict, base: str):
        # One identity for all requests; made-up credentials are the business of the services' own tests.
        document = json.loads(json.dumps(document, default=str))
        document.get("components", {}).pop("securitySchemes", None)
        document.pop("security", None)
        for item in document["paths"].values():
            for operation in item.values():
                if isinstance(operation, dict):
                    operation.pop("security", None)
        with tempfile.TemporaryDirectory() as folder:
            described, settings = Path(folder) / "openapi.json", Path(folder) / "schemathesis.toml"
            described.write_text(json.dumps(document))
            settings.write_text(SETTINGS)
            caller = ["-H", f"Authorization: Bearer {self.tokens[role]}"] if role in self.tokens else []
            result = subprocess.run(
                [str(SCHEMATHESIS), "--config-file", str(settings), "run", str(described), "--url", base, *caller,
                 "--phases", "examples,fuzzing", "--checks", CHECKS, "--max-examples", "20", "--seed", "1", "--exclude-path-regex", DANGEROUS,
                 "--suppress-health-check", "all", "--no-color", "--max-failures", "20"],
                capture_output=True, text=True, cwd=folder)
        log = self.platform.layout.var.parent / f"schemathesis-{service}-{role}.log"
        log.write_text(result.stdout + result.stderr)
        self.assertEqual(result.returncode, 0, f"{log}:\n{result.stdout[-4000:]}")

    def test_every_service_has_a_description(self):
        self.assertEqual(set(openapi.read_all()), set(DATABASE_SERVICES), "what the gateway serves")
        described = {path.parent.name for path in (REPOSITORY / "services").glob("*/openapi.yaml")}
        self.assertEqual(described, set(SERVICES))


if __name__ == "__main__":
    unittest.main()
