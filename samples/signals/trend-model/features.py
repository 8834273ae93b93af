"""What the model looks at. Training and prediction import this same file, so that they cannot drift apart."""

import numpy

WINDOWS = (1, 3, 6, 12, 24)
SPAN = 48
NAMES = [f"move_{window}" for window in WINDOWS] + ["above_mean"]


def features(close):
    """A frame with one row of features for each bar of a pandas series of closes.

    Moves are measured in the usual size of a move (an exponential mean over SPAN bars), so the same model reads
    any instrument and any bar length.
    """
    import pandas

    moves = numpy.log(close).diff()
    usual = moves.ewm(span=SPAN, min_periods=8).std().clip(lower=1e-9)
    columns = {f"move_{window}": numpy.log(close).diff(window) / (usual * numpy.sqrt(window)) for window in WINDOWS}
    columns["above_mean"] = (numpy.log(close) - numpy.log(close).rolling(SPAN, min_periods=8).mean()) / (usual * numpy.sqrt(SPAN))
    return pandas.DataFrame(columns)[NAMES].clip(-4, 4)
