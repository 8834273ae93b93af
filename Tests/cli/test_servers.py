"""What the servers are told: passwords, permissions, roles."""

import base64
import hashlib
import re
import unittest
from pathlib import Path

from auspex_cli.deployment import Choices, Deployment
from auspex_cli.layout import Layout
from auspex_cli.servers.broker import BrokerServer, BrokerUser, service_user
from auspex_cli.servers.postgres import PostgresServer, literal
from auspex_cli.servers.redis import RedisServer
from auspex_cli.settings import Settings
from support import folder_for


class Broker(unittest.TestCase):
    def test_the_password_hash_is_rabbitmqs(self):
        raw = base64.b64decode(BrokerUser("a", "secret").password_hash())
        self.assertEqual(raw[4:], hashlib.sha256(raw[:4] + b"secret").digest())

    def test_a_service_says_only_its_own_events(self):
        user = service_user("signals", "x")
        self.assertTrue(re.search(user.topic_write, "signals.signal.published.v1"))
        self.assertFalse(re.search(user.topic_write, "auth.key.changed.v1"))
        self.assertFalse(re.search(user.configure, "auth.keys"))
        self.assertTrue(re.search(user.read, "auspex.events"))
        self.assertFalse(re.search(user.write, "amq.default"), "the default exchange leads to everybody's queues")

    def test_marketdata_hears_of_its_own_jobs(self):
        user = service_user("marketdata", "x")
        for right in (user.configure, user.write, user.read):
            self.assertTrue(re.search(right, "jobs.marketdata"))
        self.assertFalse(re.search(user.write, "scheduler.signals"))

    def test_the_executor_writes_nothing(self):
        user = service_user("executor", "x")
        for name in ("jobs.signal", "auspex.events", "amq.default", "signals.x"):
            self.assertFalse(re.search(user.write, name), name)
            self.assertFalse(re.search(user.configure, name), name)
        self.assertTrue(re.search(user.read, "jobs.signal"))
        self.assertFalse(re.search(user.read, "signals.predictions"))

    def test_the_address_escapes_the_password(self):
        server = BrokerServer(Path("x"), 1, 2, 3, Path("l"), (BrokerUser("a", "p/ss@"),))
        self.assertEqual(server.url("a"), "amqp://a:p%2Fss%40@127.0.0.1:1/")
        self.assertTrue(server.url("a", "a/b").endswith("/a%2Fb"))


class Postgres(unittest.TestCase):
    def test_literals_are_quoted(self):
        self.assertEqual(literal("it's"), "'it''s'")

    def test_the_address_escapes_the_password(self):
        self.assertIn("p%2Fq", PostgresServer(Path("x"), 5, "p/q", Path("l")).url())


class Redis(unittest.TestCase):
    def test_the_address_carries_the_password(self):
        self.assertEqual(RedisServer("limits", Path("x"), 7, "abc", Path("l")).url, "redis://:abc@127.0.0.1:7/0")

    def test_both_of_a_platform_have_a_password_of_their_own(self):
        layout = Layout(folder_for(self) / "var")
        layout.prepare()
        deployment = Deployment(layout, Choices(), Settings({}, ""))
        passwords = set()
        for role in ("cache", "limits"):
            server = deployment.redis(role)
            server.create()
            lines = (server.folder / "redis.conf").read_text().splitlines()
            self.assertEqual([line for line in lines if line.startswith("requirepass")], [f"requirepass {server.password}"])
            self.assertGreater(len(server.password), 40)
            self.assertEqual((server.folder / "redis.conf").stat().st_mode & 0o777, 0o600)
            passwords.add(server.password)
        self.assertEqual(len(passwords), 2)


if __name__ == "__main__":
    unittest.main()
