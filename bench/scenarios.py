"""The scenarios, each a function that yields lines: what ours reached beside what the peer reached in the same call."""

import http.client
import statistics
import time
from collections.abc import Iterator
from datetime import datetime

import load
import environment_scenarios
import ledger_scenarios
import market_scenarios
import redis
import sandbox_scenarios
import schedule_scenarios
from auspex_demo.api import API
from line import Line
from stage import KeyRevoker


def _percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def pull(stage, peers, options) -> Iterator[Line]:
    """Predictions with an API key, 32 connections, while one is recorded and a key revoked each second."""
    signal_id = stage.publish(1)
    keys = stage.reader_keys(signal_id, 50)
    reader = API(stage.url("signals"), key=keys[0])
    end = time.monotonic() + 60
    while not reader.get(f"/api/predictions/{signal_id}")["items"] and time.monotonic() < end:
        time.sleep(0.2)
    before = reader.get(f"/api/predictions/{signal_id}?limit=1")["items"][0]["seq"]
    revoker = KeyRevoker(stage, signal_id)
    revoker.start()
    started = time.monotonic()
    ours = load.measure(
        stage.url("signals"), f"/api/predictions/{signal_id}", keys, stage.pid("signals"), seconds=options.seconds, repeats=options.repeats)
    elapsed = time.monotonic() - started
    revoker.stop()
    recorded = reader.get(f"/api/predictions/{signal_id}?limit=1")["items"][0]["seq"] - before
    stage.unpublish(signal_id)
    theirs = peers.http(options.seconds, options.repeats)
    note = f"{recorded / elapsed:.2f} predictions/s recorded meanwhile, {ours.refused} refused, {ours.broken} broken"
    uncached, cached = theirs.get("/api/predictions/", {}), theirs.get("/cached/predictions/", {})
    yield Line("pull", "prediction pull, requests/s", ours.requests_per_second, "1/s", "FastAPI uncached", uncached.get("rps"), note)
    yield Line("pull", "prediction pull, requests/s", ours.requests_per_second, "1/s", "FastAPI cached", cached.get("rps"))
    yield Line("pull", "prediction pull, p99", ours.p99_ms, "ms", "FastAPI cached", cached.get("p99_ms"), f"p50 {ours.p50_ms:.2f} ms")
    cost = cached.get("server_cpu_us_per_req")
    yield Line("pull", "prediction pull, requests a CPU second", ours.requests_per_cpu_second, "1/s", "FastAPI cached", 1e6 / cost if cost else None)
    if revoker.stale_seconds:
        yield Line("pull", "a revoked key still read for, at most", max(revoker.stale_seconds), "s", note=f"{len(revoker.stale_seconds)} keys revoked; bound 1 s")
    stage.peer_http = theirs


def floor(stage, peers, options) -> Iterator[Line]:
    """The cheapest public route: what HTTP itself costs."""
    ours = load.measure(stage.url("auth"), "/.well-known/jwks.json", ["aus_none"], stage.pid("auth"), seconds=options.seconds, repeats=options.repeats)
    theirs = (getattr(stage, "peer_http", None) or peers.http(options.seconds, options.repeats)).get("/plain", {})
    stage.peer_http = getattr(stage, "peer_http", None) or {}
    yield Line("floor", "HTTP floor, requests/s", ours.requests_per_second, "1/s", "FastAPI /plain", theirs.get("rps"), f"p99 {ours.p99_ms:.2f} ms")
    cost = theirs.get("server_cpu_us_per_req")
    yield Line("floor", "HTTP floor, requests a CPU second", ours.requests_per_cpu_second, "1/s", "FastAPI /plain", 1e6 / cost if cost else None)


def point_read(stage, peers, options) -> Iterator[Line]:
    """A row by its key from Postgres for each request: an instrument, read as a person with a key."""
    market = stage.market()
    key = stage.job.as_(stage.cast.subscriber).post("/api/keys", {"name": "bars", "scopes": ["bars:read"]})["key"]
    ours = load.measure(
        stage.url("marketdata"), f"/api/instruments/{market.source.symbol}", [key], stage.pid("marketdata"), seconds=options.seconds, repeats=options.repeats)
    theirs = (getattr(stage, "peer_http", None) or peers.http(options.seconds, options.repeats)).get("/api/predictions/", {})
    yield Line("point_read", "Postgres point read, requests/s", ours.requests_per_second, "1/s", "FastAPI uncached", theirs.get("rps"), f"p99 {ours.p99_ms:.2f} ms")
    cost = theirs.get("server_cpu_us_per_req")
    yield Line("point_read", "Postgres point read, requests a CPU second", ours.requests_per_cpu_second, "1/s", "FastAPI uncached", 1e6 / cost if cost else None)


