"""The demo's signals: uploaded, tried once, and published on a replay."""

import re
from dataclasses import dataclass
from pathlib import Path

from auspex_cli.layout import REPOSITORY

from .api import API
from .market import Market

FOLDER = REPOSITORY / "samples" / "signals"


@dataclass(frozen=True)
class Published:
    """A signal that runs."""

    id: str
    name: str
    about: str
    folder: Path
    version_sha256: str


def files_of(folder: Path, market: Market) -> list[dict]:
    """The files of a sample, its manifest pointed at a replay: only instrument, bar length and horizon change."""
    files = []
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != "train.py":
            text = path.read_text()
            files.append({"path": path.name, "text": on_replay(text, market) if path.name == "auspex.toml" else text})
    return files


def on_replay(manifest: str, market: Market) -> str:
    """The sample's manifest with the replayed instrument in it."""
    text = re.sub(r'^instrument = ".*"$', f'instrument = "{market.symbol}"', manifest, flags=re.MULTILINE)
    text = re.sub(r'^interval = ".*"$', f'interval = "{market.interval}"', text, flags=re.MULTILINE)
    return re.sub(r"^horizon_seconds = .*$", f"horizon_seconds = {market.horizon_seconds}", text, flags=re.MULTILINE)


def publish(provider: API, sample: str, name: str, about: str, market: Market) -> Published:
    """From a folder to a signal that is scheduled."""
    folder = FOLDER / sample
    signal = provider.post("/api/signals", {"name": name, "description": f"{about} A demo on a replay: its outcome is publicly known."})
    version = provider.post(f"/api/signals/{signal['id']}/versions", {"files": files_of(folder, market), "note": "from samples/signals"})
    provider.post(f"/api/signals/{signal['id']}/publish", {"version": version["number"]})
    return Published(signal["id"], name, about, folder, version["sha256"])


def delete_all(provider: API) -> int:
    """Takes the provider's own signals back, whatever state they are in; what they have predicted stays in the ledger. Gives their number."""
    deleted = 0
    while items := provider.get("/api/signals?mine=true&limit=200")["items"]:
        for one in items:
            provider.delete(f"/api/signals/{one['id']}")
            deleted += 1
    return deleted
