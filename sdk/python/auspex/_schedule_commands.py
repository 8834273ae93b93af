"""``auspex-sdk schedule``: when a signal runs, from a shell."""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any, Callable, Optional, Tuple

from . import _job_commands
from ._project import Project
from ._terminal import plain
from .client import Client
from .errors import AuspexError
from .schedules import Backfill, Preview, Schedule, words

#: Gives the client for the options, and the signal that is meant when no schedule is named.
Connect = Callable[[argparse.Namespace], Tuple[Client, Optional[str]]]


def add_schedules(commands: Any, platform: Callable[[argparse.ArgumentParser], None], connect: Connect) -> None:
    """Adds the command and its actions to a parser's commands."""
    actions = commands.add_parser("schedule", help="see, pause and try when your signals run").add_subparsers(title="actions", metavar="ACTION", required=True)

    def action(name: str, help: str, run: Callable[[argparse.Namespace, Client, Optional[str]], int], named: bool = True) -> argparse.ArgumentParser:
        parser = actions.add_parser(name, help=help)
        if named:
            parser.add_argument("schedule", nargs="?", help="a schedule's id (default: that of --signal, or of the signal that this folder was published as)")
        platform(parser)
        parser.set_defaults(run=lambda options: run(options, *connect(options)))
        return parser

    action("list", "list your schedules", _list, named=False)
    preview = action("preview", "the next ten due times", _preview)
    preview.add_argument("--folder", type=Path, metavar="FOLDER", help="of the auspex.toml of this folder, published or not")
    pause = action("pause", "skip what is due until it is resumed", _pause)
    pause.add_argument("--reason", help="why, for you to read later")
    action("resume", "go on from the grid", _resume)
    run = action("run", "run the live version once, now; nothing of it is recorded", _run)
    run.add_argument("--no-wait", action="store_true", help="do not wait for its end")
    cadence = action("cadence", "how reliably it ran, by UTC day", _cadence)
    cadence.add_argument("--from", dest="start", metavar="DAY", help="the first day (default: 30 days in all)")
    cadence.add_argument("--to", dest="end", metavar="DAY", help="the last day (default: today)")
    backfill = action("backfill", "run the due times of the past with what was known then, or list such runs; nothing of it is recorded", _backfill)
    backfill.add_argument("--from", dest="start", metavar="TIME", help="the first due time, or a day (UTC)")
    backfill.add_argument("--to", dest="end", metavar="TIME", help="the last due time; a day is its first moment")
    backfill.add_argument("--at-once", action="store_true", help="several runs at once, instead of one after the other")
    backfill.add_argument("--no-wait", action="store_true", help="do not wait for its end")
    one = backfill.add_mutually_exclusive_group()
    one.add_argument("--show", metavar="BACKFILL", help="how far this one is, and its runs")
    one.add_argument("--cancel", metavar="BACKFILL", help="make no more runs, and cancel those that have not ended")


def _chosen(options: argparse.Namespace, client: Client, signal: Optional[str]) -> str:
    if options.schedule:
        return options.schedule
    if signal is None:
        raise AuspexError("which schedule? Give its id (`auspex-sdk schedule list`) or --signal ID; this folder has not been published there yet")
    found = client.schedules.of_signal(signal)
    if found is None:
        raise AuspexError(f"the signal {signal} has no schedule; it gets one when it is published")
    return found.id


def _list(options: argparse.Namespace, client: Client, signal: Optional[str]) -> int:
    shown = False
    for schedule in client.schedules.list():
        if options.signal in (None, schedule.signal_id):
            print(_line(schedule))
            shown = True
    if not shown:
        print("no schedules")
    return 0


def _preview(options: argparse.Namespace, client: Client, signal: Optional[str]) -> int:
    if options.folder is not None:
        if options.schedule:
            raise AuspexError("a preview is of a schedule or of --folder, not of both")
        _show_preview(client.schedules.preview(Project(options.folder).manifest.schedule))
    else:
        _show_preview(client.schedules.preview(_chosen(options, client, signal)))
    return 0


def _show_preview(preview: Preview) -> None:
    for due in preview.due_times:
        print(plain(f"{due.due_at:%Y-%m-%d %H:%M:%S} UTC  {due.local_time} {due.zone}" + (f"  ({due.note})" if due.note else "")))
    if preview.note:
        print(plain(preview.note))
    elif not preview.due_times:
        print("never due")


