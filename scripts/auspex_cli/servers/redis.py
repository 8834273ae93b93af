"""A private Redis in one of two roles: a cache that may forget, or limits that must not."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ..process import ProcessSpec
from ..users import private_file, private_folder, server_user


@dataclass(frozen=True)
class RedisServer:
    """Role `cache` evicts the least used under memory pressure; role `limits` refuses writes instead of forgetting counters."""

    role: str
    folder: Path
    port: int
    password: str | None
    log: Path
    memory: str = "256mb"

    @property
    def user(self) -> str | None:
        return server_user("redis")

    @property
    def url(self) -> str:
        words = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"redis://{words}127.0.0.1:{self.port}/0"

    def create(self) -> None:
        private_folder(self.folder, self.user)
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"dir {self.folder}",
            "daemonize no",
            'save ""',
            "appendonly no",
            f"maxmemory {self.memory}",
            f"maxmemory-policy {'allkeys-lru' if self.role == 'cache' else 'noeviction'}",
        ]
        if self.password:
            lines.append(f"requirepass {self.password}")
        private_file(self.folder / "redis.conf", "\n".join(lines) + "\n", self.user)

    def process(self) -> ProcessSpec:
        return ProcessSpec(
            f"redis-{self.role}", ["/usr/bin/redis-server", str(self.folder / "redis.conf")], str(self.log),
            user=self.user, folder=str(self.folder), port=self.port)
