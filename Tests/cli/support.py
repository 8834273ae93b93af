"""Helpers of these tests."""

import tempfile
import unittest
from pathlib import Path


def folder_for(test: unittest.TestCase) -> Path:
    """A temporary folder that other users may enter, as a checkout usually is; gone after the test."""
    folder = tempfile.TemporaryDirectory()
    test.addCleanup(folder.cleanup)
    Path(folder.name).chmod(0o755)
    return Path(folder.name)
