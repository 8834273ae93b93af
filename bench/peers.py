"""The systems that ours is held against, run by the scripts of `../shared/peers` in the same call; skipped where those are not there."""

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import load


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _wait_for(port: int) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


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

    def busiest_month(self) -> dict[str, tuple[bytes, bytes]]:
        """The month with the most rows of the year that `gen_data.py` makes, by day: as CSV text, and as six blocks of float64. Nothing without numpy or data."""
        folder = Path(os.environ.get("PEERS_HOME", "/var/tmp/auspex-peers")) / "data" / "bars1s"
        if not self.available or not (folder / "ts.bin").exists():
            return {}
        import numpy as np

        times = np.fromfile(folder / "ts.bin", dtype="<i8") // 1_000_000_000
        names = ("open", "high", "low", "close", "volume")
        columns = [np.fromfile(folder / f"{name}.bin", dtype="<i8" if name == "volume" else "<f8") for name in names]
        months, counts = np.unique(times.astype("datetime64[s]").astype("datetime64[M]"), return_counts=True)
        busiest = months[counts.argmax()]
        days = times.astype("datetime64[s]").astype("datetime64[D]")
        found = {}
        for day in np.unique(days[days.astype("datetime64[M]") == busiest]):
            rows = days == day
            lines = ["time,open,high,low,close,volume"]
            for time_, *values in zip(times[rows].astype("datetime64[s]").astype(str), *(column[rows].tolist() for column in columns)):
                lines.append(f"{time_}," + ",".join(str(value) if isinstance(value, int) else f"{value:.2f}" for value in values))
            block = np.stack([times[rows].astype("<f8"), *(column[rows].astype("<f8") for column in columns)])
            found[str(day)] = (("\n".join(lines) + "\n").encode(), block.tobytes())
        return found

    def historical(self, days: dict[str, tuple[bytes, bytes]], seconds: int, repeats: int) -> dict:
        """`historical_peer.py` with the same rows, in a Redis of its own: cold and warm milliseconds, requests a second, CPU microseconds a request."""
        here = Path(__file__).resolve().parent
        with tempfile.TemporaryDirectory() as folder:
            ports = [_free_port(), _free_port()]
            url = f"redis://127.0.0.1:{ports[0]}/0"
            servers = [
                subprocess.Popen(
                    ["redis-server", "--port", str(ports[0]), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder],
                    stdout=subprocess.DEVNULL),
                subprocess.Popen([sys.executable, str(here / "historical_peer.py"), "--redis", url, "--port", str(ports[1])]),
            ]
            try:
                for port in ports:
                    _wait_for(port)
                return self._historical(days, url, ports[1], servers[1].pid, seconds, repeats)
            finally:
                for server in reversed(servers):
                    server.terminate()
                    server.wait()

    def _historical(self, days: dict, url: str, port: int, pid: int, seconds: int, repeats: int) -> dict:
        import redis

        store = redis.from_url(url)
        for day, (_, block) in days.items():
            store.set(f"raw:BENCHMONTH:{day}", block)
        connection = http.client.HTTPConnection("127.0.0.1", port)

        def timed(path: str) -> tuple[float, dict]:
            started = time.perf_counter()
            connection.request("GET", path)
            body = connection.getresponse().read()
            return (time.perf_counter() - started) * 1000, json.loads(body)

        token = timed("/utils/session/initiate")[1]["session_token"]
        path = f"/historical/?session_token={token}&symbol=BENCHMONTH&interval=5m&start={min(days)}&end={max(days)}"
        cold = []
        for _ in range(5):
            for key in store.keys("chart_data:*"):
                store.delete(key)
            cold.append(timed(path)[0])
        warm = [timed(path)[0] for _ in range(300)][50:]
        loaded = load.measure(f"http://127.0.0.1:{port}", path, ["none"], pid, seconds=seconds, repeats=repeats)
        return {
            "cold_ms": statistics.median(cold), "warm_ms": statistics.median(warm), "rps": loaded.requests_per_second, "cpu_us": loaded.cpu_us}

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
