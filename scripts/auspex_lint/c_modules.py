"""Each C library has one Swift module that knows it; nobody else imports it."""

import re
from pathlib import Path

from .finding import Finding, code_lines, swift_files

_IMPORT = re.compile(r"^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?P<access>public|package|internal|private|fileprivate)?\s*import\s+(?:\w+\s+)?(?P<module>C[A-Z]\w*)")


def check(root: Path) -> list[Finding]:
    modules = {folder.name for folder in (root / "shared" / "C").iterdir() if folder.is_dir()}
    users: dict[str, dict[str, tuple[Path, int]]] = {}
    found = []
    for path in swift_files(root, "shared", "services", "Tests"):
        name = path.relative_to(root)
        target = "/".join(name.parts[:2])
        for number, line in code_lines(path):
            match = _IMPORT.match(line)
            if not match or match["module"] not in modules:
                continue
            if match["access"] in ("public", "package"):
                found.append(Finding(name, number, f"{match['module']} must stay inside its module: import it without `{match['access']}`"))
            users.setdefault(match["module"], {}).setdefault(target, (name, number))
    for module, places in users.items():
        if len(places) > 1:
            for target, (name, number) in sorted(places.items()):
                found.append(Finding(name, number, f"{module} is imported by {len(places)} modules ({', '.join(sorted(places))}): one owns it"))
    return found
