"""Bars that were read from a platform: columns over one buffer, for numpy, pandas, polars and Arrow."""

from __future__ import annotations

import struct
from array import array
from datetime import datetime, timedelta, timezone
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence

from ._bars import Bars
from .errors import UnreadableAnswer

HEADER_BYTES = 64
_HEADER = struct.Struct("<4sHHQiiII32s")
_HAS_VOLUME, _HAS_TRADES, _PARTIAL, _APPROXIMATE = 1, 2, 4, 8
_PRICES = ("open", "high", "low", "close")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Bar(NamedTuple):
    """One bar; ``volume`` and ``trades`` are None where they are not known."""

    start: datetime
    end: datetime
    open: float
    high: float
    low: float
    close: float
    volume: Optional[float]
    trades: Optional[int]


class Header(NamedTuple):
    """What the binary form of bars says of itself before its columns."""

    flags: int
    count: int
    price_decimals: int
    volume_decimals: int
    interval_seconds: int
    length: int
    data_sha256: bytes

    @classmethod
    def read(cls, body: memoryview) -> "Header":
        """Reads it, and holds it against the length of the whole."""
        if len(body) < HEADER_BYTES:
            raise UnreadableAnswer("the bars are cut off before their header ends")
        magic, version, flags, count, prices, volumes, seconds, length, digest = _HEADER.unpack_from(body)
        if magic != b"AUSB":
            raise UnreadableAnswer("the answer does not begin like bars")
        if version != 1:
            raise UnreadableAnswer(f"the bars are of version {version}; this package reads version 1")
        header = cls(flags, count, prices, volumes, seconds, length, digest)
        if length < HEADER_BYTES or length % 8 or len(body) != length + 8 * count * len(header.columns):
            raise UnreadableAnswer(f"{count} bars do not take {len(body)} bytes")
        return header

    def write(self) -> bytes:
        return _HEADER.pack(b"AUSB", 1, self.flags, self.count, self.price_decimals, self.volume_decimals, self.interval_seconds, self.length, self.data_sha256)

    @property
    def columns(self) -> List[str]:
        """The columns that follow, in their order."""
        names = ["start", "end", *_PRICES]
        if self.flags & _HAS_VOLUME:
            names.append("volume")
        if self.flags & _HAS_TRADES:
            names.append("trades")
        return names


def join(pages: Sequence[Any]) -> Iterator[Any]:
    """The parts of one binary form, to be written one behind the other, out of the pages of an answer; a single page stays what it is."""
    if len(pages) == 1:
        yield pages[0]
        return
    import hashlib

    views = [memoryview(page) for page in pages]
    headers = [Header.read(view) for view in views]
    flags = 0
    for header in headers:
        flags |= header.flags & ~_PARTIAL
    # The floats stay what they are; all of them are exact in the most decimals that any page needs.
    prices, volumes = (-1 if -1 in found else max(found) for found in (
        [header.price_decimals for header in headers],
        [header.volume_decimals for header in headers if header.flags & _HAS_VOLUME] or [-1],
    ))
    joined = Header(
        flags | headers[-1].flags & _PARTIAL, sum(header.count for header in headers), prices, volumes, headers[0].interval_seconds, HEADER_BYTES,
        hashlib.sha256(b"".join(header.data_sha256 for header in headers)).digest())
    yield joined.write()
    for name in joined.columns:
        for header, view in zip(headers, views):
            if name in header.columns:
                first = header.length + 8 * header.count * header.columns.index(name)
                yield view[first:first + 8 * header.count]
            else:
                yield _unknown(name, header.count)


def _unknown(name: str, count: int) -> memoryview:
    """A column of which nothing is known."""
    return memoryview(array("q", [-1]) * count if name == "trades" else array("d", [float("nan")]) * count).cast("B")


