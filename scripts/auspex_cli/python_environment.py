"""Python environments of our own in `var/`, made once for each set of requirements."""

import hashlib
import shutil
import sys
from pathlib import Path

from .console import step
from .layout import REPOSITORY, Layout
from .locking import in_turn
from .runner import must

SDK = REPOSITORY / "sdk" / "python"
UV = "uv==0.8.22"  # makes the environments of signals
SCHEMATHESIS = "schemathesis==4.32.5"  # holds services against their OpenAPI documents
PYARROW = "pyarrow==26.0.0"  # reads what our own writer of Arrow streams wrote


def environment(folder: Path, packages: list[str], log: Path, watched: tuple[Path, ...] = (), name: str = "Python packages") -> str:
    """A virtual environment with these packages; made anew when the list or a watched file changes. Returns its python."""
    digest = hashlib.sha256("\n".join([sys.version, *packages]).encode())
    for path in watched:
        digest.update(path.read_bytes())
    mark = folder / "made-from"
    python = folder / "bin" / "python"

    def is_made() -> bool:
        return python.exists() and mark.exists() and mark.read_text() == digest.hexdigest()

    if is_made():
        return str(python)
    # Two platforms of a checkout may come up at the same moment.
    with in_turn(folder.with_name(f".{folder.name}.lock")):
        if not is_made():
            _make(folder, packages, log, name)
            mark.write_text(digest.hexdigest())
    return str(python)


def _make(folder: Path, packages: list[str], log: Path, name: str) -> None:
    python = folder / "bin" / "python"
    with step(f"install {name}", log=log):
        shutil.rmtree(folder, ignore_errors=True)
        must([sys.executable, "-m", "venv", str(folder)], log, "python3 -m venv failed")
        must([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages], log, "pip install failed (is there a network?)", append=True)


def test_python(layout: Layout) -> str:
    """The environment for the Python tests: the SDK as an editable install with what its tests need."""
    return environment(
        layout.var / "venv", ["-e", f"{SDK}[test]", SCHEMATHESIS, PYARROW, "PyYAML==6.0.2"], layout.log("pip"), watched=(SDK / "pyproject.toml",), name="the Python SDK and its test tools")


test_python.__test__ = False


def tools_python(layout: Layout) -> str:
    """The environment of our own tools, one for all platforms of a checkout."""
    return environment(REPOSITORY / "var" / "tools", [UV], layout.log("pip"), name="tools (uv)")


def uv(layout: Layout) -> str:
    """The uv program."""
    return str(Path(tools_python(layout)).parent / "uv")
