"""Bars as files that other programs read: Parquet, and items of PyStore. Only whoever writes one needs pyarrow (and pandas, for PyStore)."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Union

ROWS_A_PART = 1_000_000
_DAY = 86_400_000_000
_PRICES = ("open", "high", "low", "close")
#: Under this key a file says of what its bars are, and that its floats are to be taken as they are.
METADATA_KEY = b"auspex"


def is_dated(interval: str) -> bool:
    """Whether bars of an interval are known by their trading date rather than by a time of day."""
    return interval[-1:] in ("d", "w", "M")


def about(bars: Any) -> dict:
    """What an import has to know of the bars besides their columns."""
    known = {"symbol": bars.instrument, "interval": bars.interval, "data_sha256": bars.data_sha256}
    if bars.as_of:
        known["as_of"] = bars.as_of
    return known


def finished(bars: Any) -> Any:
    """The bars without one that still runs: in a file it would look whole."""
    return bars[:-1] if bars.last_is_partial else bars


def dates(bars: Any, arrow: Any) -> Any:
    """The trading date of each bar, of weeks and months the last one: the date on which it ends."""
    ends = arrow.Array.from_buffers(arrow.int64(), len(bars), [None, arrow.py_buffer(bars._plain("end").cast("B"))])
    days = arrow.compute.divide(arrow.compute.subtract(ends, 1), _DAY)
    return days.cast(arrow.int32()).cast(arrow.date32())


def table(bars: Any, arrow: Any) -> Any:
    """The columns of a Parquet file: ``start`` and ``end``, or ``date`` for days and longer, then prices, and volume and trades where they are known."""
    import pyarrow.compute  # noqa: F401  (makes arrow.compute)

    whole = bars.to_arrow()
    if is_dated(bars.interval):
        whole = whole.drop_columns(["start", "end"]).add_column(0, "date", dates(bars, arrow))
    for name in ("volume", "trades"):
        if len(bars) and whole[name].null_count == len(bars):
            whole = whole.drop_columns([name])
    return whole.replace_schema_metadata({METADATA_KEY: json.dumps(about(bars)).encode()})


def write_parquet(bars: Any, path: Union[str, "os.PathLike[str]"], arrow: Any) -> Path:
    from pyarrow import parquet

    target = Path(path)
    with _beside(target) as temporary:
        parquet.write_table(table(finished(bars), arrow), temporary, compression="zstd")
        os.replace(temporary, target)
    return target


def item_name(bars: Any) -> str:
    """An item is a folder: what no folder may be called by is written otherwise, and the true name stands in its metadata."""
    name = "".join(letter if letter.isalnum() or letter in ".-@" else "_" for letter in f"{bars.instrument}_{bars.interval}")
    return name.lstrip("._") or "item"


def write_pystore(bars: Any, path: Union[str, "os.PathLike[str]"], collection: str, overwrite: bool, arrow: Any, pandas: Any) -> Path:
    """The item below the folder of a store, or a zip of it; gives where it is."""
    from pyarrow import parquet

    if not collection or collection.startswith(("_", ".")) or "/" in collection or os.sep in collection:
        raise ValueError("a plain name would be right for the collection")
    bars = finished(bars)
    target = Path(path)
    is_archive = target.suffix.lower() == ".zip"
    item = item_name(bars)
    place = target if is_archive else target / collection / item
    if place.exists() and not overwrite:
        raise FileExistsError(f"{place} exists; overwrite=True replaces it")
    columns = {name.capitalize(): getattr(bars, name) for name in _PRICES}
    volume, trades = bars.volume, bars.trades
    if len(bars) and (volume == volume).any():
        columns["Volume"] = volume
    if len(bars) and (trades >= 0).all():
        columns["Trades"] = trades
    if is_dated(bars.interval):
        import pyarrow.compute  # noqa: F401

        index = pandas.DatetimeIndex(dates(bars, arrow).cast(arrow.timestamp("ns")).to_pandas(), name="Date")
    else:
        index = pandas.DatetimeIndex(bars.start.astype("datetime64[ns]"), name="Date")
    frame = pandas.DataFrame(columns, index=index)
    updated = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")

    with tempfile.TemporaryDirectory(prefix=".auspex-", dir=_folder(target if not is_archive else target.parent)) as temporary:
        folder = Path(temporary) / collection / item
        folder.mkdir(parents=True)
        for number, first in enumerate(range(0, max(len(frame), 1), ROWS_A_PART)):
            part = arrow.Table.from_pandas(frame.iloc[first:first + ROWS_A_PART])
            metadata = {**(part.schema.metadata or {}), METADATA_KEY: json.dumps(about(bars)).encode()}
            parquet.write_table(part.replace_schema_metadata(metadata), folder / f"part.{number}.parquet", compression="snappy")
        (folder / "pystore_metadata.json").write_text(json.dumps({**about(bars), "_updated": updated}))
        store = Path(temporary) / "pystore_metadata.json"
        store.write_text(json.dumps({"engine": "pyarrow", "_updated": updated}))
        if is_archive:
            (folder.parent / "_snapshots").mkdir()
            _pack(Path(temporary), target)
        else:
            # Without this folder PyStore does not open the collection.
            (target / collection / "_snapshots").mkdir(parents=True, exist_ok=True)
            if not (target / "pystore_metadata.json").exists():
                os.replace(store, target / "pystore_metadata.json")
            if place.exists():
                # What was there goes only when what replaces it is whole.
                os.replace(place, Path(temporary) / "replaced")
            os.replace(folder, place)
    return place


def _pack(folder: Path, target: Path) -> None:
    import zipfile

    files = sorted(path for path in folder.rglob("*") if path.is_file() or path.name == "_snapshots")
    with _beside(target) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for path in files:
                archive.write(path, path.relative_to(folder).as_posix())
        os.replace(temporary, target)


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


class _beside:
    """A temporary file beside a target, so that the target is there whole or not at all."""

    def __init__(self, target: Path):
        self._target = target

    def __enter__(self) -> Path:
        self._folder = Path(tempfile.mkdtemp(prefix=".auspex-", dir=_folder(self._target.parent)))
        return self._folder / self._target.name

    def __exit__(self, *_: Any) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
