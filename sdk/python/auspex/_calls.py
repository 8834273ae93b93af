"""Every call that a client can make, once for the synchronous and the asynchronous one."""

from __future__ import annotations

from typing import Any, Iterable, Mapping, Optional, Sequence, Tuple, Union
from urllib.parse import urlencode

from ._messages import Call, once, segment
from ._moments import Moment, moment_text
from .models import DryRun, Page, PredictionPage, Signal, Subscription, Version

LONGEST_WAIT = 30


def predictions(signal_id: str, after_seq: Optional[int], limit: Optional[int], wait: Optional[int], cursor: Optional[str]) -> Call:
    if wait is not None and not 0 <= wait <= LONGEST_WAIT:
        raise ValueError(f"wait lies between 0 and {LONGEST_WAIT} seconds")
    query = {"after_seq": after_seq, "limit": limit, "wait": wait or None, "cursor": cursor}
    return Call("GET", f"/api/predictions/{segment(signal_id)}", PredictionPage.read, query, waits=wait or 0, repeatable=True)


def bar_stream(topics: Iterable[str], after: Optional[int]) -> Call:
    query = urlencode([("topic", topic) for topic in topics] + ([("after", str(after))] if after is not None else []))
    # A sign of life comes every 15 seconds.
    return Call("GET", f"/api/stream/bars?{query}", waits=30)


def signals(instrument: Optional[str], interval: Optional[str], text: Optional[str], mine: bool, limit: Optional[int], cursor: Optional[str]) -> Call:
    query = {"instrument": instrument, "interval": interval, "q": text, "mine": "true" if mine else None, "limit": limit, "cursor": cursor}
    return Call("GET", "/api/signals", Page.of(Signal.read), query, repeatable=True)


def signal(signal_id: str) -> Call:
    return Call("GET", f"/api/signals/{segment(signal_id)}", Signal.read, repeatable=True)


def ledger(signal_id: str, after_seq: int, limit: int) -> Call:
    return Call("GET", f"/api/signals/{segment(signal_id)}/ledger", query={"after_seq": after_seq, "limit": limit}, repeatable=True)


def ledger_keys() -> Call:
    return Call("GET", "/api/signals/ledger/keys", repeatable=True)


def subscriptions(cursor: Optional[str]) -> Call:
    return Call("GET", "/api/subscriptions", Page.of(Subscription.read), {"cursor": cursor}, repeatable=True)


def subscribe(signal_id: str) -> Call:
    return Call("POST", "/api/subscriptions", Subscription.read, json={"signal_id": signal_id}, **once())


def unsubscribe(subscription_id: str) -> Call:
    return Call("DELETE", f"/api/subscriptions/{segment(subscription_id)}", **once())


def register(email: str, password: str, roles: Sequence[str], display_name: Optional[str]) -> Call:
    body = {"email": email, "password": password, "roles": list(roles)}
    if display_name is not None:
        body["display_name"] = display_name
    return Call("POST", "/api/register", json=body, needs_login=False, **once())


def login(email: str, password: str) -> Call:
    return Call("POST", "/api/login", json={"email": email, "password": password}, needs_login=False)


def refresh(token: str) -> Call:
    return Call("POST", "/api/refresh", json={"refresh_token": token}, needs_login=False)


def create_key(
    name: str, scopes: Iterable[str], expires_at: Optional[str], requests_per_minute: Optional[int], credits: Optional[int]
) -> Call:
    body = {"name": name, "scopes": list(scopes)}
    limits = {"expires_at": expires_at, "requests_per_minute": requests_per_minute, "credits": credits}
    body |= {name: value for name, value in limits.items() if value is not None}
    # Not repeated by itself: a repeated answer would come without the key.
    return Call("POST", "/api/keys", json=body)


def create_signal(name: str, description: str) -> Call:
    return Call("POST", "/api/signals", Signal.read, json={"name": name, "description": description}, **once())


def upload_blob(signal_id: str, sha256: str, data: bytes) -> Call:
    return Call("PUT", f"/api/signals/{segment(signal_id)}/blobs/{sha256}", data=data, repeatable=True, waits=60)