def _pause(options: argparse.Namespace, client: Client, signal: Optional[str]) -> int:
    print(_line(client.schedules.pause(_chosen(options, client, signal), options.reason)))
    return 0


def _resume(options: argparse.Namespace, client: Client, signal: Optional[str]) -> int:
    print(_line(client.schedules.resume(_chosen(options, client, signal))))
    return 0


def _run(options: argparse.Namespace, client: Client, signal: Optional[str]) -> int:
    job_id = client.schedules.run(_chosen(options, client, signal))
    if options.no_wait:
        print(plain(f"job {job_id}"))
        return 0
    job = client.jobs.wait(job_id)
    _job_commands.show(job)
    return 0 if job.succeeded else 1


def _cadence(options: argparse.Namespace, client: Client, signal: Optional[str]) -> int:
    found = client.schedules.cadence(_chosen(options, client, signal), start=options.start, end=options.end)
    for day in found["days"]:
        print(plain(f"{day['day']}  {_counts(day['counts'])}" + ("" if day["settled"] else "  (so far)")))
    print(plain(f"{found['from']} to {found['to']}: {_counts(found['total'])}"))
    return 0


def _counts(counts: Any) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(counts["skipped_by_reason"].items()))
    names = ("late", "missed", "skipped", "failed", "unrecorded")
    others = [f"{counts[name]} {name}" + (f" ({reasons})" if name == "skipped" and reasons else "") for name in names if counts[name]]
    share = counts.get("share_on_time")
    return ", ".join([f"{counts['due']} due", f"{counts['on_time']} on time" + ("" if share is None else f" ({share:.2%})"), *others])


def _backfill(options: argparse.Namespace, client: Client, signal: Optional[str]) -> int:
    if (options.start is None) != (options.end is None):
        raise AuspexError("a backfill has a --from and a --to")
    if options.start is not None and (options.show or options.cancel):
        raise AuspexError("--show and --cancel are of a backfill that has begun; it has its --from and --to")
    schedule = _chosen(options, client, signal)
    if options.cancel:
        print(_backfill_line(client.schedules.cancel_backfill(schedule, options.cancel)))
    elif options.show:
        print(_backfill_line(client.schedules.get_backfill(schedule, options.show)))
        for run in client.schedules.backfill_runs(schedule, options.show, page=200):
            print(plain(f"  {run.due_at:%Y-%m-%d %H:%M:%S}  {run.job_id}  {run.state}"))
    elif options.start is None:
        found = list(itertools.islice(client.schedules.backfills(schedule), 50))
        for backfill in found:
            print(_backfill_line(backfill))
        if not found:
            print("no backfills")
    else:
        return _begin(options, client, schedule)
    return 0


def _begin(options: argparse.Namespace, client: Client, schedule: str) -> int:
    try:
        begun = client.schedules.backfill(schedule, options.start, options.end, overlap="allow_all" if options.at_once else "sequential")
    except ValueError as error:
        raise AuspexError(str(error)) from None
    print(_backfill_line(begun), flush=True)
    if options.no_wait:
        return 0
    ended = client.schedules.wait_backfill(schedule, begun.id)
    print(_backfill_line(ended))
    return 0 if ended.state == "completed" and not ended.failed else 1


def _line(schedule: Schedule) -> str:
    """A schedule in a line, harmless for a terminal."""
    parts = [schedule.id, "signal", schedule.signal_id, f"{schedule.state:11}"]
    if schedule.pause_reason:
        parts.append(f"({' '.join(schedule.pause_reason.split())})")
    if schedule.next_due_at is not None and schedule.state == "active":
        parts.append(f"next {schedule.next_due_at:%Y-%m-%d %H:%M:%S} UTC")
    return plain("  ".join(parts)).rstrip()


def _backfill_line(backfill: Backfill) -> str:
    """A backfill in a line, harmless for a terminal."""
    return plain(f"{backfill.id}  {backfill.start:%Y-%m-%d %H:%M:%S} to {backfill.end:%Y-%m-%d %H:%M:%S}  {backfill.state}, {words(backfill)}")
