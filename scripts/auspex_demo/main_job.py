"""The main job, step by step. Each step does something through the public API and gives back what was seen."""

import copy
import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from auspex_cli.console import Failure
from auspex_cli.layout import REPOSITORY
from auspex_cli.platform_control import PlatformControl
from auspex_cli.services import ServicePlan

from . import accounts, market, signals
from .api import API, APIProblem
from .market import Market, Source
from .signals import Published

SAMPLES = [
    ("momentum", "Momentum", "Plain Python."),
    ("trend-model", "Trend model", "numpy, pandas and a trained model file."),
]


@dataclass
class Cast:
    """Who plays: accounts, their keys, the replays and the signals."""

    admin: accounts.Account
    provider: accounts.Account
    subscriber: accounts.Account
    markets: list[Market] = field(default_factory=list)
    signals: list[Published] = field(default_factory=list)
    key: str = ""


def until(condition: Callable[[], object], seconds: float, what: str, pause: float = 0.2):
    """The first truthy answer; a failure that says what did not happen."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if answer := condition():
                return answer
        except (APIProblem, OSError, http.client.HTTPException) as problem:
            if time.monotonic() > deadline:
                raise Failure(f"{what}: {problem}") from None
        if time.monotonic() > deadline:
            raise Failure(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(pause)


class MainJob:
    """Runs the steps against one platform."""

    def __init__(self, api: API, plan: ServicePlan, control: PlatformControl, python: str):
        self.api, self.plan, self.control, self.python = api, plan, control, python

    # Who takes part

    def cast(self) -> Cast:
        """An administrator (by the command at the server), a provider and a subscriber (by registration)."""
        secrets = self.plan.deployment.secrets
        name = f"admin-{os.urandom(3).hex()}@demo.auspex.example"
        password = secrets.password("demo-admin-password")
        result = self.plan.command("auth", ["admin", "create", "--email", name, "--password-file", str(secrets.path("demo-admin-password"))])
        if result.returncode != 0:
            raise Failure(f"auth admin create: {(result.stderr or result.stdout).strip()}")
        return Cast(
            admin=accounts.Account(name, password, ""),
            provider=accounts.register(self.api, "provider", ["provider", "subscriber"]),
            subscriber=accounts.register(self.api, "subscriber", ["subscriber"]),
        )

    def as_(self, account: accounts.Account) -> API:
        """Logged in; a gateway that has just lost a process says so for a moment."""
        return until(lambda: accounts.login(self.api, account), 90, f"the login of {account.email}")

    # Bars and signals

    def load_bars(self, cast: Cast, sources: list[Source]) -> list[dict]:
        admin = self.as_(cast.admin)
        return [market.load(admin, source) for source in dict.fromkeys(sources)]

    def start_replays(self, cast: Cast, sources: list[Source], seconds_a_bar: float) -> list[Market]:
        provider = self.as_(cast.provider)
        running = {source: market.replay(provider, source, seconds_a_bar) for source in dict.fromkeys(sources)}
        cast.markets = [running[source] for source in sources]
        return list(running.values())

    def publish(self, cast: Cast) -> list[Published]:
        """Both demo signals; a new instrument is known to all services within moments."""
        provider = self.as_(cast.provider)
        for (sample, name, about), where in zip(SAMPLES, cast.markets):
            cast.signals.append(
                until(lambda: signals.publish(provider, sample, name, about, where), 60, f"publishing {name}"))
        return cast.signals

    def subscribe(self, cast: Cast) -> str:
        """Subscribes to both and makes the key by which a program reads them."""
        subscriber = self.as_(cast.subscriber)
        for one in cast.signals:
            subscriber.post("/api/subscriptions", {"signal_id": one.id})
        cast.key = accounts.make_key(subscriber, "demo", ["predictions:read", "bars:read"])
        return cast.key

    # Predictions

    def rows(self, cast: Cast, which: Published, limit: int = 50) -> list[dict]:
        """Newest first."""
        return self.api.acting_as(key=cast.key).get(f"/api/predictions/{which.id}?limit={limit}")["items"]

    def first_prediction(self, cast: Cast, which: Published, seconds: float = 180) -> dict:
        """Pulled by the Python client, as a subscriber's program would."""
        program = (
            "import json, sys\n"
            "from auspex import Client\n"
            "client = Client(sys.argv[1], api_key=sys.stdin.readline().strip())\n"
            "for prediction in client.follow(sys.argv[2], after_seq=0):\n"
            "    print(json.dumps({'seq': prediction.seq}))\n"
            "    break\n"
        )
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY / "sdk" / "python"), "LANG": "C.UTF-8"}
        try:
            result = subprocess.run(
                [self.python, "-B", "-c", program, self.api.base, which.id], input=cast.key + "\n", env=environment, capture_output=True, text=True,
                timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Failure(self._why_none(cast, which)) from None
        if result.returncode != 0:
            raise Failure(f"the Python client failed: {(result.stderr.strip().splitlines() or ['no message'])[-1]}")
        # Another replica than the one that answered the client may hear of the row a moment later.
        return until(
            lambda: next((row for row in reversed(self.rows(cast, which, 500)) if row["seq"] == 1), None), 90, f"seq 1 of {which.name} at every replica")

    def _why_none(self, cast: Cast, which: Published) -> str:
        provider = self.as_(cast.provider)
        detail = provider.get(f"/api/signals/{which.id}")
        jobs = provider.get("/api/jobs?limit=3").get("items", [])
        last = f"; last job {jobs[0]['job_id']}: {jobs[0]['state']} {jobs[0].get('error_message') or ''}" if jobs else "; no job was made"
        return f"no prediction of {which.name} came (last outcome {detail.get('last_outcome')}, {detail.get('last_reason')}){last}"

    def settled(self, cast: Cast, which: Published, seconds: float = 180) -> dict:
        """The first row whose outcome is known, with what was known of the deciding bar when the row was made."""
        row = until(
            lambda: next((row for row in reversed(self.rows(cast, which)) if row["outcome"] and row["outcome"]["state"] == "settled"), None),
            seconds, f"a settled outcome of {which.name}", 0.5)
        where = next(where for where, one in zip(cast.markets, cast.signals) if one.id == which.id)
        reader = self.api.acting_as(key=cast.key)
        window = {"start": row["outcome"]["opens_at"], "end": row["outcome"]["closes_at"]}
        row["known_when_made"] = market.bars_known(reader, where, as_of=row["made_at"], **window)
        row["known_now"] = until(lambda: market.bars_known(reader, where, as_of=None, **window), 90, "the bars that decided an outcome")
        return row

    # The ledger

    def verify_ledger(self) -> str:
        """What `./auspex verify-ledger` says; raises when it finds a fault."""
        result = self.plan.command("signals", ["verify-ledger", "--all"])
        if result.returncode != 0:
            raise Failure(f"verify-ledger: {(result.stdout + result.stderr).strip()}")
        return result.stdout.strip()

    def export(self, cast: Cast, which: Published) -> dict:
        """The signal's chain with payloads, as a subscriber may export it."""
        return self.api.acting_as(key=cast.key).get(f"/api/signals/{which.id}/ledger?limit=10000")

    def verdict(self, export: dict) -> dict:
        """What the SDK's independent verifier says of an export: {ok, text, seq of the first bad row}."""
        program = (
            "import json, sys\n"
            "from auspex import verify_ledger\n"
            "document, keys = json.load(sys.stdin)\n"
            "verdict = verify_ledger(document, keys)\n"
            "print(json.dumps({'ok': bool(verdict), 'text': str(verdict), 'seq': verdict.fault.seq if verdict.fault else None}))\n"
        )
        keys = self.api.get("/api/signals/ledger/keys")
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY / "sdk" / "python"), "LANG": "C.UTF-8"}
        result = subprocess.run(
            [self.python, "-B", "-c", program], input=json.dumps([export, keys]), env=environment, capture_output=True, text=True)
        if result.returncode != 0:
            raise Failure(f"the verifier failed: {(result.stderr.strip().splitlines() or ['no message'])[-1]}")
        return json.loads(result.stdout)

    # A killed executor

    def fresh_run(self, cast: Cast, seconds: float = 180) -> dict:
        """A run of the slower signal that is in an executor now. One that was there before may have been left behind by an executor that died."""
        provider = self.as_(cast.provider)

        def newest(more: str = "") -> dict:
            items = provider.get(f"/api/jobs?kind=signal_run&signal_id={cast.signals[-1].id}&limit=1{more}")["items"]
            return items[0] if items else {"job_id": ""}

        before = until(newest, 90, "the list of runs")["job_id"]
        return until(lambda: next((one for one in [newest("&state=running")] if one["job_id"] > before), None), seconds, "a run to interrupt", 0.02)

    def kill_executor_in_a_run(self, cast: Cast, besides: list[str] | None = None) -> dict:
        """kill -9 to every executor (and to other processes besides) while a run is in one; gives the job when all are back and it has not ended.

        A run may end between the look at it and the blow: then the next one is taken.
        """
        for _ in range(10):
            job = self.fresh_run(cast)
            executors = [spec.name for spec in self.control.wanted() if spec.name.startswith("executor")]
            self.control.restart_all(executors + (besides or []), signal.SIGKILL, 90)
            provider = self.as_(cast.provider)
            now = until(lambda: provider.get(f"/api/jobs/{job['job_id']}"), 90, "a look at the interrupted run")
            if now["state"] in ("running", "pending") or now["attempt"] > job["attempt"]:
                return job
        raise Failure("ten runs in a row ended before the executor could be killed in one")

    def ended_once(self, cast: Cast, job: dict, seconds: float = 240) -> dict:
        """The interrupted job when all is said about it: how many rows it reported, and how many of it are in the ledger.

        The end of a job, its rows and the mark at its occurrence are three transactions of two services, each told to the next by an event.
        """
        provider = self.as_(cast.provider)

        def ended():
            current = provider.get(f"/api/jobs/{job['job_id']}")
            return current if current["state"] in ("completed", "failed", "cancelled") else None

        def told():
            occurrence = self.occurrence(provider, job)
            return occurrence if occurrence.get("recorded_at") or occurrence["outcome"] == "failed" else None

        def recorded() -> int:
            return sum(row["job_id"] == job["job_id"] for one in cast.signals for row in self.rows(cast, one, 500))

        current = until(ended, seconds, "the end of the interrupted run", 0.5)
        current["occurrence"] = until(told, 120, "the record of the interrupted run", 0.5)
        current["rows_reported"] = len(((current.get("result") or {}).get("rows")) or [])
        # What is recorded can be read at every replica within a second; what is lost never comes, and is then missing in the answer.
        patience = time.monotonic() + 30

        def counted():
            count = recorded()
            return [count] if count >= current["rows_reported"] or time.monotonic() > patience else None

        current["rows_recorded"], = until(counted, 60, "the rows of the interrupted run", 0.5)
        return current

    def occurrence(self, provider: API, job: dict) -> dict:
        """The due time that a job was made for."""
        schedule = next(one for one in provider.get("/api/schedules?limit=200")["items"] if one["signal_id"] == job["signal_id"])
        cursor = ""
        while cursor is not None:
            page = provider.get(f"/api/schedules/{schedule['schedule_id']}/occurrences?limit=200" + (f"&cursor={cursor}" if cursor else ""))
            for occurrence in page["items"]:
                if occurrence["occurrence_id"] == job["occurrence_id"]:
                    return occurrence
            cursor = page.get("next_cursor")
        raise Failure(f"job {job['job_id']} names the occurrence {job['occurrence_id']}, which is not there")


def changed_by_one_byte(export: dict) -> tuple[dict, int]:
    """A copy of an export with one byte of one payload changed; the row in the middle."""
    copied = copy.deepcopy(export)
    row = copied["rows"][len(copied["rows"]) // 2]
    payload = row["payload"]
    at = payload.index('"value":"') + len('"value":"')
    old = payload[at]
    row["payload"] = payload[:at] + ("1" if old != "1" else "2") + payload[at + 1:]
    return copied, int(row["seq"])

