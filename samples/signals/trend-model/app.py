"""A trained model: the probability that the price is higher one horizon from now.

`model.json` was made by `train.py` beside this file and is uploaded with it; weights are part of a version and of its hash.
"""

import json

import numpy
from auspex import Prediction, signal
from features import NAMES, features


def load(path):
    with open(path) as file:
        model = json.load(file)
    if model["features"] != NAMES:
        raise ValueError("model.json was trained on other features: run train.py again")
    return numpy.array(model["mean"]), numpy.array(model["scale"]), numpy.array(model["weights"]), model["intercept"]


@signal
def predict(context):
    mean, scale, weights, intercept = load(context.path("model.json"))
    frame = context.bars().frame()
    row = features(frame["close"]).iloc[-1].to_numpy()
    if not numpy.isfinite(row).all():
        print(f"only {len(frame)} bars: no opinion yet")
        return Prediction(0.5)
    probability = 1 / (1 + numpy.exp(-(((row - mean) / scale) @ weights + intercept)))
    print(f"probability of a rise {probability:.4f} from {len(frame)} bars")
    return Prediction(round(float(probability), 4))
