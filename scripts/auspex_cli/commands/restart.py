"""Restart one process and wait until it is ready again; --kill ends it with kill -9

usage: ./auspex restart NAME [--kill] [--var DIR]"""

import signal

from ..console import step, usage
from ..deployment import Deployment
from ..options import Options


def run(arguments: list[str]) -> int:
    options = Options(arguments, flags=("--kill",), values=("--var",))
    if len(options.rest) != 1:
        raise usage("usage: ./auspex restart NAME [--kill]; './auspex status' lists the names")
    deployment = Deployment.existing(options)
    name = options.rest[0]
    with step(f"{'kill' if options.has('--kill') else 'restart'} {name}"):
        deployment.control.restart(name, signal.SIGKILL if options.has("--kill") else signal.SIGTERM)
    return 0
