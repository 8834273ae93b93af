"""The scenarios of sandboxes: what a run costs from its claim to its stored result, warm and cold, and how many there are in a second.

All but the floor go the whole way: a published signal, the scheduler's ledger, the broker's hint, the executor, market data, the stored result. Their
times are the database's: `completed_at - started_at` of the job, which is what the executor had of it.
"""

import json
import os
import re
import statistics
import subprocess
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

from auspex_demo import accounts
from auspex_demo.main_job import until
from job_news import until_jobs
from line import Line

PLAIN = "from auspex import Prediction\n\n\ndef predict(context):\n    return Prediction(1)\n"
PANDAS = (
    "import pandas\nfrom auspex import Prediction\n\n\n"
    "def predict(context):\n    close = pandas.Series([1.0, 2.0, 3.0]).ewm(span=2).mean()\n    return Prediction(1 if close.iloc[-1] > 1 else -1)\n")
MANIFEST = """name = "Sandboxes {number}"
class = "small"

[schedule]
{schedule}

[[inputs]]
instrument = "{symbol}"
interval = "1m"
lookback = 100

[output]
kind = "direction"
instrument = "{symbol}"
horizon_seconds = 60
"""


def _every(seconds: int) -> str:
    return f'kind = "interval"\nseconds = {seconds}'


def _publish(stage, provider, app: str, schedule: str, requirements: str = "", number: int = 0) -> str:
    """A signal of its own version; gives its id."""
    signal_id = provider.post("/api/signals", {"name": f"Sandboxes {number}", "description": "for a benchmark"})["id"]
    files = [
        {"path": "app.py", "text": app}, {"path": "requirements.txt", "text": requirements},
        {"path": "auspex.toml", "text": MANIFEST.format(number=number, schedule=schedule, symbol=stage.market().symbol)},
    ]
    provider.post(f"/api/signals/{signal_id}/versions", {"files": files})
    until(lambda: provider.post(f"/api/signals/{signal_id}/publish", {"version": 1}), 20, "publishing")
    return signal_id


class _Runs:
    """The runs of one signal, or of all, that ended since this was made."""

    def __init__(self, stage, signal_id: str | None = None, kind: str = "signal_run"):
        self.stage = stage
        self.since = stage.platform.sql("SELECT clock_timestamp()")
        self.condition = f"kind = '{kind}' AND completed_at > '{self.since}'" + (f" AND signal_id = '{signal_id}'" if signal_id else "")

    def read(self, more: str = "true") -> list[tuple[float, bool]]:
        """Milliseconds from claim to stored result, and whether the sandbox was warm; failed runs end the benchmark."""
        failed = self.stage.platform.sql(f"SELECT min(failure_kind || ': ' || left(error_message, 300)) FROM scheduler.jobs WHERE {self.condition} AND state = 'failed'")
        if failed:
            raise SystemExit(f"a run failed: {failed}")
        text = self.stage.platform.sql(
            "SELECT extract(epoch FROM completed_at - started_at) * 1000, coalesce(result->'stages_ms', '{}') ? 'warm' FROM scheduler.jobs "
            f"WHERE {self.condition} AND state = 'completed' AND {more} ORDER BY completed_at")
        return [(float(took), warm == "t") for took, warm in (line.split("|") for line in text.splitlines())]

    def wait(self, count: int, seconds: float, what: str, more: str = "true", begin=None) -> None:
        """Until so many have ended, or one has failed, which `read` says; `begin` makes them."""
        ended = f"SELECT count(*) FILTER (WHERE {more}), count(*) FILTER (WHERE state = 'failed') FROM scheduler.jobs WHERE {self.condition}"
        until_jobs(self.stage, f"SELECT number >= {count} OR failures > 0 FROM ({ended}) AS ended (number, failures)", seconds, what, begin)

    def stages(self) -> str:
        """The medians of the executor's own stages, for the note."""
        return self.stage.platform.sql(
            "SELECT string_agg(name || ' ' || round(took::numeric, 1), ', ' ORDER BY name) FROM (SELECT name, percentile_cont(0.5) WITHIN GROUP (ORDER BY value::float) AS took "
            f"FROM scheduler.jobs, jsonb_each_text(result->'stages_ms') AS stage(name, value) WHERE {self.condition} AND state = 'completed' AND name <> 'warm' GROUP BY name) AS medians")


