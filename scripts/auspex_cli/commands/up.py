"""Build and start everything, load the samples, and tell the main job as a short story

usage: ./auspex up [--no-demo] [--no-story] [--live [SYMBOL...]] [--source ID] [--data DIR] [--replicas N] [--var DIR] [--port-base N]
                   [--binaries DIR]

  --no-demo       no demo accounts, signals or replay
  --no-story      make the demo, but do not stop to tell the story
  --live          bars of these symbols as they happen (BTCUSDT and ETHUSDT unless told), where the network reaches the source
  --source ID     whose: binance (unless told) or coinbase
  --data DIR      real bars to show: a folder like ../shared/data (used by itself when it is there)
  --replicas N    so many processes of every service, balanced by nginx
  --var DIR       where everything that runs is kept (default: var/ in the checkout)
  --port-base N   first of the ports (default 18000; the gateway is on 8080, or N+80)
  --binaries DIR  run what is built in this folder instead of building

Installs what is missing by apt (says what and why). A second `up` takes seconds: what runs already is left alone.
Settings from .env in the checkout: AUSPEX_GATEWAY_PORT, AUSPEX_TLS_CERTIFICATE and _KEY, AUSPEX_PORT_BASE, AUSPEX_REPLICAS …"""

import time

from .. import demo, live
from ..bring_up import bring_up
from ..console import say, usage
from ..deployment import VALUES, Choices, Deployment, choices_from, layout_from
from ..locking import exclusive
from ..options import Options
from ..settings import Settings


def run(arguments: list[str]) -> int:
    options = Options(arguments, flags=("--no-demo", "--no-story", "--live"), values=(*VALUES, "--data", "--source"))
    if not options.has("--live"):
        options.none_left()
        if options.value("--source"):
            raise usage("--source says whose bars --live shows, and --live is not there")
    wanted = live.wish(options.value("--source") or "binance", options.rest) if options.has("--live") else None
    settings = Settings()
    layout = layout_from(options, settings)
    layout.prepare()
    started = time.monotonic()
    with exclusive(layout.run / "lock", f"another './auspex up' or 'down' is at work in {layout.var}"):
        choices: Choices = choices_from(options, settings, layout)
        deployment = Deployment(layout, choices, settings)
        # What cannot be is refused before anything is built or started.
        _ = deployment.gateway
        shows_demo = not options.has("--no-demo")
        data = options.value("--data") or settings.text("AUSPEX_DATA")
        if shows_demo and data:
            demo.data_folder(data)
        plan = bring_up(deployment, build=options.value("--binaries") is None)
        if shows_demo:
            demo.show(deployment, plan, data=data, story=not options.has("--no-story"))
        if wanted is not None:
            live.show(deployment, plan, wanted, settings)
    say()
    say(f"  Auspex is up ({time.monotonic() - started:.0f} s): {deployment.gateway.url}")
    say(f"    page       {deployment.gateway.url}/")
    say(f"    documents  {deployment.gateway.url}/docs/")
    say("    next       ./auspex status   ./auspex logs SERVICE -f   ./auspex down")
    return 0
