"""Make all secrets at random into var/secrets, once; `up` does it too

usage: ./auspex init [--var DIR] [--port-base N] [--binaries DIR]"""

from .. import keys, packages, toolchain
from ..console import say
from ..deployment import VALUES, Deployment, choices_from, layout_from
from ..locking import exclusive
from ..options import Options
from ..services import ServicePlan
from ..settings import Settings


def run(arguments: list[str]) -> int:
    options = Options(arguments, values=VALUES)
    options.none_left()
    settings = Settings()
    layout = layout_from(options, settings)
    layout.prepare()
    with exclusive(layout.run / "lock", "an './auspex up' is at work"):
        deployment = Deployment(layout, choices_from(options, settings, layout), settings)
        packages.ensure(packages.RUN, layout.log("apt"))
        if not options.value("--binaries"):
            toolchain.build(layout)
        plan = ServicePlan(deployment, "")
        plan.write_addresses()
        keys.ensure(deployment, plan)
    say(f"secrets are in {layout.secrets} (mode 0600)")
    return 0
