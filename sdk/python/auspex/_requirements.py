"""``requirements.txt`` as the platform reads it: a package a line, nothing else. What the executor refuses at the build is said here with its line."""

from __future__ import annotations

import re
from typing import List, NamedTuple

LARGEST_FILE = 65_536
MOST_REQUIREMENTS = 200
LONGEST_LINE = 500
_RIGHT = "write one package a line, such as 'numpy>=1.26,<3'"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?(?![A-Za-z0-9._-])")
_SPECIFIER = re.compile(r"(~=|==|!=|<=|>=|<|>)[ \t]*([0-9v][A-Za-z0-9.*+!_-]*)")
_MARKER_WORDS = {
    "python_version", "python_full_version", "os_name", "sys_platform", "platform_release", "platform_system", "platform_version", "platform_machine",
    "platform_python_implementation", "implementation_name", "implementation_version", "and", "or", "not", "in",
}
_MARKER = re.compile(r"""[ \t]*(?:(===|~=|==|!=|<=|>=|<|>)|(\()|(\))|(?:'([A-Za-z0-9 .*+!_,-]*)'|"([A-Za-z0-9 .*+!_,-]*)")|([A-Za-z0-9_]+))""")


class Fault(NamedTuple):
    """What is wrong with a line (0: with the file), and what would be right."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"requirements.txt{f' line {self.line}' if self.line else ''}: {self.reason}"


def faults(text: str) -> List[Fault]:
    """Everything that the platform would refuse.

    >>> faults("numpy>=1.26,<3  # arrays\\npandas==2.*\\n")
    []
    >>> print(faults("numpy\\n--index-url https://example.org")[0])
    requirements.txt line 2: '--index-url' is an option, and options are not accepted; write one package a line, such as 'numpy>=1.26,<3'
    """
    if len(text.encode()) > LARGEST_FILE:
        return [Fault(0, f"it has {len(text.encode())} bytes, but may have {LARGEST_FILE}")]
    found: List[Fault] = []
    count = 0
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        try:
            count += _check(line)
        except ValueError as error:
            found.append(Fault(number, str(error)))
    if count > MOST_REQUIREMENTS:
        found.append(Fault(0, f"it has {count} requirements, but may have {MOST_REQUIREMENTS}"))
    return found


def _check(raw: str) -> int:
    if len(raw.encode()) > LONGEST_LINE:
        raise ValueError(f"the line has {len(raw.encode())} bytes, but may have {LONGEST_LINE}")
    line = re.split(r"(?:^|(?<=[ \t]))#", raw, maxsplit=1)[0]
    if any(not (" " <= character <= "~" or character == "\t") for character in line) or any(ord(character) < 32 and character != "\t" for character in raw):
        raise ValueError("it holds a character that is not plain ASCII")
    line = line.strip(" \t")
    if not line:
        return 0
    _refuse_foreign_forms(line)
    rest = _after_name(line, line)
    if rest.startswith("["):
        inside, closed, rest = rest[1:].partition("]")
        for extra in inside.split(","):
            if _after_name(extra.strip(" \t"), extra) and closed:
                raise ValueError("the extras do not end with ']'")
        if not closed:
            raise ValueError("the extras do not end with ']'")
        rest = rest.lstrip(" \t")
    rest = _after_specifiers(rest)
    if rest:
        _check_marker(rest[1:])
    return 1


def _refuse_foreign_forms(line: str) -> None:
    if line.startswith("-"):
        raise ValueError(f"'{re.split('[ =' + chr(9) + ']', line)[0][:40]}' is an option, and options are not accepted; {_RIGHT}")
    if line.endswith("\\"):
        raise ValueError(f"continued lines are not accepted; {_RIGHT}")
    start = line.partition(";")[0]
    if "@" in start:
        raise ValueError(f"a package from an address ('@') is not accepted; {_RIGHT}")
    if "://" in start or start.startswith(("git+", "file:")):
        raise ValueError(f"an address is not accepted; {_RIGHT}")
    if "/" in start or start.startswith((".", "~")):
        raise ValueError(f"a path is not accepted; {_RIGHT}")
    if " --" in line:
        raise ValueError(f"options after a package (hashes, settings) are not accepted; {_RIGHT}")


def _after_name(text: str, shown: str) -> str:
    found = _NAME.match(text)
    if not found:
        raise ValueError(f"'{shown[:20]}' does not begin with a package's name")
    return text[found.end():].lstrip(" \t")


def _after_specifiers(rest: str) -> str:
    if not rest or rest.startswith(";"):
        return rest
    while True:
        found = _SPECIFIER.match(rest)
        if not found or rest.startswith("==="):
            if re.match(r"(~=|==|!=|<=|>=|<|>)[ \t]*(?![=<>~!])", rest) and not rest.startswith("==="):
                raise ValueError(f"'{rest[:20]}' has no version")
            raise ValueError(f"'{rest[:20]}' is no version condition; use ==, !=, <=, >=, <, > or ~= and a version")
        comparison, version = found.groups()
        if "*" in version and not (version.index("*") == len(version) - 1 and version.endswith(".*") and comparison in ("==", "!=")):
            raise ValueError(f"'{comparison}{version}': a '*' may only end a version after == or !=")
        rest = rest[found.end():].lstrip(" \t")
        if not rest.startswith(","):
            break
        rest = rest[1:].lstrip(" \t")
    if rest and not rest.startswith(";"):
        raise ValueError(f"'{rest[:20]}' follows the version; separate several versions by commas and a marker by ';'")
    return rest


def _check_marker(text: str) -> None:
    depth = words = position = 0
    text = text.rstrip(" \t")
    while position < len(text):
        found = _MARKER.match(text, position)
        if not found or (found[6] and found[6] not in _MARKER_WORDS):
            raise ValueError(f"'{text[position:].strip()[:40]}' is not a word of markers, such as python_version")
        depth += bool(found[2]) - bool(found[3])
        if depth < 0:
            raise ValueError("the marker has a ')' without a '('")
        words += 1
        position = found.end()
    if not words or depth:
        raise ValueError("the marker after ';' is not complete")
