"""Run as root, the services give root up, each for a user id of its own: it reads its own secrets and its own blobs, and nobody else's.

What a service may read is copied into `state/credentials/<service>`; `var/secrets` stays with root. The ids have no names: they come from
the port base, like those of the executor's sandboxes, so that two platforms of a machine have nothing in common. The executor stays root:
control groups and a user id for each run need it. Started by an ordinary user, everything is that user's, and nothing is copied.
"""

import contextlib
import os
import shutil
import stat
import subprocess
from pathlib import Path

from .console import Failure
from .layout import Layout, Ports, others_can_enter
from .process import basic_environment

BELOW_ROOT = ("auth", "signals", "scheduler", "marketdata")

# Of the files in var/secrets, what a service is told to read; `{service}` is its own folder there.
CREDENTIALS = (
    "services.jwks", "{service}/service-key.pem", "{service}/broker-url", "{service}/database-url", "{service}/redis-cache-url",
    "{service}/redis-limits-url",
)


class ServiceRights:
    """Who each service of a platform runs as, and where it finds what it may read."""

    def __init__(self, layout: Layout, ports: Ports, *, as_root: bool | None = None):
        self.layout, self.ports = layout, ports
        self.as_root = os.geteuid() == 0 and not self.lacks_ids if as_root is None else as_root

    @property
    def lacks_ids(self) -> bool:
        """Whether this root is one of a container that has been given too few user ids for its services."""
        last = max(self.ports.user_id(service) for service in BELOW_ROOT)
        return not all(holds_id(Path(path).read_text(), last) for path in ("/proc/self/uid_map", "/proc/self/gid_map"))

    def user_id(self, service: str) -> int | None:
        """The id of a service's user, and of its group; None = stay who we are."""
        return self.ports.user_id(service) if self.as_root and service in BELOW_ROOT else None

    def credential(self, service: str, name: str) -> Path:
        """Where a service finds one of its secrets; `name` is its place in var/secrets."""
        if self.user_id(service) is None:
            return self.layout.secrets / name
        return self._folder(service) / Path(name).name

    def credentials(self, service: str) -> list[str]:
        own = ["master.key"] if service == "auth" else []
        return [name.format(service=service) for name in CREDENTIALS] + own

    def _folder(self, service: str) -> Path:
        return self.layout.state / "credentials" / service

    def hand_over(self) -> None:
        """Gives every service what it may read and where it may write; also what an earlier version left to root."""
        blobs = self.layout.state / "blobs"
        blobs.mkdir(exist_ok=True)
        blobs.chmod(0o711 if self.as_root else 0o700)
        if not self.as_root:
            return
        (self.layout.state / "credentials").mkdir(exist_ok=True)
        (self.layout.state / "credentials").chmod(0o711)
        for service in BELOW_ROOT:
            user = self.ports.user_id(service)
            folder = self._folder(service)
            folder.mkdir(exist_ok=True)
            os.chown(folder, 0, user)
            folder.chmod(0o710)
            wanted = {Path(name).name: self.layout.secrets / name for name in self.credentials(service)}
            for name, source in wanted.items():
                self._copy(source, folder / name, user)
            for path in folder.iterdir():
                if path.name not in wanted:
                    path.unlink()
            own = blobs / service
            own.mkdir(mode=0o700, exist_ok=True)
            give_tree(own, user)

    @staticmethod
    def _copy(source: Path, target: Path, user: int) -> None:
        """The service may read its secret, not change it: the file is root's, the group the service's."""
        text = source.read_bytes()
        try:
            facts = target.lstat()
            if stat.S_IMODE(facts.st_mode) == 0o440 and (facts.st_uid, facts.st_gid) == (0, user) and target.read_bytes() == text:
                return
        except FileNotFoundError:
            pass
        temporary = target.with_name(f".{target.name}.new")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            os.fchown(descriptor, 0, user)
            os.fchmod(descriptor, 0o440)
        temporary.replace(target)

    def disregarded(self, service: str, pid: int | None) -> bool:
        """Whether a process that runs belongs to somebody else than it should: a supervisor of an earlier version knows nothing of these ids."""
        user = self.user_id(service)
        try:
            return user is not None and pid is not None and os.stat(f"/proc/{pid}").st_uid != user
        except FileNotFoundError:
            return False

    def program(self, service: str, binary: Path) -> Path:
        """Where the service's user finds its program: where it was built, or, in a folder that others cannot enter, a copy."""
        user = self.user_id(service)
        if user is None:
            return binary
        needed = [binary, *libraries(binary)]
        hidden = [path for path in needed if not readable_by_others(path)]
        if hidden:
            folder = self.layout.state / "programs"
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
            # The programs look for libraries beside themselves too.
            for path in {binary, *hidden}:
                _copy_program(path, folder / path.name)
            binary = folder / binary.name
        answer = subprocess.run(
            [str(binary), "--version"], env=basic_environment(), cwd="/", user=user, group=user, extra_groups=[], capture_output=True, text=True)
        if answer.returncode != 0:
            reason = (answer.stderr.strip() or f"exit code {answer.returncode}").splitlines()[-1]
            raise Failure(f"{binary} cannot be run by an unprivileged user: {reason}", step="give up root for the services")
        return binary


def holds_id(id_map: str, number: int) -> bool:
    """Whether a user id (or group id) exists where a map of /proc says what exists."""
    ranges = (tuple(int(word) for word in line.split()) for line in id_map.splitlines())
    return any(first <= number < first + count for first, _, count in ranges)


def give_tree(folder: Path, user: int) -> None:
    """Hands a folder over with all that is in it and somebody else's."""
    os.chown(folder, user, user)
    for _, folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        for name in (*folders, *files):
            # What runs already writes and deletes meanwhile.
            with contextlib.suppress(FileNotFoundError):
                if os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_uid != user:
                    os.chown(name, user, user, dir_fd=descriptor, follow_symlinks=False)


def readable_by_others(path: Path) -> bool:
    path = path.resolve()
    return bool(path.stat().st_mode & stat.S_IROTH) and others_can_enter(path.parent)


def libraries(binary: Path) -> list[Path]:
    """The shared libraries that a program loads, as the loader finds them for us."""
    text = subprocess.run(["ldd", str(binary)], capture_output=True, text=True).stdout
    words = (line.partition("=>")[2].split() for line in text.splitlines())
    return [Path(word[0]) for word in words if word and word[0].startswith("/")]


def _copy_program(source: Path, target: Path) -> None:
    facts = source.stat()
    if target.exists() and (target.stat().st_size, target.stat().st_mtime_ns) == (facts.st_size, facts.st_mtime_ns):
        return
    temporary = target.with_name(f".{target.name}.new")
    shutil.copy2(source, temporary)
    temporary.chmod(0o755)
    temporary.replace(target)
