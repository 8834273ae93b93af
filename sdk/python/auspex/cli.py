"""``auspex-sdk``: from an empty folder to a first prediction with init, run, publish and logs; and ``verify-ledger``."""

from __future__ import annotations

import argparse
import getpass
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from . import _calls, _frame, _parameters, _requirements
from ._job_commands import add_jobs
from ._messages import DEFAULT_URL
from ._project import LARGEST_INLINE, MANIFEST, Project, ProjectError, entry_point_faults, interval_seconds
from ._sample_bars import SECOND, from_platform, inputs_at_home
from ._schedule_commands import add_schedules
from ._terminal import plain, plain_line
from .client import Client
from .errors import AuspexError, ProblemError
from .ledger import LedgerFormatError, verify_ledger
from .models import DryRun, read_list

TEMPLATE = Path(__file__).parent / "_template"
SETTINGS = Path(".auspex") / "project.json"
#: What a provider's key must be good for: publishing, and reading how runs went.
SCOPES = "signals:write and jobs:write"


class UsageError(AuspexError):
    """The command line lacks something."""


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs a command; gives the exit code: 0 for success, 1 for a failure, 2 for a mistake on the command line."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not hasattr(options, "run"):
        parser.print_help()
        return 2
    try:
        return options.run(options)
    except UsageError as error:
        return _complain(error, 2)
    except ProblemError as error:
        hint = f" (request {error.request_id})" if error.request_id else ""
        _complain(f"{error}{hint}", 1)
        for problem in error.document.get("problems") or ():
            print(plain(f"  {problem.get('field')}: {problem.get('detail')}"), file=sys.stderr)
        return 1
    except (AuspexError, OSError) as error:
        return _complain(error, 1)
    except KeyboardInterrupt:
        return 130