def create_version(signal_id: str, files: Sequence[Mapping[str, Any]], note: str) -> Call:
    return Call("POST", f"/api/signals/{segment(signal_id)}/versions", Version.read, json={"files": list(files), "note": note}, waits=60, **once())


def start_dry_run(signal_id: str, version: int, parameters: Optional[Mapping[str, Any]] = None) -> Call:
    body = {"json": {"parameters": dict(parameters)}} if parameters else {}
    return Call("POST", f"/api/signals/{segment(signal_id)}/versions/{int(version)}/dry-run", lambda answer: answer["id"], **body, **once())


def dry_run(signal_id: str, run_id: str) -> Call:
    return Call("GET", f"/api/signals/{segment(signal_id)}/dry-runs/{segment(run_id)}", DryRun.read, repeatable=True)


def publish(signal_id: str, version: Optional[int]) -> Call:
    body = {} if version is None else {"version": int(version)}
    return Call("POST", f"/api/signals/{segment(signal_id)}/publish", Signal.read, json=body, **once())


def unpublish(signal_id: str, reason: Optional[str]) -> Call:
    body = {} if reason is None else {"reason": reason}
    return Call("POST", f"/api/signals/{segment(signal_id)}/unpublish", Signal.read, json=body, **once())


def job_list(read: Any, query: Mapping[str, Any]) -> Call:
    return Call("GET", "/api/jobs", read, query, repeatable=True)


def job_filter(
    state: Optional[str], kind: Union[str, Sequence[str], None], signal: Optional[str], parent: Optional[str], batch: Optional[str],
    created_from: Optional[str], created_to: Optional[str], oldest_first: bool, limit: int,
) -> Mapping[str, Any]:
    return {
        "state": state, "kind": kind if kind is None or isinstance(kind, str) else ",".join(kind), "signal_id": signal, "parent": parent, "batch": batch,
        "created_from": created_from, "created_to": created_to, "order": "oldest" if oldest_first else None, "limit": limit,
    }


def job(read: Any, job_id: str) -> Call:
    return Call("GET", f"/api/jobs/{segment(job_id)}", read, repeatable=True)


def cancel_job(read: Any, job_id: str, children: bool) -> Call:
    return Call("DELETE", f"/api/jobs/{segment(job_id)}", read, {"children": "true" if children else None}, repeatable=True)


def job_stream(job_id: str) -> Call:
    # A sign of life comes every 15 seconds.
    return Call("GET", f"/api/jobs/{segment(job_id)}/stream", waits=30)


def account_jobs_stream(after: Optional[int]) -> Call:
    return Call("GET", "/api/jobs/stream", query={"after": after}, waits=30)


def job_batch(batch_id: str) -> Call:
    return Call("GET", f"/api/jobs/batches/{segment(batch_id)}", repeatable=True)


def cancel_job_batch(batch_id: str) -> Call:
    return Call("DELETE", f"/api/jobs/batches/{segment(batch_id)}", repeatable=True)


def job_costs(query: Mapping[str, Any]) -> Call:
    return Call("GET", "/api/jobs/costs", query=query, repeatable=True)


def job_log(job_id: str) -> Call:
    return Call("GET", f"/api/jobs/{segment(job_id)}/logs", repeatable=True)


def job_logs(read: Any, query: Mapping[str, Any]) -> Call:
    # A page looks through the logs of hundreds of jobs.
    return Call("GET", "/api/jobs/logs", read, query, repeatable=True, waits=30)


def log_filter(text: str, signal: Optional[str], start: Optional[Moment], end: Optional[Moment], limit: int) -> Mapping[str, Any]:
    times = {name: None if moment is None else moment_text(moment) for name, moment in (("from", start), ("to", end))}
    return {"q": text, "signal_id": signal, **times, "limit": limit}


def job_log_stream(job_id: str, after: Optional[str]) -> Call:
    query = f"?{urlencode({'after': after})}" if after else ""
    # A sign of life comes every 15 seconds.
    return Call("GET", f"/api/jobs/{segment(job_id)}/logs/stream{query}", waits=30)


def schedules(read: Any, limit: int, cursor: Optional[str]) -> Call:
    return Call("GET", "/api/schedules", read, {"limit": limit, "cursor": cursor}, repeatable=True)


