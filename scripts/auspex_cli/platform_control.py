"""Talking to the supervisor: start it, tell it what to run, ask what runs, end it."""

import json
import os
import signal
import subprocess
import sys
import time

from .console import Failure
from .layout import REPOSITORY, Layout
from .process import ProcessSpec, alive, basic_environment, wait_until


class PlatformControl:
    """The supervisor of one `var/` folder. One that is started for an owner ends with that process; without, it outlives whoever started it."""

    def __init__(self, layout: Layout, owner: int | None = None):
        self.layout, self.owner = layout, owner

    @property
    def pid(self) -> int | None:
        """The supervisor's process id, if it lives."""
        try:
            pid = int((self.layout.run / "supervisor.pid").read_text())
            with open(f"/proc/{pid}/cmdline", "rb") as line:
                return pid if b"auspex_cli.supervisor" in line.read() and alive(pid) else None
        except (OSError, ValueError):
            return None

    def wanted(self) -> list[ProcessSpec]:
        try:
            return [ProcessSpec.from_json(value) for value in json.loads((self.layout.run / "processes.json").read_text())]
        except (OSError, ValueError, TypeError):
            return []

    def apply(self, specs: list[ProcessSpec]) -> None:
        """Makes these the processes that run; does nothing when they already are."""
        if self.pid and self.wanted() == specs:
            return
        path = self.layout.run / "processes.json"
        temporary = path.with_name(".processes.json.new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump([spec.as_json() for spec in specs], file, indent=1)
        temporary.replace(path)
        if pid := self.pid:
            os.kill(pid, signal.SIGHUP)
        else:
            self._start()

    def _start(self) -> None:
        log = self.layout.log("supervisor")
        with log.open("ab") as file:
            subprocess.Popen(
                [sys.executable, "-s", "-m", "auspex_cli.supervisor", str(self.layout.var), *([str(self.owner)] if self.owner else [])],
                env=basic_environment() | {"PYTHONPATH": str(REPOSITORY / "scripts"), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"},
                cwd="/", stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        if not wait_until(lambda: self.pid is not None, 60):
            raise Failure("the supervisor did not start", log=log)

    def status(self) -> dict[str, dict]:
        """The last look at every process, by name; empty when nothing runs."""
        if self.pid is None:
            return {}
        try:
            value = json.loads((self.layout.run / "status.json").read_text())
        except (OSError, ValueError):
            return {}
        return {entry["name"]: entry for entry in value["processes"]} if time.time() - value["at"] < 15 else {}

    def wait_ready(self, names: list[str], seconds: float, current=None) -> None:
        """Waits until these are ready; says which is not, and why."""
        started = time.time()
        missing: list[str] = []

        def done() -> bool:
            status = self.status()
            fresh = [entry for name in names if (entry := status.get(name))]
            missing[:] = [name for name in names if status.get(name, {}).get("state") != "ready"]
            if current is not None:
                current.note(f"waiting for {', '.join(missing)}" if missing else "")
            dying = [entry for entry in fresh if entry["restarts"] >= 4 and entry["state"] != "ready" and entry["since"] > started - 60]
            if dying:
                raise Failure(f"{dying[0]['name']} keeps ending ({dying[0].get('detail', 'no reason known')})", log=dying[0]["log"])
            return not missing

        if not wait_until(done, seconds, 0.2):
            entry = self.status().get(missing[0], {})
            raise Failure(f"{missing[0]} is not ready after {seconds:.0f} s: {entry.get('detail', 'no answer')}", log=entry.get("log"))

    def end(self, seconds: float = 90) -> bool:
        """Stops everything; False when nothing ran."""
        pid = self.pid
        if pid is None:
            return False
        os.kill(pid, signal.SIGTERM)
        if not wait_until(lambda: not alive(pid), seconds):
            raise Failure(f"the supervisor (pid {pid}) did not end within {seconds:.0f} s", log=self.layout.log("supervisor"))
        return True

    def restart(self, name: str, number: int = signal.SIGTERM, seconds: float = 60) -> None:
        """Ends one process and waits for the supervisor to bring it back ready."""
        self.restart_all([name], number, seconds)

    def restart_all(self, names: list[str], number: int = signal.SIGTERM, seconds: float = 60) -> None:
        """Ends these processes, all at the same moment, and waits for the supervisor to bring them back ready."""
        specs = {spec.name: spec for spec in self.wanted()}
        for name in names:
            if specs and name not in specs:
                raise Failure(f"there is no '{name}' (there are: {' '.join(specs)})", exit_code=2)
        entries = {name: self._living(name) for name in names}
        for name, entry in entries.items():
            os.kill(entry["pid"], specs[name].stop_signal if number == signal.SIGTERM else number)

        def missing() -> list[str]:
            status = self.status()
            return [
                name for name, entry in entries.items()
                if status.get(name, {}).get("pid") in (None, entry["pid"]) or status[name].get("state") != "ready"]

        if not wait_until(lambda: not missing(), seconds, 0.2):
            name = (missing() or names)[0]
            raise Failure(f"'{name}' did not come back within {seconds:.0f} s", log=entries[name]["log"])

    def _living(self, name: str) -> dict:
        """What is known of a process that lives now: the last look at it may be two seconds old, and of one that has ended since."""
        def entry() -> dict | None:
            known = self.status().get(name)
            return known if known and known["pid"] and alive(known["pid"]) else None

        if not wait_until(lambda: entry() is not None, 15) or (found := entry()) is None:
            raise Failure(f"'{name}' does not run; './auspex status' lists what does")
        return found
