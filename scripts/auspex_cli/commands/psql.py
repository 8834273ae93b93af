"""Open psql on the database, as the superuser or as the role of one service

usage: ./auspex psql [SERVICE] [--var DIR] [-c SQL]"""

import os
import subprocess

from ..console import usage
from ..deployment import Deployment
from ..layout import DATABASE_SERVICES
from ..options import Options
from ..servers.postgres import BINARIES


def run(arguments: list[str]) -> int:
    options = Options(arguments, values=("--var", "-c"))
    if len(options.rest) > 1 or (options.rest and options.rest[0] not in DATABASE_SERVICES):
        raise usage(f"usage: ./auspex psql [SERVICE], one of {', '.join(DATABASE_SERVICES)}")
    deployment = Deployment.existing(options)
    role, password = "postgres", deployment.postgres.password
    if options.rest:
        role = f"{options.rest[0]}_app"
        password = deployment.secrets.password(f"{options.rest[0]}/{role}-password")
    arguments = [str(BINARIES / "psql"), "-h", "127.0.0.1", "-p", str(deployment.postgres.port), "-U", role, "-d", "auspex"]
    if text := options.value("-c"):
        arguments += ["-c", text]
    return subprocess.run(arguments, env=os.environ | {"PGPASSWORD": password}).returncode