def events(stage, peers, options) -> Iterator[Line]:
    """From the commit of an event to the commit of its effect in another service: registrations, said by auth, applied by signals."""
    count = 200
    for number in range(count):
        stage.platform.api.post("/api/register", {"email": f"event-{number}-{time.time_ns()}@bench.example", "password": "correct horse battery staple"})
    end = time.monotonic() + 30
    query = (
        "SELECT count(*), coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY took), 0), coalesce(percentile_cont(0.99) WITHIN GROUP (ORDER BY took), 0) FROM ("
        "SELECT extract(epoch FROM heard.handled_at - said.appended_at) * 1000 AS took FROM auth.outbox AS said "
        "JOIN signals.inbox AS heard ON heard.event_id = said.id WHERE said.type = 'auth.account.created.v1' "
        "AND said.appended_at > clock_timestamp() - interval '2 minutes') AS pairs")
    while True:
        found, p50, p99 = stage.platform.sql(query).split("|")
        if int(found) >= count or time.monotonic() > end:
            break
        time.sleep(0.2)
    yield Line("events", "event committed to handled, p50", float(p50), "ms", note=f"{found} events, append to the handler's insert")
    yield Line("events", "event committed to handled, p99", float(p99), "ms")


def jobs(stage, peers, options) -> Iterator[Line]:
    """No-op jobs, durable, created through the API's code path, claimed and finished by the services' own workers."""
    account = stage.platform.sql("SELECT account_id FROM auth.users LIMIT 1") or stage.cast.provider.account_id
    sender, port = stage.service_client("signals", "scheduler"), stage.platform.deployment.ports.internal("scheduler")
    rates, creations = [], []
    for _ in range(options.repeats):
        started = time.monotonic()
        began = stage.platform.sql("SELECT clock_timestamp()")
        load.post(f"http://127.0.0.1:{port}", "/internal/v1/jobs", sender.authorization(), _noop(account, "burst-IDENTIFIER"), 4)
        created = time.monotonic() - started
        since = f"FROM scheduler.jobs WHERE kind = 'noop' AND created_at >= '{began}'"
        total = int(stage.platform.sql(f"SELECT count(*) {since}"))
        creations.append(total / created)
        end = time.monotonic() + 300
        while int(stage.platform.sql(f"SELECT count(*) {since} AND state = 'completed'")) < total and time.monotonic() < end:
            time.sleep(0.05)
        rates.append(total / (time.monotonic() - started))
    began = stage.platform.sql("SELECT clock_timestamp()")
    client = stage.service_client("signals", "scheduler")
    for number in range(300):
        next_at = time.monotonic() + 0.01
        client.call("POST", "/internal/v1/jobs", _noop(account, f"latency-{time.time_ns()}-{number}"))
        time.sleep(max(0.0, next_at - time.monotonic()))
    # All of them: to leave out those that still wait would leave out the slowest.
    waiting = f"SELECT count(*) FROM scheduler.jobs WHERE kind = 'noop' AND created_at >= '{began}' AND started_at IS NULL"
    end = time.monotonic() + 60
    while int(stage.platform.sql(waiting)) and time.monotonic() < end:
        time.sleep(0.05)
    if unclaimed := int(stage.platform.sql(waiting)):
        raise SystemExit(f"{unclaimed} no-op jobs were not claimed within a minute")
    text = stage.platform.sql(
        f"SELECT extract(epoch FROM started_at - created_at) * 1000 FROM scheduler.jobs WHERE kind = 'noop' AND created_at >= '{began}'")
    latencies = [float(line) for line in text.splitlines()]
    theirs = peers.jobs(options.jobs, options.repeats) or {}
    yield Line("jobs", "no-op jobs, created to finished", statistics.median(rates), "1/s", "Celery acks_late", theirs.get("jobs_per_s"))
    yield Line("jobs", "no-op jobs, creation alone", statistics.median(creations), "1/s", "Celery publish", theirs.get("publish_per_s"))
    yield Line("jobs", "no-op job, created to claimed, p50", _percentile(latencies, 0.5), "ms", "Celery publish to body", theirs.get("lat_p50_ms"), f"{len(latencies)} jobs, about 100 a second")
    yield Line("jobs", "no-op job, created to claimed, p99", _percentile(latencies, 0.99), "ms", "Celery publish to body", theirs.get("lat_p99_ms"))


def _noop(account: str, key: str) -> dict:
    return {
        "kind": "noop", "resource_class": "small", "account_id": account, "priority": "normal", "spec": {}, "idempotency_key": key, "max_attempts": 3}


