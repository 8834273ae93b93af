"""The gateway: nginx with its template filled in from the route table, the site folder, and the status page's files."""

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from .console import Failure
from .layout import REPOSITORY, Layout, Ports
from .process import ProcessSpec
from .runner import run_logged
from .users import give, private_file, server_user

FOLDER = REPOSITORY / "services" / "gateway"
NGINX = "/usr/sbin/nginx"
# Paths that stream. What is below another one's path belongs to whoever names it: the longest goes first.
STREAMS = ("/api/stream/bars", "/api/stream")
# Paths that stream among others of their owner that do not.
STREAMS_WITHIN = {"/api/jobs/([^/]+/(logs/)?)?stream": "scheduler"}
# Paths that take more than 8 MiB at once: a version with its files inside, which base64 makes a third larger.
LARGE_BODIES = {"/api/signals/[^/]+/versions": ("signals", "12m")}
# Paths whose requests carry a session token in path or query, which nginx's error log would write down with the request line: only what is critical gets
# in there. And whose answers are large: they are passed on from memory, without a file between.
CHARTS = ("/historical", "/utils/session", "/udf")


def route_table() -> dict[str, list[str]]:
    """Which service owns which path, from services/gateway/routes.json."""
    return json.loads((FOLDER / "routes.json").read_text())


def owner_of(path: str, table: dict[str, list[str]]) -> str | None:
    """The service behind a path, with and without trailing slash: the one that names the longest beginning of it."""
    owners = [(prefix, service) for service, prefixes in table.items() for prefix in prefixes if path == prefix or path.startswith(prefix + "/")]
    return max(owners, key=lambda owner: len(owner[0]))[1] if owners else None


def locations(table: dict[str, list[str]], error_log: str) -> str:
    """One location a service, one for each path that streams, and one for charts."""
    lines = [
        f"location ~ ^{pattern}/?$ {{ client_max_body_size {size}; proxy_pass http://{service}; }}" for pattern, (service, size) in LARGE_BODIES.items()
    ]
    streams = [(f"^{pattern}/?$", service) for pattern, service in STREAMS_WITHIN.items()]
    for prefix in STREAMS:
        streams += [(f"^{re.escape(prefix)}(/|$)", service) for service, prefixes in table.items() if prefix in prefixes]
    for pattern, service in streams:
        lines.append(f"location ~ {pattern} {{ proxy_buffering off; gzip off; proxy_read_timeout 1h; proxy_pass http://{service}; }}")
    for service, prefixes in table.items():
        if charts := "|".join(re.escape(prefix) for prefix in prefixes if prefix in CHARTS):
            lines.append(
                f"location ~ ^({charts})(/|$) {{ error_log {error_log} crit; proxy_buffers 64 32k; proxy_max_temp_file_size 0; proxy_pass http://{service}; }}")
        plain = "|".join(re.escape(prefix) for prefix in prefixes if prefix not in STREAMS + CHARTS)
        lines.append(f"location ~ ^({plain})(/|$) {{ proxy_pass http://{service}; }}")
    return "\n        ".join(lines)


def fill(template: str, values: dict[str, str]) -> str:
    """Replaces ${AUSPEX_…} and nothing else: `$` is nginx's own sign too."""

    def value(found: re.Match) -> str:
        if found[1] not in values:
            raise Failure(f"the gateway's template names {found[1]}, which nobody sets", step="configure the gateway")
        return values[found[1]]

    return re.sub(r"\$\{(AUSPEX_[A-Z_]+)\}", value, template)


