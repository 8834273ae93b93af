"""Servers for the tests: fresh ones on free ports in `var/test/servers`, gone when the tests are over."""

import contextlib
import shutil
import subprocess
import urllib.request
import base64
from pathlib import Path

from .console import Failure, step
from .layout import REPOSITORY, Layout
from .process import ProcessSpec, alive, free_ports, kill_group, port_answers, stop, wait_until
from .servers.broker import BrokerServer, BrokerUser
from .servers.postgres import PostgresServer
from .servers.redis import RedisServer


class TestServers:
    """PostgreSQL, RabbitMQ with its management interface, and Redis, for one run of the tests."""

    __test__ = False

    def __init__(self, layout: Layout):
        self.layout = layout
        self.folder = layout.state / "servers"
        self.pids = layout.run / "servers.pids"
        self.running: list[tuple[ProcessSpec, subprocess.Popen]] = []
        postgres, broker, distribution, names, management, redis = free_ports(6)
        self.postgres = PostgresServer(self.folder / "postgres", postgres, "test", layout.log("postgres"), throwaway=True, connections=400)
        guest = BrokerUser("guest", "guest", tags=("administrator",))
        self.broker = BrokerServer(self.folder / "broker", broker, distribution, names, layout.log("broker"), (guest,), management)
        self.redis = RedisServer("cache", self.folder / "redis", redis, None, layout.log("redis"))

    def environment(self) -> dict[str, str]:
        """Where the tests find them."""
        return {
            "AUSPEX_TEST_POSTGRES_URL": self.postgres.url(),
            "AUSPEX_TEST_BROKER_URL": self.broker.url("guest"),
            "AUSPEX_TEST_BROKER_ADMIN_URL": f"http://guest:guest@127.0.0.1:{self.broker.management_port}",
            "AUSPEX_TEST_REDIS_URL": self.redis.url,
        }

    def start(self) -> None:
        self._clear_leftovers()
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o755)
        for server in (self.postgres, self.broker, self.redis):
            server.create()
        for spec in [self.postgres.process(), *self.broker.processes(), self.redis.process()]:
            self.running.append((spec, spec.start()))
            if spec.name == "broker-names":
                wait_until(lambda: port_answers(self.broker.names_port), 10)
        self.pids.write_text("\n".join(str(process.pid) for _, process in self.running))
        for name, answers in (
            ("postgres", self.postgres.accepts),
            ("redis", lambda: port_answers(self.redis.port)),
            ("broker", self._management_answers),
        ):
            if not wait_until(lambda: answers() or self._ended(name), 90) or self._ended(name):
                raise Failure(f"the {name} server for the tests did not come up", log=self.layout.log(name))

    def stop(self) -> None:
        for spec, process in reversed(self.running):
            stop(process, spec)
        self.running.clear()
        self.pids.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ended(self, name: str) -> bool:
        return any(spec.name == name and process.poll() is not None for spec, process in self.running)

    def _management_answers(self) -> bool:
        request = urllib.request.Request(f"http://127.0.0.1:{self.broker.management_port}/api/overview")
        request.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(request, timeout=2) as answer:
                return answer.status == 200
        return False

    def _clear_leftovers(self) -> None:
        """An earlier run that was killed may have left servers and folders: only what its own list of processes names is ended."""
        if self.pids.exists():
            for word in self.pids.read_text().split():
                if alive(int(word)) and self._is_ours(int(word)):
                    kill_group(int(word))
        shutil.rmtree(self.folder, ignore_errors=True)

    def _is_ours(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            line = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
            return str(self.folder).encode() in line
        return False


@contextlib.contextmanager
def servers_for_tests(layout: Layout):
    """Runs the servers for the length of a `with` block and yields the environment that points at them."""
    servers = TestServers(layout)
    try:
        with step("start PostgreSQL, RabbitMQ and Redis for the tests", log=layout.log("broker")):
            servers.start()
        yield servers.environment()
    finally:
        servers.stop()


def test_layout() -> Layout:
    layout = Layout(REPOSITORY / "var" / "test")
    layout.prepare()
    return layout


test_layout.__test__ = False  # a helper, not a test
