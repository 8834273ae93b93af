"""Asks every process how it is, and writes the answer for `status` and for the page."""

import concurrent.futures
import json
import os
import threading
import time
import urllib.error
import urllib.request

from .layout import Layout
from .process import ProcessSpec, port_answers

PERIOD_SECONDS = 2.0
# Somebody may be waiting for what has just started: it is asked at once and then ever less often.
FIRST_SECONDS, GROWTH = 0.2, 1.2


class HealthWatch:
    """A thread beside the supervisor's loop: a slow answer must not delay a restart."""

    def __init__(self, layout: Layout):
        self.layout = layout
        self.children: list[tuple[ProcessSpec, dict]] = []
        self._wake = threading.Event()
        self._is_over = False
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def look(self, children: list[tuple[ProcessSpec, dict]]) -> None:
        """These run now; whoever has come or gone is looked at without waiting for the next round."""
        has_changed = [facts["pid"] for _, facts in children] != [facts["pid"] for _, facts in self.children]
        self.children = children
        if has_changed:
            self._wake.set()

    def finish(self) -> None:
        self._is_over = True
        self._wake.set()
        self._thread.join(5)
        self._write([])

    def _watch(self) -> None:
        pause = FIRST_SECONDS
        with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
            while True:
                pause = FIRST_SECONDS if self._wake.wait(pause) else min(pause * GROWTH, PERIOD_SECONDS)
                self._wake.clear()
                if self._is_over:
                    return
                children = list(self.children)
                states = list(pool.map(lambda pair: examine(*pair), children))
                self._write([facts | state for (_, facts), state in zip(children, states)])
                if children and all(state["state"] == "ready" for state in states):
                    pause = PERIOD_SECONDS

    def _write(self, processes: list[dict]) -> None:
        now = time.time()
        replace_text(self.layout.run / "status.json", json.dumps({"at": now, "processes": processes}))
        # What a visitor may see: no process ids, ports or paths.
        public = [{key: entry[key] for key in ("name", "kind", "state", "since", "restarts", "version") if key in entry}
                  for entry in processes if entry["name"] != "broker-names"]
        site = self.layout.state / "gateway"
        if site.is_dir():
            replace_text(site / "status.json", json.dumps({"at": now, "processes": public}), mode=0o644)


def examine(spec: ProcessSpec, facts: dict) -> dict:
    """`ready`, `starting` (alive but not ready), or `down`."""
    if facts["pid"] is None:
        return {"state": "down", "detail": f"ended with {facts['last_exit']}" if facts["last_exit"] is not None else "not started"}
    if spec.readiness_url:
        return ask(spec.readiness_url)
    if spec.port and not port_answers(spec.port):
        return {"state": "starting", "detail": f"does not answer on port {spec.port} yet"}
    return {"state": "ready"}


def ask(url: str) -> dict:
    """What a service's /readyz says."""
    try:
        with urllib.request.urlopen(url, timeout=1.5) as answer:
            answer.read()
            return {"state": "ready"}
    except urllib.error.HTTPError as error:
        return {"state": "starting", "detail": error.read()[:400].decode(errors="replace")}
    except OSError as error:
        return {"state": "starting", "detail": str(getattr(error, "reason", error))}


def replace_text(path, text: str, mode: int = 0o600) -> None:
    """A reader sees the old file or the new one, never half of either."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    os.chmod(temporary, mode)
    os.replace(temporary, path)