class BarHistory(Bars):
    """The bars of one instrument at one interval, oldest first, as :func:`auspex.bars` gives them.

    ``start`` and ``end`` say when each bar begins and ends (``datetime64[us]``, UTC; microseconds since 1970 where numpy is not installed),
    ``open``, ``high``, ``low``, ``close`` and ``volume`` are floats (a volume of NaN is not known), ``trades`` integers (-1 is not known).
    The columns are read-only numpy arrays, or memoryviews, over what was read: nothing is copied. A slice shares them, and a number gives
    one :class:`Bar`. ``time`` and ``frame()`` are what a signal's own bars have, so that its code runs on these as well.

    ``as_of`` is the moment whose knowledge this is, where it is known; ``price_decimals`` and ``volume_decimals`` give the exact decimals back
    by ``round(x * 10 ** decimals)``, or are None where the numbers are no decimals; ``last_is_partial`` marks a last bar that still runs.
    """

    __slots__ = ("as_of", "data_sha256", "price_decimals", "volume_decimals", "interval_seconds", "last_is_partial", "is_approximate", "from_cache", "_header")

    _names = ("start", "end", "time", *_PRICES, "volume", "trades")
    _integers = frozenset(["start", "end", "time", "trades"])

    def __init__(self, instrument: str, interval: str, buffer: Any, *, as_of: Optional[str] = None, from_cache: bool = False):
        """``buffer`` holds the binary form of ``GET /api/bars``: bytes, or a file mapped into memory. It lives as long as the bars do."""
        body = memoryview(buffer).cast("B").toreadonly()
        header = self._header = Header.read(body)
        columns = {}
        for number, name in enumerate(header.columns):
            first = header.length + 8 * header.count * number
            columns[name] = body[first:first + 8 * header.count]
        super().__init__(instrument, interval, header.count, columns)
        self.as_of = as_of
        self.from_cache = from_cache
        self.data_sha256 = header.data_sha256.hex()
        self.price_decimals = header.price_decimals if header.price_decimals >= 0 else None
        self.volume_decimals = header.volume_decimals if header.volume_decimals >= 0 else None
        self.interval_seconds = header.interval_seconds
        self.last_is_partial = bool(header.flags & _PARTIAL)
        self.is_approximate = bool(header.flags & _APPROXIMATE)

    def _array(self, name: str) -> Any:
        stored = "start" if name == "time" else name
        if stored not in self._columns:
            self._columns[stored] = _unknown(stored, self._length).toreadonly()
        column = self._columns[stored]
        try:
            import numpy
        except ImportError:
            return column.cast("q" if stored in self._integers else "d")
        if name in ("start", "end"):
            return numpy.frombuffer(column, dtype="<i8").view("datetime64[us]")
        return numpy.frombuffer(column, dtype="<i8" if stored in self._integers else "<f8")

    def _plain(self, name: str) -> memoryview:
        """A column without numpy's types."""
        getattr(self, name)
        return self._columns[name].cast("q" if name in self._integers else "d")

    def __getitem__(self, which: Any) -> Any:
        """One bar for a number, the bars of a stretch for a slice."""
        if isinstance(which, slice):
            lower, upper, step = which.indices(self._length)
            if step != 1:
                raise ValueError("bars are sliced in one piece; take the columns for other steps")
            return self._slice(lower, max(lower, upper))
        number = which.__index__()
        if number < 0:
            number += self._length
        if not 0 <= number < self._length:
            raise IndexError(f"there are {self._length} bars")
        start, end, open_, high, low, close, volume, trades = (self._plain(name)[number] for name in ("start", "end", *_PRICES, "volume", "trades"))
        return Bar(_moment(start), _moment(end), open_, high, low, close, volume if volume == volume else None, trades if trades >= 0 else None)

    def _slice(self, lower: int, upper: int) -> "BarHistory":
        part = BarHistory.__new__(BarHistory)
        Bars.__init__(part, self.instrument, self.interval, upper - lower, {name: column[8 * lower:8 * upper] for name, column in self._columns.items()})
        for name in BarHistory.__slots__:
            setattr(part, name, getattr(self, name))
        part.last_is_partial = self.last_is_partial and upper == self._length and upper > lower
        return part

    def __repr__(self) -> str:
        stretch = ""
        if self._length:
            stretch = f", {_text(self._plain('start')[0])} to {_text(self._plain('end')[-1])} UTC"
        return f"BarHistory({self.instrument!r}, {self.interval!r}, {self._length} bars{stretch})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the first and the last bars."""
        from html import escape

        shown: List[Any] = list(range(self._length)) if self._length <= 10 else [0, 1, 2, None, self._length - 3, self._length - 2, self._length - 1]
        lines = []
        for number in shown:
            cells = ["…"] * 7 if number is None else self._cells(number)
            lines.append("<tr>" + "".join(f"<td style='text-align:right'>{escape(cell)}</td>" for cell in cells) + "</tr>")
        head = "".join(f"<th>{name}</th>" for name in ("start (UTC)", *_PRICES, "volume", "trades"))
        known = f"<p>as of {escape(self.as_of)}</p>" if self.as_of else ""
        return f"<p>{escape(repr(self))}</p><table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>{known}"

    def _cells(self, number: int) -> List[str]:
        bar = self[number]
        prices = [f"{value:.{self.price_decimals}f}" if self.price_decimals is not None else repr(value) for value in bar[2:6]]
        volume = "" if bar.volume is None else f"{bar.volume:.{self.volume_decimals}f}" if self.volume_decimals is not None else repr(bar.volume)
        return [_text(self._plain("start")[number]), *prices, volume, "" if bar.trades is None else str(bar.trades)]

    # Other libraries

    def to_numpy(self) -> Any:
        """The columns by name, as arrays that share memory with these bars."""
        _import("numpy", "to_numpy")
        return {name: getattr(self, name) for name in self._names if name != "time"}

    def to_pandas(self) -> Any:
        """A DataFrame with a UTC index ``start``; floats are shared with these bars. Unknown trade counts are ``<NA>``."""
        pandas = _import("pandas", "to_pandas")
        index = pandas.DatetimeIndex(self.start, name="start", copy=False).tz_localize("UTC")
        columns = {"end": pandas.DatetimeIndex(self.end, copy=False).tz_localize("UTC"), **{name: getattr(self, name) for name in (*_PRICES, "volume")}}
        unknown = self.trades < 0
        columns["trades"] = pandas.arrays.IntegerArray(self.trades, unknown) if unknown.any() else self.trades
        return pandas.DataFrame({name: pandas.Series(values, index=index, copy=False) for name, values in columns.items()}, copy=False)

    def to_polars(self) -> Any:
        """A polars DataFrame; what is not known is null."""
        polars = _import("polars", "to_polars")
        instant = polars.Datetime("us", "UTC")

        def series(name: str) -> Any:
            values = self._plain(name)
            try:
                import numpy

                values = numpy.asarray(values)
            except ImportError:
                values = values.tolist()
            return polars.Series(name, values, dtype=polars.Int64 if name in self._integers else polars.Float64)

        frame = polars.DataFrame(
            [series("start").cast(instant), series("end").cast(instant), *(series(name) for name in (*_PRICES, "volume", "trades"))])
        volume, trades = frame["volume"], frame["trades"]
        if volume.is_nan().any():
            frame = frame.with_columns(volume.fill_nan(None))
        if (trades < 0).any():
            frame = frame.with_columns(polars.when(polars.col("trades") >= 0).then(polars.col("trades")).alias("trades"))
        return frame

    def to_arrow(self) -> Any:
        """A pyarrow Table with the columns of ``format=arrow``, over the same memory; what is not known is null."""
        arrow = _import("pyarrow", "to_arrow")
        import pyarrow.compute as compute

        def column(name: str, kind: Any) -> Any:
            getattr(self, name)
            return arrow.Array.from_buffers(kind, self._length, [None, arrow.py_buffer(self._columns[name])])

        instant = arrow.timestamp("us", "UTC")
        columns = [column("start", instant), column("end", instant), *(column(name, arrow.float64()) for name in _PRICES)]
        for name, kind, is_unknown in (("volume", arrow.float64(), compute.is_nan), ("trades", arrow.int64(), lambda values: compute.less(values, 0))):
            values = column(name, kind)
            unknown = is_unknown(values)
            columns.append(compute.if_else(unknown, arrow.scalar(None, kind), values) if compute.any(unknown).as_py() else values)
        nullable = ("volume", "trades")
        names = ("start", "end", *_PRICES, *nullable)
        return arrow.Table.from_arrays(
            columns, schema=arrow.schema([arrow.field(name, values.type, name in nullable) for name, values in zip(names, columns)]))

    # Files

    def to_parquet(self, path: Any) -> Any:
        """Writes a Parquet file that platforms import as it is (its metadata names symbol and interval); gives its path. A bar that still runs is left out."""
        arrow = _import("pyarrow", "to_parquet")
        from ._table_files import write_parquet

        return write_parquet(self, path, arrow)

    def to_pystore(self, path: Any, collection: str = "auspex", *, overwrite: bool = False) -> Any:
        """Writes an item of PyStore below a store's folder, or as a zip where ``path`` ends with ``.zip``; gives where it is. An item is a symbol and an
        interval; the true symbol stands in its metadata. A bar that still runs is left out."""
        arrow, pandas = _import("pyarrow", "to_pystore"), _import("pandas", "to_pystore")
        from ._table_files import write_pystore

        return write_pystore(self, path, collection, overwrite, arrow, pandas)


def _import(name: str, method: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"{method}() needs {name}, which is not installed here: pip install {name}") from error


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _text(microseconds: int) -> str:
    moment = _moment(microseconds)
    return moment.strftime("%Y-%m-%d %H:%M" if not microseconds % 60_000_000 else "%Y-%m-%d %H:%M:%S")
