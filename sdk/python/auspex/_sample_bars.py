"""Bars for a run at home: made up, or from a CSV file. Made-up bars are the same for the same instrument and time, and mean nothing."""

from __future__ import annotations

import csv
import hashlib
import math
import random
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ._project import Input, ProjectError, interval_seconds

Columns = Dict[str, List[float]]
SECOND = 1_000_000


def made_up(item: Input, as_of: int) -> Columns:
    """As many bars as the input looks back, the last one complete at ``as_of`` (microseconds since 1970).

    >>> bars = made_up(Input("BTCUSD", "1m", 3), 1_475_928_000 * SECOND)
    >>> [t // SECOND for t in bars["time"]]
    [1475927820, 1475927880, 1475927940]
    >>> all(low <= min(o, c) and max(o, c) <= high for o, high, low, c in zip(*(bars[name] for name in ("open", "high", "low", "close"))))
    True
    """
    step = interval_seconds(item.interval) * SECOND
    seed = int.from_bytes(hashlib.sha256(item.instrument.encode()).digest()[:8], "big")
    chance = random.Random(seed)
    price = 10 ** chance.uniform(0, 4)
    spread = 0.0005 * math.sqrt(step / SECOND / 60)
    columns: Columns = {name: [] for name in ("time", "open", "high", "low", "close", "volume")}
    last = as_of - as_of % step
    chance = random.Random(seed ^ (last // step))
    for place in range(item.lookback, 0, -1):
        opened = price
        price = max(price * math.exp(chance.gauss(0, spread)), 1e-8)
        columns["time"].append(last - place * step)
        columns["open"].append(opened)
        columns["close"].append(price)
        columns["high"].append(max(opened, price) * (1 + abs(chance.gauss(0, spread / 2))))
        columns["low"].append(min(opened, price) * (1 - min(0.5, abs(chance.gauss(0, spread / 2)))))
        columns["volume"].append(round(chance.expovariate(1 / 10), 4))
    return columns


def from_csv(path: Path) -> Columns:
    """Bars from a file with the columns time, open, high, low, close and, if known, volume; ``time`` is the start of the bar."""
    columns: Columns = {name: [] for name in ("time", "open", "high", "low", "close", "volume")}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            names = {(name or "").strip().lower(): name for name in reader.fieldnames or []}
            time_name = next((names[name] for name in ("time", "timestamp", "date", "datetime", "start") if name in names), None)
            missing = [name for name in ("open", "high", "low", "close") if name not in names]
            if time_name is None or missing:
                raise ProjectError(f"{path}: the first line must name time, open, high, low, close; missing: {', '.join(missing) or 'time'}")
            for line in reader:
                try:
                    columns["time"].append(_microseconds(line[time_name]))
                    for name in ("open", "high", "low", "close"):
                        columns[name].append(float(line[names[name]]))
                    volume = line[names["volume"]] if "volume" in names else ""
                    columns["volume"].append(float(volume) if volume else math.nan)
                except (ValueError, TypeError) as error:
                    raise ProjectError(f"{path}: line {reader.line_num}: {error}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ProjectError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not columns["time"]:
        raise ProjectError(f"{path} has no bars")
    for place, (earlier, later) in enumerate(zip(columns["time"], columns["time"][1:])):
        if later <= earlier:
            raise ProjectError(f"{path}: line {place + 3}: the times do not rise")
    return columns


def _microseconds(text: str) -> int:
    text = (text or "").strip()
    if text.lstrip("-").isdigit():
        number = int(text)
        # Seconds, milliseconds or microseconds: their sizes since 1990 do not overlap.
        return number * (SECOND if abs(number) < 10**11 else 1000 if abs(number) < 10**14 else 1)
    moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    delta = moment - epoch
    return (delta.days * 86400 + delta.seconds) * SECOND + delta.microseconds


def from_platform(inputs: Sequence[Input], client: Any, as_of: int) -> List[Tuple[str, str, Columns]]:
    """The inputs as the platform knew them at ``as_of``: what the sandbox would be given for that moment."""
    from ._bar_reading import bars

    found = []
    for item in inputs:
        history = bars(item.instrument, item.interval, countback=item.lookback, as_of=as_of, client=client)
        count = len(history) - bool(history.last_is_partial)
        columns = {name: list(getattr(history, name)[:count]) for name in ("open", "high", "low", "close")}
        columns["time"] = [int(start) for start in _whole_numbers(history.start[:count])]
        volume = getattr(history, "volume", None)
        columns["volume"] = list(volume[:count]) if volume is not None else [math.nan] * count
        found.append((item.instrument, item.interval, columns))
    return found


def _whole_numbers(times: Any) -> Any:
    # numpy's times count microseconds already; without numpy they are numbers.
    return times.astype("int64") if hasattr(times, "astype") else times


def inputs_at_home(
    inputs: Sequence[Input], files: Mapping[str, Path], now: int, as_of: Optional[int] = None
) -> Tuple[int, List[Tuple[str, str, Columns]]]:
    """The run's point in time and its inputs: from ``files`` by instrument (or ``*``), the rest made up.

    With an ``as_of`` no bar is given that had not ended by then; without one it is the end of the last bar of the files, or the last round time.
    """
    from_files = {item.instrument: from_csv(files.get(item.instrument) or files["*"]) for item in inputs if item.instrument in files or "*" in files}
    longest = max((interval_seconds(item.interval) * SECOND for item in inputs), default=60 * SECOND)
    wanted = as_of
    as_of = now - now % longest if wanted is None else wanted
    ends = [
        from_files[item.instrument]["time"][-1] + interval_seconds(item.interval) * SECOND for item in inputs if item.instrument in from_files
    ]
    if ends and wanted is None:
        as_of = int(max(ends))
    found = []
    for item in inputs:
        columns = from_files.get(item.instrument)
        if columns is None:
            columns = made_up(item, as_of)
        else:
            step = interval_seconds(item.interval) * SECOND
            known = sum(start + step <= as_of for start in columns["time"])
            columns = {name: values[max(0, known - item.lookback) : known] for name, values in columns.items()}
        found.append((item.instrument, item.interval, columns))
    return as_of, found
