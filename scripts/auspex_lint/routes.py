"""Who owns which path is said three times (gateway, OpenAPI, services' READMEs): they must say the same."""

import json
import re
from pathlib import Path

import yaml

from auspex_cli.gateway import owner_of

from .finding import Finding

# The ownership of architecture: written out once more on purpose, so that a slip in routes.json cannot pass unseen.
OWNERS = {
    "auth": "/api/register /api/login /api/logout /api/refresh /api/me /api/keys /.well-known/jwks.json",
    "signals": "/api/signals /api/subscriptions /api/predictions /api/feed /api/stream /strategies",
    "scheduler": "/api/schedules /api/jobs /api/backtest-jobs /api/backtests /optimize",
    "marketdata": "/api/bars /api/stream/bars /api/instruments /api/sources /api/datasets /api/calendars /api/imports /api/uploads /api/retention /api/replays /historical /utils/session /udf",
}
INSIDE = re.compile(r"^/(internal|metrics|readyz|healthz)(/|$)")


def check(root: Path) -> list[Finding]:
    table_path = Path("services/gateway/routes.json")
    table = json.loads((root / table_path).read_text())
    found = []
    for service in sorted(OWNERS.keys() | table.keys()):
        if sorted(OWNERS.get(service, "").split()) != sorted(table.get(service, [])):
            found.append(Finding(table_path, 1, f"the gateway's paths of {service} are not those that it owns"))
    for service in OWNERS:
        document = Path("services") / service / "openapi.yaml"
        if not (root / document).exists():
            found.append(Finding(document, 1, "is missing"))
            continue
        try:
            paths = (yaml.safe_load((root / document).read_text()) or {}).get("paths") or {}
        except yaml.YAMLError as error:
            found.append(Finding(document, 1, f"is no YAML: {str(error).splitlines()[0]}"))
            continue
        for path in paths:
            if INSIDE.match(path):
                found.append(Finding(document, 1, f"{path} is internal: the public document must not list it"))
            elif owner_of(path, table) != service:
                found.append(Finding(document, 1, f"{path} is described by {service}, but the gateway sends it to {owner_of(path, table) or 'nobody'}"))
        if not paths:
            found.append(Finding(document, 1, "describes no path"))
    return found