def _complain(error: Any, code: int) -> int:
    print(plain(f"auspex-sdk: {error}"), file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="auspex-sdk", description="Write, try and publish signals; check ledgers.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    init = commands.add_parser("init", help="begin a signal in a new folder")
    init.add_argument("folder", type=Path)
    init.add_argument("--instrument", default="BTCUSD", help="what it reads and predicts (default: %(default)s)")
    init.add_argument("--interval", default="1m", help="bar length, such as 15s, 1m, 1h (default: %(default)s)")
    init.set_defaults(run=init_project)

    run = commands.add_parser("run", help="run the signal here, under the same contract as in the sandbox")
    run.add_argument("folder", type=Path, nargs="?", default=Path("."))
    run.add_argument("--bars", action="append", default=[], metavar="[INSTRUMENT=]FILE", help="bars from a CSV file instead of made-up ones")
    run.add_argument("--platform", action="store_true", help="bars from the platform, as they were known (key: AUSPEX_API_KEY, scope bars:read)")
    run.add_argument("--url", help="the platform of --platform (default: AUSPEX_URL, or %s)" % DEFAULT_URL)
    run.add_argument("--as-of", metavar="TIME", help="the run's point in time, such as 2016-10-08T12:01:00Z (default: the last bar's end, or now)")
    run.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another value of a parameter that the manifest declares")
    run.add_argument("--repeat", type=int, default=1, metavar="N", help="run it N times: the same bars should give the same rows")
    run.add_argument("--json", action="store_true", help="print the answer as JSON")
    run.set_defaults(run=run_project)

    check = commands.add_parser("check", help="look at manifest, requirements and files as the platform does at an upload; ends with 1 on a fault")
    check.add_argument("folder", type=Path, nargs="?", default=Path("."))
    check.set_defaults(run=check_project)

    def platform(command: argparse.ArgumentParser) -> None:
        command.add_argument("--url", help="the platform (default: AUSPEX_URL, what was used before, or %s)" % DEFAULT_URL)
        command.add_argument("--signal", help="the signal's id (default: the one that this folder was published as)")

    publish = commands.add_parser("publish", help="upload the folder, try it in the sandbox, publish it")
    publish.add_argument("folder", type=Path, nargs="?", default=Path("."))
    platform(publish)
    publish.add_argument("--note", default="", help="what is new in this version")
    publish.add_argument("--no-try", action="store_true", help="publish without a run in the sandbox first")
    publish.add_argument("--try-only", action="store_true", help="upload and try, but do not publish")
    publish.set_defaults(run=publish_project)

    logs = commands.add_parser("logs", help="show how the last runs went and what they printed")
    logs.add_argument("folder", type=Path, nargs="?", default=Path("."))
    platform(logs)
    logs.add_argument("-n", "--count", type=int, default=5, help="how many runs (default: %(default)s)")
    logs.add_argument("-f", "--follow", action="store_true", help="wait for further runs, and show what they print as they print it")
    logs.add_argument("--job", metavar="ID", help="of this run alone")
    logs.add_argument("--search", metavar="TEXT", help="the newest logs that hold a text, as many as -n says")
    logs.set_defaults(run=show_logs)

    incidents = commands.add_parser("incidents", help="show runs that failed, were refused, late or missed")
    incidents.add_argument("folder", type=Path, nargs="?", default=Path("."))
    platform(incidents)
    incidents.add_argument("-n", "--count", type=int, default=20, help="how many (default: %(default)s)")
    incidents.set_defaults(run=show_incidents)
    add_jobs(commands, platform, lambda options: _client(options, _Remembered(Path(".")))[1])
    add_schedules(commands, platform, _client_and_signal)

    bars = commands.add_parser("bars", help="write bars to a Parquet file or an item of PyStore (needs pyarrow)")
    bars.add_argument("instrument")
    bars.add_argument("interval", help="bar length, such as 15s, 1m, 1h, 1d")
    bars.add_argument("start", help="the first bars' day or time, UTC")
    bars.add_argument("end", help="bars that start before this day or time")
    target = bars.add_mutually_exclusive_group(required=True)
    target.add_argument("--parquet", type=Path, metavar="FILE")
    target.add_argument("--pystore", type=Path, metavar="STORE", help="the folder of a store, or a FILE.zip")
    bars.add_argument("--collection", default="auspex", help="of the store (default: %(default)s)")
    bars.add_argument("--overwrite", action="store_true", help="replace an item that exists")
    bars.add_argument("--as-of", help="as it was known at this time")
    bars.add_argument("--url", help="the platform (default: AUSPEX_URL, or %s); the key is AUSPEX_API_KEY, with the scope bars:read" % DEFAULT_URL)
    bars.set_defaults(run=export_bars)

    verify = commands.add_parser("verify-ledger", help="check a ledger document; ends with 1 when it is bad")
    verify.add_argument("file", help="a document of GET /api/signals/ID/ledger, or - for the standard input")
    verify.add_argument("--keys", type=Path, help="a document of GET /api/signals/ledger/keys: checks the signatures too")
    verify.set_defaults(run=verify_file)
    return parser


# bars


def export_bars(options: argparse.Namespace) -> int:
    from ._bar_reading import bars

    client = Client(options.url or os.environ.get("AUSPEX_URL", DEFAULT_URL), api_key=os.environ.get("AUSPEX_API_KEY"))
    found = bars(options.instrument, options.interval, options.start, options.end, as_of=options.as_of, client=client)
    try:
        if options.parquet:
            place = found.to_parquet(options.parquet)
        else:
            place = found.to_pystore(options.pystore, options.collection, overwrite=options.overwrite)
    except (ImportError, ValueError) as error:
        raise UsageError(str(error)) from None
    print(f"{len(found) - found.last_is_partial} bars in {place}")
    return 0


# init


def init_project(options: argparse.Namespace) -> int:
    folder: Path = options.folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already and not empty")
    horizon = interval_seconds(options.interval)
    if not options.instrument or any(character in options.instrument for character in '"\\\n'):
        raise UsageError("an instrument is a symbol such as BTCUSD")
    name = folder.resolve().name.replace("-", " ").replace("_", " ").strip().capitalize() or "My signal"
    values = {"NAME": name.replace('"', "'").replace("\\", "/"), "INSTRUMENT": options.instrument, "INTERVAL": options.interval, "HORIZON": str(horizon)}
    folder.mkdir(parents=True, exist_ok=True)
    for source in sorted(TEMPLATE.iterdir()):
        if not source.is_file() or source.suffix == ".pyc":
            continue
        text = source.read_text(encoding="utf-8")
        for key, value in values.items():
            text = text.replace(f"@{key}@", value)
        (folder / source.name).write_text(text, encoding="utf-8")
    print(f"{folder}: app.py, auspex.toml, requirements.txt")
    print(f"next: cd {folder} && auspex-sdk run")
    return 0


# run


def run_project(options: argparse.Namespace) -> int:
    project = Project(options.folder)
    manifest = project.manifest
    if options.platform and options.bars:
        raise UsageError("bars come from --platform or from --bars, not from both")
    if options.repeat < 1:
        raise UsageError("--repeat takes a number from 1")
    wanted = _time(options.as_of) if options.as_of else None
    if options.platform:
        as_of = time.time_ns() // 1000 if wanted is None else wanted
        client = Client(options.url or os.environ.get("AUSPEX_URL") or DEFAULT_URL, api_key=os.environ.get("AUSPEX_API_KEY"))
        inputs = from_platform(manifest.inputs, client, as_of)
    else:
        as_of, inputs = inputs_at_home(manifest.inputs, _bar_files(options.bars), time.time_ns() // 1000, wanted)
    header = {
        "entry_point": manifest.entry_point, "parameters": _given(manifest.parameters, options.set), "output": dict(manifest.output), "as_of_microseconds": as_of,
    }
    frame = _frame.encode({**header, "home": _home(manifest, options)}, inputs)
    answer, log, code = _run_here(project, frame)
    for number in range(2, options.repeat + 1):
        again, _, _ = _run_here(project, frame)
        if again.get("rows") != answer.get("rows"):
            print(f"run {number} of {options.repeat} gave other rows than the first on the same bars: is there chance, or the clock, in the code?", file=sys.stderr)
            code = 1
            break
    if options.json:
        print(json.dumps({**answer, "log": log}, indent=2))
        return code
    made_up = [instrument for instrument, _, _ in inputs] if not options.bars and not options.platform else []
    note = f" (made-up bars of {', '.join(dict.fromkeys(made_up))})" if made_up else ""
    print(f"{manifest.name}, as of {_moment(as_of)}{note}")
    if f"{sys.version_info.major}.{sys.version_info.minor}" != manifest.python:
        print(f"note: this is Python {sys.version_info.major}.{sys.version_info.minor}; the sandbox will use {manifest.python}")
    _show_log(log)
    return _show_answer(answer, project) or code


def _given(parameters: Any, texts: Sequence[str]) -> Dict[str, Any]:
    given = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError("--set takes NAME=VALUE")
        given[name] = _parameters.read(value, parameters.get(name))
    try:
        return _parameters.values(parameters, given)
    except _parameters.ParameterFault as error:
        raise UsageError(f"--set {error}") from None


def _time(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    except ValueError:
        raise UsageError(f"{text!r} is not a time such as 2016-10-08T12:01:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)


def check_project(options: argparse.Namespace) -> int:
    faults: List[str] = []
    try:
        project = Project(options.folder)
        files = project.files()
        faults += [str(fault) for item in files if item.path == "requirements.txt" for fault in _requirement_faults(item.data)]
        faults += entry_point_faults(project.manifest.entry_point, files)
    except ProjectError as error:
        faults.append(str(error))
    for fault in faults:
        print(plain(f"auspex-sdk: {fault}"), file=sys.stderr)
    if not faults:
        print(f"{project.manifest.name}: nothing to object to in {len(files)} files")
    return 1 if faults else 0


def _requirement_faults(data: bytes) -> List[Any]:
    try:
        return list(_requirements.faults(data.decode("utf-8")))
    except UnicodeDecodeError:
        return ["requirements.txt: it is not UTF-8 text"]


def _home(manifest: Any, options: argparse.Namespace) -> Dict[str, Any]:
    """Where ``auspex.bars`` finds more during the run."""
    known = list(dict.fromkeys([item.instrument for item in manifest.inputs] + [manifest.output["instrument"]]))
    if options.platform:
        return {"instruments": known, "platform": options.url or os.environ.get("AUSPEX_URL") or DEFAULT_URL}
    given, files = _bar_files(options.bars), {}
    for item in reversed(manifest.inputs):
        path = given.get(item.instrument) or given.get("*")
        if path is not None:
            files[item.instrument] = [str(path.resolve()), interval_seconds(item.interval)]
    return {"instruments": known, "files": files}


def _bar_files(texts: Sequence[str]) -> Dict[str, Path]:
    files: Dict[str, Path] = {}
    for text in texts:
        instrument, equals, path = text.partition("=")
        files[instrument if equals else "*"] = Path(path if equals else text)
    return files


def _run_here(project: Project, frame: bytes) -> tuple:
    with tempfile.TemporaryDirectory(prefix="auspex-run-") as folder:
        source, result = Path(folder) / "input", Path(folder) / "result.json"
        source.write_bytes(frame)
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "auspex._local_run", str(source), str(project.folder), str(result)]
        try:
            run = subprocess.run(
                command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=project.manifest.time_limit_seconds,
                check=False)
        except subprocess.TimeoutExpired as expired:
            message = f"the run took longer than the {project.manifest.time_limit_seconds} s of its class"
            return {"error": {"kind": "time_limit", "message": message}}, (expired.stdout or b"").decode(errors="replace"), 1
        log = run.stdout.decode(errors="replace")
        if not result.exists():
            return {"error": {"kind": "exception", "message": f"the process ended with code {run.returncode} before its answer"}}, log, 1
        answer = json.loads(result.read_text(encoding="utf-8"))
        return answer, log, 1 if "error" in answer else 0


def _show_log(log: str) -> None:
    for line in plain(log).rstrip().split("\n") if log.strip() else ():
        print(f"  | {line}")


def _show_answer(answer: Dict[str, Any], project: Project) -> int:
    error = answer.get("error")
    if error:
        print(f"failed, {plain(error['kind'])}: {plain_line(error['message'])}")
        if "ModuleNotFoundError" in error["message"]:
            print(f"is it installed here? pip install -r {project.folder / 'requirements.txt'}")
        return 1
    _show_rows(answer["rows"])
    stages = ", ".join(f"{name} {milliseconds:.0f} ms" for name, milliseconds in answer.get("stages_ms", {}).items())
    if stages:
        print(stages)
    return 0


def _show_rows(rows: Sequence[Dict[str, Any]]) -> None:
    if not rows:
        print("no prediction")
    for row in rows:
        value = row["value"] if isinstance(row["value"], str) else json.dumps(row["value"])
        print(plain(f"row {row['row']}: {row['instrument']} {row['kind']} {value} for {row['target_from']} to {row['target_to']}"))


def _moment(microseconds: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=microseconds)).strftime("%Y-%m-%d %H:%M:%S UTC")


# publish and logs


class _Remembered:
    """What a folder was published as; kept beside it, without any key."""

    def __init__(self, folder: Path):
        self._path = folder / SETTINGS
        self.values: Dict[str, str] = {}
        if self._path.is_file():
            try:
                self.values = json.loads(self._path.read_text(encoding="utf-8"))
            except ValueError:
                raise ProjectError(f"{self._path} is not JSON any more; remove it") from None

    def save(self, **changes: str) -> None:
        self.values.update(changes)
        self._path.parent.mkdir(exist_ok=True)
        self._path.write_text(json.dumps(self.values, indent=2) + "\n", encoding="utf-8")


def _client(options: argparse.Namespace, remembered: _Remembered) -> tuple:
    url = options.url or os.environ.get("AUSPEX_URL") or remembered.values.get("url") or DEFAULT_URL
    key = os.environ.get("AUSPEX_API_KEY")
    if not key:
        if not sys.stdin.isatty():
            raise UsageError(f"set AUSPEX_API_KEY to an API key with the scopes {SCOPES}")
        key = getpass.getpass(f"API key for {url} (scopes {SCOPES}): ").strip()
    try:
        return url, Client(url, api_key=key)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _client_and_signal(options: argparse.Namespace) -> tuple:
    """The client, and the signal that is meant: the one that was named, or that a folder was published as on this platform."""
    remembered = _Remembered((getattr(options, "folder", None) or Path(".")).resolve())
    url, client = _client(options, remembered)
    return client, options.signal or _signal_at(url, remembered)


def _signal_at(url: str, remembered: _Remembered) -> Optional[str]:
    return remembered.values.get("signal_id") if remembered.values.get("url") == url else None


def publish_project(options: argparse.Namespace) -> int:
    project = Project(options.folder)
    files = project.files()
    remembered = _Remembered(project.folder)
    url, client = _client(options, remembered)
    signal_id = options.signal or _signal_at(url, remembered)
    if signal_id is None:
        signal_id = client.create_signal(project.manifest.name).id
        print(f"signal {signal_id}: {project.manifest.name}")
    remembered.save(url=url, signal_id=signal_id)
    version = client.create_version(signal_id, [_upload(client, signal_id, item) for item in files], options.note)
    print(f"version {version.number}: {len(files)} files, {sum(len(item.data) for item in files):,} bytes, sha256 {version.sha256[:12]}…")
    if not options.no_try:
        run = client.dry_run(signal_id, version.number)
        if not _show_dry_run(run):
            print("not published: the run in the sandbox failed")
            return 1
    if options.try_only:
        return 0
    client.publish(signal_id, version.number)
    print(f"published: {url}/api/signals/{signal_id}")
    print("next: auspex-sdk logs --follow")
    return 0


def _upload(client: Client, signal_id: str, item: Any) -> Dict[str, Any]:
    if len(item.data) <= LARGEST_INLINE:
        return item.inline()
    import hashlib

    parts = list(item.parts())
    digests = [hashlib.sha256(part).hexdigest() for part in parts]
    for number, (part, digest) in enumerate(zip(parts, digests), 1):
        client.upload_blob(signal_id, digest, part)
        print(f"  {item.path}: {number} of {len(parts)} parts")
    return {"path": item.path, "sha256": item.sha256, **({"parts": digests} if len(parts) > 1 else {})}


def _show_dry_run(run: DryRun) -> bool:
    print("in the sandbox:")
    _show_log(run.log)
    if run.cpu_seconds is not None:
        stages = "".join(f", {name} {milliseconds:.0f} ms" for name, milliseconds in run.stages_ms.items())
        print(f"used {run.cpu_seconds:.2f} s CPU, {(run.memory_peak_bytes or 0) / 1e6:.0f} MB{stages}")
    if run.state != "completed":
        print(f"{run.state}{', ' + run.failure_kind if run.failure_kind else ''}: {plain_line(run.error_message or 'no reason given')}")
        return False
    if run.refusal:
        where = f"row {run.refusal['row']}: " if run.refusal.get("row") is not None else ""
        print(f"the rows would be refused: {where}{plain(str(run.refusal.get('reason')))}")
        return False
    _show_rows(run.rows)
    return True


def show_logs(options: argparse.Namespace) -> int:
    remembered = _Remembered(options.folder.resolve())
    url, client = _client(options, remembered)
    if options.job:
        if options.follow:
            _follow(client, options.job)
        else:
            _show_job(client, client.jobs.get(options.job).raw)
        return 0
    signal_id = _published(options, remembered)
    if options.search:
        for log in itertools.islice(client.jobs.search_logs(options.search, signal=signal_id), max(0, options.count)):
            print(plain(f"job {log.job_id}, attempt {log.attempt}: {log.count} line{'s' if log.count != 1 else ''}"))
            for number, text in log.lines:
                print(plain(f"  {number}: {text}"))
        return 0
    shown: List[str] = []
    while True:
        query = {"signal_id": signal_id, "kind": "signal_run,dry_run", "limit": max(options.count, 20)}
        runs = client.call(_calls.job_list(read_list, query))
        fresh = [job for job in runs if job["job_id"] not in shown and job["state"] in ("completed", "failed", "cancelled")]
        for job in reversed(fresh[: options.count] if not shown else fresh):
            _show_job(client, job)
        shown += [job["job_id"] for job in fresh]
        running = [job for job in runs if job["state"] == "running" and job["job_id"] not in shown] if options.follow else []
        if running:
            _follow(client, running[-1]["job_id"])
            shown.append(running[-1]["job_id"])
            continue
        if not options.follow:
            if not runs:
                print("no runs yet")
            return 0
        time.sleep(2)


def _published(options: argparse.Namespace, remembered: _Remembered) -> str:
    signal_id = options.signal or remembered.values.get("signal_id")
    if not signal_id:
        raise UsageError(f"{options.folder} has not been published yet: run `auspex-sdk publish`, or give --signal ID")
    return signal_id


def _follow(client: Client, job_id: str) -> None:
    """Shows what a run prints, line by line, until it has ended."""
    rest, attempt = "", 0
    for event in client.follow_log(job_id):
        if event.text and event.attempt != attempt:
            print(f"run {job_id}" + (f", attempt {event.attempt}" if event.attempt > 1 else ""))
            attempt = event.attempt
        if event.left_out:
            print(f"  | [… {event.left_out} bytes left out …]")
        *lines, rest = plain(rest + event.text).split("\n") if event.state is None else [rest, ""] if rest else [""]
        for line in lines:
            print(f"  | {line}", flush=True)
        if event.state is not None:
            print(event.state + (f", {event.failure_kind}" if event.failure_kind else ""))
            if event.error_message:
                print(f"  ! {plain_line(event.error_message)}")


def show_incidents(options: argparse.Namespace) -> int:
    remembered = _Remembered(options.folder.resolve())
    _, client = _client(options, remembered)
    found = client.call(_calls.incidents(_published(options, remembered), {"limit": max(1, min(options.count, 100))}))
    for item in reversed(found["items"]):
        words = [item["last_at"], item["kind"], item.get("failure_kind") or "", f"{item['count']} times" if item["count"] > 1 else ""]
        print(plain(" ".join(word for word in words if word)) + ("" if item["read"] else " (new)"))
        said = item.get("message") or item.get("reason")
        if said:
            print(f"  ! {plain_line(said)}")
    if not found["items"]:
        print("nothing has gone wrong")
    return 0


def _show_job(client: Client, job: Dict[str, Any]) -> None:
    words = [job.get("completed_at") or job.get("created_at") or "", job.get("kind", ""), job["state"]]
    if job.get("failure_kind"):
        words.append(job["failure_kind"])
    if job.get("cpu_seconds") is not None and job["state"] != "cancelled":
        words.append(f"({job['cpu_seconds']:.2f} s CPU, {(job.get('memory_peak_bytes') or 0) / 1e6:.0f} MB)")
    print(plain(" ".join(word for word in words if word)))
    _show_log(_job_log(client, job["job_id"]))
    if job.get("error_message"):
        print(f"  ! {plain_line(job['error_message'])}")


def _job_log(client: Client, job_id: str) -> str:
    try:
        answer = client.call(_calls.job_log(job_id))
    except ProblemError as error:
        if error.status == 404:  # it printed nothing, or the log has been cleaned up
            return ""
        raise
    text = answer.get("log") or ""
    return text + ("\n… cut off" if answer.get("truncated") else "")


# verify-ledger


def verify_file(options: argparse.Namespace) -> int:
    try:
        text = sys.stdin.read() if options.file == "-" else Path(options.file).read_text(encoding="utf-8")
        document = json.loads(text)
        keys = json.loads(options.keys.read_text(encoding="utf-8")) if options.keys else None
        verdict = verify_ledger(document, keys)
    except (ValueError, LedgerFormatError) as error:
        return _complain(f"{options.file} is not a ledger document: {error}", 2)
    print(plain(verdict))
    return 0 if verdict else 1


if __name__ == "__main__":
    sys.exit(main())
