"""Auspex for Python.

For authors of signals::

    from auspex import Prediction, signal

    @signal
    def predict(context):
        close = context.bars("BTCUSD").close
        return Prediction(1 if close[-1] > close[-2] else -1)

For subscribers::

    from auspex import Client

    client = Client("https://auspex.example", api_key="aus_...")
    for prediction in client.follow(signal_id):
        print(prediction.seq, prediction.value)

For notebooks::

    import auspex

    spy = auspex.bars("SPY", "5m", "2013-10-01", "2013-11-01")
    spy.to_pandas()

Nothing here needs more than the standard library; numpy, pandas, polars and pyarrow are used where they are installed.
"""

from ._more_bars import BarsRefused
from .author import Context, InvalidPrediction, Prediction, signal
from ._bars import Bars

# Made when asked for: a run in the sandbox should not pay for the client.
_LATER = {
    "Client": "client",
    "AsyncClient": "async_client",
    "bars": "_bar_reading",
    "Bar": "bar_history",
    "BarEvent": "_streaming",
    "LogEvent": "_job_logs",
    "BarHistory": "bar_history",
    "BarCache": "_bar_cache",
    "verify_ledger": "ledger",
    "LedgerCheck": "ledger",
    "join_ledgers": "ledger",
    "LedgerFault": "ledger",
    "LedgerFormatError": "ledger",
    "Verdict": "ledger",
    "AuspexError": "errors",
    "ConnectionFailed": "errors",
    "MissingSettings": "errors",
    "ProblemError": "errors",
    "BadRequest": "errors",
    "Unauthorized": "errors",
    "Forbidden": "errors",
    "NotFound": "errors",
    "Conflict": "errors",
    "RateLimited": "errors",
    "UsageExceeded": "errors",
    "Unavailable": "errors",
    "UnreadableAnswer": "errors",
    "MissingRows": "errors",
    "LedgerRestarted": "errors",
    "RecordedPrediction": "models",
    "PredictionPage": "models",
    "Signal": "models",
    "Version": "models",
    "DryRun": "models",
    "Job": "jobs",
    "Jobs": "jobs",
    "LogLines": "jobs",
    "Schedule": "schedules",
    "Schedules": "schedules",
    "Preview": "schedules",
    "DueTime": "schedules",
    "Occurrence": "schedules",
    "Backfill": "schedules",
    "BackfillRun": "schedules",
    "Subscription": "models",
    "Outcome": "models",
    "Seal": "models",
}

__all__ = ["Bars", "BarsRefused", "Context", "InvalidPrediction", "Prediction", "signal", *_LATER]


def __getattr__(name):
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module 'auspex' has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f".{module}", __name__), name)
    return value


def __dir__():
    return sorted(set(globals()) | set(__all__))
