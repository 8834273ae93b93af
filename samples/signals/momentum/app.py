"""Momentum in plain Python: what moved further than its own noise keeps going.

Compares the move over the last `window` bars with the size that such a move has by chance (the usual move of one bar, times the
square root of the window). Beyond `threshold` of that it predicts the same direction on; otherwise it says nothing is to be said: 0.
"""

from math import sqrt

from auspex import Prediction, signal


@signal
def predict(context):
    window = context.parameters["window"]
    threshold = context.parameters["threshold"]
    closes = list(context.bars().close)
    if len(closes) <= window:
        return Prediction(0)
    moves = [later / earlier - 1 for earlier, later in zip(closes, closes[1:])]
    usual = sqrt(sum(move * move for move in moves) / len(moves)) or 1e-12
    score = (closes[-1] / closes[-1 - window] - 1) / (usual * sqrt(window))
    print(f"score {score:+.2f} over {window} bars of {len(closes)}")
    return Prediction(1 if score > threshold else -1 if score < -threshold else 0)
