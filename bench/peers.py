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

    def _run(self, script: str, *arguments: str, python: str = sys.executable) -> list[dict]:
        """Twice if need be: the peers' own servers may still be recovering from their last end."""
        if not self.available:
            return []
        lines = self._run_once(script, *arguments, python=python)
        if not lines:
            time.sleep(8)
            lines = self._run_once(script, *arguments, python=python)
        return lines

    def _run_once(self, script: str, *arguments: str, python: str) -> list[dict]:
        result = subprocess.run(
            [python, str(self.folder / script), *arguments], cwd=self.folder, capture_output=True, text=True,
            env=self._environment())
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

    # Those that work on a year of bars have environments of their own, and the year.

    HOME = Path(os.environ.get("PEERS_HOME", "/var/tmp/auspex-peers"))

    def _environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PEERS_HOME": str(self.HOME), "PEERS_WAIT": "0"}

    def _python(self, number: str = "") -> str:
        return str(self.HOME / f"venv{number}" / "bin" / "python")

    def year(self) -> Path | None:
        """The raw columns of a synthetic year of seconds, made once (about three minutes); nothing without the peers' scripts."""
        if not self.available:
            print("  left out: the year of bars is made by ../shared/peers", flush=True)
            return None
        columns = self.HOME / "data" / "bars1s"
        if not (columns / "meta.json").exists():
            print("  making the peers' environments and a year of seconds (about three minutes)", flush=True)
            subprocess.run(["sh", str(self.folder / "setup.sh")], check=True, stdout=subprocess.DEVNULL, env=self._environment())
        return columns

    @property
    def data(self) -> Path:
        """Real market data beside the peers."""
        return self.folder.parent / "data"

    def resample(self, engine: str, step: int) -> dict | None:
        lines = self._run("bench_resample.py", "--engine", engine, "--step", str(step), python=self._python())
        return lines[0] if lines else None

    def storage(self, engine: str) -> dict | None:
        lines = self._run("bench_storage_files.py", "--engine", engine, python=self._python("2" if engine == "arctic" else ""))
        return lines[0] if lines else None

    def year_csv(self, path: Path) -> Path:
        """The year as a file that anybody can read, written once."""
        if not path.exists():
            program = (
                "import sys, numpy as np, pyarrow as pa, pyarrow.csv as csv, pyarrow.compute as pc\n"
                "folder, path = sys.argv[1:]\n"
                "read = lambda name, kind: np.fromfile(f'{folder}/{name}.bin', kind)\n"
                "names = ('open', 'high', 'low', 'close')\n"
                "time = pc.strftime(pa.array(read('ts', '<i8') // 10**9).cast(pa.timestamp('s')), format='%Y-%m-%d %H:%M:%S')\n"
                "columns = {'time': time} | {name: np.round(read(name, '<f8'), 2) for name in names} | {'volume': read('volume', '<i8')}\n"
                "with open(path, 'wb') as out:\n"
                "    out.write(b'time,open,high,low,close,volume\\n')\n"
                "    csv.write_csv(pa.table(columns), out, csv.WriteOptions(include_header=False, quoting_style='none'))\n")
            subprocess.run([self._python(), "-c", program, str(self.year()), str(path)], check=True)
        return path

    def spy_storage(self, rows: list) -> dict[str, float]:
        """Bytes a row of the given rows elsewhere."""
        sizes = {}
        for number, what in (("", "files"), ("2", "arctic")):
            result = subprocess.run(
                [self._python(number), str(Path(__file__).parent / "spy_storage_peer.py"), what], input=json.dumps(rows), capture_output=True, text=True)
            if result.returncode != 0:
                print(f"  the stores of SPY ({what}) did not run: {(result.stderr.strip().splitlines() or ['no message'])[-1]}", flush=True)
                continue
            sizes |= json.loads(result.stdout.splitlines()[-1])
        return sizes
