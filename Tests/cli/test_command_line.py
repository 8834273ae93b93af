"""The command line itself: options, settings, unknown words, help."""

import ast
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from auspex_cli import catalogue
from auspex_cli.console import Failure
from auspex_cli.layout import REPOSITORY, Ports
from auspex_cli.options import Options
from auspex_cli.settings import Settings, read_env_file


def auspex(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([str(REPOSITORY / "auspex"), *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)


class Words(unittest.TestCase):
    def test_an_unknown_command_is_one_clear_line(self):
        result = auspex("fly")
        self.assertEqual(result.returncode, 2)
        self.assertEqual(len(result.stderr.strip().splitlines()), 1)
        self.assertIn("unknown command 'fly'", result.stderr)

    def test_an_unknown_option_is_one_clear_line(self):
        result = auspex("status", "--colour")
        self.assertEqual(result.returncode, 2)
        self.assertEqual(len(result.stderr.strip().splitlines()), 1)
        self.assertIn("--colour", result.stderr)

    def test_help_lists_every_command_with_its_own_words(self):
        text = auspex("help").stdout
        for name in catalogue.names():
            self.assertIn(f"  {name} ", text)
            self.assertIn(catalogue.find(name).summary, text)

    def test_help_of_bench_names_every_scenario(self):
        text = auspex("bench", "--help").stdout
        for path in (REPOSITORY / "bench").glob("*scenarios.py"):
            tables = [node.value for node in ast.parse(path.read_text()).body if isinstance(node, ast.Assign) and node.targets[0].id == "ALL"]
            named = {key.value for table in tables for node in ast.walk(table) if isinstance(node, ast.Dict) for key in node.keys}
            self.assertTrue(named, path)
            self.assertEqual({name for name in named if not re.search(rf"\b{name}\b", text)}, set(), path)

    def test_what_cannot_be_is_refused_before_anything_is_built(self):
        for words, said in (
            (["bench", "claim"], "there is no scenario 'claim'"), (["bench", "--seconds", "2", "claims", "noop"], "there is no scenario 'noop'"),
            (["up", "--source", "coinbase"], "--live is not there"),
            (["up", "--data", "/nowhere"], "'/nowhere' holds no folder"), (["up"], "AUSPEX_TLS_CERTIFICATE and AUSPEX_TLS_KEY go together"),
        ):
            with self.subTest(words), tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, AUSPEX_VAR=folder):
                if words == ["up"]:
                    os.environ["AUSPEX_TLS_KEY"] = "/some/key.pem"
                result = auspex(*words)
                self.assertEqual((result.returncode, len(result.stderr.strip().splitlines())), (2, 1), result.stderr)
                self.assertIn(said, result.stderr)
                self.assertEqual(result.stdout, "")

    def test_every_command_explains_itself(self):
        for name in catalogue.names():
            with self.subTest(name):
                command = catalogue.find(name)
                self.assertTrue(command.summary)
                self.assertTrue(callable(command.module.run))

    def test_commands_without_a_platform_say_so(self):
        for words in (["status"], ["psql"], ["verify-ledger"], ["restart", "auth"]):
            with self.subTest(words):
                result = auspex(*words, "--var", "/nowhere/at/all")
                self.assertNotEqual(result.returncode, 0)
                self.assertIn("there is no platform", result.stderr)


class OptionReader(unittest.TestCase):
    def test_takes_both_forms(self):
        options = Options(["--var", "a", "--port-base=7", "x", "--fast"], flags=("--fast",), values=("--var", "--port-base"))
        self.assertEqual((options.value("--var"), options.value("--port-base"), options.rest, options.has("--fast")), ("a", "7", ["x"], True))

    def test_refuses(self):
        for arguments in (["--no"], ["--var"]):
            with self.subTest(arguments), self.assertRaises(Failure):
                Options(arguments, values=("--var",))
        for text in ("x", "0", "99", "-1", "1.5"):
            with self.subTest(text), self.assertRaises(Failure):
                Options([f"--replicas={text}"], values=("--replicas",)).integer("--replicas", 1, 1, 9)


class EnvironmentFile(unittest.TestCase):
    def test_reads_the_usual_forms(self):
        values = read_env_file("# a\n\nA=1\nexport B='two words'\nC=\"x\" \nD=plain # why\nE=\n")
        self.assertEqual(values, {"A": "1", "B": "two words", "C": "x", "D": "plain", "E": ""})

    def test_a_bad_line_is_named(self):
        with self.assertRaises(Failure) as caught:
            read_env_file("A=1\nwhat is this\n")
        self.assertIn("line 2", caught.exception.reason)

    def test_the_environment_wins_and_services_get_the_rest(self):
        settings = Settings({"AUSPEX_LOG_LEVEL": "debug", "PATH": "x"}, "AUSPEX_LOG_LEVEL=info\nAUSPEX_GATEWAY_PORT=9\nOTHER=1\n")
        self.assertEqual(settings.text("AUSPEX_LOG_LEVEL"), "debug")
        self.assertEqual(settings.for_services(), {"AUSPEX_LOG_LEVEL": "debug"})

    def test_a_vendors_account_goes_to_no_service(self):
        account = {f"AUSPEX_DTN_{name}{file}": "x" for name in ("PRODUCT_ID", "LOGIN", "PASSWORD") for file in ("", "_FILE")}
        settings = Settings(account | {"AUSPEX_DTN_HOST": "feeds", "AUSPEX_LOG_LEVEL": "debug"}, "")
        self.assertEqual(settings.for_service("marketdata"), {"AUSPEX_DTN_HOST": "feeds", "AUSPEX_LOG_LEVEL": "debug"})
        self.assertEqual(settings.for_service("executor"), {"AUSPEX_LOG_LEVEL": "debug"})


class PortPlan(unittest.TestCase):
    def test_the_defaults_are_those_of_the_protocol_page(self):
        ports = Ports()
        text = (REPOSITORY / "docs" / "internal-protocol.md").read_text()
        for service in ("auth", "signals", "scheduler", "marketdata"):
            self.assertIn(f"{service} {ports.public(service)}/{ports.internal(service)}", text)
        self.assertIn(f"executor –/{ports.internal('executor')}", text)
        self.assertIn(f"Postgres {ports.server('postgres')}", text)
        self.assertIn(f"RabbitMQ {ports.server('broker')}", text)

    def test_nine_replicas_share_no_port(self):
        ports = Ports()
        taken = [ports.public(s, r) for s in ("auth", "signals", "scheduler", "executor", "marketdata") for r in range(9)]
        taken += [ports.internal(s, r) for s in ("auth", "signals", "scheduler", "executor", "marketdata") for r in range(9)]
        taken += [ports.server(name) for name in ("postgres", "broker", "broker-distribution", "broker-names", "redis-cache", "redis-limits")]
        self.assertEqual(len(taken), len(set(taken)))


class EntryScript(unittest.TestCase):
    def test_it_works_from_anywhere_and_through_a_link(self):
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder) / "auspex"
            link.symlink_to(REPOSITORY / "auspex")
            result = subprocess.run([str(link), "version"], capture_output=True, text=True, cwd=folder, env=os.environ)
            self.assertEqual(result.returncode, 0, result.stderr)


if __name__ == "__main__":
    unittest.main()