def _lines(scenario: str, what: str, took: list[float], note: str) -> Iterator[Line]:
    ordered = sorted(took) or [float("nan")]
    yield Line(scenario, f"{what}, p50", statistics.median(ordered), "ms", note=note)
    yield Line(scenario, f"{what}, p99", ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], "ms", note=f"{len(took)} runs")


class _Processors:
    """Processor time of the platform's processes, those that they have collected included, from when this was made."""

    def __init__(self, stage):
        self.roots = {name: entry["pid"] for name, entry in stage.platform.control.status().items()} | {"benchmark": os.getpid()}
        self.before = self._read()

    def _read(self) -> dict[str, float]:
        parents, used, sandboxes = {}, {}, 0.0
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(name)] = int(fields[1])
            own, collected = (sum(map(int, fields[first : first + 2])) / os.sysconf("SC_CLK_TCK") for first in (11, 13))
            used[int(name)] = own + collected
            if int(name) == self.roots.get("executor"):
                used[int(name)] = own
                sandboxes = collected
        names = {pid: name for name, pid in self.roots.items()}
        sums: dict[str, float] = {"sandboxes": sandboxes}
        for pid, seconds in used.items():
            above = pid
            while above not in names and above in parents:
                above = parents[above]
            if above in names:
                sums[names[above]] = sums.get(names[above], 0) + seconds
        return sums

    def note(self, count: int) -> str:
        """Milliseconds for each of so many runs, the largest first."""
        after = self._read()
        spent = {name: (seconds - self.before.get(name, 0)) / count * 1000 for name, seconds in after.items()}
        largest = sorted(((took, name) for name, took in spent.items() if took >= 0.05), reverse=True)
        return f"ms of processors a run: {sum(spent.values()):.1f}, " + ", ".join(f"{name} {took:.1f}" for took, name in largest)


def _cold_jobs(stage, signal_id: str, count: int, *, one_by_one: bool) -> _Runs:
    """Dry runs of the signal's version: a service may ask for these, and what is warm is kept for runs of the schedule."""
    spec = json.loads(stage.platform.sql(f"SELECT spec FROM scheduler.jobs WHERE signal_id = '{signal_id}' AND kind = 'signal_run' ORDER BY job_id DESC LIMIT 1"))
    account = stage.platform.sql(f"SELECT account_id FROM scheduler.jobs WHERE signal_id = '{signal_id}' LIMIT 1")
    client = stage.service_client("signals", "scheduler")
    runs = _Runs(stage, signal_id, kind="dry_run")

    def job() -> dict:
        return {
            "kind": "dry_run", "resource_class": "signal", "account_id": account, "priority": "high", "idempotency_key": uuid.uuid4().hex, "max_attempts": 1,
            "spec": {name: value for name, value in spec.items() if name != "occurrence_id"},
        }

    if one_by_one:
        for number in range(count):
            runs.wait(number + 1, 60, "a cold run", begin=lambda: client.call("POST", "/internal/v1/jobs", job()))
            time.sleep(0.2)
        return runs
    for start in range(0, count, 300):
        client.call("POST", "/internal/v1/jobs/bulk", {"jobs": [job() for _ in range(min(300, count - start))]})
    runs.wait(count, 300, "the cold runs")
    return runs


def sandbox_floor(stage, peers, options) -> Iterator[Line]:
    """What the machine takes for a namespace and an interpreter, without us: nothing cold can be faster."""
    def timed(command: list[str]) -> float:
        took = []
        for _ in range(60):
            started = time.perf_counter()
            subprocess.run(command, check=True)
            took.append((time.perf_counter() - started) * 1000)
        return statistics.median(took)

    python = ["/usr/bin/python3", "-I", "-S", "-c", "pass"]
    namespaces = ["--unshare-user", "--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev"]
    yield Line("sandbox_floor", "python3 -I -S -c pass", timed(python), "ms")
    yield Line("sandbox_floor", "bwrap with all namespaces and that", timed(["/usr/bin/bwrap", *namespaces, "--", *python]), "ms")


def sandbox_plain(stage, peers, options) -> Iterator[Line]:
    """A plain signal each second, and the same code cold; one at a time."""
    yield from sandbox_floor(stage, peers, options)
    yield from _latencies(stage, options, "sandbox_plain", "plain Python", PLAIN, "", bars=(15, 25))


def sandbox_pandas(stage, peers, options) -> Iterator[Line]:
    """The same with pandas, whose import takes most of a cold run."""
    yield from _latencies(stage, options, "sandbox_pandas", "pandas", PANDAS, "pandas\n", bars=(30, None))


