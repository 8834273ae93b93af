"""Reading what test runners say."""

import unittest

from auspex_cli.outcome import Outcome, from_pytest, from_swift, from_unittest

SWIFT = """
◇ Test run started.
◇ Suite "Bars" started.
◇ Test "adds" started.
✔ Test "adds" passed after 0.001 seconds.
✔ Test resamples() passed after 0.101 seconds with 3 test cases.
✘ Test "refuses" recorded an issue at X.swift:3:5: Expectation failed
✘ Test "refuses" failed after 0.002 seconds with 1 issue.
➜ Test "needs data" skipped: "no ../shared/data"
✘ Test run with 4 tests in 1 suite failed after 0.1 seconds with 1 issue.
"""


class SwiftTesting(unittest.TestCase):
    def test_counts_each_verdict_once(self):
        outcome = from_swift(SWIFT, 1)
        self.assertEqual((outcome.passed, outcome.failed, outcome.skipped), (2, 1, 1))
        self.assertEqual(outcome.failures, ['"refuses"'])

    def test_a_crash_is_a_failure(self):
        self.assertEqual(from_swift('✔ Test "adds" passed after 0.001 seconds.\nfatal error', 139).failed, 1)

    def test_an_empty_run_is_a_failure(self):
        self.assertEqual(from_swift("", 0).failed, 1)


class Unittest(unittest.TestCase):
    def test_counts(self):
        text = "FAIL: test_a (x)\n\nRan 5 tests in 0.1s\n\nFAILED (failures=1, errors=1, skipped=2)"
        outcome = from_unittest(text, 1, "cli")
        self.assertEqual((outcome.passed, outcome.failed, outcome.skipped), (1, 2, 2))

    def test_nothing_run_is_a_failure(self):
        self.assertEqual(from_unittest("Ran 0 tests in 0.0s\n\nOK", 0, "cli").failed, 1)


class Pytest(unittest.TestCase):
    def test_counts(self):
        text = "FAILED tests/test_x.py::test_y - no\n1 failed, 7 passed, 2 skipped in 0.52s"
        outcome = from_pytest(text, 1, "python")
        self.assertEqual((outcome.passed, outcome.failed, outcome.skipped), (7, 1, 2))
        self.assertEqual(outcome.failures, ["tests/test_x.py::test_y"])

    def test_no_summary_is_a_failure(self):
        self.assertEqual(from_pytest("", 4, "python").failed, 1)


class Adding(unittest.TestCase):
    def test_sums(self):
        self.assertEqual(str(Outcome(1, 2, 3) + Outcome(1, 0, 0, ["x"])), "2 passed, 2 failed, 3 skipped")


if __name__ == "__main__":
    unittest.main()
