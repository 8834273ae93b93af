"""Rules about the form of the code that no compiler checks. One rule a file; each is a function from the checkout to findings."""

from pathlib import Path

from auspex_cli.console import say
from auspex_cli.outcome import Outcome

from . import banned_tasks, c_modules, formatting, python_scripts, routes, sql_places
from .finding import Finding


def rules(swift: str) -> dict[str, object]:
    return {
        "swift format": lambda root: formatting.check(root, swift),
        "no unstructured tasks": banned_tasks.check,
        "one module a C library": c_modules.check,
        "SQL only in stores": sql_places.check,
        "routes, owners and OpenAPI agree": routes.check,
        "scripts compile": python_scripts.check,
    }


def run_all(root: Path, swift: str) -> Outcome:
    """Runs every rule; a rule with findings counts as one failed test."""
    outcome = Outcome()
    for name, check in rules(swift).items():
        findings: list[Finding] = check(root)
        if findings:
            outcome += Outcome(failed=1, failures=[f"lint: {name} ({len(findings)} findings)"])
            for finding in findings[:30]:
                say(f"    {finding}")
        else:
            outcome += Outcome(passed=1)
    return outcome
