"""Bars as columns that share memory with the input of the run: nothing is copied, and nothing can be written."""

import sys

COLUMNS = ("time", "open", "high", "low", "close", "volume")

#: Whether numpy may be there without having been imported. A run without packages says no: a search that finds nothing looks into every folder.
numpy_may_be_installed = True


class Bars:
    """The bars of one instrument at one interval, oldest first.

    ``time`` holds the start of each bar in microseconds since 1970 UTC; ``open``, ``high``, ``low``, ``close`` and ``volume`` are
    floats, with NaN where a value is not known. With numpy installed the columns are read-only numpy arrays over the run's input,
    otherwise memoryviews, which index, slice and iterate like arrays.
    """

    __slots__ = ("instrument", "interval", "_columns", "_length", "_arrays")

    #: The names of the columns, and of those that hold whole numbers.
    _names = COLUMNS
    _integers = frozenset(["time"])

    def __init__(self, instrument, interval, length, columns):
        """``columns`` maps a column's name to a memoryview of its bytes; the frame module makes them."""
        self.instrument = instrument
        self.interval = interval
        self._length = length
        self._columns = columns
        self._arrays = {}

    def __len__(self):
        return self._length

    def __repr__(self):
        return f"Bars({self.instrument!r}, {self.interval!r}, {self._length} bars)"

    def __getattr__(self, name):
        if name not in self._names:
            raise AttributeError(f"bars have no column {name!r}; there are {', '.join(self._names)}")
        column = self._arrays.get(name)
        if column is None:
            column = self._arrays[name] = self._array(name)
        return column

    def _array(self, name):
        raw = self._columns[name]
        numpy = sys.modules.get("numpy")
        if numpy is None and numpy_may_be_installed:
            try:
                import numpy
            except ImportError:
                numpy = None
        if numpy is None:
            return raw.cast("q" if name in self._integers else "d")
        return numpy.frombuffer(raw, dtype="<i8" if name in self._integers else "<f8")

    def frame(self):
        """The bars as a pandas DataFrame with a UTC index named ``time``. Needs pandas among the requirements."""
        try:
            import pandas
        except ImportError as error:
            raise ImportError("bars.frame() needs pandas: add a line 'pandas' to requirements.txt") from error
        index = pandas.DatetimeIndex(self.time.view("datetime64[us]"), name="time").tz_localize("UTC")
        return pandas.DataFrame({name: getattr(self, name) for name in COLUMNS[1:]}, index=index, copy=False)
