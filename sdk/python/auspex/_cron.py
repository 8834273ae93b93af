"""Cron expressions by the platform's rules (``CronExpression.swift``): what is none, and what is never due."""

from __future__ import annotations

import calendar
import re
from datetime import date, timedelta
from typing import Callable, Optional, Sequence, Set

NICKNAMES = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0", "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
#: 29 February on a Sunday comes every 28 years, and 40 at 2100.
HORIZON_DAYS = 366 * 41


class CronFault(Exception):
    """Which part of an expression is none."""


def fault(expression: str) -> Optional[str]:
    """What is wrong with an expression; ``None`` when it is due some day.

    >>> fault("30 2 * * mon-fri"), fault("30 25 * * *"), fault("0 0 30 2 *")
    (None, "'25' is no cron hour", "'0 0 30 2 *' is never due")
    """
    try:
        return None if _is_ever_due(expression) else f"'{expression}' is never due"
    except CronFault as error:
        return str(error)


def _is_ever_due(expression: str) -> bool:
    if len(expression.encode()) > 200:
        raise CronFault(f"'{expression[:20]}…' is no cron expression")
    body = expression.lower()
    if body.startswith("@"):
        if body not in NICKNAMES:
            raise CronFault(f"'{expression}' is no cron name ({', '.join(NICKNAMES)})")
        body = NICKNAMES[body]
    parts = [part for part in re.split("[ \t]", body) if part]
    if len(parts) not in (5, 6):
        raise CronFault(f"'{expression}' is no cron expression: it has {len(parts)} fields instead of five, or six with the seconds first")
    if len(parts) == 6:
        _values(parts.pop(0), 0, 59, (), "second")
    _values(parts[0], 0, 59, (), "minute")
    _values(parts[1], 0, 23, (), "hour")
    months = _values(parts[3], 1, 12, MONTHS, "month")
    plain_days, moving_days = _taken(parts[2], _day_word)
    plain_weekdays, moving_weekdays = _taken(parts[4], _weekday_word)
    days = _values(plain_days, 1, 31, (), "day of month") if plain_days else set()
    weekdays = {day % 7 for day in _values(plain_weekdays, 0, 7, WEEKDAYS, "day of week")} if plain_weekdays else set()
    either = plain_days not in ("*", "?") and plain_weekdays not in ("*", "?")

    def is_due(one: date) -> bool:
        by_day = one.day in days or any(matches(one) for matches in moving_days)
        by_weekday = _weekday(one) in weekdays or any(matches(one) for matches in moving_weekdays)
        return by_day or by_weekday if either else by_day and by_weekday

    start = date(2024, 1, 1)
    every = (start + timedelta(days=number) for number in range(HORIZON_DAYS))
    return any(one.month in months and is_due(one) for one in every)


def _values(text: str, low: int, high: int, names: Sequence[str], field: str) -> Set[int]:
    """Lists, ranges and steps: ``1,5``, ``1-5``, ``*/15``, ``10-40/5``, ``mon-fri``, ``sat-sun``."""
    fault = CronFault(f"'{text}' is no cron {field}")

    def value(part: str) -> int:
        if part in names:
            return names.index(part) + (1 if low == 1 else 0)
        number = _number(part, low, high)
        if number is None:
            raise fault
        return number

    found: Set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, 1, high) if slash else 1
        if step is None:
            raise fault
        if span in ("*", "?"):
            first, last = low, high
        elif "-" in span:
            ends = span.split("-")
            if len(ends) != 2:
                raise fault
            first, last = value(ends[0]), value(ends[1])
            if last == 0 and high == 7 and first > 0:
                last = 7  # Sunday is 7 as well as 0, so it can end a range.
        else:
            first = value(span)
            last = high if slash else first
        if first > last:
            raise fault
        found.update(range(first, last + 1, step))
    return found


def _number(text: str, low: int, high: int) -> Optional[int]:
    if not (text.isascii() and text.isdigit()):
        return None
    return int(text) if low <= int(text) <= high else None


def _taken(text: str, reads: Callable) -> tuple:
    """What is left of a list without the words that each month places anew, and what these words match."""
    words = {word: reads(word) for word in text.split(",")}
    return ",".join(word for word in text.split(",") if words[word] is None), [matches for matches in words.values() if matches is not None]


def _day_word(word: str) -> Optional[Callable[[date], bool]]:
    """``L`` the last day, ``L-2`` two days before it, ``LW`` its last weekday, ``15W`` the weekday nearest to the 15th."""
    if word == "l":
        return lambda one: one.day == _length(one)
    if word == "lw":
        return lambda one: one.day == _workday(_length(one), one)
    if word.startswith("l-"):
        before = _number(word[2:], 1, 30)
        return None if before is None else lambda one: one.day == _length(one) - before
    if word.endswith("w"):
        day = _number(word[:-1], 1, 31)
        return None if day is None else lambda one: day <= _length(one) and one.day == _workday(day, one)
    return None


def _weekday_word(word: str) -> Optional[Callable[[date], bool]]:
    """``5L`` the last Friday, ``MON#2`` the second Monday."""
    name, sharp, number_text = word.partition("#")
    number = _number(number_text, 1, 5) if sharp else None
    if not sharp and word.endswith("l"):
        name = word[:-1]
    elif number is None:
        return None
    day = WEEKDAYS.index(name) if name in WEEKDAYS else _number(name, 0, 7)
    if day is None:
        return None
    wanted = day % 7
    if number is None:
        return lambda one: _weekday(one) == wanted and one.day + 7 > _length(one)
    return lambda one: _weekday(one) == wanted and (one.day + 6) // 7 == number


def _weekday(one: date) -> int:
    return one.isoweekday() % 7


def _length(one: date) -> int:
    return calendar.monthrange(one.year, one.month)[1]


def _workday(day: int, one: date) -> int:
    """The day from Monday to Friday that is nearest to a day of the date's month without leaving it."""
    weekday, length = _weekday(one.replace(day=day)), _length(one)
    if weekday == 6:
        return day - 1 if day > 1 else day + 2
    if weekday == 0:
        return day + 1 if day < length else day - 2
    return day
