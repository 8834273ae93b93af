"""How a run is told: one line a step with its time, progress for long ones, and a failure that names step, reason and log."""

import contextlib
import contextvars
import os
import sys
import threading
import time
import traceback
from pathlib import Path


class Failure(Exception):
    """Something the person at the terminal can act upon: which step, why, and where to read more."""

    def __init__(self, reason: str, *, step: str | None = None, log: Path | str | None = None, exit_code: int = 1):
        super().__init__(reason)
        self.reason, self.step, self.log, self.exit_code = reason, step, log, exit_code

    def tell(self) -> None:
        say_error(f"{self.step}: {self.reason}" if self.step else self.reason)
        if self.log and Path(self.log).exists():
            for line in last_lines(Path(self.log), 12):
                print(f"    {line}", file=sys.stderr)
            print(f"  the whole log: {self.log}", file=sys.stderr)


def usage(text: str) -> Failure:
    """A wrong argument: one clear line and exit code 2."""
    return Failure(text, exit_code=2)


_speaker = contextvars.ContextVar("speaker", default="")


@contextlib.contextmanager
def speaking_as(name: str):
    """Where several speak at once, each line begins with who says it."""
    token = _speaker.set(f"{name:12}")
    try:
        yield
    finally:
        _speaker.reset(token)


def say(text: str = "") -> None:
    """One whole line; somebody's progress that stands on the terminal's last one makes room."""
    clear = "\r\033[K" if sys.stdout.isatty() else ""
    sys.stdout.write(f"{clear}{_speaker.get()}{text}\n")
    sys.stdout.flush()


def say_error(text: str) -> None:
    print(f"auspex: {text}", file=sys.stderr, flush=True)


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a log, cut to a readable width; never reads more than 64 KiB."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 65536))
        return [line[:300] for line in file.read().decode(errors="replace").splitlines() if line.strip()][-count:]
    return []


class Step:
    """A running step; `note` replaces the text after its name."""

    def __init__(self, name: str, log: Path | None):
        self.name, self.log, self.text, self.started = name, log, "", time.monotonic()

    def note(self, text: str) -> None:
        self.text = text

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


def _watch(step: Step, finished: threading.Event, terminal: bool) -> None:
    """Shows that a long step lives: on a terminal the last line of its log, elsewhere one line in twenty seconds."""
    while not finished.wait(0.5 if terminal else 20):
        if step.seconds < 2:
            continue
        tail = step.text or (last_lines(step.log, 1) or [""])[-1] if step.log else step.text
        if terminal:
            width = os.get_terminal_size(sys.stdout.fileno()).columns - 1
            print(f"\r\033[K  … {step.name}  {step.seconds:.0f} s  {tail}"[: width + 4], end="", flush=True)
        else:
            say(f"  … {step.name}  {step.seconds:.0f} s  {tail[:120]}")


@contextlib.contextmanager
def failing_as(name: str, log: Path | None = None):
    """Whatever goes wrong inside is a failure with this step and log: whoever reads it is at a terminal, not in the code."""
    try:
        yield
    except Failure as failure:
        failure.step = failure.step or name
        failure.log = failure.log or log
        raise
    except Exception as error:
        raise Failure(_spoken(error), step=name, log=log) from error


def _spoken(error: Exception) -> str:
    """An error's own words; of one that speaks to programmers only, also its kind and where it came from."""
    if isinstance(error, OSError) or type(error).__module__ != "builtins":
        return str(error) or type(error).__name__
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"


@contextlib.contextmanager
def step(name: str, *, log: Path | None = None, quiet_when_quick: bool = False):
    """Tells one step: its name while it runs, its time when done; failures inside carry its name and log."""
    terminal = sys.stdout.isatty()
    current, finished = Step(name, log), threading.Event()
    watcher = threading.Thread(target=contextvars.copy_context().run, args=(_watch, current, finished, terminal), daemon=True)
    watcher.start()
    mark = "✗"
    try:
        with failing_as(name, log):
            yield current
        mark = "✓"
    finally:
        finished.set()
        watcher.join()
        if mark == "✗" or not quiet_when_quick or current.seconds > 1:
            detail = f"  {current.text}" if current.text else ""
            say(f"  {mark} {name}  ({current.seconds:.1f} s){detail}")
        elif terminal:
            print("\r\033[K", end="", flush=True)
