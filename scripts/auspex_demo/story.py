"""The main job told as a short story with what really came out. Every line about a replay says so."""

import time

from auspex_cli.console import say
from auspex_cli.deployment import Deployment
from auspex_cli.services import ServicePlan

from .main_job import Cast, MainJob, changed_by_one_byte
from .market import Source

NOTICE = "replayed, outcome publicly known"


class Teller:
    """Numbers the lines and shows how long each took."""

    def __init__(self) -> None:
        self.number, self.started = 0, time.monotonic()

    def tell(self, text: str, *details: str, replayed: bool = False) -> None:
        self.number += 1
        mark = f"  [{NOTICE}]" if replayed else ""
        say(f"  {self.number}. {text}{mark}  ({time.monotonic() - self.started:.0f} s)")
        for detail in details:
            say(f"       {detail}")


def clock(moment: str) -> str:
    """The time of a timestamp, to the millisecond."""
    return moment[11:23] if moment else "-"


def spoken(row: dict) -> str:
    """A prediction in words."""
    value = row["value"]
    if row["kind"] == "direction":
        return {"1": "up", "-1": "down", "0": "no direction"}.get(value, value)
    if row["kind"] == "probability":
        return f"{float(value):.1%} that it rises"
    return str(value)


def tell_story(deployment: Deployment, plan: ServicePlan, job: MainJob, cast: Cast, sources: list[Source], seconds_a_bar: float) -> None:
    """Starts replays and signals and follows them through the main job."""
    teller = Teller()
    markets = job.start_replays(cast, sources, seconds_a_bar)
    for market in markets:
        teller.tell(
            f"A replay starts: {market.symbol}, real bars of {market.source.symbol} from {market.source.start}, one {market.interval} bar every {seconds_a_bar:.0f} s",
            replayed=True)
    first, second = job.publish(cast)
    teller.tell(
        "A provider publishes two signals; the scheduler arms each on the close of a bar",
        *(f"{one.name}: {one.about} version {one.version_sha256[:12]}…, signal {one.id}" for one in (first, second)))
    key = job.subscribe(cast)
    teller.tell(f"A subscriber subscribes and makes an API key: {key[:8]}…")
    _tell_predictions(teller, job, cast)
    interrupted = _tell_kill(teller, job, cast)
    _tell_outcome(teller, job, cast)
    _tell_ledger(teller, job, cast)
    _tell_end_of_kill(teller, job, cast, interrupted)
    teller.tell(f"Both signals go on: {deployment.gateway.url}/ shows them live", replayed=True)


def _tell_predictions(teller: Teller, job: MainJob, cast: Cast) -> None:
    for one in cast.signals:
        row = job.first_prediction(cast, one)
        teller.tell(
            f"The first prediction of {one.name}, pulled by the Python client with the key: {spoken(row)}",
            f"seq {row['seq']}, made_at {row['made_at']}, as_of {row['as_of']}, reference price {row['reference_price']}",
            f"ran in a sandbox on bars {row['data_sha256'][:12]}…, environment {row['env_sha256'][:12]}…", replayed=True)


def _tell_kill(teller: Teller, job: MainJob, cast: Cast) -> dict:
    interrupted = job.kill_executor_in_a_run(cast)
    teller.tell(f"The executor is killed (kill -9) in the middle of run {interrupted['job_id']}; the supervisor has it back")
    return interrupted


def _tell_outcome(teller: Teller, job: MainJob, cast: Cast) -> None:
    for one in cast.signals[:1]:
        row = job.settled(cast, one)
        outcome = row["outcome"]
        verdict = {True: "right", False: "wrong", None: "took no side"}[outcome["correct"]]
        teller.tell(
            f"One horizon later {one.name} seq {row['seq']} ({spoken(row)}) has its outcome: {outcome['open_price']} → {outcome['close_price']}, {verdict}",
            f"made_at {clock(row['made_at'])}: of the {row['known_now']} bars that decide it, {row['known_when_made']} were released then",
            replayed=True)


def _tell_ledger(teller: Teller, job: MainJob, cast: Cast) -> None:
    teller.tell("verify-ledger walks every chain and seal", *job.verify_ledger().splitlines()[:4])
    export = job.export(cast, cast.signals[0])
    whole = job.verdict(export)
    copied, seq = changed_by_one_byte(export)
    bad = job.verdict(copied)
    teller.tell(
        "The subscriber's own verifier (no code shared with the platform) on an export, and on a copy with one byte changed",
        f"as exported: {whole['text']}",
        f"one byte of row {seq} changed: {bad['text']}")


def _tell_end_of_kill(teller: Teller, job: MainJob, cast: Cast, interrupted: dict) -> None:
    ended = job.ended_once(cast, interrupted)
    teller.tell(
        f"The interrupted run ended once: {ended['state']} on attempt {ended['attempt']}, {ended['rows_recorded']} row of it in the ledger",
        f"job {ended['job_id']}")
