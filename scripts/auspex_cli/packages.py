"""The Debian packages that Auspex needs, why, and how they are installed without starting anybody's servers."""

import contextlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .console import Failure, say, step


@dataclass(frozen=True)
class Need:
    """A package, the file that shows it is there, and its reason in a few words."""

    package: str
    proof: str
    reason: str


_LIB = "/usr/lib/x86_64-linux-gnu" if os.uname().machine == "x86_64" else f"/usr/lib/{os.uname().machine}-linux-gnu"

RUN = [
    Need("postgresql-15", "/usr/lib/postgresql/15/bin/postgres", "the database"),
    Need("rabbitmq-server", "/usr/lib/rabbitmq/bin/rabbitmq-server", "the broker"),
    Need("redis-server", "/usr/bin/redis-server", "cache and limits"),
    Need("nginx-light", "/usr/sbin/nginx", "the gateway"),
    Need("bubblewrap", "/usr/bin/bwrap", "the sandbox"),
    Need("python3-venv", "/usr/lib/python3.11/ensurepip/__init__.py", "Python environments of signals and tools"),
    Need("python3-yaml", "/usr/lib/python3/dist-packages/yaml/__init__.py", "joining the OpenAPI documents"),
    Need("ca-certificates", "/etc/ssl/certs/ca-certificates.crt", "fetching the samples over TLS"),
]

BUILD = [
    Need("libevent-dev", "/usr/include/event2/event.h", "event loop and HTTP"),
    Need("libpq-dev", "/usr/include/postgresql/libpq-fe.h", "PostgreSQL client"),
    Need("libhiredis-dev", "/usr/include/hiredis/hiredis.h", "Redis client"),
    Need("librabbitmq-dev", "/usr/include/amqp.h", "RabbitMQ client"),
    Need("libssl-dev", "/usr/include/openssl/evp.h", "signatures"),
    Need("libcrypt-dev", "/usr/include/crypt.h", "password hashes"),
    Need("libcurl4-openssl-dev", f"/usr/include/{os.uname().machine}-linux-gnu/curl/curl.h", "asking public sources of market data"),
    Need("libzstd-dev", "/usr/include/zstd.h", "compression of bars"),
    Need("libxxhash-dev", "/usr/include/xxhash.h", "checksums of bars"),
    Need("zlib1g-dev", "/usr/include/zlib.h", "reading zip files"),
    Need("libseccomp-dev", "/usr/include/seccomp.h", "system call filter of the sandbox"),
    Need("libtomlplusplus-dev", "/usr/include/toml++/toml.h", "reading auspex.toml"),
]

TEST = [
    Need("openssl", "/usr/bin/openssl", "a certificate for a test of the gateway"),
    Need("pypy3", "/usr/bin/pypy3", "runs of two Pythons side by side"),
]


def missing(needs: list[Need]) -> list[Need]:
    return [need for need in needs if not Path(need.proof).exists()]


def ensure(needs: list[Need], log: Path) -> None:
    """Installs what is missing, saying what and why; does nothing, quickly, when all is there."""
    lacking = missing(needs)
    if not lacking:
        return
    say("  needed from Debian:")
    for need in lacking:
        say(f"    {need.package:22} {need.reason}")
    names = [need.package for need in lacking]
    elevate = _elevation(names)
    with step("install packages by apt", log=log), _no_servers_at_install(elevate):
        _run(elevate + ["apt-get", "update", "-qq"], log, "apt-get update failed (is there a network?)")
        _run(
            elevate + ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", "--no-install-recommends", *names],
            log,
            f"apt-get install {' '.join(names)} failed",
        )
    still = missing(lacking)
    if still:
        raise Failure(f"installed, but {still[0].proof} (package {still[0].package}) is not there; is this Debian 12?", log=log)


def _elevation(names: list[str]) -> list[str]:
    if os.geteuid() == 0:
        return []
    by_hand = f"install them as root: apt-get install {' '.join(names)}"
    if not shutil.which("sudo"):
        raise Failure(f"packages are missing and there is no sudo; {by_hand}", step="install packages by apt")
    if sys.stdin.isatty():
        return ["sudo"]
    if subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n"]
    raise Failure(f"packages are missing, sudo wants a password and there is no terminal; {by_hand}", step="install packages by apt")


def _run(arguments: list[str], log: Path, reason: str) -> None:
    with log.open("ab") as file:
        file.write(f"$ {' '.join(arguments)}\n".encode())
        file.flush()
        if subprocess.run(arguments, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL).returncode != 0:
            raise Failure(reason, log=log)


@contextlib.contextmanager
def _no_servers_at_install(elevate: list[str]):
    """Debian's packages start their own servers when installed; a policy file that says no keeps them off our machine's ports."""
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        subprocess.run([*elevate, "tee", str(policy)], input=b"#!/bin/sh\n# from auspex, for the time of an installation\nexit 101\n", stdout=subprocess.DEVNULL, check=False)
        subprocess.run([*elevate, "chmod", "755", str(policy)], check=False)
    try:
        yield
    finally:
        if ours:
            subprocess.run([*elevate, "rm", "-f", str(policy)], check=False)
