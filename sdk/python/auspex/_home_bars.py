"""What ``auspex.bars`` gives inside a run at home: by the rules of the sandbox, from the platform, from the run's files, or made up."""

from __future__ import annotations

import math
from array import array
from pathlib import Path
from typing import Any, Callable, Dict, Mapping

from ._bars import COLUMNS, Bars
from ._more_bars import BarsRefused
from ._project import Input, ProjectError, interval_seconds
from ._rows import iso
from ._sample_bars import SECOND, Columns, from_csv, from_platform, made_up

MOST_REQUESTS = 100
MOST_BYTES = 64 << 20
MOST_BARS = 50_000


def source(header: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Bars]:
    """Answers questions of one run. ``header["home"]``: ``instruments``, and ``files`` (path and interval by instrument) or ``platform`` (its address)."""
    home, as_of = header["home"], header["as_of_microseconds"]
    spent = {"requests": 0, "bytes": 0}

    def ask(question: Mapping[str, Any]) -> Bars:
        spent["requests"] += 1
        if spent["requests"] > MOST_REQUESTS:
            raise BarsRefused("too_many_requests", f"this run has asked for bars {MOST_REQUESTS} times, more is not allowed")
        if spent["bytes"] >= MOST_BYTES:
            raise BarsRefused("too_many_bytes", f"this run has been given {MOST_BYTES >> 20} MiB of bars, more is not allowed")
        bars = _answer(home, as_of, question)
        spent["bytes"] += 8 * len(COLUMNS) * len(bars)
        return bars

    return ask


def _answer(home: Mapping[str, Any], as_of: int, question: Mapping[str, Any]) -> Bars:
    instrument, interval = question["instrument"], question["interval"]
    if instrument not in home["instruments"]:
        known = ", ".join(home["instruments"])
        raise BarsRefused("unknown_instrument", f"the manifest does not list {instrument[:40]!r}; this run may read {known}")
    start, end = question.get("start"), question.get("end", as_of)
    if end > as_of:
        raise BarsRefused("after_as_of", f"end is {iso(end)}, but this run knows nothing after {iso(as_of)}")
    if start is not None and start >= end:
        raise BarsRefused("bad_request", "start does not lie before end, or before the run's point in time")
    lookback = question.get("lookback", 500)
    if start is None and not 1 <= lookback <= MOST_BARS:
        raise BarsRefused("bad_request", f"lookback is a number from 1 to {MOST_BARS}")
    try:
        step = interval_seconds(interval) * SECOND
    except ProjectError as error:
        raise BarsRefused("refused", str(error)) from None
    if start is not None:
        lookback = max(1, -(-(end - start) // step))
        if lookback >= MOST_BARS:
            raise BarsRefused("too_many_bars", f"the range has {MOST_BARS} bars or more: ask for less at a time")
    columns = _columns(home, Input(instrument, interval, lookback), step, end)
    chosen = [place for place, time in enumerate(columns["time"]) if time < end and time + step <= as_of and (start is None or time >= start)]
    if start is None:
        chosen = chosen[-lookback:]
    packed = {name: memoryview(array("q" if name == "time" else "d", [columns[name][place] for place in chosen])).cast("B") for name in COLUMNS}
    return Bars(instrument, interval, len(chosen), packed)


def _columns(home: Mapping[str, Any], item: Input, step: int, end: int) -> Columns:
    if home.get("platform"):
        import os

        from .client import Client

        client = Client(home["platform"], api_key=os.environ.get("AUSPEX_API_KEY"))
        return from_platform([item], client, end)[0][2]
    file = home.get("files", {}).get(item.instrument)
    if file is None:
        return made_up(item, end)
    path, own_seconds = file
    own = own_seconds * SECOND
    if step % own:
        raise BarsRefused("refused", f"{Path(path).name} holds bars of {own_seconds} s: bars of {item.interval} cannot be made of them")
    return _coarser(from_csv(Path(path)), step) if step != own else from_csv(Path(path))


def _coarser(fine: Columns, step: int) -> Columns:
    """Bars of a greater length, each from the finer ones that begin in it."""
    coarse: Columns = {name: [] for name in COLUMNS}
    for place, time in enumerate(fine["time"]):
        start = time - time % step
        values: Dict[str, float] = {name: fine[name][place] for name in COLUMNS}
        if not coarse["time"] or coarse["time"][-1] != start:
            values["time"] = start
            for name in COLUMNS:
                coarse[name].append(values[name])
            continue
        coarse["high"][-1] = max(coarse["high"][-1], values["high"])
        coarse["low"][-1] = min(coarse["low"][-1], values["low"])
        coarse["close"][-1] = values["close"]
        volume = coarse["volume"][-1]
        coarse["volume"][-1] = volume + values["volume"] if not math.isnan(volume) else volume
    return coarse
