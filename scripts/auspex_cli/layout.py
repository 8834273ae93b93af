"""Where things are: the checkout, the private `var/` folder, and the ports.

`var/` belongs to whoever runs `./auspex`. Run as root, some processes give root up (Postgres and RabbitMQ refuse to
have it), and they must be able to reach their folders; in a checkout that other users cannot enter (a home folder of
mode 0700) the folders of these processes therefore stand in /var/lib/auspex/<id> instead and `var/state` points there.
"""

import hashlib
import os
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def others_can_enter(folder: Path) -> bool:
    """Whether any user may walk down to this folder."""
    return all(part.stat().st_mode & stat.S_IXOTH for part in [folder, *folder.parents])


@dataclass(frozen=True)
class Layout:
    """The folders of one platform."""

    var: Path

    @cached_property
    def state(self) -> Path:
        """What the servers write: reachable for the users that they run as."""
        link = self.var / "state"
        if link.is_symlink() or link.is_dir():
            return link.resolve()
        self.var.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0 and not others_can_enter(self.var.resolve()):
            away = Path("/var/lib/auspex") / hashlib.sha256(str(self.var.resolve()).encode()).hexdigest()[:12]
            away.mkdir(parents=True, exist_ok=True)
            away.chmod(0o755)
            link.symlink_to(away)
            return away
        link.mkdir()
        link.chmod(0o755)
        return link.resolve()

    @property
    def secrets(self) -> Path:
        return self.var / "secrets"

    @property
    def logs(self) -> Path:
        return self.var / "log"

    @property
    def run(self) -> Path:
        return self.var / "run"

    @property
    def downloads(self) -> Path:
        """What was fetched and checked against its sha256; shared by all platforms of a checkout."""
        return REPOSITORY / "var" / "downloads"

    def log(self, name: str) -> Path:
        self.logs.mkdir(parents=True, exist_ok=True)
        return self.logs / f"{name}.log"

    def prepare(self) -> None:
        for folder in (self.var, self.logs, self.run, self.secrets):
            folder.mkdir(parents=True, exist_ok=True)
        self.secrets.chmod(0o700)
        _ = self.state


SERVICES = ("auth", "signals", "scheduler", "executor", "marketdata")
DATABASE_SERVICES = ("auth", "signals", "scheduler", "marketdata")

# Offsets from the port base (18000 unless told); docs/internal-protocol.md lists the results.
_OFFSETS = {"postgres": 432, "broker": 672, "broker-distribution": 673, "broker-names": 674, "redis-cache": 379, "redis-limits": 380}
_SERVICE_DIGIT = {"auth": 1, "signals": 2, "scheduler": 3, "executor": 4, "marketdata": 5}
MOST_REPLICAS = 9


@dataclass(frozen=True)
class Ports:
    """Every port of one platform, all on loopback."""

    base: int = 18000
    gateway: int = 8080

    def server(self, name: str) -> int:
        return self.base + _OFFSETS[name]

    def public(self, service: str, replica: int = 0) -> int:
        return self.base + 100 + 10 * replica + _SERVICE_DIGIT[service]

    def internal(self, service: str, replica: int = 0) -> int:
        return self.base + 200 + 10 * replica + _SERVICE_DIGIT[service]

    @property
    def first_user_id(self) -> int:
        """Ten thousand user ids without names belong to each platform of a machine: a thousand for the runs of each executor, the last for services."""
        return 200_001 + (self.base // 500) * 10_000

    def sandbox_user_id(self, replica: int = 0) -> int:
        return self.first_user_id + 1_000 * replica

    def user_id(self, service: str) -> int:
        return self.first_user_id + 9_000 + _SERVICE_DIGIT[service]
