"""How long a run waits for its packages: built from wheels that are here already, and found where they were built before."""

import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from auspex_demo.main_job import until
from line import Line

PACKAGES = "numpy\npandas\nscikit-learn\n"

APP = """import numpy, pandas, sklearn
from auspex import Prediction, signal


@signal
def predict(context):
    return Prediction(1)
"""

MANIFEST = """name = "Many packages"
class = "standard"

[schedule]
kind = "interval"
seconds = 86400

[output]
kind = "direction"
instrument = "{symbol}"
horizon_seconds = 60
"""


def _forget(root: Path) -> None:
    """Removes every environment and lock, and leaves the wheels."""
    for name in ("ready", "locks"):
        for entry in (root / name).iterdir():
            if entry.name == "locks":
                continue
            if entry.is_dir():
                for folder in [entry, *(path for path in entry.rglob("*") if path.is_dir())]:
                    folder.chmod(0o755)
                shutil.rmtree(entry)
            else:
                entry.unlink()


def environment(stage, peers, options) -> Iterator[Line]:
    """numpy, pandas and scikit-learn as a dry run meets them: wheels cached, then the environment itself."""
    provider = stage.job.as_(stage.cast.provider)
    signal = provider.post("/api/signals", {"name": "Many packages", "description": "for a benchmark"})["id"]
    root = Path(stage.platform.plan.environment("executor")["AUSPEX_EXECUTOR_ROOT"]) / "environments"
    versions = 0

    def run() -> tuple[float, float]:
        """A new version and one dry run of it: seconds of its environment, and of the whole."""
        nonlocal versions
        versions += 1
        app = APP + f"# {versions}\n"
        files = [
            {"path": "app.py", "text": app}, {"path": "requirements.txt", "text": PACKAGES},
            {"path": "auspex.toml", "text": MANIFEST.format(symbol=stage.market().symbol)},
        ]
        provider.post(f"/api/signals/{signal}/versions", {"files": files})
        return again()

    def again() -> tuple[float, float]:
        started = time.monotonic()
        job = provider.post(f"/api/signals/{signal}/versions/{versions}/dry-run")["id"]
        path = f"/api/signals/{signal}/dry-runs/{job}"
        until(lambda: provider.get(path)["state"] not in ("pending", "running"), 600, "a dry run with packages")
        run = provider.get(path)
        if run["state"] != "completed":
            raise SystemExit(f"environment: {run['error_message']}\n{run['log']}")
        return run["result"]["stages_ms"]["environment"] / 1000, time.monotonic() - started

    first, _ = run()
    built = []
    for _ in range(max(3, min(5, options.repeats))):
        _forget(root)
        built.append(run()[0])
        time.sleep(7)  # a provider begins ten dry runs a minute
    reused = []
    for _ in range(5):
        reused.append(again()[0] * 1000)
        time.sleep(7)
    yield Line("environment", "numpy+pandas+scikit-learn, warm wheels, built", statistics.median(built), "s", note=f"bar 10 s; with downloads {first:.1f} s")
    yield Line("environment", "the same, found on the disk", statistics.median(reused), "ms", note="bar 5 ms")


ALL = {"environment": environment}
