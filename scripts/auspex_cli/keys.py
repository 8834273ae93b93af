"""Keys that must exist before anything starts: one for each service, the set of their public halves, and the master key."""

import subprocess
from pathlib import Path

from .console import Failure, step
from .deployment import Deployment
from .layout import SERVICES
from .process import basic_environment
from .services import ServicePlan


def ensure(deployment: Deployment, plan: ServicePlan) -> None:
    """Makes what is missing, once; the program of auth knows the formats."""
    secrets = deployment.secrets
    lacking = [service for service in SERVICES if not secrets.path(f"{service}/service-key.pem").exists()]
    public, master = secrets.path("services.jwks"), secrets.path("master.key")
    if not lacking and public.exists() and master.exists():
        return
    with step("make the keys of the services"):
        auth = plan.binary("auth")
        for service in lacking:
            path = secrets.path(f"{service}/service-key.pem")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.parent.chmod(0o700)
            _run(auth, ["keys", "make-service", "--name", service, "--out", str(path)])
        files = [str(secrets.path(f"{service}/service-key.pem")) for service in SERVICES]
        _run(auth, ["keys", "jwks", *files, "--out", str(public)])
        if not master.exists():
            _run(auth, ["keys", "make-master", "--out", str(master)])


def _run(program: Path, arguments: list[str]) -> None:
    result = subprocess.run([str(program), *arguments], env=basic_environment(), capture_output=True, text=True)
    if result.returncode != 0:
        reason = (result.stderr.strip() or result.stdout.strip() or f"exit code {result.returncode}").splitlines()[0]
        raise Failure(f"auth {' '.join(arguments[:2])}: {reason}")
