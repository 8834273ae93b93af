"""Runs a long program, keeps what it says in a log, and shows the lines that matter while it runs."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from .console import Failure, say


class Ended(Exception):
    """Whoever runs programs beside others is not wanted any more."""


class Running:
    """The programs that run now, begun by any thread: an end of all of them is an end, and no other begins."""

    def __init__(self):
        self.lock = threading.Lock()
        self.processes: set[subprocess.Popen] = set()
        self.is_over = False

    def begin(self, arguments: list[str], **options) -> subprocess.Popen:
        with self.lock:
            if self.is_over:
                raise Ended
            process = subprocess.Popen(arguments, **options)
            self.processes.add(process)
            return process

    def end(self, process: subprocess.Popen) -> None:
        with self.lock:
            self.processes.discard(process)
            _kill(process)
            process.wait()

    def end_all(self) -> None:
        with self.lock:
            self.is_over = True
            for process in self.processes:
                _kill(process)


def _kill(process: subprocess.Popen) -> None:
    """It and its group, whatever it does. What it began in sessions of their own must know by itself that it is gone: see `owner.py`."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


running = Running()


def run_logged(
    arguments: list[str], log: Path, *, environment: dict[str, str] | None = None, folder: Path | None = None,
    on_line: Callable[[str], None] | None = None, append: bool = False,
) -> tuple[int, str]:
    """Runs it to its end; returns the exit code and all it said. Its whole process group ends with us."""
    said: list[str] = []
    with log.open("ab" if append else "wb") as file:
        process = running.begin(
            arguments, env=os.environ | (environment or {}), cwd=folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            for raw in process.stdout:
                file.write(raw)
                file.flush()
                line = raw.decode(errors="replace").rstrip("\n")
                said.append(line)
                if on_line:
                    on_line(line)
            code = process.wait()
            if running.is_over:
                raise Ended
            return code, "\n".join(said)
        finally:
            process.stdout.close()
            running.end(process)


def must(arguments: list[str], log: Path, reason: str, **options) -> str:
    """Runs it; a failure says the reason and names the log."""
    code, text = run_logged(arguments, log, **options)
    if code != 0:
        raise Failure(f"{reason} (exit code {code})", log=log)
    return text


def show(line: str) -> None:
    say(f"    {line[:300]}")
