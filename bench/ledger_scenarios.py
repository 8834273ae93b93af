"""The scenarios of the ledger: claims among a million jobs that wait, and no-op jobs submitted in batches."""

import statistics
import threading
import time
import uuid
from collections.abc import Iterator

from job_news import until_jobs
from line import Line

ACCOUNTS = 500
#: Nobody's worker takes this class on the stage, so the jobs wait for the claims of the benchmark.
CLASS = "gpu"

_FILL = """
INSERT INTO scheduler.jobs (job_id, state, resource_class, priority, precedence, max_attempts, kind, account_id, queue_deadline, idempotency_key,
    input_sha256, spec)
SELECT (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7' || substr(md5(number::text), 1, 3) || '8'
        || substr(md5(number::text || 'b'), 1, 15))::uuid,
    'pending', '{resource_class}', 2, 2, 3, 'noop', ('10000000-0000-7000-8000-' || lpad(to_hex(number % {accounts}), 12, '0'))::uuid,
    clock_timestamp() + interval '1 day', '{run}-' || number, sha256('x'), '{{}}'
FROM generate_series(1, {rows}) AS number
"""


def claims(stage, peers, options) -> Iterator[Line]:
    """A million pending jobs of five hundred accounts; workers claim over HTTP, and are handed each job's token as always."""
    rows = options.pending
    sql = stage.platform.sql
    begun = time.monotonic()
    for part in range(10):
        sql(_FILL.format(resource_class=CLASS, accounts=ACCOUNTS, rows=rows // 10, run=f"{uuid.uuid4()}-{part}"))
    sql("VACUUM ANALYZE scheduler.jobs")
    print(f"  {rows:,} jobs of {ACCOUNTS} accounts wait after {time.monotonic() - begun:.0f} s", flush=True)
    note = f"{rows:,} pending of {ACCOUNTS} accounts"
    for workers, slots in ((1, 1), (1, 16), (4, 16), (16, 4), (4, 64)):
        took, claimed, seconds = _claim(stage, workers, slots, options.seconds)
        what = f"claim, {workers} at once for {slots} job{'s' if slots > 1 else ''}"
        yield Line("claims", f"{what}, p50", statistics.median(took) * 1000, "ms", note=f"{note}; {len(took)} claims, p99 {_percentile(took, 0.99) * 1000:.1f} ms")
        yield Line("claims", f"{what}, jobs claimed", claimed / seconds, "1/s")
    sql(f"DELETE FROM scheduler.leases WHERE resource_class = '{CLASS}'")
    sql(f"UPDATE scheduler.jobs SET state = 'cancelled', completed_at = clock_timestamp() WHERE resource_class = '{CLASS}' AND state IN ('pending', 'running')")


def _claim(stage, workers: int, slots: int, seconds: int) -> tuple[list[float], int, float]:
    """What each claim took, how many jobs were won, and over how long a time. What was claimed is not ended: the claim alone is the question."""
    took: list[list[float]] = [[] for _ in range(workers)]
    won = [0] * workers
    clients = [stage.service_client("executor", "scheduler") for _ in range(workers)]
    until = time.monotonic() + seconds

    def work(number: int) -> None:
        while time.monotonic() < until:
            body = {"claim_id": str(uuid.uuid4()), "worker": f"bench-{number}", "classes": [{"class": CLASS, "slots": slots}]}
            started = time.perf_counter()
            jobs = clients[number].call("POST", "/internal/v1/jobs/claim", body)["jobs"]
            took[number].append(time.perf_counter() - started)
            won[number] += len(jobs)
            if not jobs:
                return

    started = time.monotonic()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [one for some in took for one in some], sum(won), time.monotonic() - started


def noops(stage, peers, options) -> Iterator[Line]:
    """No-op jobs, durable, submitted a hundred a call, claimed and finished by the executor, beside Celery in the same call."""
    account = stage.platform.sql("SELECT account_id FROM auth.users LIMIT 1") or stage.cast.provider.account_id
    rates, creations = [], []
    for _ in range(options.repeats):
        began = stage.platform.sql("SELECT clock_timestamp()")
        since = f"FROM scheduler.jobs WHERE kind = 'noop' AND resource_class = 'small' AND created_at >= '{began}'"
        started = time.monotonic()
        total = _submit(stage, account, options.jobs * 4)
        creations.append(total / (time.monotonic() - started))
        waiting = "EXISTS (SELECT FROM ONLY scheduler.jobs WHERE state = 'pending' AND blocked_by = 0 AND resource_class = 'small')"
        until_jobs(stage, f"SELECT NOT {waiting} AND (SELECT count(*) {since} AND state = 'completed') >= {total}", 300, "the end of all no-op jobs")
        rates.append(total / (time.monotonic() - started))
    theirs = peers.jobs(options.jobs, options.repeats) or {}
    yield Line("noops", "no-op jobs in batches of 100, made to finished", statistics.median(rates), "1/s", "Celery acks_late", theirs.get("jobs_per_s"), "bar 3x")
    yield Line("noops", "no-op jobs in batches of 100, made alone", statistics.median(creations), "1/s", "Celery publish", theirs.get("publish_per_s"))


def _submit(stage, account: str, count: int, senders: int = 2) -> int:
    run = uuid.uuid4()
    made = [0] * senders

    def send(number: int) -> None:
        client = stage.service_client("signals", "scheduler")
        for call in range(count // senders // 100):
            jobs = [
                {"kind": "noop", "resource_class": "small", "account_id": account, "priority": "normal", "spec": {}, "max_attempts": 3,
                 "idempotency_key": f"{run}-{number}-{call}-{place}"} for place in range(100)]
            made[number] += sum(line.get("created", False) for line in client.call("POST", "/internal/v1/jobs/bulk", {"jobs": jobs})["jobs"])

    threads = [threading.Thread(target=send, args=(number,)) for number in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(made)


def _percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


ALL = {"noops": noops, "claims": claims}
