"""What `up` shows: real bars, demo accounts, two signals on a replay, and the story of the main job. Made once; later only started again."""

import json
from dataclasses import asdict
from pathlib import Path

from auspex_demo.accounts import Account
from auspex_demo.api import API, APIProblem
from auspex_demo.main_job import Cast, MainJob
from auspex_demo.market import sources as market_sources
from auspex_demo.market import stop_all
from auspex_demo.signals import delete_all
from auspex_demo.story import NOTICE, tell_story

from .console import Failure, failing_as, say, step
from .deployment import Deployment
from .downloads import Fetched
from .layout import REPOSITORY
from .services import ServicePlan
from .supervisor_health import replace_text
from .users import private_file

LOCK = REPOSITORY / "samples" / "samples.lock"
SECONDS_A_BAR = 5.0
ACCOUNTS = ("admin", "provider", "subscriber")


def show(deployment: Deployment, plan: ServicePlan, *, data: str | None, story: bool) -> None:
    """Makes the demo when there is none yet; a second `up` only says where it is.

    What fails on the way takes back what it had begun, and the next `up` begins again with the same accounts."""
    record = deployment.layout.run / "demo.json"
    if record.exists():
        known = json.loads(record.read_text())
        say(f"  demo signals on {', '.join(known['instruments'])} ({NOTICE}): {deployment.gateway.url}/")
        return
    unfinished = deployment.layout.run / "demo.unfinished.json"
    log = deployment.layout.log("executor")
    job = MainJob(API(deployment.gateway.url, certificate=deployment.gateway.certificate), plan, deployment.control, "/usr/bin/python3")
    with step("make demo accounts, import real bars", log=deployment.layout.log("marketdata")) as current:
        sources = market_sources(data_folder(data), Fetched(LOCK, deployment.layout.downloads / "samples", deployment.layout))
        cast = _cast_of(unfinished, job)
        if cast is None:
            cast = job.cast()
            private_file(unfinished, json.dumps({name: asdict(getattr(cast, name)) for name in ACCOUNTS}) + "\n")
        else:
            _take_back(job, cast)
        loaded = job.load_bars(cast, sources)
        current.note(", ".join(f"{answer['instrument']} {answer['rows']} rows" for answer in loaded))
    say()
    say("  The main job" + ("" if story else " starts"))
    try:
        with failing_as("the main job", log):
            if story:
                tell_story(deployment, plan, job, cast, sources, SECONDS_A_BAR)
            else:
                job.start_replays(cast, sources, SECONDS_A_BAR)
                job.publish(cast)
                job.subscribe(cast)
            _show_on_page(deployment, cast)
    except BaseException:  # Ctrl-C and a stop of the script as well: the rest of the platform goes on.
        _take_back_if_possible(job, cast)
        raise
    private_file(record, json.dumps({"instruments": sorted({one.symbol for one in cast.markets}), "signals": [one.id for one in cast.signals]}) + "\n")
    unfinished.unlink()
    _print_accounts(cast)


def _cast_of(unfinished: Path, job: MainJob) -> Cast | None:
    """The accounts of a demo that was begun and not finished, if they can still log in."""
    try:
        known = json.loads(unfinished.read_text())
        cast = Cast(**{name: Account(**known[name]) for name in ACCOUNTS})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    try:
        for name in ACCOUNTS:
            job.as_(getattr(cast, name))
    except APIProblem as problem:
        if problem.status in (401, 403):
            return None
        raise
    return cast


def _take_back(job: MainJob, cast: Cast) -> tuple[int, int]:
    """Ends the replays and signals of the demo's provider."""
    provider = job.as_(cast.provider)
    signals = delete_all(provider)
    return stop_all(provider), signals


def _take_back_if_possible(job: MainJob, cast: Cast) -> None:
    try:
        replays, signals = _take_back(job, cast)
    except Exception as error:
        say(f"  what the demo had begun goes on ({error}); the next './auspex up' ends it and begins again")
    else:
        say(f"  the demo is taken back: {replays} replays ended, {signals} signals deleted; './auspex up' begins it again")


def data_folder(told: str | None) -> Path | None:
    """Where real bars lie: what was told, or the reference data beside the checkout."""
    if told:
        folder = Path(told).expanduser()
        for candidate in (folder, folder / "data"):
            if (candidate / "lean").is_dir():
                return candidate
        raise Failure(f"--data: '{told}' holds no folder 'lean' with bars", exit_code=2)
    beside = REPOSITORY.parent / "shared" / "data"
    return beside if (beside / "lean").is_dir() else None


def _show_on_page(deployment: Deployment, cast: Cast) -> None:
    """The gateway may read these signals for the page; it is told at a moment when nobody is asking."""
    gateway = deployment.gateway
    entries = [
        {"id": one.id, "name": one.name, "about": f"{one.about} {where.symbol}, {where.interval} bars, one every {where.seconds_a_bar:.0f} s. {NOTICE.capitalize()}."}
        for one, where in zip(cast.signals, cast.markets)
    ]
    gateway.allow_demo(cast.key, [one.id for one in cast.signals])
    replace_text(gateway.folder / "signals.json", json.dumps({"signals": entries}), mode=0o644)
    gateway.create()
    wanted = [gateway.process() if spec.name == "gateway" else spec for spec in deployment.control.wanted()]
    deployment.control.apply(wanted)
    deployment.control.wait_ready(["gateway"], 30)


def _print_accounts(cast: Cast) -> None:
    say()
    say("  Demo accounts, shown once (they work on this machine only; './auspex up --no-demo' makes none):")
    for name, account in (("admin", cast.admin), ("provider", cast.provider), ("subscriber", cast.subscriber)):
        say(f"    {name:11} {account.email:38} {account.password}")
    say(f"    {'API key':11} {cast.key}")
