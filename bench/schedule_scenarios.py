"""The scenarios of schedules: many due at once, and many of which none is due."""

import os
import signal
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

from line import Line

#: Copies of a published signal's schedule that are due once a day, at the second that is given.
_COPIES = """
    WITH pattern AS (SELECT account_id, publication FROM scheduler.schedules WHERE signal_id = '{signal}'),
        copy AS (SELECT gen_random_uuid() AS schedule_id, gen_random_uuid() AS signal_id FROM generate_series(1, {count})),
        made AS (
            INSERT INTO scheduler.schedules (schedule_id, state, signal_id, account_id, subject_version, publication, cursor_at, next_due_at)
            SELECT copy.schedule_id, 'active', copy.signal_id, account_id, 1,
                jsonb_set(jsonb_set(publication, '{{signal_id}}', to_jsonb(copy.signal_id::text)), '{{manifest,schedule}}', '{cadence}'::jsonb),
                clock_timestamp(), '{due}'::timestamptz
            FROM pattern, copy RETURNING schedule_id, cursor_at, publication)
    INSERT INTO scheduler.schedule_eras (schedule_id, from_at, to_at, cadence)
    SELECT schedule_id, cursor_at, NULL, publication -> 'manifest' -> 'schedule' FROM made
"""


def _arm(stage, signal_id: str, count: int, due: datetime) -> None:
    cadence = f'{{"kind": "cron", "expression": "{due.second} {due.minute} {due.hour} * * *", "zone": "UTC"}}'
    stage.platform.sql(_COPIES.format(signal=signal_id, count=count, cadence=cadence, due=due.isoformat()))


def _cpu_seconds(pid: int) -> float:
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _session_seconds(stage) -> dict[str, float]:
    """The CPU that each of the scheduler's sessions at the database has used."""
    used = {}
    for pid in stage.platform.sql("SELECT pid FROM pg_stat_activity WHERE usename = 'scheduler_app'").split():
        try:
            used[pid] = int(open(f"/proc/{pid}/schedstat").read().split()[0]) / 1e9
        except OSError:  # it has ended
            continue
    return used


def schedules(stage, peers, options) -> Iterator[Line]:
    """10,000 due in the same second, until all their runs can be claimed; then the CPU of a scheduler with 100,000 of which none is due."""
    signal_id = stage.publish(86_400)
    count = 10_000
    due = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=25)
    _arm(stage, signal_id, count, due)
    executor = stage.pid("executor")
    # What is measured is the scheduler; runs that begin meanwhile would take its cores.
    os.kill(executor, signal.SIGSTOP)
    try:
        time.sleep(max(0.0, (due - datetime.now(timezone.utc)).total_seconds()))
        fired, took = 0, 0.0
        while fired < count and took < 60:
            fired = int(stage.platform.sql(f"SELECT count(*) FROM scheduler.occurrences WHERE due_at = '{due.isoformat()}' AND outcome = 'fired'"))
            took = (datetime.now(timezone.utc) - due).total_seconds()
            time.sleep(0.1)
        # Nobody wants these runs; to run them for minutes is not to be idle.
        stage.platform.sql("UPDATE scheduler.jobs SET state = 'cancelled', completed_at = clock_timestamp() WHERE state = 'pending'")
    finally:
        os.kill(executor, signal.SIGCONT)
    yield Line("schedules", f"{count:,} schedules due in the same second, all claimable after", took, "s", note=f"{fired:,} fired; bar 5 s")
    stage.platform.sql("UPDATE scheduler.schedules SET state = 'unpublished', next_due_at = NULL WHERE signal_id NOT IN (SELECT id FROM signals.signals)")

    many = 100_000
    _arm(stage, signal_id, many, datetime.now(timezone.utc).replace(microsecond=0) + timedelta(hours=20))
    stage.platform.sql("VACUUM ANALYZE scheduler.schedules")
    scheduler = stage.pid("scheduler")
    seconds = max(20, options.seconds)
    time.sleep(5)
    before, sessions_before = _cpu_seconds(scheduler), _session_seconds(stage)
    time.sleep(seconds)
    used = (_cpu_seconds(scheduler) - before) / seconds * 100
    sessions = _session_seconds(stage)
    asked = sum(sessions[pid] - sessions_before.get(pid, 0.0) for pid in sessions) / seconds * 100
    yield Line("schedules", f"CPU of a scheduler with {many:,} schedules, none due", used, "%", note=f"of one core; its database sessions {asked:.2f} %; bar 2 %")
    stage.platform.sql("UPDATE scheduler.schedules SET state = 'unpublished', next_due_at = NULL WHERE signal_id NOT IN (SELECT id FROM signals.signals)")


ALL = {"schedules": schedules}
