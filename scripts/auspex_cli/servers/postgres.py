"""A private PostgreSQL 15 in a folder of its own, on loopback, with a password for everybody."""

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ..console import Failure
from ..process import ProcessSpec, basic_environment
from ..users import give, private_file, private_folder, server_user

BINARIES = Path("/usr/lib/postgresql/15/bin")


@dataclass(frozen=True)
class PostgresServer:
    """Where it stands, its superuser's password, and how careful it is with the disk."""

    folder: Path
    port: int
    password: str
    log: Path
    throwaway: bool = False  # for tests: any password will do, and a crash may lose everything
    connections: int = 200

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def user(self) -> str | None:
        return server_user("postgres")

    def url(self, role: str = "postgres", password: str | None = None, database: str = "postgres") -> str:
        return f"postgresql://{quote(role)}:{quote(password or self.password, safe='')}@127.0.0.1:{self.port}/{database}"

    def create(self) -> None:
        """Makes the cluster once; what exists is left alone."""
        if (self.data / "PG_VERSION").exists():
            return
        private_folder(self.folder, self.user)
        private_folder(self.data, self.user)
        words = private_file(self.folder / "superuser", self.password + "\n", self.user)
        try:
            self._run_as_user(
                [str(BINARIES / "initdb"), "-D", str(self.data), "-U", "postgres", "-A", "trust" if self.throwaway else "scram-sha-256", "--pwfile", str(words), "-E", "UTF8", "--locale=C.UTF-8"]
                + (["--no-sync"] if self.throwaway else []),
            )
        finally:
            words.unlink(missing_ok=True)

    def process(self) -> ProcessSpec:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": str(self.connections),
            "shared_buffers": "256MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_line_prefix": "%m [%p] %q%u ",
            "password_encryption": "scram-sha-256",
            "jit": "off",
        }
        if self.throwaway:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        arguments = [str(BINARIES / "postgres"), "-D", str(self.data), "-p", str(self.port)]
        for name, value in settings.items():
            arguments += ["-c", f"{name}={value}"]
        give(self.log, self.user) if self.log.exists() else None
        return ProcessSpec(
            "postgres", arguments, str(self.log), user=self.user, folder=str(self.data), stop_signal=signal.SIGINT, port=self.port)

    def accepts(self) -> bool:
        """Whether it answers queries (it listens before it has recovered)."""
        return subprocess.run(
            [str(BINARIES / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)], env=basic_environment()).returncode == 0

    def run_sql(self, text: str, database: str = "postgres") -> str:
        """Runs SQL as the superuser; stops at the first error."""
        result = subprocess.run(
            [str(BINARIES / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database],
            input=text, capture_output=True, text=True, env=basic_environment() | {"PGPASSWORD": self.password})
        if result.returncode != 0:
            raise Failure(f"PostgreSQL refused: {result.stderr.strip().splitlines()[0] if result.stderr.strip() else 'no message'}", log=self.log)
        return result.stdout.strip()

    def _run_as_user(self, arguments: list[str]) -> None:
        spec = ProcessSpec("initdb", arguments, str(self.log), user=self.user, folder=str(self.folder))
        if spec.start().wait() != 0:
            raise Failure(f"{os.path.basename(arguments[0])} failed", log=self.log)


def literal(text: str) -> str:
    """A quoted SQL string."""
    return "'" + text.replace("'", "''") + "'"


def schema_sql(services: tuple[str, ...], passwords: dict[str, dict[str, str]], database: str = "auspex") -> str:
    """SQL that makes, for each service, a schema with the role that migrates it and the role that serves it. Repeatable."""
    lines = [f"REVOKE ALL ON DATABASE {database} FROM PUBLIC;", "REVOKE ALL ON SCHEMA public FROM PUBLIC;"]
    for service in services:
        owner, app = f"{service}_owner", f"{service}_app"
        for role in (owner, app):
            lines += [
                f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {literal(role)}) THEN CREATE ROLE {role} LOGIN; END IF; END $$;",
                f"ALTER ROLE {role} WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {literal(passwords[service][role])};",
                f"ALTER ROLE {role} IN DATABASE {database} SET search_path = {service};",
                f"GRANT CONNECT ON DATABASE {database} TO {role};",
            ]
        lines += [
            f"CREATE SCHEMA IF NOT EXISTS {service} AUTHORIZATION {owner};",
            f"GRANT USAGE ON SCHEMA {service} TO {app};",
        ]
    return "\n".join(lines) + "\n"


def create_schemas(server: PostgresServer, services: tuple[str, ...], passwords: dict[str, dict[str, str]], database: str = "auspex") -> None:
    """Makes the database with the schemas and roles of the services; what exists is left alone."""
    if server.run_sql(f"SELECT 1 FROM pg_database WHERE datname = {literal(database)}") != "1":
        server.run_sql(f"CREATE DATABASE {database}")
    server.run_sql(schema_sql(services, passwords, database), database)
