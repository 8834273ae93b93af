"""Says that what rose over the last bars will go on rising. Replace it with something better."""

from auspex import Prediction, signal


@signal
def predict(context):
    bars = context.bars()  # the only input of auspex.toml, oldest first; the last bar is complete
    window = context.parameters["window"]
    if len(bars) <= window:
        return None  # nothing to say
    change = bars.close[-1] / bars.close[-1 - window] - 1
    print(f"{bars.instrument}: {change:+.4%} over {window} bars")  # goes to the run's log
    return Prediction(1 if change > 0 else -1)
