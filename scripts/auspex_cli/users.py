"""Who runs what: run as root, the servers get the unprivileged users that their packages made; else everything is ours."""

import os
import pwd
import secrets
import shutil
from pathlib import Path


def server_user(name: str) -> str | None:
    """The user for a server when we are root; None = stay who we are."""
    if os.geteuid() != 0:
        return None
    for candidate in (name, "nobody"):
        try:
            pwd.getpwnam(candidate)
            return candidate
        except KeyError:
            continue
    return None


def give(path: Path, user: str | None) -> None:
    """Hands a file or folder over to the user of a server."""
    if user and os.geteuid() == 0:
        shutil.chown(path, user, pwd.getpwnam(user).pw_gid)


def private_folder(path: Path, user: str | None) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    give(path, user)
    return path


def private_file(path: Path, text: str, user: str | None = None) -> Path:
    """Writes a file that nobody else can read at any moment of its making."""
    # The folder may belong to a server's user: a name that nobody can guess, and a file that was not there before, cannot be a planted link.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        if user is not None and os.geteuid() == 0:
            entry = pwd.getpwnam(user)
            os.fchown(descriptor, entry.pw_uid, entry.pw_gid)
    temporary.replace(path)
    return path
