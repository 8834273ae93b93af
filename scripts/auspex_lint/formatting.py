"""`swift format lint --strict` over everything of ours."""

import re
import subprocess
from pathlib import Path

from .finding import Finding

_LINE = re.compile(r"^(?P<path>.+?):(?P<line>\d+):\d+: (?:error|warning): (?P<text>.+)$")


def check(root: Path, swift: str) -> list[Finding]:
    tops = [top for top in ("Package.swift", "shared", "services", "Tests", "bench") if (root / top).exists()]
    result = subprocess.run(
        [swift, "format", "lint", "--strict", "--recursive", "--parallel", "--configuration", str(root / ".swift-format"), *tops],
        cwd=root, capture_output=True, text=True)
    found = [
        Finding(Path(match["path"]), int(match["line"]), match["text"])
        for line in (result.stderr + result.stdout).splitlines()
        if (match := _LINE.match(line))
    ]
    if result.returncode != 0 and not found:
        found.append(Finding(Path("."), 0, f"swift format ended with code {result.returncode}: {result.stderr.strip()[:200]}"))
    return [Finding(_relative(finding.path, root), finding.line, finding.text) for finding in found]


def _relative(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_absolute() and path.is_relative_to(root) else path
