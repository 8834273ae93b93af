"""Every Python file compiles, opens with a text that says what it is, and stays short enough to hold one idea."""

import ast
from pathlib import Path

from .finding import Finding

LONGEST = 400


def check(root: Path) -> list[Finding]:
    found = []
    for path in sorted((root / "scripts").rglob("*.py")):
        name = path.relative_to(root)
        text = path.read_text()
        try:
            tree = ast.parse(text, str(name))
        except SyntaxError as error:
            found.append(Finding(name, error.lineno or 0, f"does not compile: {error.msg}"))
            continue
        if not ast.get_docstring(tree):
            found.append(Finding(name, 1, "opens without a text that says what it is"))
        if (length := len(text.splitlines())) > LONGEST:
            found.append(Finding(name, length, f"{length} lines: is this one idea?"))
    return found
