"""Finding Swift, and building with it only when something changed."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from .console import Failure, step
from .layout import REPOSITORY, SERVICES, Layout
from .packages import BUILD, ensure
from .runner import run_logged

NEEDED = (6, 2)
PRODUCTS = (*SERVICES, "sandbox-launch")


def swift() -> str:
    """The `swift` command; a clear word when there is none."""
    for candidate in (os.environ.get("AUSPEX_SWIFT"), shutil.which("swift"), "/opt/swift/usr/bin/swift", "/usr/local/swift/usr/bin/swift"):
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    raise Failure("Swift 6.3 is not installed (or not on the PATH): see swift.org/install for Debian 12, then try again", step="find Swift")


def version(command: str) -> str:
    text = subprocess.run([command, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"Swift version (\d+)\.(\d+)\S*", text)
    if not found or (int(found[1]), int(found[2])) < NEEDED:
        raise Failure(f"Swift {NEEDED[0]}.{NEEDED[1]} or newer is needed, this one says: {text.splitlines()[0] if text else 'nothing'}", step="find Swift")
    return found[0]


def binary_folder(configuration: str) -> Path:
    return REPOSITORY / ".build" / configuration


def source_fingerprint() -> str:
    """Changes when any file that the build reads changes: names, sizes and times, which is what a build tool looks at too."""
    digest = hashlib.sha256()
    for top in ("Package.swift", "shared", "services"):
        root = REPOSITORY / top
        files = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
        for path in files:
            facts = path.stat()
            digest.update(f"{path.relative_to(REPOSITORY)}|{facts.st_size}|{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def build(layout: Layout, configuration: str = "release") -> str:
    """Builds the services when the sources changed since the last good build; returns the fingerprint of what is built."""
    fingerprint = source_fingerprint()
    record = REPOSITORY / ".build" / f"auspex-{configuration}.json"
    binaries = [binary_folder(configuration) / product for product in PRODUCTS]
    if record.exists() and all(path.exists() for path in binaries):
        if json.loads(record.read_text()).get("fingerprint") == fingerprint:
            return fingerprint
    ensure(BUILD, layout.log("apt"))
    # Only what runs: the tests' helpers need not be built for it.
    build_targets(layout, PRODUCTS, configuration)
    record.write_text(json.dumps({"fingerprint": fingerprint}))
    return fingerprint


def build_targets(layout: Layout, targets: tuple[str, ...], configuration: str = "release") -> None:
    """Builds these targets and what they need; takes a moment when nothing has changed."""
    command = swift()
    words = version(command)
    log = layout.log("build")
    with step(f"build in {configuration} mode ({words})", log=log) as current:
        code, text = run_logged(
            [command, "build", "-c", configuration, "--package-path", str(REPOSITORY)], log,
            environment={"AUSPEX_TARGETS": " ".join(targets)}, folder=REPOSITORY, on_line=lambda line: tell_progress(current, line))
        if code != 0:
            error = next((line for line in text.splitlines() if "error:" in line), f"swift build ended with code {code}")
            raise Failure(error.strip()[:300], log=log)
        current.note("")


def tell_progress(current, line: str) -> None:
    if found := re.match(r"\[(\d+)/(\d+)\]", line):
        current.note(f"{found[1]} of {found[2]}")


def fingerprint_of(folder: str) -> str:
    """What distinguishes one set of built binaries from another."""
    digest = hashlib.sha256()
    for product in PRODUCTS:
        path = Path(folder) / product
        if not path.exists():
            raise Failure(f"{path} does not exist", step="find the binaries")
        digest.update(f"{product}|{path.stat().st_size}|{path.stat().st_mtime_ns}\n".encode())
    return digest.hexdigest()
