"""What the scenarios play on: a private platform, a plain signal that predicts every second, and readers with keys."""

import os
import subprocess
import threading
import time

from auspex_cli.process import basic_environment
from auspex_demo import accounts
from auspex_demo.api import API
from auspex_demo.main_job import MainJob, until
from auspex_demo.market import Source, load, replay
from auspex_demo.private_platform import PrivatePlatform
from pathlib import Path
from service_client import ServiceClient

APP = """from auspex import Prediction, signal


@signal
def predict(context):
    return Prediction(1)
"""

MANIFEST = """name = "Every second"
class = "small"

[schedule]
kind = "interval"
seconds = {seconds}

[output]
kind = "direction"
instrument = "{symbol}"
horizon_seconds = 60
"""


class Stage:
    """Comes up once for all scenarios; what a scenario needs is made when it asks."""

    def __init__(self):
        binaries = os.environ.get("AUSPEX_BENCH_BINARIES")
        # No-ops need no machine: their number is bounded by nothing that a real run would be bounded by.
        room = {"AUSPEX_CAPACITY_CPU": "96", "AUSPEX_CAPACITY_MEGABYTES": "65536", "AUSPEX_RESERVE_MEGABYTES": "0", "AUSPEX_SLOTS_STANDARD": "1"}
        # Two runs at once leave processors idle while they wait for answers of other services.
        room["AUSPEX_SLOTS_SIGNAL"] = "4"
        # Nor are they bounded by what one account may have.
        limits = {"AUSPEX_ACCOUNT_OPEN_JOBS": "10000000", "AUSPEX_ACCOUNT_RUNNING_IN_CLASS": "100000", "AUSPEX_ACCOUNT_RUNNING": "100000"}
        self.platform = PrivatePlatform("bench", binaries=Path(binaries) if binaries else None, settings={"AUSPEX_SLOTS_SMALL": "64"} | room | limits)
        self._cast = None
        self._market = None
        #: The symbol of the year of seconds and how long its import took, once it was imported.
        self.year: tuple[str, float] | None = None

    def __enter__(self) -> "Stage":
        self.platform.up()
        self.job = MainJob(self.platform.api, self.platform.plan, self.platform.control, "/usr/bin/python3")
        return self

    def __exit__(self, *_) -> None:
        self.platform.down()

    def pid(self, service: str) -> int:
        return self.platform.control.status()[service]["pid"]

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.platform.deployment.ports.public(service)}"

    def service_client(self, caller: str, callee: str) -> ServiceClient:
        ports = self.platform.deployment.ports
        return ServiceClient(self.platform.layout.secrets, caller, callee, ports.internal(callee))

    @property
    def plan_binaries(self) -> Path:
        return self.platform.plan.binary("marketdata").parent

    def marketdata(self, *arguments: str) -> subprocess.CompletedProcess:
        """One of marketdata's own commands on the stage's database."""
        environment = basic_environment() | self.platform.plan.environment("marketdata", for_command=True)
        return subprocess.run([str(self.platform.plan.binary("marketdata")), *arguments], env=environment, capture_output=True, text=True)

    def stores(self) -> dict[str, str]:
        """The settings with the addresses of marketdata's database and of the cache: they hold passwords, and so stand on no command line."""
        names = {"AUSPEX_DATABASE_URL": "database-url", "AUSPEX_REDIS_CACHE_URL": "redis-cache-url"}
        secrets = self.platform.deployment.secrets
        return {setting: secrets.path(f"marketdata/{name}").read_text().strip() for setting, name in names.items()}

    @property
    def cast(self):
        self._cast = self._cast or self.job.cast()
        return self._cast

    def market(self):
        """A few made-up bars and a replay of them: what is predicted does not matter here, how fast does."""
        if self._market is None:
            lines = ["Date,Open,High,Low,Close,Volume"]
            for minute in range(24 * 60):
                price = 100 + (minute * 37 % 101) / 100
                lines.append(f"2024-01-02 {minute // 60:02}:{minute % 60:02}:00,{price},{price},{price},{price},1")
            path = self.platform.layout.var / "bench-bars.csv"
            path.write_text("\n".join(lines) + "\n")
            source = Source(path, "BENCH.csv", "BENCH", "2024-01-02T01:00:00Z", "1m", 60, (("symbol", "BENCH"), ("time_zone", "UTC"), ("asset_class", "crypto")))
            load(self.job.as_(self.cast.admin), source)
            self._market = replay(self.job.as_(self.cast.provider), source, 60.0)
        return self._market

    def publish(self, seconds: int) -> str:
        """A plain Python signal on an interval; gives its id."""
        provider = self.job.as_(self.cast.provider)
        signal = provider.post("/api/signals", {"name": "Every second", "description": "for a benchmark"})
        files = [
            {"path": "app.py", "text": APP}, {"path": "requirements.txt", "text": ""},
            {"path": "auspex.toml", "text": MANIFEST.format(seconds=seconds, symbol=self.market().symbol)},
        ]
        provider.post(f"/api/signals/{signal['id']}/versions", {"files": files})
        until(lambda: provider.post(f"/api/signals/{signal['id']}/publish", {"version": 1}), 20, "publishing")
        return signal["id"]

    def unpublish(self, signal_id: str) -> None:
        self.job.as_(self.cast.provider).post(f"/api/signals/{signal_id}/unpublish")

    def reader_keys(self, signal_id: str, count: int) -> list[str]:
        """A subscriber with so many keys."""
        subscriber = self.job.as_(self.cast.subscriber)
        subscriber.post("/api/subscriptions", {"signal_id": signal_id})
        return [accounts.make_key(subscriber, f"reader {number}", ["predictions:read"]) for number in range(count)]


class KeyRevoker(threading.Thread):
    """Makes and revokes a key every second, and remembers how long each could still read."""

    def __init__(self, stage: Stage, signal_id: str):
        super().__init__(daemon=True)
        self.stage, self.signal_id = stage, signal_id
        self.over = threading.Event()
        self.stale_seconds: list[float] = []

    def run(self) -> None:
        subscriber = self.stage.job.as_(self.stage.cast.subscriber)
        while not self.over.wait(1.0):
            made = subscriber.post("/api/keys", {"name": "short-lived", "scopes": ["predictions:read"]})
            reader = API(self.stage.url("signals"), key=made["key"])
            reader.get(f"/api/predictions/{self.signal_id}")
            subscriber.delete(f"/api/keys/{made['id']}")
            revoked = time.monotonic()
            try:
                while time.monotonic() - revoked < 10:
                    reader.get(f"/api/predictions/{self.signal_id}")
            except Exception:  # refused: that is what is waited for
                pass
            self.stale_seconds.append(time.monotonic() - revoked)

    def stop(self) -> None:
        self.over.set()
        self.join(30)


