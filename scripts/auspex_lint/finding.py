"""One place where a rule is broken, and the Swift files that rules look at."""

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Finding:
    path: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def swift_files(root: Path, *tops: str) -> list[Path]:
    return sorted(path for top in tops for path in (root / top).rglob("*.swift") if ".build" not in path.parts)


def code_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a file without its `//` comments (good enough: a `//` inside a string is kept when a colon stands before it)."""
    lines = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        lines.append((number, re.sub(r"(?<!:)//.*$", "", line)))
    return lines
