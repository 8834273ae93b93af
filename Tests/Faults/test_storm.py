"""Executors, sandboxes, schedulers, the broker and the database are killed at random moments while more than 200 jobs a minute are due.

`AUSPEX_STORM_SECONDS=300` is the long form. `AUSPEX_FAULTS_SEED` repeats the order of the blows and the pauses between them, and not the very moment of each:
which process a blow meets, and at which statement, is up to the machine.
"""

import os
import random
import re
import signal
import sys
import threading
import time
import unittest
import uuid
from pathlib import Path

from auspex_cli.process import wait_until
from auspex_demo import signals
from auspex_demo.main_job import until
from doors import ServiceDoor
from faulted import FaultCase

SECONDS = int(os.environ.get("AUSPEX_STORM_SECONDS", 45))
SIGNALS, NOOPS_A_MINUTE = 3, 40
# How often each is struck, in parts; the pause between two blows is a few seconds, as long as a restart takes.
TARGETS = {"executor": 4, "sandbox": 6, "scheduler": 4, "broker": 1, "postgres": 1}
LONGEST_PAUSE = 8.0
# What a process may hold more after the storm than before it; a leak of a kilobyte a job would be seen in the long form.
GROWTH = 48 << 20
# Executors and schedulers are killed all the time: what each may hold more for every minute that it lives, counted from when it was so many seconds old.
GROWTH_A_MINUTE, GROWN_UP = 24 << 20, 5.0
# And what all of them together may hold more for each job that was done meanwhile.
GROWTH_A_JOB = 128 << 10


