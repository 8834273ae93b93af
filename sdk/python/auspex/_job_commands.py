"""``auspex-sdk jobs``: what runs, ran or waits, from a shell."""

from __future__ import annotations

import argparse
import itertools
from typing import Any, Callable

from ._terminal import plain, plain_line
from .client import Client
from .jobs import Job


def add_jobs(commands: Any, platform: Callable[[argparse.ArgumentParser], None], connect: Callable[[argparse.Namespace], Client]) -> None:
    """Adds the command to a parser's commands; ``connect`` gives the client for its options."""
    jobs = commands.add_parser("jobs", help="list your jobs, or show, await or cancel one")
    jobs.add_argument("job", nargs="?", help="a job's id; without it the newest jobs are listed")
    what = jobs.add_mutually_exclusive_group()
    what.add_argument("--wait", action="store_true", help="wait for the job's end; ends with 1 when it did not end well")
    what.add_argument("--cancel", action="store_true", help="cancel the job")
    jobs.add_argument("--children", action="store_true", help="with --cancel: its children as well")
    jobs.add_argument("--state", choices=["pending", "running", "completed", "failed", "cancelled"])
    jobs.add_argument("--kind", help="only these kinds, with commas between")
    jobs.add_argument("-n", "--count", type=int, default=20, help="how many are listed (default: %(default)s)")
    platform(jobs)
    jobs.set_defaults(run=lambda options: show_jobs(options, connect(options)))


def show_jobs(options: argparse.Namespace, client: Client) -> int:
    if options.job is None:
        found = client.jobs.list(state=options.state, kind=options.kind, signal=options.signal, page=max(1, min(options.count, 200)))
        for job in itertools.islice(found, max(0, options.count)):
            print(line(job))
        return 0
    if options.cancel:
        print(line(client.jobs.cancel(options.job, children=options.children)))
        return 0
    job = client.jobs.wait(options.job) if options.wait else client.jobs.get(options.job)
    show(job)
    return 1 if options.wait and not job.succeeded else 0


def show(job: Job) -> None:
    """A job with its place in the queue, its costs and what it ended with."""
    print(line(job))
    for name in ("queue_position", "expected_start_at", "cpu_seconds", "memory_gib_seconds"):
        if job.raw.get(name) is not None:
            print(plain(f"  {name.replace('_', ' ')}: {job.raw[name]}"))
    if job.error_message:
        print(f"  ! {plain_line(job.error_message)}")


def line(job: Job) -> str:
    """A job in a line, harmless for a terminal."""
    moment = (job.completed_at or job.started_at or job.created_at)
    how = {"running": f"running {job.progress} %"}.get(job.state, job.state) + (f" ({job.failure_kind})" if job.failure_kind else "")
    return plain(f"{job.id}  {moment:%Y-%m-%d %H:%M:%S}  {job.kind:12} {how}" if moment else f"{job.id}  {job.kind:12} {how}")
