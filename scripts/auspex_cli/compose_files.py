"""What compose/compose.yaml mounts and builds from: secrets, configuration and programs in `var/compose`."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from . import keys, openapi, site, toolchain
from .console import Failure, step
from .deployment import Choices, Deployment
from .gateway import FOLDER as GATEWAY, fill, locations, route_table
from .layout import DATABASE_SERVICES, REPOSITORY, SERVICES, Layout
from .python_environment import uv
from .runner import run_logged
from .seccomp_profile import executor_profile
from .servers.postgres import schema_sql
from .service_rights import ServiceRights
from .services import DATABASE, ServicePlan
from .settings import Settings

SOURCE = REPOSITORY / "compose"
PUBLIC_PORT, INTERNAL_PORT = 8080, 8081
INSIDE = "/run/auspex"
DEFAULT_PROFILE = Path("/usr/share/containers/seccomp.json")
# A program of its own, because some engines split the words of a health check at blanks; the password is in no argument.
HEALTHY_REDIS = """#!/bin/sh
REDISCLI_AUTH="$(cat /run/auspex/redis/password)"
export REDISCLI_AUTH
test "$(redis-cli ping)" = PONG
"""


class ComposeFiles:
    """Writes `var/compose`; secrets are made once and kept, everything else is made anew."""

    def __init__(self, folder: Path, binaries: Path, profile: Path):
        self.folder, self.binaries, self.profile = folder, binaries, profile
        layout = Layout(folder / "made")
        layout.prepare()
        self.deployment = Deployment(layout, replace(Choices(), binaries=str(binaries)), Settings())
        # Containers have users of their own: nothing is set apart here for those of `./auspex up`.
        rights = ServiceRights(layout, self.deployment.ports, as_root=False)
        self.plan = ServicePlan(self.deployment, "compose", rights)

    def write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)  # inside, files are readable: containers read them as a user of their own
        self._servers()
        self._secrets()
        self._gateway()
        self._seccomp()
        self._context()

    def _text(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)

    def _servers(self) -> None:
        secrets = self.deployment.secrets
        self._text("postgres/password", secrets.password("postgres"))
        self._text("postgres/init.sql", f"CREATE DATABASE {DATABASE};\n\\connect {DATABASE}\n" + schema_sql(DATABASE_SERVICES, self.plan.passwords(), DATABASE))
        self._text("broker/definitions.json", json.dumps(self.deployment.broker.definitions(), indent=1))
        self._text("broker/rabbitmq.conf", "load_definitions = /etc/rabbitmq/definitions.json\nraft.wal_max_size_bytes = 67108864\ndisk_free_limit.absolute = 200MB\n")
        for role, policy in (("cache", "allkeys-lru"), ("limits", "noeviction")):
            password = secrets.password(f"redis-{role}")
            self._text(f"redis/{role}/password", password)
            self._text(f"redis/{role}/redis.conf", f'bind 0.0.0.0\nrequirepass {password}\nsave ""\nappendonly no\nmaxmemory 256mb\nmaxmemory-policy {policy}\n')
            self._text(f"redis/{role}/healthy", HEALTHY_REDIS)
            (self.folder / "redis" / f"{role}.conf").unlink(missing_ok=True)  # an earlier version's, without a password

    def _secrets(self) -> None:
        keys.ensure(self.deployment, self.plan)
        made = self.deployment.layout.secrets
        self._text("secrets/common/services.jwks", (made / "services.jwks").read_text())
        for service in SERVICES:
            values = self._environment(service)
            self._text(f"{service}.env", lines_of(values))
            self._text(f"secrets/{service}/service-key.pem", (made / service / "service-key.pem").read_text())
            self._addresses(service)
            if service == "auth":
                self._text("secrets/auth/master.key", (made / "master.key").read_text())
            if service in DATABASE_SERVICES:
                # The container of migrations sees all services' folders; a service sees its own and the common one.
                migrating = values | {
                    "AUSPEX_MIGRATION_DATABASE_URL_FILE": f"{INSIDE}/{service}/migration-database-url",
                }
                self._text(f"secrets/{service}/migrate.env", lines_of(migrating))

    def _addresses(self, service: str) -> None:
        """The addresses that hold passwords; the executor gets the broker's alone."""
        secrets = self.deployment.secrets
        password = secrets.password(f"{service}/broker-password")
        self._text(f"secrets/{service}/broker-url", f"amqp://{service}:{quote(password, safe='')}@broker:5672/\n")
        if service not in DATABASE_SERVICES:
            return
        for role in ("cache", "limits"):
            words = quote(secrets.password(f"redis-{role}"), safe="")
            self._text(f"secrets/{service}/redis-{role}-url", f"redis://:{words}@redis-{role}:6379/0\n")
        for role, name in ((f"{service}_app", "database-url"), (f"{service}_owner", "migration-database-url")):
            words = quote(self.plan.passwords()[service][role], safe="")
            self._text(f"secrets/{service}/{name}", f"postgresql://{role}:{words}@postgres:5432/{DATABASE}\n")

    def _environment(self, service: str) -> dict[str, str]:
        """The settings of `./auspex up`, with the containers' places in them."""
        values = self.plan.environment(service)
        # A container has its cores to itself, and they are not this machine's.
        if "AUSPEX_LOOPS" not in self.deployment.settings.for_services():
            del values["AUSPEX_LOOPS"]
        made = str(self.deployment.layout.secrets)
        for name, value in values.items():
            values[name] = value.replace(f"{made}/services.jwks", f"{INSIDE}/common/services.jwks").replace(f"{made}/master.key", f"{INSIDE}/auth/master.key").replace(made, INSIDE)
        for other in DATABASE_SERVICES:
            if other != service:
                values[f"AUSPEX_{other.upper()}_URL"] = f"http://{other}:{INTERNAL_PORT}"
        values |= {"AUSPEX_LISTEN": "0.0.0.0", "AUSPEX_INTERNAL_PORT": str(INTERNAL_PORT)}
        if service == "executor":
            values |= self.plan.executor_in_container()
            values.pop("AUSPEX_AUTH_URL")  # not on its network
        else:
            values |= {"AUSPEX_PORT": str(PUBLIC_PORT), "AUSPEX_BLOB_ROOT": "/blobs"}
        return values

    def _gateway(self) -> None:
        values = {
            "AUSPEX_GATEWAY_USER": "", "AUSPEX_GATEWAY_WORKERS": "2", "AUSPEX_GATEWAY_STATE": "/tmp", "AUSPEX_GATEWAY_SITE": "/etc/auspex/site",
            "AUSPEX_GATEWAY_MIME_TYPES": "/etc/nginx/mime.types", "AUSPEX_GATEWAY_ERROR_LOG": "/dev/stderr", "AUSPEX_GATEWAY_ACCESS_LOG": "/dev/stdout",
            "AUSPEX_GATEWAY_RATE": "500", "AUSPEX_GATEWAY_BURST": "1000", "AUSPEX_GATEWAY_LISTEN": "0.0.0.0:8080", "AUSPEX_GATEWAY_TLS": "",
            "AUSPEX_GATEWAY_ROUTES": locations(route_table(), "/dev/stderr"), "AUSPEX_GATEWAY_DEMO": "",
        } | {f"AUSPEX_{service.upper()}_SERVERS": f"server {service}:{PUBLIC_PORT};" for service in route_table()}
        self._text("gateway/nginx.conf", fill((GATEWAY / "nginx.conf.template").read_text(), values))
        target = self.folder / "gateway" / "site"
        shutil.copytree(GATEWAY / "page", target, dirs_exist_ok=True)
        for name, path in site.swagger_files(self.deployment.layout).items():
            shutil.copyfile(path, target / "docs" / name)
        self._text("gateway/site/openapi.json", openapi.merged_text())

    def _seccomp(self) -> None:
        if not self.profile.exists():
            raise Failure(
                f"the engine's default seccomp profile is not at {self.profile}: give it with --seccomp FILE (Debian: package golang-github-containers-common)",
                step="make the executor's seccomp profile")
        self._text("executor-seccomp.json", json.dumps(executor_profile(json.loads(self.profile.read_text())), indent=1) + "\n")

    def _context(self) -> None:
        context = self.folder / "context"
        shutil.rmtree(context, ignore_errors=True)
        (context / "bin").mkdir(parents=True)
        for product in toolchain.PRODUCTS:
            shutil.copy2(self.binaries / product, context / "bin" / product)
        (context / "tools").mkdir()
        shutil.copy2(uv(self.deployment.layout), context / "tools" / "uv")
        shutil.copytree(REPOSITORY / "sdk" / "python" / "auspex", context / "sdk" / "auspex", ignore=shutil.ignore_patterns("__pycache__"))
        for path in (*SOURCE.glob("Containerfile.*"), SOURCE / "migrate-all"):
            shutil.copy2(path, context / path.name)


def lines_of(values: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in sorted(values.items()))


def build_static(layout: Layout) -> Path:
    """Release programs that carry the Swift library inside them, in a build folder of their own."""
    folder = REPOSITORY / ".build" / "containers"
    log = layout.log("build-containers")
    with step("build the programs for containers", log=log) as current:
        code, text = run_logged(
            [toolchain.swift(), "build", "-c", "release", "--static-swift-stdlib", "--package-path", str(REPOSITORY), "--scratch-path", str(folder)], log,
            environment={"AUSPEX_TARGETS": " ".join(toolchain.PRODUCTS)}, folder=REPOSITORY, on_line=lambda line: toolchain.tell_progress(current, line))
        if code != 0:
            raise Failure(next((line for line in text.splitlines() if "error:" in line), f"swift build ended with code {code}"), log=log)
        current.note("")
    return folder / "release"
