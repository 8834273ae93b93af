"""Cron expressions and zones: what is refused at home is what the platform refuses."""

import json
from pathlib import Path

import pytest

from auspex import _cron, _schedule

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "schedules.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", GOLDEN["expressions"], ids=lambda case: repr(case["expression"]))
def test_expressions_against_the_golden_table(case):
    assert (_cron.fault(case["expression"]) is None) == case["is_accepted"], _cron.fault(case["expression"])


@pytest.mark.parametrize("case", GOLDEN["zones"], ids=lambda case: repr(case["zone"]))
def test_zones_against_the_golden_table(case):
    assert _schedule._is_zone(case["zone"]) == case["is_accepted"]