class Storm(FaultCase):
    def test_nothing_is_lost_doubled_or_left_behind(self):
        seed = int(os.environ.get("AUSPEX_FAULTS_SEED", 0)) or random.randrange(1, 1 << 32)
        print(f"AUSPEX_FAULTS_SEED={seed} AUSPEX_STORM_SECONDS={SECONDS} repeats this storm", file=sys.stderr)
        mounts = _mounts()
        published = self._publish()
        small_before = self._memory("auth", "marketdata", "signals")
        began = self.sql("SELECT clock_timestamp()")
        with Lives(self.control, "executor", "scheduler") as lives, Noops(self.platform, self.cast.provider.account_id) as noops:
            blows = self._strike(noops, random.Random(seed), lives)
        # Not by the supervisor's own word: so many ends in a row are a crash loop to it.
        until(lambda: all(entry["state"] == "ready" for entry in self.control.status().values()), 120, "every process being ready")
        provider = self.job.as_(self.cast.provider)
        for one in published:
            provider.post(f"/api/signals/{one.id}/unpublish")
        self.goes_on()
        counted = self._every_noop_once(noops.keys)
        due = int(self.sql(f"SELECT coalesce(sum(due_count), 0) FROM scheduler.occurrences WHERE made_at >= '{began}'"))
        print(f"  {blows}; {due} due times and {counted} no-op jobs in {SECONDS} s", file=sys.stderr)
        self.assertGreaterEqual((due + counted) * 60 / SECONDS, 200, "the storm needs a load of 200 jobs a minute")
        until(lambda: int(self.sql(f"SELECT count(*) FROM scheduler.jobs WHERE created_at >= '{began}' AND created_at < clock_timestamp() - interval '30 s' "
                                   "AND state IN ('pending', 'running')")) == 0, 180, "every job's end", 1)
        self.audited()
        for name, (before, after) in _pairs(small_before, self._memory("auth", "marketdata", "signals")).items():
            self.assertLess(after - before, GROWTH, f"{name} grew from {before >> 20} to {after >> 20} MiB")
        print(f"  {lives}", file=sys.stderr)
        self.assertTrue(lives.grown, "no executor and no scheduler lived for long enough to be measured twice")
        for life in lives.grown:
            self.assertLess(life.growth, GROWTH_A_MINUTE * max(1, life.minutes), f"{life}")
        self.assertLess(sum(life.growth for life in lives.grown), GROWTH_A_JOB * (due + counted), f"{lives}")
        self._nothing_is_left(mounts)

    def _publish(self) -> list[signals.Published]:
        """Signals that are due each second, whatever the market does."""
        provider = self.job.as_(self.cast.provider)
        market, found = self.cast.markets[0], []
        for number in range(SIGNALS):
            files = signals.files_of(signals.FOLDER / "momentum", market)
            for file in files:
                if file["path"] == "auspex.toml":
                    file["text"] = re.sub(r"\[schedule\]\n(?:\w.*\n)+", '[schedule]\nkind = "interval"\nseconds = 1\n', file["text"])
            made = provider.post("/api/signals", {"name": f"Storm {number}", "description": "Runs each second."})
            version = provider.post(f"/api/signals/{made['id']}/versions", {"files": files})
            provider.post(f"/api/signals/{made['id']}/publish", {"version": version["number"]})
            found.append(signals.Published(made["id"], made["name"], "", signals.FOLDER / "momentum", version["sha256"]))
        until(lambda: all(provider.get(f"/api/signals/{one.id}")["last_outcome"] for one in found), 60, "the first due time of each signal")
        return found

    def _strike(self, noops: "Noops", chance: random.Random, lives: "Lives") -> str:
        """Strikes until the time is over; gives how often each was struck. What is away at the moment cannot be struck."""
        struck = dict.fromkeys(TARGETS, 0)
        end = time.monotonic() + SECONDS
        while (left := end - time.monotonic()) > 0:
            if noops.broken.wait(min(left, chance.uniform(0.2, LONGEST_PAUSE))):
                break
            target = chance.choices(list(TARGETS), list(TARGETS.values()))[0]
            which = chance.random()
            if pids := self._sandboxed(5) if target == "sandbox" else self._pids(target):
                pid = pids[int(which * len(pids))]
                lives.look(pid)
                _kill(pid)
                struck[target] += 1
        return ", ".join(f"{target} {count}x" for target, count in struck.items())

    def _pids(self, service: str) -> list[int]:
        return [entry["pid"] for name, entry in sorted(self.control.status().items()) if name.partition("-")[0] == service and entry["pid"]]

    def _sandboxed(self, seconds: float = 0) -> list[int]:
        """Processes of runs, those of the next run within some seconds if there is none now. The platform's runs have a range of users."""
        first = self.platform.deployment.ports.sandbox_user_id(0)
        def runs() -> list[int]:
            return [pid for pid, uid in _users() if first <= uid < first + 2_000]

        return runs() or (wait_until(lambda: bool(runs()), seconds, 0.01) and runs() or [])

    def _every_noop_once(self, keys: set[str]) -> int:
        where = f"FROM scheduler.jobs WHERE kind = 'noop' AND idempotency_key IN ({', '.join(repr(key) for key in keys)})"
        until(lambda: int(self.sql(f"SELECT count(*) {where} AND state = 'completed'")) == len(keys), 240, "every no-op job's end", 1)
        self.assertEqual(int(self.sql(f"SELECT count(*) {where}")), len(keys))
        return len(keys)

    def _memory(self, *services: str) -> dict[str, int]:
        return {f"{name} {entry['pid']}": _resident(entry["pid"]) for name, entry in self.control.status().items()
                if name.partition("-")[0] in services and entry["pid"]}

    def _nothing_is_left(self, mounts: set[str]) -> None:
        """The executors end as they do at a release; then no process, control group, mount or half-made file is left of any run."""
        wanted = self.control.wanted()
        self.control.restart_all(self.names("executor"), signal.SIGTERM, 90)
        self.without("executor")
        try:
            until(lambda: not self._sandboxed(), 60, "the end of every sandboxed process")
            self.assertEqual(_groups(self.platform.deployment.ports.base), [])
            self.assertEqual(_mounts() - mounts, set())
            root = self.platform.layout.state / "executor"
            left = [str(path.relative_to(root)) for path in root.glob("*/*") if path.name.startswith("tmp.")]
            left += [str(path.relative_to(root)) for path in root.glob("*/*/*") if path.name.startswith("tmp.")]
            self.assertEqual(left, [])
        finally:
            self.control.apply(wanted)
        self.platform.wait_ready()
        self.goes_on()