def schedule(read: Any, schedule_id: str) -> Call:
    return Call("GET", _schedule(schedule_id), read, repeatable=True)


def schedule_preview(read: Any, schedule_id: str) -> Call:
    return Call("GET", _schedule(schedule_id, "preview"), read, repeatable=True)


def unsaved_preview(read: Any, asked: Mapping[str, Any]) -> Call:
    return Call("POST", "/api/schedules/preview", read, json=asked, repeatable=True)


def pause_schedule(read: Any, schedule_id: str, reason: Optional[str]) -> Call:
    # The same again changes nothing, here and in what follows.
    return Call("POST", _schedule(schedule_id, "pause"), read, json={} if reason is None else {"reason": reason}, repeatable=True)


def resume_schedule(read: Any, schedule_id: str) -> Call:
    return Call("POST", _schedule(schedule_id, "resume"), read, repeatable=True)


def run_schedule(schedule_id: str) -> Call:
    return Call("POST", _schedule(schedule_id, "run"), lambda answer: answer["job_id"], **once())


def occurrences(read: Any, schedule_id: str, limit: int, cursor: Optional[str]) -> Call:
    return Call("GET", _schedule(schedule_id, "occurrences"), read, {"limit": limit, "cursor": cursor}, repeatable=True)


def schedule_cadence(schedule_id: str, start: Optional[str], end: Optional[str]) -> Call:
    return Call("GET", _schedule(schedule_id, "cadence"), query={"from": start, "to": end}, repeatable=True)


def start_backfill(read: Any, schedule_id: str, start: str, end: str, overlap: str) -> Call:
    return Call("POST", _schedule(schedule_id, "backfills"), read, json={"from": start, "to": end, "overlap": overlap}, **once())


def backfills(read: Any, schedule_id: str, limit: int, cursor: Optional[str]) -> Call:
    return Call("GET", _schedule(schedule_id, "backfills"), read, {"limit": limit, "cursor": cursor}, repeatable=True)


def backfill(read: Any, schedule_id: str, backfill_id: str) -> Call:
    return Call("GET", _schedule(schedule_id, "backfills", backfill_id), read, repeatable=True)


def backfill_runs(read: Any, schedule_id: str, backfill_id: str, limit: int, cursor: Optional[str]) -> Call:
    return Call("GET", _schedule(schedule_id, "backfills", backfill_id, "runs"), read, {"limit": limit, "cursor": cursor}, repeatable=True)


def cancel_backfill(read: Any, schedule_id: str, backfill_id: str) -> Call:
    return Call("DELETE", _schedule(schedule_id, "backfills", backfill_id), read, repeatable=True)


def _schedule(schedule_id: str, *further: str) -> str:
    return "/api/schedules/" + "/".join(segment(part) for part in (schedule_id, *further))


def incidents(signal_id: str, query: Mapping[str, Any]) -> Call:
    return Call("GET", f"/api/signals/{segment(signal_id)}/incidents", query=query, repeatable=True)


def bars(query: Mapping[str, Any]) -> Call:
    return Call("GET", "/api/bars", query=query, repeatable=True)


def bar_page(query: Mapping[str, Any]) -> Call:
    """A part of the bars in the binary form, with the answer's headers. Putting years of seconds together takes a while."""
    return Call("GET", "/api/bars", _with_headers, {**query, "format": "binary"}, repeatable=True, reads_headers=True, waits=60)


def instrument(symbol: str, at: Optional[str]) -> Call:
    return Call("GET", f"/api/instruments/{segment(symbol)}", _with_headers, {"at": at}, repeatable=True, reads_headers=True)


def dataset(name: str, as_of: str) -> Call:
    return Call("GET", f"/api/datasets/{segment(name)}", query={"as_of": as_of}, repeatable=True)


def actions(symbol: str, as_of: str) -> Call:
    return Call("GET", f"/api/instruments/{segment(symbol)}/actions", query={"as_of": as_of}, repeatable=True)


def _with_headers(answer: Any, headers: Mapping[str, str]) -> Tuple[Any, Mapping[str, str]]:
    return answer, headers
