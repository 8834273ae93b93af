"""Show every process: health, port, process id, restarts, version

usage: ./auspex status [--json] [--var DIR]

Exit code 0 when all is ready, 1 when not."""

import json
import time

from ..console import say
from ..deployment import Deployment
from ..options import Options
from .version import describe


def run(arguments: list[str]) -> int:
    options = Options(arguments, flags=("--json",), values=("--var",))
    options.none_left()
    deployment = Deployment.existing(options)
    status = deployment.control.status()
    wanted = [spec.name for spec in deployment.control.wanted()]
    if options.has("--json"):
        say(json.dumps({"processes": list(status.values()), "url": deployment.gateway.url}, indent=1))
    elif not status:
        say(f"nothing runs from {deployment.layout.var}: './auspex up' starts it")
    else:
        _table(status, wanted)
        say(f"\n  {deployment.gateway.url}   checkout {describe()}")
    return 0 if status and all(status.get(name, {}).get("state") == "ready" for name in wanted) else 1


def _table(status: dict, wanted: list[str]) -> None:
    say(f"  {'process':22} {'health':9} {'port':>6} {'pid':>8}  {'up for':>9}  {'restarts':>8}  version")
    for name in wanted:
        entry = status.get(name, {"state": "down"})
        age = _age(time.time() - entry["since"]) if entry.get("since") and entry.get("pid") else "-"
        say(
            f"  {name:22} {entry['state']:9} {entry.get('port') or '-':>6} {entry.get('pid') or '-':>8}  {age:>9}  {entry.get('restarts', 0):>8}  {entry.get('version', '')}")
        if entry["state"] != "ready" and entry.get("detail"):
            say(f"      {entry['detail'][:200]}")


def _age(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{seconds:02}s"