class Life:
    """What one process held when it had come up, and when it was last looked at."""

    def __init__(self, name: str, pid: int, age: float, resident: int):
        self.name, self.pid = name, pid
        self.first = self.last = (age, resident)

    @property
    def growth(self) -> int:
        return self.last[1] - self.first[1]

    @property
    def minutes(self) -> float:
        return (self.last[0] - self.first[0]) / 60

    def __str__(self) -> str:
        return (f"{self.name} ({self.pid}) {self.first[1] / (1 << 20):.1f} -> {self.last[1] / (1 << 20):.1f} MiB "
                f"from {self.first[0]:.0f} to {self.last[0]:.0f} s")


class Lives(threading.Thread):
    """Looks at every process of some services once it is up and grown up, which it may be at the beginning, then again and again, and last just before it is
    killed or at the end."""

    def __init__(self, control, *services: str):
        super().__init__(daemon=True)
        self.control, self.services = control, services
        self.known: dict[int, Life] = {}
        self.lock, self.over = threading.Lock(), threading.Event()

    def __enter__(self) -> "Lives":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.over.set()
        self.join(30)
        self._round()

    def run(self) -> None:
        while not self.over.wait(0.5):
            self._round()

    def _round(self) -> None:
        for name, entry in self.control.status().items():
            if name.partition("-")[0] in self.services and entry["pid"]:
                # What is not up yet grows by coming up.
                self.look(entry["pid"], name if entry["state"] == "ready" else None)

    def look(self, pid: int, name: str | None = None) -> None:
        """Without a name only at a process that was seen before."""
        try:
            age, resident = _age(pid), _resident(pid)
        except (OSError, TypeError):
            return  # It has just ended.
        with self.lock:
            if life := self.known.get(pid):
                life.last = (age, resident)
            elif name and age >= GROWN_UP:
                self.known[pid] = Life(name, pid, age, resident)

    @property
    def grown(self) -> list[Life]:
        """Those that were looked at twice."""
        return [life for life in self.known.values() if life.minutes > 0]

    def __str__(self) -> str:
        return "; ".join(map(str, self.grown))


class Noops(threading.Thread):
    """Asks for no-op jobs at a steady pace; one whose answer does not come is asked for again under its key."""

    def __init__(self, platform, account_id: str):
        super().__init__(daemon=True)
        ports = platform.deployment.ports
        self.doors = [ServiceDoor(platform.layout.secrets, "signals", "scheduler", ports.internal("scheduler", replica)) for replica in range(2)]
        self.account_id = account_id
        self.keys: set[str] = set()
        self.over = threading.Event()
        self.failure: Exception | None = None
        # The storm ends with its load.
        self.broken = threading.Event()

    def __enter__(self) -> "Noops":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.over.set()
        self.join(120)
        if self.failure:
            raise self.failure

    def run(self) -> None:
        try:
            while not self.over.wait(60 / NOOPS_A_MINUTE):
                key = f"storm-{uuid.uuid4()}"
                until(lambda: self._asked(key), 90, "a no-op job being accepted")
                self.keys.add(key)
        except Exception as failure:  # noqa: BLE001 - it belongs to whoever waits for this thread
            self.failure = failure
            self.broken.set()

    def _asked(self, key: str) -> bool:
        """False while there is no database or no such replica; every other refusal is a failure."""
        body = {
            "kind": "noop", "resource_class": "small", "account_id": self.account_id, "priority": "normal", "spec": {}, "idempotency_key": key,
            "max_attempts": 10}
        try:
            self.doors[int(time.monotonic() * 10) % 2].call("POST", "/internal/v1/jobs", body)
        except RuntimeError as refusal:
            if ": 503 " not in str(refusal):
                raise
            return False
        return True


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _users() -> list[tuple[int, int]]:
    """Every process with its user."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                found.append((int(folder.name), folder.stat().st_uid))
            except OSError:
                continue
    return found


def _resident(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+) kB", text, re.MULTILINE)[1]) << 10


def _age(pid: int) -> float:
    """Seconds since a process began."""
    began = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - began


def _pairs(before: dict[str, int], after: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Of the processes that lived all the time."""
    return {name: (before[name], after[name]) for name in before.keys() & after.keys()}


def _mounts() -> set[str]:
    return {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}


def _groups(base: int) -> list[str]:
    """Control groups of single runs below those of the platform's executors."""
    return [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/auspex-{base}-*/*") if path.is_dir()]


if __name__ == "__main__":
    unittest.main()
