"""The systems that ours is held against, run by the scripts of `../shared/peers` in the same call; skipped where those are not there."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path


class Peers:
    """Runs a peer's script with the Python of the benchmark's environment and reads the JSON lines that it prints."""

    def __init__(self, shared: Path | None):
        self.folder = shared / "peers" if shared else None

    @property
    def available(self) -> bool:
        return self.folder is not None and (self.folder / "bench_http.py").exists()

    def _run(self, script: str, *arguments: str) -> list[dict]:
        """Twice if need be: the peers' own servers may still be recovering from their last end."""
        if not self.available:
            return []
        lines = self._run_once(script, *arguments)
        if not lines:
            time.sleep(8)
            lines = self._run_once(script, *arguments)
        return lines

    def _run_once(self, script: str, *arguments: str) -> list[dict]:
        result = subprocess.run(
            [sys.executable, str(self.folder / script), *arguments], cwd=self.folder, capture_output=True, text=True,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PEERS_HOME": os.environ.get("PEERS_HOME", "/var/tmp/auspex-peers")})
        lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
        if result.returncode != 0 or not lines:
            print(f"  the peer's {script} did not run: {(result.stderr.strip().splitlines() or ['no message'])[-1]}", flush=True)
        return lines

    def http(self, seconds: int, repeats: int) -> dict[str, dict]:
        """FastAPI with uvicorn, one process: by path."""
        return {line["path"]: line for line in self._run("bench_http.py", "--workers", "1", "--secs", str(seconds), "--repeats", str(repeats))}

    def jobs(self, count: int, repeats: int) -> dict | None:
        """Celery on RabbitMQ with acks_late and results in Redis."""
        lines = self._run("bench_jobs.py", "--ack-late", "--n", str(count), "--repeats", str(repeats), "--lat-secs", "5")
        return lines[0] if lines else None
