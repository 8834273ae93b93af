"""Declared parameters: one verdict on one table at home and at the platform."""

import json
from pathlib import Path

import pytest

from auspex import _parameters

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "parameters.json").read_text())


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_parameters_against_the_golden_table(case):
    if "faults" in case:
        assert [list(fault) for fault in _parameters.faults(case["parameters"])] == case["faults"]
    elif case["fault"]:
        with pytest.raises(_parameters.ParameterFault) as raised:
            _parameters.values(case["parameters"], case["given"])
        assert [raised.value.field, raised.value.reason] == case["fault"]
    else:
        assert _parameters.values(case["parameters"], case["given"]) == case["values"]
