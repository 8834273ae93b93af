import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from drivers import Async, Sync  # noqa: E402 - found beside this file


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


@pytest.fixture(params=[Sync, Async])
def driver(request):
    made = []

    def make(url, **options):
        made.append(request.param(url, **{"api_key": "aus_k", **options}))
        return made[-1]

    make.login = lambda *arguments: made.append(request.param.login(*arguments)) or made[-1]
    yield make
    for one in made:
        one.close()