def _latencies(stage, options, scenario: str, name: str, app: str, requirements: str, bars) -> Iterator[Line]:
    provider = stage.job.as_(stage.cast.provider)
    signal_id = _publish(stage, provider, app, _every(2 if requirements else 1), requirements)
    first = _Runs(stage, signal_id)
    first.wait(1, 300, f"the first warm run of {name}", more="result->'stages_ms' ? 'warm'")
    runs = _Runs(stage, signal_id)
    count = min(options.occurrences, 60)
    runs.wait(count, count * 5 + 60, f"{count} runs of {name}")
    took = runs.read()
    stages = runs.stages()
    until(lambda: _metrics(stage, r'auspex_warm_sandboxes\{[^}]*state="(idle)"[^}]*\} ([1-9]\d*)'), 30, "the next warm sandbox")
    waiting = [(_megabytes(process, "Pss"), _megabytes(process, "Private_Dirty")) for process in _sandboxes()]
    stage.unpublish(signal_id)
    warm = [milliseconds for milliseconds, is_warm in took if is_warm]
    yield from _lines(scenario, f"{name}, pre-warmed: claim to stored result", warm, f"bar {bars[0]} ms; {len(warm)} of {len(took)} found a warm sandbox; {stages}")
    if waiting:
        note = f"{max(private for _, private in waiting):.1f} MiB of it written by itself; the file pages are shared with every other one"
        yield Line(scenario, f"{name}, memory of a sandbox that waits", max(proportional for proportional, _ in waiting), "MiB", note=note)
    cold = _cold_jobs(stage, signal_id, 40, one_by_one=True)
    bar = f"bar {bars[1]} ms; " if bars[1] else ""
    yield from _lines(scenario, f"{name}, cold: claim to stored result", [milliseconds for milliseconds, _ in cold.read()], bar + cold.stages())
    burst = 200 if requirements else 600
    processors = _Processors(stage)
    runs = _cold_jobs(stage, signal_id, burst, one_by_one=False)
    span = float(stage.platform.sql(f"SELECT extract(epoch FROM max(completed_at) - min(started_at)) FROM scheduler.jobs WHERE {runs.condition}"))
    yield Line(scenario, f"{name}, cold, full path, runs/s", burst / span, "1/s", note=f"{'bar 60/s; ' if not requirements else ''}{burst} runs waiting at once, each recorded; {processors.note(burst)}")


def sandbox_rate(stage, peers, options) -> Iterator[Line]:
    """As many plain signals due each second as the bar asks for: how many run, and how many of these were warm. What is due while the run before
    still waits or runs is skipped, each with its event: where the machine cannot do all, that is part of what it does."""
    provider = stage.job.as_(stage.cast.provider)
    signals = [_publish(stage, provider, f"{PLAIN}# {number}\n", _every(1), number=number) for number in range(60)]
    time.sleep(10)
    runs = _Runs(stage)
    seconds = max(10, options.seconds)
    processors = _Processors(stage)
    time.sleep(seconds)
    took = runs.read()
    spent = processors.note(max(1, len(took)))
    for signal_id in signals:
        stage.unpublish(signal_id)
    yield Line("sandbox_rate", "60 plain signals due each second, runs/s", len(took) / seconds, "1/s", note=f"bar 60/s; {sum(warm for _, warm in took)} of {len(took)} warm; {spent}")


class _Memory(threading.Thread):
    """Looks every half second at what the machine has free, and at the sandboxes that are there."""

    def __init__(self):
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.before = self._available()
        self.least, self.most_sandboxes = self.before, 0

    @staticmethod
    def _available() -> int:
        return next(int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable")) << 10

    def run(self) -> None:
        while not self.over.wait(0.5):
            self.least = min(self.least, self._available())
            self.most_sandboxes = max(self.most_sandboxes, len(_sandboxes()))

    def stop(self) -> "_Memory":
        self.over.set()
        self.join(10)
        return self


def _sandboxes() -> list[Path]:
    """The interpreters of runs, begun or ahead of them, by their folder in /proc."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it has ended
            continue
        if b"-ISB" in words and b"python" in words[0]:
            found.append(process)
    return found


def _megabytes(process: Path, name: str) -> float:
    """What a process has of its own and its part of what it shares (`Pss`), or one of the kernel's other sums."""
    try:
        lines = (process / "smaps_rollup").read_text().splitlines()
    except OSError:
        return float("nan")
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), float("nan"))


