"""What is fetched is checked: a wheel that is not the pinned one goes nowhere."""

import hashlib
import json
import unittest
import zipfile
from pathlib import Path
from unittest import mock

from auspex_cli import downloads
from auspex_cli.console import Failure
from auspex_cli.layout import REPOSITORY, Layout
from support import folder_for


class Fetching(unittest.TestCase):
    def setUp(self):
        self.folder = folder_for(self)
        self.layout = Layout(self.folder / "var")
        self.layout.prepare()
        self.wheel = self.folder / "a-1-py3-none-any.whl"
        with zipfile.ZipFile(self.wheel, "w") as archive:
            archive.writestr("a/bars.csv", "x")
        self.fetches = 0

    def lock(self, wheel: str | None = None, file: str | None = None) -> Path:
        path = self.folder / "lock"
        path.write_text(json.dumps({"packages": [{
            "name": "a", "version": "1", "wheel": self.wheel.name, "sha256": wheel or downloads.sha256_of(self.wheel),
            "files": [{"path": "a/bars.csv", "as": "bars.csv", "sha256": file or hashlib.sha256(b"x").hexdigest()}]}]}))
        return path

    def fetch(self, lock: Path):
        def pip(arguments, log, **_):
            self.fetches += 1
            target = Path(arguments[arguments.index("--dest") + 1])
            (target / self.wheel.name).write_bytes(self.wheel.read_bytes())
            return 0, ""

        with mock.patch.object(downloads, "run_logged", pip), mock.patch.object(downloads, "tools_python", lambda _: "python"):
            return downloads.fetch(lock, self.folder / "out", self.layout)

    def test_fetches_once(self):
        lock = self.lock()
        self.assertEqual(self.fetch(lock)["bars.csv"].read_text(), "x")
        self.fetch(lock)
        self.assertEqual(self.fetches, 1)

    def test_a_changed_file_is_fetched_again(self):
        lock = self.lock()
        self.fetch(lock)["bars.csv"].write_text("tampered")
        self.assertEqual(self.fetch(lock)["bars.csv"].read_text(), "x")

    def test_another_wheel_is_refused(self):
        with self.assertRaises(Failure):
            self.fetch(self.lock(wheel="0" * 64))
        self.assertFalse((self.folder / "out" / "bars.csv").exists())

    def test_another_file_in_it_is_refused(self):
        with self.assertRaises(Failure):
            self.fetch(self.lock(file="0" * 64))
        self.assertFalse((self.folder / "out" / "bars.csv").exists())


class Locks(unittest.TestCase):
    def test_every_file_of_ours_is_pinned(self):
        for path in (REPOSITORY / "samples" / "samples.lock", REPOSITORY / "services" / "gateway" / "page.lock"):
            for package in downloads.read_lock(path):
                for digest in [package["sha256"], *(entry["sha256"] for entry in package["files"])]:
                    self.assertRegex(digest, "^[0-9a-f]{64}$")


if __name__ == "__main__":
    unittest.main()
