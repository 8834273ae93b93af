"""The process that a platform belongs to, if it is to end with it: a test, a benchmark. The platform of `./auspex up` has none."""

import os
import select

# How `./auspex up` is told whose the platform is that it brings up for somebody.
VARIABLE = "AUSPEX_OWNER"


class Owner:
    """Knows when a process has ended, also by SIGKILL, after which nobody could tidy up. Another process of the same number is not taken for it."""

    def __init__(self, pid: int):
        try:
            self._process: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            self._process = None

    def is_gone(self) -> bool:
        if self._process is None:
            return True
        poll = select.poll()
        poll.register(self._process, select.POLLIN)
        return bool(poll.poll(0))
