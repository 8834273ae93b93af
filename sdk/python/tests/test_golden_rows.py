"""One verdict on one table: what the author's machine says of rows is what the executor and the ledger say."""

import json
from pathlib import Path

import pytest

from auspex import InvalidPrediction, Prediction
from auspex import _rows

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "rows.json").read_text())


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_rows_against_the_golden_table(case):
    as_of = _rows.microseconds(GOLDEN["as_of"].replace("Z", "+00:00"), "as_of")
    given = []
    for prediction in case["predictions"]:
        fields = {key: value.replace("Z", "+00:00") for key, value in prediction.items() if key in ("target_from", "target_to")}
        given.append(Prediction(prediction["value"], prediction.get("instrument"), kind=prediction.get("kind"), **fields))
    if case["fault"] is None:
        rows = _rows.rows_of(given, case["output"], as_of)
        assert [row["value"] for row in rows] == [prediction["value"] for prediction in case["predictions"]]
        return
    with pytest.raises(InvalidPrediction) as raised:
        _rows.rows_of(given, case["output"], as_of)
    assert raised.value.row == case["fault"]["row"]
    assert case["fault"]["reason"] in raised.value.reason
