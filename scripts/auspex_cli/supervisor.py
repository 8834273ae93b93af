"""Keeps every process of a platform running: starts in order, restarts what died, stops in reverse.

Reads `run/processes.json` (a list of process specifications in start order) at start and on SIGHUP, and makes what runs
equal to it. Writes `run/status.json` every two seconds, and more often while something starts. SIGTERM ends all of it. It is a program of its own so that the
platform outlives the terminal, unless it is told of an owner: then the end of that process ends it too. Its children end with it, even when it is killed.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from .layout import Layout
from .owner import Owner
from .process import ProcessSpec, kill_group, stop
from .supervisor_health import HealthWatch

LEAST_PAUSE, LONGEST_PAUSE, STEADY_SECONDS = 0.5, 15.0, 30.0
LARGEST_LOG_BYTES = 32 << 20


class Child:
    """One process and its history."""

    def __init__(self, spec: ProcessSpec):
        self.spec = spec
        self.process: subprocess.Popen | None = None
        self.restarts = 0
        self.pause = LEAST_PAUSE
        self.started = self.next_start = 0.0
        self.since = 0.0
        self.last_exit: int | None = None

    def start(self) -> None:
        rotate(Path(self.spec.log))
        self.started, self.since = time.monotonic(), time.time()
        try:
            self.process = self.spec.start()
        except OSError as error:
            tell(f"{self.spec.name} cannot be started: {error}")
            self.process = None
            self._wait_longer()

    def look(self) -> None:
        """Notices an end and starts again after a pause that grows while it keeps dying young."""
        if self.process is not None and self.process.poll() is not None:
            self.last_exit = self.process.returncode
            kill_group(self.process.pid)
            tell(f"{self.spec.name} (pid {self.process.pid}) ended with {self.last_exit}; starting it again in {self.pause:.1f} s")
            if time.monotonic() - self.started > STEADY_SECONDS:
                self.pause = LEAST_PAUSE
            self.process = None
            self.restarts += 1
            self._wait_longer()
        elif self.process is None and time.monotonic() >= self.next_start:
            self.start()

    def end(self) -> None:
        if self.process is not None:
            stop(self.process, self.spec)
            self.process = None

    def _wait_longer(self) -> None:
        self.next_start = time.monotonic() + self.pause
        self.pause = min(self.pause * 2, LONGEST_PAUSE)

    def facts(self) -> dict:
        return {
            "name": self.spec.name,
            "kind": self.spec.kind,
            "pid": self.process.pid if self.process else None,
            "port": self.spec.port,
            "since": self.since,
            "restarts": self.restarts,
            "last_exit": self.last_exit,
            "log": self.spec.log,
            "version": self.spec.version,
        }


class Supervisor:
    """The list of children and the loop that looks after them."""

    def __init__(self, layout: Layout, owner: Owner | None = None):
        self.layout, self.owner = layout, owner
        self.children: dict[str, Child] = {}
        self.wake = threading.Event()
        self.reload = self.ending = False
        self.health = HealthWatch(layout)

    def listen(self) -> None:
        """Hears signals from here on, also before it runs."""
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def run(self) -> None:
        self.reconcile()
        self.health.start()
        while not self.ending:
            self.wake.wait(0.2)
            self.wake.clear()
            if self.owner and self.owner.is_gone():
                tell("the process that this platform belongs to has ended")
                break
            if self.reload:
                self.reload = False
                self.reconcile()
            for child in self.children.values():
                child.look()
            self.health.look([(child.spec, child.facts()) for child in self.children.values()])
        for child in reversed(self.children.values()):
            child.end()
            tell(f"{child.spec.name} stopped")
        self.health.finish()

    def reconcile(self) -> None:
        """Stops what is no longer wanted or is wanted differently, in reverse; starts what is new, in order."""
        wanted = [ProcessSpec.from_json(value) for value in json.loads((self.layout.run / "processes.json").read_text())]
        names = {spec.name: spec for spec in wanted}
        for name, child in reversed(list(self.children.items())):
            if names.get(name) != child.spec:
                child.end()
                del self.children[name]
                tell(f"{name} stopped")
        ordered: dict[str, Child] = {}
        for spec in wanted:
            child = self.children.get(spec.name)
            if child is None:
                child = Child(spec)
                child.start()
                tell(f"{spec.name} started (pid {child.process.pid if child.process else 'none'})")
            ordered[spec.name] = child
        self.children = ordered

    def _on_signal(self, number: int, _frame) -> None:
        if number == signal.SIGHUP:
            self.reload = True
        else:
            self.ending = True
        self.wake.set()


def rotate(log: Path) -> None:
    """Keeps one older log when it has grown large."""
    try:
        if log.stat().st_size > LARGEST_LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
    except FileNotFoundError:
        pass


def tell(text: str) -> None:
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}", flush=True)


def main() -> None:
    layout = Layout(Path(sys.argv[1]))
    owner = Owner(int(sys.argv[2])) if len(sys.argv) > 2 else None
    supervisor = Supervisor(layout, owner)
    # Whoever reads whom to signal may do so at once.
    supervisor.listen()
    (layout.run / "supervisor.pid").write_text(str(os.getpid()))
    try:
        supervisor.run()
    finally:
        (layout.run / "supervisor.pid").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
