"""SQL stands where tables are owned: in a service's Store and Migrations, and in the modules that are about the database."""

import re
from pathlib import Path

from .finding import Finding, code_lines, swift_files

_SQL = re.compile(
    r'"\s*(?:SELECT\s+[\w*"\\(]|INSERT\s+INTO\s|UPDATE\s+[\w."\\(]+\s+SET\b|DELETE\s+FROM\s|CREATE\s+(?:TABLE|INDEX|SCHEMA|ROLE)\s|ALTER\s+TABLE\s|TRUNCATE\s|WITH\s+\w+\s+AS\s)')
_START_OF_LINE = re.compile(r"^\s*(?:SELECT|INSERT INTO|UPDATE \S+ SET|DELETE FROM)\s")
_ALLOWED = re.compile(r"^(?:shared/(?:Postgres|PostgresIdempotency|Messaging|TestSupport)/|services/[^/]+/(?:Store|Migrations)/)")


def check(root: Path) -> list[Finding]:
    found = []
    for path in swift_files(root, "shared", "services"):
        name = path.relative_to(root)
        if _ALLOWED.match(str(name)):
            continue
        for number, line in code_lines(path):
            if _SQL.search(line) or _START_OF_LINE.match(line):
                found.append(Finding(name, number, "SQL outside a Store"))
    return found
