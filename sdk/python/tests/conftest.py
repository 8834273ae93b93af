import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Retries wait for milliseconds: their number is tested, not the time."""
    from auspex import _retry

    monkeypatch.setattr(_retry.Backoff, "next", lambda self, at_least=None: 0.001)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch, tmp_path):
    for name in ("AUSPEX_URL", "AUSPEX_API_KEY", "AUSPEX_CACHE_BYTES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AUSPEX_CACHE", str(tmp_path / "cache"))
