"""How far a long read has come, shown to who looks on."""

from __future__ import annotations

import sys
import time
from typing import Any

QUIET_SECONDS = 1.0


class Progress:
    """One line on a terminal or in a notebook, which goes when it is over; nothing anywhere else, and nothing for what is quick."""

    def __init__(self, title: str, stream: Any = None, clock: Any = time.monotonic):
        self._title = title
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._began = clock()
        self._width = 0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._width:
            self._write(" " * self._width + "\r")

    def show(self, fraction: float, size: int) -> None:
        """``size``: the bytes that have come."""
        self.step(fraction, f"{size / 1e6:.0f} MB")

    def step(self, fraction: float, words: str) -> None:
        """``words``: what there is to say beside the bar."""
        if self._clock() - self._began < QUIET_SECONDS or not _is_watched(self._stream):
            return
        fraction = min(1.0, max(0.0, fraction))
        done = int(24 * fraction)
        text = f"{self._title} {'█' * done}{'░' * (24 - done)} {fraction:4.0%} {words}"
        self._write(text.ljust(self._width) + "\r")
        self._width = max(self._width, len(text))

    def _write(self, text: str) -> None:
        try:
            self._stream.write("\r" + text)
            self._stream.flush()
        except (OSError, ValueError):
            # Whether it can be shown (a closed stream, an encoding without blocks) must not decide whether it is read.
            pass


def _is_watched(stream: Any) -> bool:
    try:
        return bool(stream.isatty()) or type(stream).__module__.startswith("ipykernel")
    except (AttributeError, ValueError):
        return False
