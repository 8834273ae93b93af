"""What a child process is: program, environment, user, log, and how it is asked to stop."""

import ctypes
import os
import pwd
import random
import signal
import socket
import subprocess
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class ProcessSpec:
    """One process that somebody keeps running. Plain values, so that it travels as JSON to the supervisor."""

    name: str
    arguments: list[str]
    log: str
    environment: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    uid: int | None = None  # a user without a name, and a group of the same number
    folder: str = "/"
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 15.0
    port: int | None = None
    readiness_url: str | None = None
    kind: str = "server"
    version: str = ""
    replaces: str = ""  # changes when the process must be started anew (a new build, a new configuration)

    def as_json(self) -> dict:
        return asdict(self)

    @staticmethod
    def from_json(value: dict) -> "ProcessSpec":
        known = ProcessSpec.__dataclass_fields__
        return ProcessSpec(**{name: entry for name, entry in value.items() if name in known})  # a newer script may say more

    def start(self) -> subprocess.Popen:
        """Starts it in a process group of its own; it is told to stop when the process that started it ends."""

        def last_words() -> None:
            _libc.prctl(_PR_SET_PDEATHSIG, self.stop_signal, 0, 0, 0)

        identity = {}
        if self.user and os.geteuid() == 0:
            entry = pwd.getpwnam(self.user)
            identity = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": os.getgrouplist(self.user, entry.pw_gid)}
        elif self.uid is not None and os.geteuid() == 0:
            identity = {"user": self.uid, "group": self.uid, "extra_groups": []}
        with open(self.log, "ab") as log:
            return subprocess.Popen(
                self.arguments,
                env=basic_environment() | self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=last_words,
                **identity,
            )


def basic_environment() -> dict[str, str]:
    """What every child gets of ours: a plain path, the language, the zone; no variable of the caller's by accident."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR") if name in os.environ}
    return kept | {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def kill_group(pid: int) -> None:
    """Ends what a process has left behind in its group."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def stop(process: subprocess.Popen, spec: ProcessSpec) -> None:
    """Asks, waits, insists."""
    if process.poll() is None:
        process.send_signal(spec.stop_signal)
        try:
            process.wait(spec.stop_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    kill_group(process.pid)


def port_answers(port: int, seconds: float = 0.3) -> bool:
    """Whether somebody accepts connections on this loopback port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=seconds):
            return True
    except OSError:
        return False


def port_is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def free_ports(count: int) -> list[int]:
    """Ports that nobody holds now, all different, below the range from which the kernel picks ports for clients and above those of private platforms."""
    chosen: list[int] = []
    while len(chosen) < count:
        port = random.randrange(31000, 32700)
        if port not in chosen and port_is_free(port):
            chosen.append(port)
    return chosen


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # a zombie is not alive
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, seconds: float, pause: float = 0.1) -> bool:
    """Polls until the condition holds; False when the time is up."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True
