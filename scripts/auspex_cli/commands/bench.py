"""Measure requests, events, jobs, schedules, runs in the sandbox and bars, each beside its peer

usage: ./auspex bench [SCENARIO…] [--seconds N] [--repeats N] [--jobs N] [--pending N] [--occurrences N] [--no-peers]

  pull floor point_read historical            requests: predictions, HTTP itself, a row by its key, charts
  events jobs noops claims memory             the services: events between them, jobs, claims among many that wait, memory when idle
  latency schedules                           from due to readable; ten thousand due at once
  environment                                 packages of a signal, until its first run
  sandbox_plain sandbox_pandas                runs, warm and cold
  sandbox_rate sandbox_tenants                more runs than the machine can do; signals of many accounts
  resample store imports streams              bars put together, stored, imported, streamed

Without names: all of it. Builds in release mode and brings up a private platform of its own. Peers come from ../shared/peers (or AUSPEX_SHARED)
and run in the same call. Results are kept in bench/results/latest.json."""

import os
import subprocess

from .. import packages, toolchain
from ..console import usage
from ..layout import REPOSITORY, Layout
from ..locking import exclusive
from ..options import Options
from ..packages import Need
from ..python_environment import environment

BENCH = REPOSITORY / "bench"


def scenarios() -> list[str]:
    """Those that the help above lists."""
    return [name for line in __doc__.splitlines() if line.startswith("  ") for name in line.strip().partition("  ")[0].split()]


def run(arguments: list[str]) -> int:
    # Said before everything is built.
    options = Options(arguments, flags=("--no-peers",), values=("--seconds", "--repeats", "--jobs", "--pending", "--occurrences"))
    if unknown := [name for name in options.rest if name not in scenarios()]:
        raise usage(f"there is no scenario '{unknown[0]}' (there are: {' '.join(scenarios())})")
    layout = Layout(REPOSITORY / "var" / "bench")
    layout.prepare()
    with exclusive(layout.run / "lock", "another './auspex bench' is running in this checkout"):
        packages.ensure([*packages.RUN, *packages.BUILD, Need("wrk", "/usr/bin/wrk", "the load generator")], layout.log("apt"))
        toolchain.build(layout)
        toolchain.build_targets(layout, ("bars-bench",))
        requirements = BENCH / "requirements.txt"
        python = environment(layout.var / "venv", ["-r", str(requirements)], layout.log("pip"), watched=(requirements,), name="the peers and drivers of the benchmark")
        return subprocess.run([python, str(BENCH / "run.py"), *arguments], env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}).returncode
