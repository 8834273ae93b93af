"""One platform as a whole: its servers, its services, its gateway, from the choices that were made at `up`."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from . import owner
from .console import Failure, usage
from .gateway import Gateway
from .layout import MOST_REPLICAS, REPOSITORY, SERVICES, Layout, Ports
from .options import Options
from .platform_control import PlatformControl
from .process import ProcessSpec
from .secrets import SecretFolder
from .servers.broker import BrokerServer, service_user
from .servers.postgres import PostgresServer
from .servers.redis import RedisServer
from .settings import Settings
from .users import private_file

VALUES = ("--var", "--port-base", "--replicas", "--binaries")


@dataclass(frozen=True)
class Choices:
    """What was chosen at `up`, remembered in `run/choices.json` for the other commands."""

    port_base: int = 18000
    gateway_port: int = 8080
    replicas: int = 1
    binaries: str = str(REPOSITORY / ".build" / "release")

    @staticmethod
    def read(layout: Layout) -> "Choices | None":
        try:
            return Choices(**json.loads((layout.run / "choices.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, layout: Layout) -> None:
        private_file(layout.run / "choices.json", json.dumps(asdict(self), indent=1) + "\n")


def layout_from(options: Options, settings: Settings) -> Layout:
    """`--var DIR`, AUSPEX_VAR, or `var` in the checkout."""
    folder = options.value("--var") or settings.text("AUSPEX_VAR")
    return Layout(Path(folder).expanduser().absolute() if folder else REPOSITORY / "var")


def choices_from(options: Options, settings: Settings, layout: Layout) -> Choices:
    """The choices of this `up`: the command line, then settings, then what the last `up` chose."""
    before = Choices.read(layout) or Choices()
    base = options.integer("--port-base", settings.integer("AUSPEX_PORT_BASE", before.port_base, 1024, 60000), 1024, 60000)
    gateway_default = before.gateway_port if base == before.port_base else (8080 if base == 18000 else base + 80)
    binaries = options.value("--binaries")
    if binaries and not Path(binaries).is_dir():
        raise usage(f"--binaries: there is no folder '{binaries}'")
    return Choices(
        port_base=base,
        gateway_port=settings.integer("AUSPEX_GATEWAY_PORT", gateway_default, 1, 65535),
        replicas=options.integer("--replicas", settings.integer("AUSPEX_REPLICAS", before.replicas, 1, MOST_REPLICAS), 1, MOST_REPLICAS),
        binaries=str(Path(binaries).absolute()) if binaries else str(REPOSITORY / ".build" / "release"),
    )


class Deployment:
    """The object graph of one platform."""

    def __init__(self, layout: Layout, choices: Choices, settings: Settings):
        self.layout, self.choices, self.settings = layout, choices, settings
        self.ports = Ports(choices.port_base, choices.gateway_port)
        self.secrets = SecretFolder(layout.secrets)
        self.control = PlatformControl(layout, settings.integer(owner.VARIABLE, 0, 1, 1 << 22) or None)

    @staticmethod
    def existing(options: Options) -> "Deployment":
        """The platform that an earlier `up` made; a clear word when there is none."""
        settings = Settings()
        layout = layout_from(options, settings)
        choices = Choices.read(layout)
        if choices is None:
            raise Failure(f"there is no platform in {layout.var}: './auspex up' makes one")
        return Deployment(layout, choices, settings)

    @cached_property
    def postgres(self) -> PostgresServer:
        connections = 100 + 60 * self.choices.replicas
        return PostgresServer(
            self.layout.state / "postgres", self.ports.server("postgres"), self.secrets.password("postgres"), self.layout.log("postgres"),
            connections=connections)

    @cached_property
    def broker(self) -> BrokerServer:
        users = tuple(service_user(service, self.secrets.password(f"{service}/broker-password")) for service in SERVICES)
        return BrokerServer(
            self.layout.state / "broker", self.ports.server("broker"), self.ports.server("broker-distribution"),
            self.ports.server("broker-names"), self.layout.log("broker"), users)

    def redis(self, role: str) -> RedisServer:
        name = f"redis-{role}"
        return RedisServer(role, self.layout.state / name, self.ports.server(name), self.secrets.password(name), self.layout.log(name))

    @cached_property
    def gateway(self) -> Gateway:
        text = self.settings.text
        certificate, key = text("AUSPEX_TLS_CERTIFICATE"), text("AUSPEX_TLS_KEY")
        if bool(certificate) != bool(key):
            raise Failure("AUSPEX_TLS_CERTIFICATE and AUSPEX_TLS_KEY go together: set both or none", exit_code=2)
        return Gateway(
            self.layout, self.ports, self.choices.replicas, listen=text("AUSPEX_GATEWAY_LISTEN", "127.0.0.1"), certificate=certificate, key=key,
            rate=self.settings.integer("AUSPEX_GATEWAY_RATE", 500, 1, 1_000_000), burst=self.settings.integer("AUSPEX_GATEWAY_BURST", 1000, 1, 1_000_000))

    def create_servers(self) -> list[ProcessSpec]:
        """Writes the servers' folders and gives their processes in start order."""
        servers = [self.postgres, self.broker, self.redis("cache"), self.redis("limits")]
        for server in servers:
            server.create()
        return [self.postgres.process(), *self.broker.processes(), self.redis("cache").process(), self.redis("limits").process()]

    def all_ports(self) -> dict[str, int]:
        """Every port that this platform will hold, by what holds it."""
        ports = {name: self.ports.server(name) for name in ("postgres", "broker", "broker-distribution", "broker-names", "redis-cache", "redis-limits")}
        for replica in range(self.choices.replicas):
            for service in SERVICES:
                name = service if replica == 0 else f"{service}-{replica + 1}"
                if service != "executor":
                    ports[name] = self.ports.public(service, replica)
                ports[f"{name} (internal)"] = self.ports.internal(service, replica)
        return ports | {"gateway": self.ports.gateway}
