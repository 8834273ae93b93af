"""One at a time: a lock file that the kernel frees when its holder ends, however it ends."""

import contextlib
import fcntl
from pathlib import Path

from .console import Failure


@contextlib.contextmanager
def exclusive(path: Path, busy: str):
    """Holds the lock for a `with` block; says who is in the way instead of waiting."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Failure(busy) from None
        yield


@contextlib.contextmanager
def in_turn(path: Path):
    """Holds the lock for a `with` block, after whoever holds it now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
