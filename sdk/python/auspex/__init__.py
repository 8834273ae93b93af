"""Auspex for Python.

For authors of signals::

    from auspex import Prediction, signal

    @signal
    def predict(context):
        close = context.bars("BTCUSD").close
        return Prediction(1 if close[-1] > close[-2] else -1)

Nothing here needs more than the standard library; numpy and pandas are used where they are installed.
"""

from .author import Context, InvalidPrediction, Prediction, signal
from .bars import Bars

__all__ = ["Bars", "Context", "InvalidPrediction", "Prediction", "signal"]
