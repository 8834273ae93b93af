"""The five services as processes: their settings, their files, their replicas."""

import difflib
import os
import re
import subprocess
from pathlib import Path

from .console import Failure
from .deployment import Deployment
from .layout import DATABASE_SERVICES, REPOSITORY, SERVICES
from .process import ProcessSpec, basic_environment
from .python_environment import uv
from .service_rights import ServiceRights
from .settings import OWN
from .users import private_file

DATABASE = "auspex"
PROXIES = ("HTTPS_PROXY", "https_proxy", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")


def process_name(service: str, replica: int) -> str:
    """`auth`, `auth-2`, `auth-3` …"""
    return service if replica == 0 else f"{service}-{replica + 1}"


def misspelt(name: str, known: set[str]) -> str | None:
    """The name with its nearest relative, if it is none of those that are known."""
    if name in known:
        return None
    own = {other.removeprefix("AUSPEX_"): other for other in sorted(known)}
    nearest = difflib.get_close_matches(name.removeprefix("AUSPEX_"), own, 1, 0.8)
    return f"{name} (is it {own[nearest[0]]}?)" if nearest else name


class ServicePlan:
    """Settings and processes of the services of one deployment."""

    def __init__(self, deployment: Deployment, version: str, rights: ServiceRights | None = None):
        self.deployment, self.version = deployment, version
        self.rights = rights or ServiceRights(deployment.layout, deployment.ports)

    def settings_nobody_reads(self) -> list[str]:
        """A setting that is misspelt would change nothing, without a word. What each program reads is what its own help lists."""
        given = sorted(self.deployment.settings.for_services())
        known = set(OWN)
        for service in SERVICES if given else ():
            settings = self._settings_of(service)
            if settings is None:
                return []  # Nothing is known of what it reads; why it cannot run is told when it is started.
            known |= settings
        return [told for name in given if (told := misspelt(name, known))]

    def _settings_of(self, service: str) -> set[str] | None:
        """What it says that it reads; None if it cannot say."""
        try:
            answer = subprocess.run([str(self.binary(service)), "--help"], env=basic_environment(), capture_output=True, text=True)
        except OSError:
            return None
        if answer.returncode != 0:
            return None
        names = re.findall(r"^  (AUSPEX_[A-Z0-9_]+)(\[_FILE\])?$", answer.stdout, re.MULTILINE)
        return {name + suffix for name, has_file in names for suffix in ("", *(["_FILE"] if has_file else []))}

    def binary(self, service: str) -> Path:
        return Path(self.deployment.choices.binaries) / service

    def passwords(self) -> dict[str, dict[str, str]]:
        """The password of each database role, by service."""
        return {
            service: {role: self.deployment.secrets.password(f"{service}/{role}-password") for role in (f"{service}_owner", f"{service}_app")}
            for service in DATABASE_SERVICES
        }

    def write_addresses(self) -> None:
        """The addresses that hold passwords go into files, so that no environment shows them."""
        deployment, secrets = self.deployment, self.deployment.secrets
        passwords = self.passwords()
        for service in SERVICES:
            secrets.write(f"{service}/broker-url", deployment.broker.url(service))
            if service == "executor":
                continue
            secrets.write(f"{service}/redis-cache-url", deployment.redis("cache").url)
            secrets.write(f"{service}/redis-limits-url", deployment.redis("limits").url)
            for role, name in ((f"{service}_app", "database-url"), (f"{service}_owner", "migration-database-url")):
                secrets.write(f"{service}/{name}", deployment.postgres.url(role, passwords[service][role], DATABASE))

    def environment(self, service: str, replica: int = 0, *, for_command: bool = False, migrating: bool = False) -> dict[str, str]:
        """What a service is told. A command is ours, and reads the secrets where we keep them; the owner's database address goes to `migrate` alone."""
        deployment, ports = self.deployment, self.deployment.ports

        def secret(name: str) -> str:
            return str(deployment.secrets.path(name) if for_command else self.rights.credential(service, name))

        values = {
            "AUSPEX_LISTEN": "127.0.0.1",
            "AUSPEX_INTERNAL_PORT": str(ports.internal(service, replica)),
            "AUSPEX_SERVICE_KEY_FILE": secret(f"{service}/service-key.pem"),
            "AUSPEX_SERVICES_JWKS_FILE": secret("services.jwks"),
            "AUSPEX_BROKER_URL_FILE": secret(f"{service}/broker-url"),
            # The services share the machine with each other and with their servers: a loop on every core only makes them wait for one another.
            "AUSPEX_LOOPS": str(max(1, (os.cpu_count() or 1) // 2)),
        }
        if service == "executor":
            values |= self._executor(replica)
        else:
            values |= {
                "AUSPEX_PORT": str(ports.public(service, replica)),
                "AUSPEX_DATABASE_URL_FILE": secret(f"{service}/database-url"),
                "AUSPEX_REDIS_CACHE_URL_FILE": secret(f"{service}/redis-cache-url"),
                "AUSPEX_REDIS_LIMITS_URL_FILE": secret(f"{service}/redis-limits-url"),
                "AUSPEX_REPLICAS": str(deployment.choices.replicas),
                "AUSPEX_BLOB_ROOT": str(deployment.layout.state / "blobs"),
            }
        if service == "auth":
            values["AUSPEX_MASTER_KEY_FILE"] = secret("master.key")
        if service == "marketdata":
            # It alone asks the world outside, where a proxy may stand between.
            values |= {name: os.environ[name] for name in PROXIES if name in os.environ}
        if migrating:
            values["AUSPEX_MIGRATION_DATABASE_URL_FILE"] = str(deployment.secrets.path(f"{service}/migration-database-url"))
        for other in DATABASE_SERVICES:
            if other != service:
                addresses = [f"http://127.0.0.1:{ports.internal(other, number)}" for number in range(deployment.choices.replicas)]
                values[f"AUSPEX_{other.upper()}_URL"] = ",".join(addresses)
        return values | deployment.settings.for_service(service)

    def _executor(self, replica: int) -> dict[str, str]:
        """Executors of all platforms of a machine need user ids and a control group of their own."""
        base = self.deployment.ports.base
        return {
            "AUSPEX_EXECUTOR_ROOT": str(self.deployment.layout.state / "executor"),
            "AUSPEX_UV": uv(self.deployment.layout),
            "AUSPEX_SDK_PATH": str(REPOSITORY / "sdk" / "python"),
            "AUSPEX_SANDBOX_USER": str(self.deployment.ports.sandbox_user_id(replica)),
            "AUSPEX_CGROUP_NAME": f"auspex-{base}-{replica + 1}",
        }

    @staticmethod
    def executor_in_container() -> dict[str, str]:
        """The same inside the executor's image."""
        return {
            "AUSPEX_EXECUTOR_ROOT": "/work", "AUSPEX_UV": "/usr/local/bin/uv", "AUSPEX_SDK_PATH": "/app/sdk", "AUSPEX_SANDBOX_USER": "200001",
            "AUSPEX_CGROUP_NAME": "auspex",
        }

    def processes(self) -> list[ProcessSpec]:
        """All replicas of all services, in start order; their settings also stand in `run/<service>.env` for reading."""
        specs = []
        layout = self.deployment.layout
        release = subprocess.run([str(self.binary("auth")), "--version"], capture_output=True, text=True, env=basic_environment()).stdout.strip()
        (layout.state / "executor").mkdir(exist_ok=True)
        (layout.state / "executor").chmod(0o755)
        for service in ("auth", "marketdata", "signals", "scheduler", "executor"):
            program = self.rights.program(service, self.binary(service))
            for replica in range(self.deployment.choices.replicas):
                name = process_name(service, replica)
                environment = self.environment(service, replica)
                private_file(layout.run / f"{name}.env", "".join(f"{key}={value}\n" for key, value in sorted(environment.items())))
                internal = self.deployment.ports.internal(service, replica)
                specs.append(ProcessSpec(
                    name, [str(program)], str(layout.log(name)), environment=environment, uid=self.rights.user_id(service), folder=str(layout.state),
                    port=internal if service == "executor" else self.deployment.ports.public(service, replica),
                    readiness_url=f"http://127.0.0.1:{internal}/readyz", kind="service",
                    version=release.rpartition(" ")[2], replaces=self.version))
        return specs

    def command(self, service: str, arguments: list[str], *, migrating: bool = False, input_text: str | None = None) -> subprocess.CompletedProcess:
        """Runs a subcommand of a service's program with the service's own settings, and gives what it said."""
        return subprocess.run(
            [str(self.binary(service)), *arguments], env=basic_environment() | self.environment(service, for_command=True, migrating=migrating),
            cwd=REPOSITORY,
            input=input_text, capture_output=True, text=True)

    def hand_over(self, service: str, arguments: list[str]) -> int:
        """Runs a subcommand at the terminal; gives its exit code."""
        if not self.binary(service).exists():
            raise Failure(f"{service} is not built yet: './auspex up' builds it")
        return subprocess.run([str(self.binary(service)), *arguments], env=basic_environment() | self.environment(service, for_command=True) | _terminal()).returncode

    def migrate(self, service: str) -> str:
        """Brings a service's schema up to date; gives what it applied."""
        result = self.command(service, ["migrate"], migrating=True)
        log = self.deployment.layout.log(f"{service}-migrate")
        log.write_text(result.stdout + result.stderr)
        if result.returncode != 0:
            raise Failure(f"{service} migrate: {(result.stderr.strip() or result.stdout.strip() or 'no message').splitlines()[-1]}", log=log)
        return re.sub(rf"^{service}: ", "", result.stdout.strip())


def _terminal() -> dict[str, str]:
    return {name: os.environ[name] for name in ("TERM", "COLUMNS", "LINES") if name in os.environ}
