"""What a part of the tests found, counted, and how the parts add up."""

import re
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """Passed, failed and skipped of one part, with the names of what failed."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped, self.failures + other.failures)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


_SWIFT = re.compile(r"^\W*Test (?!run with|case)(?P<name>.+?) (?P<verdict>passed after|failed after|skipped)(?=[ .:]|$)")
_SWIFT_TOTAL = re.compile(r"Test run with (\d+) tests?")
_UNITTEST = re.compile(r"^Ran (\d+) tests? in ", re.MULTILINE)
_PYTEST = re.compile(r"(\d+) (passed|failed|error|errors|skipped|xfailed|deselected)\b")


def from_swift(text: str, exit_code: int, name: str = "swift test") -> Outcome:
    """Reads Swift Testing's lines; a run that died without telling its end is a failure of its own."""
    outcome = Outcome()
    for line in text.splitlines():
        if found := _SWIFT.match(line):
            match found["verdict"]:
                case "passed after":
                    outcome.passed += 1
                case "failed after":
                    outcome.failed += 1
                    outcome.failures.append(found["name"])
                case _:
                    outcome.skipped += 1
    if exit_code != 0 and outcome.failed == 0:
        outcome.failed = 1
        outcome.failures.append(f"{name} ended with code {exit_code}")
    elif exit_code == 0 and not _SWIFT_TOTAL.search(text):
        outcome.failed += 1
        outcome.failures.append(f"{name} ended without having run anything")
    return outcome


def from_unittest(text: str, exit_code: int, name: str) -> Outcome:
    """Reads the last lines of `python -m unittest`."""
    total = int(found[1]) if (found := _UNITTEST.search(text)) else 0
    counts = {word: int(number) for word, number in re.findall(r"(failures|errors|skipped)=(\d+)", text.rpartition("Ran ")[2])}
    failed = counts.get("failures", 0) + counts.get("errors", 0)
    failures = re.findall(r"^(?:FAIL|ERROR): (.+)$", text, re.MULTILINE)
    if exit_code != 0 and failed == 0 or total == 0:
        failed, failures = max(failed, 1), failures or [f"{name} ended with code {exit_code} after {total} tests"]
    skipped = counts.get("skipped", 0)
    return Outcome(max(0, total - failed - skipped), failed, skipped, failures)


def from_pytest(text: str, exit_code: int, name: str) -> Outcome:
    """Reads pytest's summary line."""
    lines = [line for line in text.splitlines() if re.search(r"\d+ (passed|failed|skipped|errors?)\b.* in [\d.]+s", line)]
    counts: dict[str, int] = {}
    for number, word in _PYTEST.findall(lines[-1] if lines else ""):
        counts[word] = counts.get(word, 0) + int(number)
    failed = counts.get("failed", 0) + counts.get("error", 0) + counts.get("errors", 0)
    failures = re.findall(r"^(?:FAILED|ERROR) (\S+)", text, re.MULTILINE)
    if exit_code != 0 and failed == 0 or not lines:
        failed, failures = max(failed, 1), failures or [f"{name} ended with code {exit_code}"]
    return Outcome(counts.get("passed", 0), failed, counts.get("skipped", 0) + counts.get("xfailed", 0), failures)
