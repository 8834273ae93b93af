"""Runs scenarios against a private platform of release programs, each beside its peer, and prints a table.

Called by `./auspex bench` inside the benchmark's own Python environment.
"""

import argparse
import json
import os
import platform as machine
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "scripts")]

import scenarios  # noqa: E402
from peers import Peers  # noqa: E402
from stage import Stage  # noqa: E402


def shared_folder() -> Path | None:
    for candidate in (os.environ.get("AUSPEX_SHARED"), HERE.parents[1] / "shared"):
        if candidate and (Path(candidate) / "peers").is_dir():
            return Path(candidate).resolve()
    return None


def main() -> int:
    parser = argparse.ArgumentParser(prog="./auspex bench")
    parser.add_argument("names", nargs="*", help=f"scenarios: {' '.join(scenarios.ALL)} (default: all)")
    parser.add_argument("--seconds", type=int, default=8, help="length of each load")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=3000, help="no-op jobs in a burst")
    parser.add_argument("--pending", type=int, default=1_000_000, help="jobs that wait in the scenario of claims")
    parser.add_argument("--occurrences", type=int, default=500, help="occurrences of the latency scenario")
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in scenarios.ALL]
    if unknown:
        parser.error(f"there is no scenario '{unknown[0]}' (there are: {' '.join(scenarios.ALL)})")
    peers = Peers(None if options.no_peers else shared_folder())
    if not peers.available:
        print("  without ../shared/peers only our own figures are measured", flush=True)
    results = []
    with Stage() as stage:
        for name in options.names or scenarios.ALL:
            print(f"— {name}", flush=True)
            for line in scenarios.ALL[name](stage, peers, options):
                results.append(line)
                print(f"  {line}", flush=True)
    write(results)
    return 0


def write(results: list) -> None:
    """Keeps the last results of each scenario, with the machine they are from."""
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    path = folder / "latest.json"
    kept = json.loads(path.read_text())["results"] if path.exists() else []
    names = {line.scenario for line in results}
    kept = [line for line in kept if line["scenario"] not in names] + [vars(line) | {"at": time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime())} for line in results]
    path.write_text(json.dumps({"machine": f"{os.cpu_count()} CPUs, {machine.release()}", "results": kept}, indent=1) + "\n")
    print(f"  kept in {path.relative_to(HERE.parent)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
