#!/usr/bin/env python3
"""Trains the model of this signal and writes model.json.

    python3 train.py ../../../var/downloads/samples/FOREX_EURUSD_1H_ASK.csv

A logistic regression on six features (see features.py), fitted by Newton's method on the first 70 % of the bars and
judged on the rest. Needs numpy and pandas as in requirements.txt; gives the same file each time.
"""

import json
import sys
from pathlib import Path

import numpy
import pandas
from features import NAMES, features

HORIZON = 4  # bars
RIDGE = 50.0  # keeps the weights of a weak effect small


def fit(x, y):
    """Weights and intercept of a ridge logistic regression."""
    design = numpy.column_stack([x, numpy.ones(len(x))])
    penalty = numpy.diag([RIDGE] * x.shape[1] + [0.0])
    weights = numpy.zeros(design.shape[1])
    for _ in range(25):
        probability = 1 / (1 + numpy.exp(-design @ weights))
        slope = design.T @ (probability - y) + penalty @ weights
        curve = (design * (probability * (1 - probability))[:, None]).T @ design + penalty
        step = numpy.linalg.solve(curve, slope)
        weights -= step
        if numpy.abs(step).max() < 1e-10:
            break
    return weights[:-1], weights[-1]


def right(x, y, weights, intercept):
    return float((((x @ weights + intercept) > 0) == (y > 0.5)).mean())


def main(path):
    bars = pandas.read_csv(path)
    close = bars["Close"]
    frame = features(close)
    future = numpy.log(close.shift(-HORIZON) / close)
    usable = frame.notna().all(axis=1) & future.notna() & (future != 0)
    x, y = frame[usable].to_numpy(), (future[usable] > 0).to_numpy(dtype=float)
    cut = int(len(x) * 0.7)
    mean, scale = x[:cut].mean(axis=0), x[:cut].std(axis=0)
    x = (x - mean) / scale
    weights, intercept = fit(x[:cut], y[:cut])
    model = {
        "kind": "logistic regression",
        "trained_on": {"file": Path(path).name, "bars": len(bars), "used_for_training": cut, "horizon_bars": HORIZON},
        "right_in_training": round(right(x[:cut], y[:cut], weights, intercept), 4),
        "right_after_training": round(right(x[cut:], y[cut:], weights, intercept), 4),
        "features": NAMES,
        "mean": [round(float(value), 6) for value in mean],
        "scale": [round(float(value), 6) for value in scale],
        "weights": [round(float(value), 6) for value in weights],
        "intercept": round(float(intercept), 6),
    }
    target = Path(__file__).with_name("model.json")
    target.write_text(json.dumps(model, indent=1) + "\n")
    print(f"{target.name}: right in {model['right_in_training']:.1%} of training, {model['right_after_training']:.1%} of what came after")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