def _metrics(stage, line: str) -> list[tuple[str, str]]:
    """What two groups of such lines of the executor's metrics say."""
    port = stage.platform.deployment.ports.internal("executor")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return re.findall(f"^{line}", answer.read().decode(), re.MULTILINE)


def _discarded(stage) -> str:
    """The executor's count of warm sandboxes that no run took, by reason."""
    counts = _metrics(stage, r'auspex_warm_discarded_total\{[^}]*reason="(\w+)"[^}]*\} (\d+)')
    return ", ".join(f"{count} {reason}" for reason, count in counts) or "none"


def sandbox_tenants(stage, peers, options) -> Iterator[Line]:
    """1,000 pandas signals of 20 accounts, each of its own version, spread over the seconds of each minute: one minute, until its last run has ended."""
    count = int(os.environ.get("AUSPEX_BENCH_TENANTS", "1000"))
    first = _Runs(stage)
    providers = [stage.job.as_(accounts.register(stage.platform.api, f"tenant-{number}", ["provider"])) for number in range(min(20, count))]
    signals = [
        (provider, _publish(stage, provider, f"{PANDAS}# {number}\n", f'kind = "cron"\nexpression = "{number % 60} * * * * *"\nzone = "UTC"', "pandas\n", number))
        for number, provider in ((number, providers[number % len(providers)]) for number in range(count))
    ]
    # What all of them have in common is built once; who looks at it then for the first time is no part of a minute like any other.
    first.wait(1, 600, "the first run of a tenant")
    runs, memory = _Runs(stage), _Memory()
    memory.start()
    started = time.monotonic()
    due = f"occurrences.due_at >= '{runs.since}' AND occurrences.due_at < '{runs.since}'::timestamptz + interval '60 seconds'"
    until_jobs(
        stage,
        f"SELECT clock_timestamp() > '{runs.since}'::timestamptz + interval '62 seconds' AND NOT EXISTS (SELECT FROM scheduler.occurrences JOIN scheduler.jobs USING (job_id) "
        f"WHERE {due} AND jobs.state IN ('pending', 'running'))",
        900, "the end of all runs that were due in the first minute")
    seconds = time.monotonic() - started
    memory.stop()
    took = runs.read()
    outcomes = stage.platform.sql(f"SELECT string_agg(n || ' ' || outcome, ', ') FROM (SELECT outcome, count(*) AS n FROM scheduler.occurrences WHERE {due} GROUP BY 1) AS o")
    stored, p50, p99 = stage.platform.sql(
        "SELECT count(took), coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY took), 0), coalesce(percentile_cont(0.99) WITHIN GROUP (ORDER BY took), 0) FROM ("
        "SELECT extract(epoch FROM jobs.completed_at - occurrences.due_at) AS took FROM scheduler.occurrences JOIN scheduler.jobs USING (job_id) "
        f"WHERE {due} AND jobs.state = 'completed') AS stored").split("|")
    discarded = _discarded(stage)
    for provider, signal_id in signals:
        provider.post(f"/api/signals/{signal_id}/unpublish")
    hits = sum(warm for _, warm in took)
    name = f"{count} pandas tenants a minute"
    yield Line("sandbox_tenants", f"{name}, runs/s", len(took) / seconds, "1/s", note=f"{count / 60:.1f}/s are due; {hits} of {len(took)} warm; warm ones that no run took, since the start: {discarded}")
    yield Line("sandbox_tenants", f"{name}, due in the first minute", count, "", note=f"{outcomes}; {stored} of these stored, the last one after {seconds:.0f} s")
    yield Line("sandbox_tenants", "due to stored result, p50", float(p50), "s", note=f"{stored} runs")
    yield Line("sandbox_tenants", "due to stored result, p99", float(p99), "s")
    for is_warm, kind in ((True, "warm"), (False, "cold")):
        times = [milliseconds for milliseconds, warm in took if warm == is_warm]
        if times:
            yield Line("sandbox_tenants", f"claim to stored result, {kind}, p50", statistics.median(times), "ms", note=f"{len(times)} runs")
    yield Line("sandbox_tenants", "memory of the machine beyond that before, at most", (memory.before - memory.least) / 2**20, "MiB", note=f"{memory.most_sandboxes} sandboxes at once at most")


ALL = {"sandbox_plain": sandbox_plain, "sandbox_pandas": sandbox_pandas, "sandbox_rate": sandbox_rate, "sandbox_tenants": sandbox_tenants}
