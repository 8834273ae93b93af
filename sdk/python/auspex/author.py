"""What an author of a signal writes against: the decorator, the context that a run is given, and the prediction it returns.

This module is imported inside the sandbox before every run, so it imports nothing that a simple signal does not use.
"""

KINDS = ("direction", "probability", "price", "return", "quantiles")
LONGEST_VALUE = 64


class InvalidPrediction(ValueError):
    """A prediction that breaks the manifest's promise. ``row`` is its place in what the function returned, from 0."""

    def __init__(self, reason, row=None):
        super().__init__(reason if row is None else f"row {row}: {reason}")
        self.reason = reason
        self.row = row


def signal(function):
    """Marks the function that makes predictions. The manifest's entry point names it, for example ``app:predict``.

    >>> @signal
    ... def predict(context):
    ...     return Prediction(1)
    >>> predict.__auspex_signal__
    True
    """
    function.__auspex_signal__ = True
    return function


class Prediction:
    """One prediction. All but the value has a default from the manifest and the run's point in time.

    ``value``: -1, 0 or 1 for a direction; 0 to 1 for a probability; a number for a price or a return; a mapping of levels to numbers
    for quantiles. Numbers may be int, float, ``decimal.Decimal``, numpy scalars, or decimal text (kept digit for digit).
    ``target_from`` and ``target_to``: the time that is predicted, as datetime with a zone, microseconds since 1970, or ISO text; they
    default to ``as_of`` and ``target_from`` plus the manifest's ``horizon_seconds``, and lie just so far apart.

    >>> Prediction(0.5).value
    0.5
    >>> Prediction({0.1: 99, 0.5: 100, 0.9: "101.50"}, instrument="BTCUSD").instrument
    'BTCUSD'
    """

    __slots__ = ("value", "instrument", "kind", "target_from", "target_to")

    def __init__(self, value, instrument=None, *, kind=None, target_from=None, target_to=None):
        self.value = value
        self.instrument = instrument
        self.kind = kind
        self.target_from = target_from
        self.target_to = target_to

    def __repr__(self):
        where = f", instrument={self.instrument!r}" if self.instrument else ""
        return f"Prediction({self.value!r}{where})"


class Context:
    """What one run knows: bars up to ``as_of``, the manifest's parameters, and the files that were uploaded with the code."""

    def __init__(self, bars, parameters, as_of_microseconds, output, application_path):
        self._bars = bars
        self._application_path = application_path
        #: The manifest's ``[parameters]`` as a dict.
        self.parameters = parameters
        #: The run's point in time as microseconds since 1970 UTC. Nothing later is known to this run.
        self.as_of_microseconds = as_of_microseconds
        #: The manifest's ``[output]``: kind, instrument, horizon_seconds, maximum_rows.
        self.output = output

    @property
    def as_of(self):
        """The run's point in time as a datetime in UTC."""
        from datetime import datetime, timedelta, timezone

        return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=self.as_of_microseconds)

    @property
    def instruments(self):
        """The instruments of the manifest's inputs, in their order, each once."""
        return list(dict.fromkeys(bars.instrument for bars in self._bars))

    def bars(self, instrument=None, interval=None):
        """The bars of one of the manifest's inputs, oldest first, the last one complete at ``as_of``.

        Without arguments: the only input. Raises KeyError, naming the inputs, when none or several fit.
        """
        fitting = [
            bars
            for bars in self._bars
            if (instrument is None or bars.instrument == instrument) and (interval is None or bars.interval == interval)
        ]
        if len(fitting) == 1:
            return fitting[0]
        known = ", ".join(f"{bars.instrument} {bars.interval}" for bars in self._bars) or "none"
        asked = " ".join(part for part in (instrument, interval) if part) or "the only input"
        raise KeyError(f"{len(fitting)} inputs fit {asked!r}; the manifest's inputs are: {known}")

    def path(self, name):
        """The path of a file that was uploaded with the code, for example ``context.path("model.json")``."""
        import os.path

        path = os.path.normpath(os.path.join(self._application_path, name))
        if not path.startswith(self._application_path.rstrip("/") + "/"):
            raise ValueError(f"{name!r} is not a file of this signal")
        if not os.path.isfile(path):
            raise FileNotFoundError(f"{name!r} is not among the files of this signal")
        return path
