"""Run the tests; with names only these parts: lint cli unit integration python e2e oracles faults

usage: ./auspex test [PART…] [--filter REGEX] [--serial]

  lint         form of the code: format, banned constructs, module borders, routes against their owners
  cli          the parts of this script
  unit         Swift tests that need no server (the others skip themselves)
  integration  all Swift tests, against private PostgreSQL, RabbitMQ and Redis started for this run
  python       the Python SDK's tests
  e2e          the main job through the gateway, with one and with two replicas of every service
  oracles      imported bars against facts about real files (one line each; needs ../shared/data or AUSPEX_SHARED)
  faults       kill, restart, double, reorder, a storm of all (AUSPEX_STORM_SECONDS, AUSPEX_FAULTS_SEED): each ends with `audit`

Without names: all of it, `unit` being part of `integration`. --filter goes to `swift test`. What mostly waits runs beside the rest, on platforms
of its own, each part with its own log; --serial builds first and then runs one part after another.
The last line is "N passed, N failed, N skipped"; the exit code is 0 only when nothing failed."""

import contextlib
import functools
import os
import time
from pathlib import Path

from .. import toolchain
from ..console import Failure, say, speaking_as, step, usage
from ..layout import REPOSITORY, Layout
from ..locking import exclusive
from ..options import Options
from ..outcome import Outcome
from ..packages import BUILD, RUN, TEST, ensure
from ..runner import Ended
from ..side_by_side import Lanes, side_by_side
from ..test_parts import LANES, PARTS, Surroundings
from ..test_servers import servers_for_tests, test_layout

EVERYTHING = ["lint", "cli", "integration", "python", "oracles", "e2e", "faults"]


def run(arguments: list[str]) -> int:
    options = Options(arguments, flags=("--serial",), values=("--filter",))
    unknown = [part for part in options.rest if part not in PARTS]
    if unknown:
        raise usage(f"there is no part '{unknown[0]}' of the tests (there are: {' '.join(PARTS)})")
    wanted = list(dict.fromkeys(options.rest)) or EVERYTHING
    layout = test_layout()
    with exclusive(layout.run / "test.lock", "another './auspex test' is running in this checkout"):
        started = time.monotonic()
        total = _run_parts(wanted, layout, options.value("--filter"), serial=options.has("--serial"))
    for name in total.failures[:50]:
        say(f"  failed: {name}")
    say(f"  took {time.monotonic() - started:.0f} s; logs are in {layout.logs}")
    say(str(total))
    return 0 if total.failed == 0 else 1


def _run_parts(wanted: list[str], layout: Layout, filter_text: str | None, *, serial: bool) -> Outcome:
    ensure(RUN + BUILD + TEST, layout.log("apt"))
    surroundings = Surroundings(layout, _shared_folder(), filter_text)
    lanes = [wanted] if serial else [found for lane in LANES if (found := [part for part in lane if part in wanted])]
    tasks = [[functools.partial(_run_part, part, surroundings, len(lanes) > 1) for part in lane] for lane in lanes]
    if serial:
        tasks[0].insert(0, _when_nothing_else_runs)
    # The servers are children of this thread, and outlast whoever uses them.
    with contextlib.ExitStack() as servers, side_by_side(tasks) as running:
        if any(PARTS[part].needs_servers for part in wanted):
            running.give("servers", servers.enter_context(servers_for_tests(layout)))
        if any(PARTS[part].needs_build for part in wanted):
            _build_tests(layout)
            running.give("build")
        running.give("all")
        return running.outcome()


def _when_nothing_else_runs(running: Lanes) -> Outcome:
    running.wait_for("all")
    return Outcome()


def _run_part(name: str, surroundings: Surroundings, is_beside_others: bool, running: Lanes) -> Outcome:
    part = PARTS[name]
    if part.needs_servers:
        surroundings = surroundings.with_environment(running.wait_for("servers"))
    if part.needs_build:
        running.wait_for("build")
    say(f"— {name}")
    started = time.monotonic()
    with speaking_as(name) if is_beside_others else contextlib.nullcontext():
        try:
            outcome = part.run(surroundings)
        except Failure as failure:
            failure.tell()
            outcome = Outcome(failed=1, failures=[f"{name}: {failure.reason}"])
        except Ended:
            say("  ended")
            raise
    say(f"  {name}: {outcome} ({time.monotonic() - started:.0f} s)")
    return outcome


def _build_tests(layout: Layout) -> None:
    command = toolchain.swift()
    words = toolchain.version(command)
    log = layout.log("build-tests")
    with step(f"build the tests ({words})", log=log) as current:
        code, text = toolchain.run_logged(
            [command, "build", "--build-tests", "--package-path", str(REPOSITORY)], log, folder=REPOSITORY,
            on_line=lambda line: toolchain.tell_progress(current, line))
        if code != 0:
            error = next((line for line in text.splitlines() if "error:" in line), f"swift build ended with code {code}")
            raise Failure(error.strip()[:300], log=log)
        current.note("")


def _shared_folder() -> Path | None:
    """Reference data beside the checkout; tests that want it skip themselves without it."""
    for candidate in (os.environ.get("AUSPEX_SHARED"), REPOSITORY.parent / "shared"):
        if candidate and (Path(candidate) / "data").is_dir():
            return Path(candidate).resolve()
    return None
