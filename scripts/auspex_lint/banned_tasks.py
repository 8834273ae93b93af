"""`Task { }` and `Task.detached` leave the loop that they were made on; ServiceRuntime offers `Task(on:)` instead."""

import re
from pathlib import Path

from .finding import Finding, code_lines, swift_files

_BANNED = re.compile(r"(?<!-> )\bTask(?:<[^>]*>)?\s*(?:\{|\.detached\b|\(priority:|\(operation:|\(executorPreference:)")
_ALLOWED = ("shared/ServiceRuntime/", "shared/TestSupport/")


def check(root: Path) -> list[Finding]:
    found = []
    for path in swift_files(root, "shared", "services"):
        name = path.relative_to(root)
        if str(name).startswith(_ALLOWED):
            continue
        for number, line in code_lines(path):
            if _BANNED.search(line):
                found.append(Finding(name, number, "an unstructured Task leaves its loop: use Task(on:)"))
    return found
