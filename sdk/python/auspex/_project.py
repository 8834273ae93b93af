"""A signal's folder: its manifest with all defaults, and the files that are uploaded."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from . import _parameters
from ._schedule import check_schedule
from ._table import MANIFEST, ProjectError, Table, interval_seconds
from .author import KINDS

try:
    import tomllib
except ModuleNotFoundError:  # before Python 3.11
    import tomli as tomllib  # type: ignore[import-not-found, no-redef]

LARGEST_PROJECT = 200 * 1024 * 1024
MOST_FILES = 100
MOST_BARS = 50_000
MOST_INPUTS = 20
LONGEST_HORIZON = 366 * 86_400
LARGEST_PARAMETERS = 8 * 1024
LARGEST_PART = 8 * 1024 * 1024
LARGEST_INLINE = 512 * 1024
SKIPPED = {"__pycache__", "venv", "node_modules"}
TIME_LIMITS = {"small": 60, "standard": 600, "large": 3600, "gpu": 3600}


@dataclass(frozen=True)
class Input:
    """Bars that the signal reads."""

    instrument: str
    interval: str
    lookback: int


@dataclass(frozen=True)
class Manifest:
    """What ``auspex.toml`` says, with its defaults."""

    name: str
    entry_point: str
    python: str
    resource_class: str
    inputs: Tuple[Input, ...]
    output: Mapping[str, Any]
    parameters: Mapping[str, Any]
    #: ``[schedule]`` as it stands there.
    schedule: Mapping[str, Any]

    @property
    def time_limit_seconds(self) -> int:
        return TIME_LIMITS[self.resource_class]

    @classmethod
    def parse(cls, text: str) -> "Manifest":
        """Reads a manifest; raises :class:`ProjectError` with the key that is at fault.

        >>> Manifest.parse('name = "a"\\n[schedule]\\nkind="interval"\\nseconds=60\\n[output]\\nkind="prize"\\n')
        Traceback (most recent call last):
        ...
        auspex._table.ProjectError: auspex.toml: output.kind must be one of direction, probability, price, return, quantiles
        """
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ProjectError(f"{MANIFEST}: {error}") from None
        top = Table(document, "")
        name = top.take("name", str, required=True)
        if not 1 <= len(name) <= 120:
            raise ProjectError(f"{MANIFEST}: name must be a name of 1 to 120 characters")
        entry_point = top.take("entry_point", str, "app:predict")
        if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", entry_point):
            raise ProjectError(f'{MANIFEST}: entry_point must be module:function, such as "app:predict"')
        python = top.take("python", str, "3.11")
        if not re.fullmatch(r"3\.[0-9]{1,2}(\.[0-9]{1,3})?|pypy3[0-9.]*", python):
            raise ProjectError(f'{MANIFEST}: python must be a version such as "3.11"')
        resource_class = top.word("class", tuple(TIME_LIMITS), "small")
        deadline = top.number("deadline_seconds", 1, 60, 86_400)
        schedule = top.take("schedule", dict, required=True)
        check_schedule(Table(schedule, "schedule."), deadline)
        if len(top.take("inputs", list, [])) > MOST_INPUTS:
            raise ProjectError(f"{MANIFEST}: inputs must be a list of at most {MOST_INPUTS} tables")
        inputs = tuple(_read_input(item, f"inputs[{index}].") for index, item in enumerate(top.take("inputs", list, [])))
        output = _read_output(Table(top.take("output", dict, required=True), "output."))
        parameters = top.take("parameters", dict, {})
        if len(json.dumps(parameters, default=str, ensure_ascii=False, separators=(",", ":")).encode()) > LARGEST_PARAMETERS:
            raise ProjectError(f"{MANIFEST}: parameters has at most {LARGEST_PARAMETERS} bytes as JSON")
        for field, reason in _parameters.faults(parameters):
            raise ProjectError(f"{MANIFEST}: parameters.{field} {reason}")
        top.done()
        return cls(name, entry_point, python, resource_class, inputs, output, parameters, schedule)


def _read_input(members: Any, path: str) -> Input:
    table = Table(members, path)
    found = Input(table.take("instrument", str, required=True), table.take("interval", str, required=True), table.number("lookback", 1, 100, MOST_BARS))
    interval_seconds(found.interval)
    table.done()
    return found


def _read_output(table: Table) -> Dict[str, Any]:
    output = {
        "kind": table.word("kind", KINDS), "instrument": table.take("instrument", str, required=True),
        "horizon_seconds": table.number("horizon_seconds", 1, highest=LONGEST_HORIZON), "maximum_rows": table.number("maximum_rows", 1, 1, 1_000),
    }
    table.done()
    return output


@dataclass(frozen=True)
class ProjectFile:
    """One file of the folder."""

    path: str
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def parts(self) -> Iterator[bytes]:
        """The content in parts that one request may carry."""
        for start in range(0, max(1, len(self.data)), LARGEST_PART):
            yield self.data[start : start + LARGEST_PART]

    def inline(self) -> Dict[str, Any]:
        """The file inside the request that makes the version."""
        try:
            text = self.data.decode("utf-8")
            if "\x00" not in text:
                return {"path": self.path, "text": text}
        except UnicodeDecodeError:
            pass
        return {"path": self.path, "content_base64": base64.b64encode(self.data).decode()}


def entry_point_faults(entry_point: str, files: List[ProjectFile]) -> List[str]:
    """Why the function that a manifest names could not be found; the code is read, not run."""
    module, _, name = entry_point.partition(":")
    paths = (module.replace(".", "/") + ".py", module.replace(".", "/") + "/__init__.py")
    found = next((item for item in files if item.path in paths), None)
    if found is None:
        return [f"{MANIFEST}: entry_point names {entry_point}, but there is no {paths[0]}"]
    try:
        tree = ast.parse(found.data, found.path)
    except (SyntaxError, ValueError) as error:
        return [f"{found.path} line {getattr(error, 'lineno', None) or 1}: {getattr(error, 'msg', error)}"]
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return [] if name in names or "*" in names else [f"{MANIFEST}: entry_point names {entry_point}, but {found.path} defines no {name!r}"]


class Project:
    """A signal's folder."""

    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        path = self.folder / MANIFEST
        if not path.is_file():
            raise ProjectError(f"there is no {MANIFEST} in {folder}: begin with `auspex-sdk init FOLDER`")
        try:
            self.manifest = Manifest.parse(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            raise ProjectError(f"{MANIFEST} is not UTF-8 text") from None

    def files(self) -> List[ProjectFile]:
        """All files that belong to a version: nothing hidden, no caches, no links."""
        found: List[ProjectFile] = []
        total = 0
        for path in sorted(self.folder.rglob("*")):
            relative = path.relative_to(self.folder)
            if any(part.startswith(".") or part in SKIPPED for part in relative.parts) or path.suffix == ".pyc":
                continue
            if path.is_symlink():
                raise ProjectError(f"{relative} is a link; a version holds files only")
            if not path.is_file():
                continue
            total += path.stat().st_size
            if total > LARGEST_PROJECT:
                raise ProjectError(f"the folder has more than {LARGEST_PROJECT // 1024 // 1024} MB")
            found.append(ProjectFile(relative.as_posix(), path.read_bytes()))
            if len(found) > MOST_FILES:
                raise ProjectError(f"the folder has more than {MOST_FILES} files")
        if not any(item.path == "app.py" for item in found):
            raise ProjectError(f"there is no app.py in {self.folder}")
        return found
