"""A private RabbitMQ: its own node name, cookie, ports and name server, users and permissions read at boot."""

import base64
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from ..process import ProcessSpec
from ..users import private_file, private_folder, server_user

SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"


@dataclass(frozen=True)
class BrokerUser:
    """A user and what it may configure, write and read, as RabbitMQ's regular expressions."""

    name: str
    password: str
    configure: str = ".*"
    write: str = ".*"
    read: str = ".*"
    topic_write: str | None = None  # routing keys it may publish to auspex.events
    tags: tuple[str, ...] = ()

    def password_hash(self) -> str:
        """Salted as RabbitMQ stores it: base64(salt ‖ SHA-256(salt ‖ password)); the salt follows from the password, so a second `up` changes nothing."""
        salt = hashlib.sha256(b"salt " + self.password.encode()).digest()[:4]
        return base64.b64encode(salt + hashlib.sha256(salt + self.password.encode()).digest()).decode()


def service_user(service: str, password: str) -> BrokerUser:
    """A service declares and consumes its own queues, hears every event, and says only its own; the executor only hears that there is work."""
    if service == "executor":
        return BrokerUser("executor", password, configure="^$", write="^$", read=r"^jobs\.")
    own = rf"{service}\."
    return BrokerUser(
        service,
        password,
        configure=rf"^({own}|jobs\.)",
        write=rf"^({own}|jobs\.|auspex\.(events|jobs)$)",
        read=rf"^({own}|jobs\.|auspex\.(events|jobs)$)",
        topic_write=rf"^{own}",
    )


@dataclass(frozen=True)
class BrokerServer:
    """Where it stands, its ports and its users."""

    folder: Path
    port: int
    distribution_port: int
    names_port: int
    log: Path
    users: tuple[BrokerUser, ...] = field(default_factory=tuple)
    management_port: int | None = None

    @property
    def user(self) -> str | None:
        return server_user("rabbitmq")

    def url(self, name: str, virtual_host: str = "/") -> str:
        password = next(user.password for user in self.users if user.name == name)
        path = "" if virtual_host == "/" else quote(virtual_host, safe="")
        return f"amqp://{quote(name)}:{quote(password, safe='')}@127.0.0.1:{self.port}/{path}"

    def definitions(self) -> dict:
        topics = [
            {"user": user.name, "vhost": "/", "exchange": "auspex.events", "write": user.topic_write, "read": ".*"}
            for user in self.users
            if user.topic_write is not None
        ]
        return {
            "vhosts": [{"name": "/"}],
            "users": [
                {"name": u.name, "password_hash": u.password_hash(), "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": list(u.tags), "limits": {}}
                for u in self.users
            ],
            "permissions": [
                {"user": u.name, "vhost": "/", "configure": u.configure, "write": u.write, "read": u.read} for u in self.users
            ],
            "topic_permissions": topics,
            "exchanges": [
                {"name": name, "vhost": "/", "type": kind, "durable": True, "auto_delete": False, "internal": False, "arguments": {}}
                for name, kind in (("auspex.events", "topic"), ("auspex.jobs", "direct"))
            ] if topics else [],
        }

    def create(self) -> None:
        """Writes the configuration; the node's data are left alone."""
        private_folder(self.folder, self.user)
        definitions = private_file(self.folder / "definitions.json", json.dumps(self.definitions(), indent=1), self.user)
        lines = [
            f"listeners.tcp.1 = 127.0.0.1:{self.port}",
            "log.file = false",
            "log.console = true",
            "log.console.level = info",
            f"load_definitions = {definitions}",
            "disk_free_limit.absolute = 200MB",
            "raft.wal_max_size_bytes = 67108864",
        ]
        if self.management_port:
            lines += ["management.tcp.ip = 127.0.0.1", f"management.tcp.port = {self.management_port}"]
        private_file(self.folder / "rabbitmq.conf", "\n".join(lines) + "\n", self.user)
        private_file(self.folder / "plugins", "[rabbitmq_management].\n" if self.management_port else "[].\n", self.user)

    def environment(self) -> dict[str, str]:
        folder = str(self.folder)
        return {
            "HOME": folder,
            "RABBITMQ_NODENAME": "auspex@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/advanced.config",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/environment",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "ERL_EPMD_PORT": str(self.names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP_SECONDS": "0",
            # Two cores are shared by everybody here: an idle scheduler must sleep, not spin.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none",
        }

    def processes(self) -> list[ProcessSpec]:
        """The name server first: started by us, it ends with us instead of staying behind as a daemon."""
        names = ProcessSpec(
            "broker-names", [_epmd(), "-port", str(self.names_port), "-address", "127.0.0.1"], str(self.log),
            user=self.user, folder=str(self.folder), port=self.names_port)
        node = ProcessSpec(
            "broker", [SERVER], str(self.log), environment=self.environment(), user=self.user, folder=str(self.folder),
            stop_seconds=30, port=self.port)
        return [names, node]


def _epmd() -> str:
    for candidate in ("/usr/bin/epmd", "/usr/lib/erlang/bin/epmd"):
        if os.path.exists(candidate):
            return candidate
    return "epmd"
