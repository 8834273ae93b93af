"""Bars on disk: a folder of files that are found by what was asked, whole or not at all, and bounded.

A file is the binary form of the bars, which can be mapped, then what was asked as JSON, then 24 bytes:

    8 bytes   b"AUSPEXC1"
    8 bytes   length of the bars, little-endian
    4 bytes   length of the JSON
    4 bytes   CRC-32 of everything before these four bytes

Nothing in it is ever executed. A file is written under another name and renamed when it is whole, so that two programs may write at once, and
one that is removed stays readable for who has it mapped.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any, Iterable, Mapping, Optional, Tuple

_TRAILER = struct.Struct("<8sQII")
_MAGIC = b"AUSPEXC1"
_SUFFIX = ".bars"
_UNFINISHED = ".unfinished"
DEFAULT_BYTES_MAX = 4 << 30


class BarCache:
    """The folder in which :func:`auspex.bars` keeps what it has read.

    It is ``AUSPEX_CACHE``, or ``auspex`` in ``XDG_CACHE_HOME`` or ``~/.cache``, and holds ``AUSPEX_CACHE_BYTES`` at most (4 GiB unless told):
    what was not used for longest goes first.
    """

    def __init__(self, folder: Optional[Any] = None, bytes_max: Optional[int] = None):
        self.folder = Path(folder) if folder is not None else _usual_folder() / "bars-1"
        self.bytes_max = bytes_max if bytes_max is not None else _usual_bytes_max()

    def __repr__(self) -> str:
        return f"BarCache({str(self.folder)!r}, {self.bytes_max})"

    def clear(self) -> None:
        """Removes everything that is kept."""
        for _, _, path in self._entries():
            _remove(path)

    @property
    def bytes(self) -> int:
        """How much is kept."""
        return sum(size for _, size, _ in self._entries())

    def get(self, question: Mapping[str, Any]) -> Optional[Tuple[memoryview, Mapping[str, Any]]]:
        """The bars that were kept for a question, mapped, with what was noted of them; None when there are none, or no whole ones."""
        path = self._path(question)
        try:
            with open(path, "rb") as file:
                whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError):
            return None
        found = _read(whole)
        if found is None or found[1].get("question") != question:
            _remove(path)
            return None
        try:
            os.utime(path)
        except OSError:
            pass
        return found[0], found[1]["note"]

    def put(self, question: Mapping[str, Any], parts: Iterable[Any], note: Mapping[str, Any]) -> Optional[memoryview]:
        """Keeps bars, given in parts, and gives them back mapped; None when they are too large to be kept."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        described = json.dumps({"question": question, "note": note}, sort_keys=True).encode()
        handle, name = tempfile.mkstemp(dir=self.folder, suffix=_UNFINISHED)
        try:
            with open(handle, "wb") as file:
                length, checksum = 0, 0
                for part in parts:
                    file.write(part)
                    checksum = zlib.crc32(part, checksum)
                    length += len(part)
                tail = described + _TRAILER.pack(_MAGIC, length, len(described), 0)[:-4]
                file.write(tail + zlib.crc32(tail, checksum).to_bytes(4, "little"))
            if length + len(tail) + 4 > self.bytes_max:
                return None
            with open(name, "rb") as file:
                mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            os.replace(name, self._path(question))
        finally:
            _remove(Path(name))
        self._bound()
        return mapped[:length]

    def _path(self, question: Mapping[str, Any]) -> Path:
        return self.folder / (hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest() + _SUFFIX)

    def _entries(self):
        entries = []
        try:
            with os.scandir(self.folder) as found:
                for entry in found:
                    try:
                        status = entry.stat()
                    except OSError:
                        continue
                    if entry.name.endswith(_SUFFIX):
                        entries.append((status.st_mtime_ns, status.st_size, Path(entry.path)))
                    elif entry.name.endswith(_UNFINISHED) and status.st_mtime < time.time() - 3600:
                        # Its writer was killed.
                        _remove(Path(entry.path))
        except OSError:
            pass
        return entries

    def _bound(self) -> None:
        entries = sorted(self._entries(), key=lambda entry: entry[0])
        total = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if total <= self.bytes_max:
                return
            _remove(path)
            total -= size


def _read(whole: memoryview) -> Optional[Tuple[memoryview, Mapping[str, Any]]]:
    """The parts of a file; None when it is damaged."""
    if len(whole) < _TRAILER.size:
        return None
    magic, length, described, checksum = _TRAILER.unpack_from(whole, len(whole) - _TRAILER.size)
    if magic != _MAGIC or length + described + _TRAILER.size != len(whole) or zlib.crc32(whole[:-4]) != checksum:
        return None
    try:
        return whole[:length], json.loads(bytes(whole[length:length + described]))
    except ValueError:
        return None


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError:
        pass


def _usual_folder() -> Path:
    own = os.environ.get("AUSPEX_CACHE")
    if own:
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME", "")
    # By the convention a relative folder counts for nothing.
    return (Path(shared) if os.path.isabs(shared) else Path.home() / ".cache") / "auspex"


def _usual_bytes_max() -> int:
    text = os.environ.get("AUSPEX_CACHE_BYTES")
    if not text:
        return DEFAULT_BYTES_MAX
    if not text.isdecimal():
        raise ValueError(f"AUSPEX_CACHE_BYTES is a number of bytes, not {text!r}")
    return int(text)
