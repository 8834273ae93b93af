"""Show the log of a service or server; -f follows it

usage: ./auspex logs NAME [-f] [-n LINES] [--var DIR]

NAME is a process of './auspex status', or build, apt, supervisor, gateway-access, …"""

import os
import time
from pathlib import Path

from ..console import Failure, say, usage
from ..deployment import layout_from
from ..options import Options
from ..settings import Settings


def run(arguments: list[str]) -> int:
    options = Options(arguments, flags=("-f", "--follow"), values=("-n", "--var"))
    layout = layout_from(options, Settings())
    known = sorted(path.stem for path in layout.logs.glob("*.log")) if layout.logs.is_dir() else []
    if len(options.rest) != 1:
        raise usage(f"which log? usage: ./auspex logs NAME (there are: {' '.join(known) or 'none yet'})")
    if options.rest[0] not in known:
        raise Failure(f"there is no log of '{options.rest[0]}' (there are: {' '.join(known) or 'none yet'})")
    path = layout.logs / f"{options.rest[0]}.log"
    for line in _tail(path, options.integer("-n", 100, 1, 1_000_000)):
        say(line)
    if options.has("-f") or options.has("--follow"):
        _follow(path)
    return 0


def _tail(path: Path, count: int) -> list[str]:
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        position, blocks, found = file.tell(), [], 0
        while position > 0 and found <= count:
            size = min(65536, position)
            position -= size
            file.seek(position)
            blocks.insert(0, file.read(size))
            found += blocks[0].count(b"\n")
    return b"".join(blocks).decode(errors="replace").splitlines()[-count:]


def _follow(path: Path) -> None:
    """Goes on from the end, over a rotation too."""
    file = path.open("rb")
    file.seek(0, os.SEEK_END)
    try:
        while True:
            if data := file.read():
                print(data.decode(errors="replace"), end="", flush=True)
                continue
            time.sleep(0.2)
            if path.exists() and path.stat().st_ino != os.fstat(file.fileno()).st_ino:
                file.close()
                file = path.open("rb")
    finally:
        file.close()
