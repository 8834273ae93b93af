"""What `up` shows: real bars, demo accounts, two signals on a replay, and the story of the main job. Made once; later only started again."""

import json
from pathlib import Path

from auspex_demo.api import API
from auspex_demo.main_job import Cast, MainJob
from auspex_demo.market import sources as market_sources
from auspex_demo.story import NOTICE, tell_story

from .console import Failure, say, step
from .deployment import Deployment
from .downloads import fetch
from .layout import REPOSITORY
from .services import ServicePlan
from .supervisor_health import replace_text
from .users import private_file

LOCK = REPOSITORY / "samples" / "samples.lock"
SECONDS_A_BAR = 5.0


def show(deployment: Deployment, plan: ServicePlan, *, data: str | None, story: bool) -> None:
    """Makes the demo when there is none yet; a second `up` only says where it is."""
    record = deployment.layout.run / "demo.json"
    if record.exists():
        known = json.loads(record.read_text())
        say(f"  demo signals on {', '.join(known['instruments'])} ({NOTICE}): {deployment.gateway.url}/")
        return
    folder = _data_folder(data)
    sources = market_sources(folder, fetch(LOCK, deployment.layout.downloads / "samples", deployment.layout))
    api = API(deployment.gateway.url, certificate=deployment.gateway.certificate)
    job = MainJob(api, plan, deployment.control, "/usr/bin/python3")
    with step("make demo accounts, import real bars") as current:
        cast = job.cast()
        loaded = job.load_bars(cast, sources)
        current.note(", ".join(f"{answer['instrument']} {answer['rows']} rows" for answer in loaded))
    say()
    say("  The main job" + ("" if story else " starts"))
    try:
        if story:
            tell_story(deployment, plan, job, cast, sources, SECONDS_A_BAR)
        else:
            job.start_replays(cast, sources, SECONDS_A_BAR)
            job.publish(cast)
            job.subscribe(cast)
    except Failure as failure:
        failure.step = failure.step or "the main job"
        failure.log = failure.log or deployment.layout.log("executor")
        raise
    _show_on_page(deployment, cast)
    private_file(record, json.dumps({"instruments": sorted({one.symbol for one in cast.markets}), "signals": [one.id for one in cast.signals]}) + "\n")
    _print_accounts(cast)


def _data_folder(told: str | None) -> Path | None:
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
