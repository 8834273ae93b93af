"""Runs a long program, keeps what it says in a log, and shows the lines that matter while it runs."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from .console import Failure


def run_logged(
    arguments: list[str], log: Path, *, environment: dict[str, str] | None = None, folder: Path | None = None,
    on_line: Callable[[str], None] | None = None, append: bool = False,
) -> tuple[int, str]:
    """Runs it to its end; returns the exit code and all it said. Its whole process group ends with us."""
    said: list[str] = []
    with log.open("ab" if append else "wb") as file:
        process = subprocess.Popen(
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
            return process.wait(), "\n".join(said)
        finally:
            process.stdout.close()
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def must(arguments: list[str], log: Path, reason: str, **options) -> str:
    """Runs it; a failure says the reason and names the log."""
    code, text = run_logged(arguments, log, **options)
    if code != 0:
        raise Failure(f"{reason} (exit code {code})", log=log)
    return text


def show(line: str) -> None:
    print(f"    {line[:300]}", file=sys.stdout, flush=True)
