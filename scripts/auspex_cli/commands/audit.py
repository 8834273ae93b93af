"""Check that nothing was lost and nothing doubled: occurrences, runs, rows, chains, outboxes, leases

usage: ./auspex audit [--var DIR]

Asks signals and the scheduler about their own books, then holds the books of all services against each other.
One line a check; exit code 1 when one is bad. What is younger than a minute is not judged yet."""

from ..audit_checks import CHECKS
from ..console import say
from ..deployment import Deployment
from ..options import Options
from ..services import ServicePlan

WITH_AUDITS_OF_THEIR_OWN = ("scheduler", "signals")


def run(arguments: list[str]) -> int:
    options = Options(arguments, values=("--var",))
    options.none_left()
    deployment = Deployment.existing(options)
    plan = ServicePlan(deployment, "")
    good = True
    for service in WITH_AUDITS_OF_THEIR_OWN:
        result = plan.command(service, ["audit"])
        say((result.stdout + result.stderr).rstrip() or f"BAD   {service}: the audit said nothing (exit code {result.returncode})")
        good = good and result.returncode == 0
    for check in CHECKS:
        faults = check.faults(deployment.postgres)
        good = good and not faults
        if faults:
            more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
            say(f"BAD   all: {check.name}: {'; '.join(faults[:3])}{more}")
        else:
            say(f"ok    all: {check.name}")
    say("nothing lost, nothing doubled" if good else "the books do not agree")
    return 0 if good else 1
