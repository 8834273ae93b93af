"""Delete everything that runs and was recorded, after asking

usage: ./auspex reset [--yes] [--var DIR]

Names what goes and asks. Downloads, build results and .env stay."""

import os
import shutil
import sys
from pathlib import Path

from ..console import Failure, say, step
from ..deployment import layout_from
from ..locking import exclusive
from ..options import Options
from ..platform_control import PlatformControl
from ..settings import Settings

GOING = ("state", "secrets", "run", "log")


def run(arguments: list[str]) -> int:
    options = Options(arguments, flags=("--yes",), values=("--var",))
    options.none_left()
    layout = layout_from(options, Settings())
    parts = [layout.var / name for name in GOING if (layout.var / name).exists()]
    if not parts:
        say(f"nothing to delete in {layout.var}")
        return 0
    say("This deletes, for good:")
    say(f"  {layout.state}: the database (accounts, signals, every prediction and its ledger), broker, caches, blobs")
    say(f"  {layout.secrets}: all passwords and private keys")
    say(f"  {layout.logs}, {layout.run}: logs and bookkeeping")
    if not options.has("--yes"):
        if not sys.stdin.isatty():
            raise Failure("there is no terminal to ask on: say it with --yes")
        if input("Type 'delete' to go on: ").strip() != "delete":
            say("nothing was deleted")
            return 1
    with exclusive(layout.run / "lock", "an './auspex up' or 'down' is at work"):
        PlatformControl(layout).end()
        with step("delete"):
            state = layout.state
            link = layout.var / "state"
            delete_tree(state)
            if link.is_symlink():
                link.unlink()
            for name in GOING:
                path = layout.var / name
                if path.is_dir() and not path.is_symlink():
                    delete_tree(path)
            with_nothing_left = not os.listdir(layout.var)
        if with_nothing_left:
            layout.var.rmdir()
    return 0


def delete_tree(folder: Path) -> None:
    """Deletes a folder, also what its owner may not write: the executor's environments and code are read-only."""
    folder.chmod(0o700)
    for path, folders, _ in os.walk(folder):
        for name in folders:
            inner = Path(path, name)
            if not inner.is_symlink():
                inner.chmod(0o700)
    shutil.rmtree(folder)
