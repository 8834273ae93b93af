"""A second platform beside whatever runs: for tests and benchmarks, on ports of its own, deleted at the end."""

import json
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

from auspex_cli import owner
from auspex_cli.layout import REPOSITORY, Layout
from auspex_cli.deployment import Choices, Deployment
from auspex_cli.platform_control import PlatformControl
from auspex_cli.process import port_is_free, wait_until
from auspex_cli.services import ServicePlan
from auspex_cli.settings import Settings

from .api import API


class PrivatePlatform:
    """Brings a platform up in `var/NAME` through `./auspex` itself, and takes it away again. It ends with this process, even when that is killed."""

    def __init__(self, name: str, *, replicas: int = 1, binaries: Path | None = None, settings: dict[str, str] | None = None):
        self.layout = Layout(REPOSITORY / "var" / "private" / name)
        self.replicas, self.binaries = replicas, binaries
        self.base: int | None = None
        # One machine does everything at once here: the limit per address must not be what is measured, nor the price of a password.
        self.settings = {"AUSPEX_GATEWAY_RATE": "100000", "AUSPEX_GATEWAY_BURST": "100000", "AUSPEX_BCRYPT_COST": "6"} | (settings or {})
        if not os.environ.get("AUSPEX_KEEP"):  # what is left for a look outlives us
            self.settings[owner.VARIABLE] = str(os.getpid())

    def up(self) -> "PrivatePlatform":
        self.down()
        self.base = free_base()
        arguments = ["up", "--no-demo", "--var", str(self.layout.var), "--port-base", str(self.base), "--replicas", str(self.replicas)]
        if self.binaries:
            arguments += ["--binaries", str(self.binaries)]
        result = self.auspex(*arguments)
        if result.returncode != 0:
            raise RuntimeError(f"the private platform did not come up:\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}")
        self.deployment = Deployment(self.layout, Choices.read(self.layout), Settings(self.settings, ""))
        self.plan = ServicePlan(self.deployment, "")
        self.control = self.deployment.control
        self.api = API(self.deployment.gateway.url)
        return self

    def down(self) -> None:
        PlatformControl(self.layout).end()
        if self.layout.var.exists():
            self.auspex("reset", "--yes", "--var", str(self.layout.var))
        give_back(self.base)

    def __enter__(self) -> "PrivatePlatform":
        return self.up()

    def __exit__(self, failed, *_) -> None:
        if failed and os.environ.get("AUSPEX_KEEP"):
            print(f"left running for a look: {self.layout.var}", file=sys.stderr)
            return
        self.down()

    def auspex(self, *arguments: str) -> subprocess.CompletedProcess:
        """One command of `./auspex` on this platform."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AUSPEX_")} | self.settings
        return subprocess.run(
            [str(REPOSITORY / "auspex"), *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)

    def command(self, *arguments: str) -> subprocess.CompletedProcess:
        return self.auspex(*arguments, "--var", str(self.layout.var))

    def audited(self, seconds: float = 150) -> subprocess.CompletedProcess:
        """What the audit says as soon as what is still under way has settled: a loss or a double stays, and is then the answer."""
        result = self.command("audit")

        def agrees() -> bool:
            nonlocal result
            result = self.command("audit")
            return result.returncode == 0

        if result.returncode != 0:
            wait_until(agrees, seconds, 3)
        return result

    def sql(self, text: str) -> str:
        """What a look into the database says; for tests that must see behind the API."""
        return self.deployment.postgres.run_sql(text, "auspex")

    def wait_ready(self, seconds: float = 120) -> None:
        self.control.wait_ready([spec.name for spec in self.control.wanted()], seconds)

    def log(self, name: str) -> str:
        return (self.layout.logs / f"{name}.log").read_text()

    def log_lines(self, name: str) -> list[dict]:
        """The JSON lines of a service's log."""
        lines = []
        for line in self.log(name).splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                continue
        return lines


_taken: dict[int | None, socket.socket] = {}


def free_base() -> int:
    """A port base whose whole range is free. It is this process's own until it ends or gives it back: others look for one at the same moment."""
    for _ in range(100):
        base = random.randrange(20000, 31000, 1000)
        wanted = [base + 80, *range(base + 101, base + 130), *range(base + 201, base + 230), base + 379, base + 380, base + 432, base + 672, base + 673, base + 674]
        mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            mark.bind(f"\0auspex-port-base-{base}")
        except OSError:
            mark.close()
            continue
        if all(port_is_free(port) for port in wanted):
            _taken[base] = mark
            return base
        mark.close()
    raise RuntimeError("no range of ports is free")


def give_back(base: int | None) -> None:
    if mark := _taken.pop(base, None):
        mark.close()


__all__ = ["PrivatePlatform", "free_base", "wait_until"]