@dataclass(frozen=True)
class Gateway:
    """nginx for one platform."""

    layout: Layout
    ports: Ports
    replicas: int
    listen: str = "127.0.0.1"
    certificate: str | None = None
    key: str | None = None
    rate: int = 500
    burst: int = 1000

    @property
    def folder(self) -> Path:
        return self.layout.state / "gateway"

    @property
    def site(self) -> Path:
        return self.folder / "site"

    @property
    def scheme(self) -> str:
        return "https" if self.certificate else "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.ports.gateway}"

    @property
    def worker_user(self) -> str | None:
        return server_user("www-data")

    def _servers(self, service: str) -> str:
        return " ".join(
            f"server 127.0.0.1:{self.ports.public(service, replica)} max_fails=2 fail_timeout=2s;" for replica in range(self.replicas))

    def _tls(self) -> str:
        if not self.certificate:
            return ""
        return "\n        ".join([
            f"ssl_certificate {self.certificate};",
            f"ssl_certificate_key {self.key};",
            "ssl_protocols TLSv1.2 TLSv1.3;",
            "ssl_session_cache shared:tls:10m;",
            "error_page 497 =308 https://$http_host$request_uri;",
        ])

    def values(self) -> dict[str, str]:
        demo = self.folder / "demo.conf"
        return {
            "AUSPEX_GATEWAY_USER": f"user {self.worker_user};" if self.worker_user else "",
            "AUSPEX_GATEWAY_WORKERS": str(min(4, os.cpu_count() or 1)),
            "AUSPEX_GATEWAY_STATE": str(self.folder),
            "AUSPEX_GATEWAY_SITE": str(self.site),
            "AUSPEX_GATEWAY_MIME_TYPES": "/etc/nginx/mime.types",
            "AUSPEX_GATEWAY_ERROR_LOG": str(self.layout.log("gateway")),
            "AUSPEX_GATEWAY_ACCESS_LOG": str(self.layout.log("gateway-access")),
            "AUSPEX_GATEWAY_RATE": str(self.rate),
            "AUSPEX_GATEWAY_BURST": str(self.burst),
            "AUSPEX_GATEWAY_LISTEN": f"{self.listen}:{self.ports.gateway}" + (" ssl http2" if self.certificate else ""),
            "AUSPEX_GATEWAY_TLS": self._tls(),
            "AUSPEX_GATEWAY_ROUTES": locations(route_table(), str(self.layout.log("gateway"))),
            "AUSPEX_GATEWAY_DEMO": f"include {demo};" if demo.exists() else "",
        } | {f"AUSPEX_{service.upper()}_SERVERS": self._servers(service) for service in route_table()}

    def create(self) -> None:
        """Writes configuration and page, and lets nginx check what it got."""
        for folder in (self.folder, self.site):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o755)
        for name in ("body", "proxy", "unused"):
            (self.folder / name).mkdir(exist_ok=True)
            give(self.folder / name, self.worker_user)
        shutil.copytree(FOLDER / "page", self.site, dirs_exist_ok=True)
        for path in [self.site, *self.site.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        private_file(self.folder / "nginx.conf", fill((FOLDER / "nginx.conf.template").read_text(), self.values()))
        log = self.layout.log("gateway-check")
        code, text = run_logged([NGINX, "-t", "-q", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-e", str(log)], log)
        if code != 0:
            raise Failure(f"nginx refuses its configuration: {(text.splitlines() or ['no message'])[-1]}", log=log)

    def process(self) -> ProcessSpec:
        return ProcessSpec(
            "gateway", [NGINX, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-e", str(self.layout.log("gateway"))],
            str(self.layout.log("gateway")), folder=str(self.folder), port=self.ports.gateway, kind="gateway",
            replaces=hash_of(self.folder / "nginx.conf"))

    def allow_demo(self, key: str, signals: list[str]) -> None:
        """Lets the page read the demo signals: the gateway adds the key, so that no browser ever holds it. GET only, these signals only."""
        lines = [f"location = /demo/signals.json {{ alias {self.folder}/signals.json; default_type application/json; expires -1; }}"]
        for signal in signals:
            if not re.fullmatch(r"[0-9a-f-]{36}", signal):
                raise Failure(f"'{signal}' is not the id of a signal", step="show the demo signals on the page")
            lines.append(
                f"location = /demo/predictions/{signal} {{ limit_except GET {{ deny all; }} proxy_set_header X-API-Key {key}; proxy_set_header Authorization \"\"; "
                f"proxy_set_header Cookie \"\"; proxy_set_header X-Request-ID $auspex_request_id; proxy_set_header Host $http_host; proxy_set_header Connection \"\"; "
                f"proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Auspex-Job \"\"; "
                f"proxy_pass http://signals/api/predictions/{signal}?limit=8; }}")
        private_file(self.folder / "demo.conf", "\n".join(lines) + "\n")


def hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
