"""How long to wait before another try."""

from __future__ import annotations

import random
from typing import Optional

ATTEMPTS = 3


class Backoff:
    """Waits that double up to a bound, give or take half, so that clients that lost the same server do not all return at once.

    >>> backoff = Backoff(first=1, longest=4, chance=lambda: 0.5)
    >>> [backoff.next() for _ in range(4)]
    [1.0, 2.0, 4.0, 4.0]
    >>> backoff.reset(); backoff.next(at_least=10)
    10
    """

    def __init__(self, first: float = 0.25, longest: float = 30.0, chance=random.random):
        self._first = first
        self._longest = longest
        self._chance = chance
        self._current = first

    def next(self, at_least: Optional[float] = None) -> float:
        wait = self._current * (0.5 + self._chance())
        self._current = min(self._current * 2, self._longest)
        return max(wait, at_least or 0)

    def reset(self) -> None:
        self._current = self._first