def latency(stage, peers, options) -> Iterator[Line]:
    """From the due time to a prediction that a subscriber can read, polled each 5 ms; idle platform, plain Python."""
    signal_id = stage.publish(1)
    reader = API(stage.url("signals"), key=stage.reader_keys(signal_id, 1)[0])
    took, seen = [], 0
    end = time.monotonic() + options.occurrences * 1.5 + 60
    while len(took) < options.occurrences and time.monotonic() < end:
        items = reader.get(f"/api/predictions/{signal_id}?after_seq={seen}&limit=50")["items"]
        now = time.time()
        for row in items:
            seen = max(seen, row["seq"])
            due = _epoch(row["due_at"])
            if now - due < 30:
                took.append((now - due) * 1000)
        time.sleep(0.005)
    stage.unpublish(signal_id)
    # The first ones wait for a cold sandbox and a schedule that has just been armed; they count all the same.
    yield Line("latency", "due to readable, p50", _percentile(took, 0.5), "ms", note=f"{len(took)} occurrences, bar 150 ms")
    yield Line("latency", "due to readable, p99", _percentile(took, 0.99), "ms", note="bar 500 ms")


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def memory(stage, peers, options) -> Iterator[Line]:
    """Resident memory of each service, idle."""
    for service in ("auth", "signals", "scheduler", "executor", "marketdata"):
        yield Line("memory", f"{service}, resident", load.resident_mib(stage.pid(service)), "MiB", note="bar 40")


def historical(stage, peers, options) -> Iterator[Line]:
    """The busiest month of the peers' year of seconds as 5-minute bars: cold and warm through the gateway, and warm as fast as it goes."""
    if not (days := peers.busiest_month()):
        print("  without the peers' data there is nothing to show", flush=True)
        return
    admin = stage.job.as_(stage.cast.admin)
    for day, (text, _) in days.items():
        admin.post(f"/api/imports?filename={day}.csv&symbol=BENCHMONTH&asset_class=crypto&interval=1s", raw=text, content_type="text/csv", seconds=120)
    token = stage.job.as_(stage.cast.subscriber).get("/utils/session/initiate")["session_token"]
    path = f"/historical/?session_token={token}&symbol=BENCHMONTH&interval=5m&start={min(days)}&end={max(days)}"
    gateway = stage.platform.deployment.gateway.url
    cold = []
    for _ in range(max(5, options.repeats)):
        redis.from_url(stage.platform.deployment.redis("cache").url).flushall()
        stage.platform.control.restart("marketdata")
        # The connection and the session's look-up are no part of the chart: a heartbeat makes them, as a page that is open does.
        connection = http.client.HTTPConnection(gateway.removeprefix("http://"))
        _timed(connection, "POST", f"/utils/session/heartbeat?session_token={token}")
        cold.append(_timed(connection, "GET", path)[0])
    warm = [_timed(connection, "GET", path)[0] for _ in range(500)][100:]
    size = len(_timed(connection, "GET", path)[1])
    note = f"{size / 1024:.0f} KiB, {len(days)} days"
    ours = load.measure(stage.url("marketdata"), path, ["aus_none"], stage.pid("marketdata"), seconds=options.seconds, repeats=options.repeats)
    packed = load.measure(
        stage.url("marketdata"), path, ["aus_none"], stage.pid("marketdata"), seconds=options.seconds, repeats=options.repeats, headers={"Accept-Encoding": "gzip"})
    theirs = peers.historical(days, options.seconds, options.repeats)
    yield Line("historical", "chart of a month, cold through the gateway, p50", _percentile(cold, 0.5), "ms", "FastAPI + Redis, cold", theirs.get("cold_ms"), f"bar 40 ms; {note}")
    yield Line("historical", "chart of a month, warm through the gateway, p50", _percentile(warm, 0.5), "ms", "FastAPI + Redis", theirs.get("warm_ms"), "bar 3 ms")
    yield Line("historical", "chart of a month, warm through the gateway, p99", _percentile(warm, 0.99), "ms")
    yield Line("historical", "chart of a month, warm, requests/s", ours.requests_per_second, "1/s", "FastAPI + Redis", theirs.get("rps"), f"32 connections, p50 {ours.p50_ms:.2f} ms; {ours.refused} refused, {ours.broken} broken")
    yield Line("historical", "chart of a month, warm, gzip, requests/s", packed.requests_per_second, "1/s", "FastAPI + Redis, plain", theirs.get("rps"))
    cost = theirs.get("cpu_us")
    yield Line("historical", "chart of a month, warm, requests a CPU second", ours.requests_per_cpu_second, "1/s", "FastAPI + Redis", 1e6 / cost if cost else None)


def _timed(connection: http.client.HTTPConnection, method: str, path: str) -> tuple[float, bytes]:
    """Milliseconds until the whole answer is there, and the answer."""
    started = time.perf_counter()
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    took = (time.perf_counter() - started) * 1000
    if answer.status != 200:
        raise SystemExit(f"{method} {path.split('?')[0]}: {answer.status} {body[:300]!r}")
    return took, body


# Memory first: idle is what comes before work.
ALL = {
    "memory": memory, "latency": latency, "events": events, "pull": pull, "floor": floor, "point_read": point_read, "historical": historical, "jobs": jobs,
} | market_scenarios.ALL | sandbox_scenarios.ALL | environment_scenarios.ALL | schedule_scenarios.ALL | ledger_scenarios.ALL
