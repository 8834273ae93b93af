"""The steps from a checkout to a running platform; each leaves alone what is already as it should be."""

import json
import os
import re
import urllib.request

from . import keys, packages, site, toolchain
from .console import Failure, say, step
from .deployment import Deployment
from .layout import DATABASE_SERVICES, SERVICES
from .process import port_is_free, wait_until
from .servers.postgres import create_schemas
from .services import ServicePlan
from .users import private_file


def bring_up(deployment: Deployment, *, build: bool = True) -> ServicePlan:
    """Runs every step; returns the plan of the services that now run."""
    layout, control = deployment.layout, deployment.control
    packages.ensure(packages.RUN, layout.log("apt"))
    version = toolchain.build(layout) if build else toolchain.fingerprint_of(deployment.choices.binaries)
    plan = ServicePlan(deployment, version)
    for name in plan.settings_nobody_reads():
        say(f"  ! nobody reads the setting {name}")
    _refuse_taken_ports(deployment)
    deployment.choices.write(layout)
    plan.write_addresses()
    keys.ensure(deployment, plan)
    if os.geteuid() == 0 and plan.rights.lacks_ids:
        say("  ! the services run as root: this container has too few user ids for users of their own")
    plan.rights.hand_over()

    servers = deployment.create_servers()
    fresh = control.pid is None
    if fresh or not set(spec.name for spec in servers) <= control.status().keys():
        with step("start PostgreSQL, RabbitMQ and two Redis", log=layout.log("supervisor")) as current:
            control.apply(servers)
            control.wait_ready([spec.name for spec in servers], 120, current)
    _prepare_database(deployment, plan)

    services = plan.processes()
    site.write(deployment)
    deployment.gateway.create()
    everything = [*servers, *services, deployment.gateway.process()]
    with step("start the services and the gateway", log=layout.log("supervisor"), quiet_when_quick=control.wanted() == everything) as current:
        control.apply(everything)
        control.wait_ready([spec.name for spec in everything], 120, current)
        current.note("")
    status = control.status()
    if any(plan.rights.disregarded(service, status.get(service, {}).get("pid")) for service in SERVICES):
        with step("start all of it anew under this version's supervisor", log=layout.log("supervisor")) as current:
            control.end()
            plan.rights.hand_over()
            control.apply(everything)
            control.wait_ready([spec.name for spec in everything], 120, current)
            current.note("")
    _tell_sandbox_level(deployment)
    return plan


def _tell_sandbox_level(deployment: Deployment) -> None:
    """Runs of strangers' code with less than the full isolation is something to know."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{deployment.ports.internal('executor')}/metrics", timeout=2) as answer:
            level = sandbox_level(answer.read().decode())
    except OSError:
        return
    if level not in (None, "full"):
        say(f"  ! the sandbox works at level {level}: limits for each process instead of control groups (full needs root, or writable cgroups)")


def sandbox_level(metrics: str) -> str | None:
    """The level that the executor's metrics name."""
    found = re.search(r'^auspex_sandbox_level\{[^}]*level="(\w+)"[^}]*\} 1(?:\.0)?$', metrics, re.MULTILINE)
    return found[1] if found else None


def _prepare_database(deployment: Deployment, plan: ServicePlan) -> None:
    """Roles, schemas and migrations; once for each build."""
    layout = deployment.layout
    record = layout.run / "migrated.json"
    done = json.loads(record.read_text()) if record.exists() else {}
    if done.get("version") == plan.version:
        return
    with step("create database, roles and schemas; migrate", log=layout.log("postgres")) as current:
        if not wait_until(deployment.postgres.accepts, 60):
            raise Failure("PostgreSQL does not accept queries", log=layout.log("postgres"))
        create_schemas(deployment.postgres, DATABASE_SERVICES, plan.passwords())
        for service in DATABASE_SERVICES:
            current.note(service)
            plan.migrate(service)
        current.note("")
    private_file(record, json.dumps({"version": plan.version}) + "\n")


def _refuse_taken_ports(deployment: Deployment) -> None:
    """A port that somebody else holds is told before anything starts."""
    mine = {spec.port for spec in deployment.control.wanted()} if deployment.control.pid else set()
    if mine:
        return
    taken = [f"{port} ({name})" for name, port in deployment.all_ports().items() if not port_is_free(port)]
    if taken:
        raise Failure(
            f"in use by somebody else: {', '.join(taken)}; choose others by --port-base N (all) or AUSPEX_GATEWAY_PORT (the gateway)",
            step="check the ports")
