"""The parts of `./auspex test`: how each is run and counted."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import toolchain
from .console import say
from .layout import REPOSITORY, Layout
from .outcome import Outcome, from_pytest, from_swift, from_unittest
from .python_environment import test_python
from .runner import run_logged, show


@dataclass(frozen=True)
class Surroundings:
    """What a part may use."""

    layout: Layout
    shared: Path | None
    filter_text: str | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def with_environment(self, environment: dict[str, str]) -> "Surroundings":
        return replace(self, environment=environment)

    @property
    def variables(self) -> dict[str, str]:
        return self.environment | ({"AUSPEX_SHARED": str(self.shared)} if self.shared else {})


@dataclass(frozen=True)
class Part:
    run: Callable[[Surroundings], Outcome]
    needs_servers: bool = False
    needs_build: bool = False


def _unittest(name: str, folder: str, surroundings: Surroundings, environment: dict[str, str] | None = None, python: str = sys.executable) -> Outcome:
    log = surroundings.layout.log(name)
    code, text = run_logged(
        [python, "-m", "unittest", "discover", "-v", "-s", str(REPOSITORY / folder), "-t", str(REPOSITORY / folder)], log,
        environment={"PYTHONPATH": f"{REPOSITORY / 'scripts'}"} | surroundings.variables | (environment or {}), folder=REPOSITORY,
        on_line=_show_python_failures)
    return from_unittest(text, code, name)


def _show_python_failures(line: str) -> None:
    if line.startswith(("FAIL:", "ERROR:")) or line.rstrip().endswith(("... FAIL", "... ERROR")):
        show(line)


def _lint(surroundings: Surroundings) -> Outcome:
    from auspex_lint import run_all  # noqa: PLC0415 - only this part needs it

    return run_all(REPOSITORY, toolchain.swift())


def _cli(surroundings: Surroundings) -> Outcome:
    return _unittest("cli", "Tests/cli", surroundings)


def _swift(surroundings: Surroundings, *, without_servers: bool = False) -> Outcome:
    """One target after another, each in a process of its own, with a log of its own: a crash costs one target."""
    hidden = {name: "" for name in ("AUSPEX_TEST_POSTGRES_URL", "AUSPEX_TEST_BROKER_URL", "AUSPEX_TEST_BROKER_ADMIN_URL", "AUSPEX_TEST_REDIS_URL")}
    environment = (hidden if without_servers else {}) | surroundings.variables
    if "BarsTests" in (surroundings.filter_text or "BarsTests"):
        environment |= {"AUSPEX_PYARROW_PYTHON": test_python(surroundings.layout)}
    if surroundings.filter_text:
        return _swift_run("swift-test", surroundings.filter_text, environment, surroundings)
    total = Outcome()
    for target in sorted(folder.name for folder in (REPOSITORY / "Tests").glob("*Tests") if any(folder.rglob("*.swift"))):
        outcome = _swift_run(target, f"^{target}\\.", environment, surroundings)
        say(f"    {target:24} {outcome}")
        total += outcome
    return total


def _swift_run(name: str, filter_text: str, environment: dict[str, str], surroundings: Surroundings) -> Outcome:
    def tell(line: str) -> None:
        if " failed after " in line or "recorded an issue" in line or " error: " in line:
            show(line)

    code, text = run_logged(
        [toolchain.swift(), "test", "--skip-build", "--package-path", str(REPOSITORY), "--filter", filter_text], surroundings.layout.log(name),
        environment=environment, folder=REPOSITORY, on_line=tell)
    return from_swift(text, code, name)


def _unit(surroundings: Surroundings) -> Outcome:
    return _swift(surroundings, without_servers=True)


def _python(surroundings: Surroundings) -> Outcome:
    python = test_python(surroundings.layout)
    log = surroundings.layout.log("python")
    code, text = run_logged(
        [python, "-m", "pytest", "-q", "-rfEs", "-p", "no:cacheprovider", str(REPOSITORY / "sdk" / "python")], log,
        environment=surroundings.variables, folder=REPOSITORY / "sdk" / "python",
        on_line=lambda line: show(line) if line.startswith(("FAILED", "ERROR")) else None)
    return from_pytest(text, code, "python")


def _oracles(surroundings: Surroundings) -> Outcome:
    if surroundings.shared is None:
        say("    skipped: no ../shared/data and no AUSPEX_SHARED")
        return Outcome(skipped=1)
    log = surroundings.layout.log("oracles")
    binary = toolchain.binary_folder("debug") / "marketdata"
    code, text = run_logged([str(binary), "oracles", str(surroundings.shared / "data")], log, environment=surroundings.variables, on_line=show)
    lines = text.splitlines()
    failures = [line for line in lines if line.startswith(("FAIL", "✗"))]
    passed = sum(line.startswith(("ok", "PASS", "✓")) for line in lines)
    if (code != 0 or passed == 0) and not failures:
        failures = [f"oracles ended with code {code}"]
    return Outcome(passed, len(failures), sum(line.startswith(("skip", "SKIP")) for line in lines), failures)


def _end_to_end(surroundings: Surroundings) -> Outcome:
    return _unittest("e2e", "Tests/EndToEnd", surroundings, python=test_python(surroundings.layout))


def _faults(surroundings: Surroundings) -> Outcome:
    return _unittest("faults", "Tests/Faults", surroundings, python=test_python(surroundings.layout))


PARTS: dict[str, Part] = {
    "lint": Part(_lint),
    "cli": Part(_cli, needs_servers=True),
    "unit": Part(_unit, needs_build=True),
    "integration": Part(_swift, needs_servers=True, needs_build=True),
    "python": Part(_python),
    "oracles": Part(_oracles, needs_build=True),
    "e2e": Part(_end_to_end, needs_build=True),
    "faults": Part(_faults, needs_build=True),
}

# What runs beside each other, each list in its order. The second begins while the first waits for the build, and both wait for most of their time:
# for a process that restarts, for a due second, for a lease that runs out.
LANES = (("unit", "integration", "oracles", "faults"), ("lint", "python", "cli", "e2e"))
