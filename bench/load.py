"""wrk against one path, with API keys, and what each side cost in CPU."""

import json
import os
import re
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass

_TICKS = os.sysconf("SC_CLK_TCK")

_SCRIPT = """
local keys, requests, i = {%s}, {}, 0
function init()
  for k = 1, #keys do requests[k] = wrk.format("GET", "%s", {["X-API-Key"] = keys[k]%s}) end
end
request = function()
  i = i %% #requests + 1
  return requests[i]
end
done = function(summary, latency, requests)
  io.write(string.format("RESULT %%d %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    summary.errors.status, summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
"""

_POSTS = """
local body, sent, seed = %s, 0, "%s"
local headers = {["Authorization"] = "%s", ["Content-Type"] = "application/json"}
request = function()
  sent = sent + 1
  return wrk.format("POST", "%s", headers, (body:gsub("IDENTIFIER", seed .. sent)))
end
"""


@dataclass(frozen=True)
class Load:
    """What one load reached; latencies in milliseconds, CPU of the server in microseconds a request."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    refused: int
    broken: int

    @property
    def requests_per_cpu_second(self) -> float:
        return 1e6 / self.cpu_us if self.cpu_us else 0.0


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_mib(pid: int) -> float:
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS"))


def _once(url: str, path: str, keys: list[str], pid: int, connections: int, seconds: int, headers: dict[str, str]) -> Load:
    more = "".join(f', ["{name}"] = "{value}"' for name, value in headers.items())
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT % (",".join(f'"{key}"' for key in keys), path, more))
        script.flush()
        before = cpu_seconds(pid)
        text = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script.name, url + path], capture_output=True, text=True, check=True).stdout
        used = cpu_seconds(pid) - before
    count, duration, p50, p99, refused, broken = (int(word) for word in re.search(r"RESULT (.*)", text)[1].split())
    return Load(count / duration * 1e6, p50 / 1e3, p99 / 1e3, used / max(1, count) * 1e6, refused, broken)


def post(url: str, path: str, authorization: str, body: dict, seconds: int, *, connections: int = 32) -> None:
    """POSTs for so long as fast as they are answered, each with a word of its own in the place of IDENTIFIER."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_POSTS % (f"[==[{json.dumps(body)}]==]", f"{time.time_ns()}-", authorization, path))
        script.flush()
        text = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script.name, url + path], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text:
        raise RuntimeError(f"POST {path} was refused:\n{text}")


def measure(url: str, path: str, keys: list[str], pid: int, *, connections: int = 32, seconds: int = 8, repeats: int = 3,
            headers: dict[str, str] | None = None) -> Load:
    """The median of several loads after a short one to warm up."""
    _once(url, path, keys, pid, connections, 2, headers or {})
    loads = [_once(url, path, keys, pid, connections, seconds, headers or {}) for _ in range(repeats)]
    return Load(*(statistics.median(getattr(load, name) for load in loads) for name in Load.__dataclass_fields__))
