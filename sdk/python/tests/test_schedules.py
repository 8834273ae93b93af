"""Schedules against a stand-in platform: either client, and the command."""

import json
from datetime import datetime, timezone
from urllib.parse import parse_qs, urlsplit

import pytest
from platform_double import PlatformDouble

import auspex
from auspex import cli


def schedule(state="active", number=1, **more):
    return {
        "schedule_id": f"sch{number}", "signal_id": f"sig{number}", "state": state, "cadence": {"kind": "interval", "seconds": 60},
        "next_due_at": "2016-10-08T12:01:00.000000Z", **more,
    }


def backfill(state="open", completed=0, failed=0, **more):
    return {
        "backfill_id": "bf1", "schedule_id": "sch1", "version_id": "v1", "state": state, "from": "2016-10-08T00:00:00.000000Z",
        "to": "2016-10-08T00:03:00.000000Z", "overlap": "sequential", "due_count": 4, "completed": completed, "failed": failed, "cancelled": 0,
        "progress": (completed + failed) * 25, "created_at": "2016-10-09T00:00:00.000000Z", **more,
    }


def asked(platform):
    return [(request["method"], request["path"]) for request in platform.requests]


PREVIEW = {
    "cadence": {"kind": "cron"}, "note": "all of them",
    "next_due_times": [{"due_at": "2026-03-29T01:00:00.000000Z", "local_time": "2026-03-29T03:00:00+02:00", "zone": "Europe/Berlin", "note": "02:30 is skipped"}],
}
COUNTS = {
    "due": 10, "on_time": 7, "late": 1, "missed": 0, "skipped": 2, "skipped_by_reason": {"paused": 1, "calendar": 1}, "failed": 0, "unrecorded": 0,
    "share_on_time": 0.7778,
}
CADENCE = {
    "schedule_id": "sch1", "signal_id": "sig1", "from": "2016-10-08", "to": "2016-10-09", "total": COUNTS,
    "days": [{"day": "2016-10-08", "settled": False, "version": 0, "counts": COUNTS}],
}


def test_lists_go_page_by_page_and_find_a_signal_s(driver):
    pages = [{"items": [schedule(number=1)], "next_cursor": "next"}, {"items": [schedule(number=2)], "next_cursor": None}]
    with PlatformDouble(lambda request: (200, pages["cursor" in request["path"]])) as platform:
        client = driver(platform.url)
        assert [one.id for one in client.take(9, "schedules.list")] == ["sch1", "sch2"]
        found = client.call("schedules.of_signal", "sig2")
        assert found.id == "sch2" and found.next_due_at == datetime(2016, 10, 8, 12, 1, tzinfo=timezone.utc)
        assert client.call("schedules.of_signal", "sig3") is None
        assert asked(platform)[:2] == [("GET", "/api/schedules?limit=50"), ("GET", "/api/schedules?limit=50&cursor=next")]


def test_previews_of_what_is_saved_and_of_what_is_not(driver):
    with PlatformDouble(lambda request: (200, PREVIEW)) as platform:
        client = driver(platform.url)
        [due] = client.call("schedules.preview", "sch/1").due_times
        assert (due.due_at.hour, due.zone, due.note) == (1, "Europe/Berlin", "02:30 is skipped")
        table = {
            "kind": "cron", "expression": "30 2 * * *", "zone": "Europe/Berlin", "jitter_seconds": 5, "start_at": datetime(2026, 1, 31, 8, tzinfo=timezone.utc)}
        assert client.call("schedules.preview", table).note == "all of them"
        assert asked(platform) == [("GET", "/api/schedules/sch%2F1/preview"), ("POST", "/api/schedules/preview")]
        assert platform.requests[1]["json"] == {
            "schedule": {"kind": "cron", "expression": "30 2 * * *", "zone": "Europe/Berlin"},
            "policy": {"jitter_seconds": 5, "start_at": "2026-01-31T08:00:00.000000Z"}}


def test_acts_name_what_they_do_and_a_run_is_made_once(driver):
    lost = [None]

    def answer(request):
        if request["path"].endswith("/run"):
            return lost.pop() if lost else (202, {"job_id": "j1", "kind": "dry_run"})
        return (200, schedule("paused" if request["path"].endswith("pause") else "active"))

    with PlatformDouble(answer) as platform:
        client = driver(platform.url)
        assert client.call("schedules.pause", "sch1", "holidays").state == "paused"
        assert client.call("schedules.pause", "sch1").state == "paused"
        assert client.call("schedules.resume", "sch1").state == "active"
        assert client.call("schedules.run", "sch1") == "j1"
        assert [request["json"] for request in platform.requests[:3]] == [{"reason": "holidays"}, {}, None]
        runs = [request["headers"]["idempotency-key"] for request in platform.requests if request["path"] == "/api/schedules/sch1/run"]
        assert len(runs) == 2 and runs[0] == runs[1]


def test_a_backfill_is_begun_watched_and_cancelled(driver):
    states = [backfill(completed=1), backfill("completed", completed=3, failed=1)]
    run = {"due_at": "2016-10-08T00:00:00.000000Z", "job_id": "j1", "state": "completed"}

    def answer(request):
        path = urlsplit(request["path"]).path
        if path.endswith("/runs"):
            return (200, {"items": [run], "next_cursor": None})
        if request["method"] == "POST":
            return (202, backfill())
        if request["method"] == "DELETE":
            return (202, backfill("cancelled"))
        return (200, {"items": [backfill()], "next_cursor": None}) if path.endswith("/backfills") else (200, states.pop(0))

    with PlatformDouble(answer) as platform:
        client = driver(platform.url)
        begun = client.call("schedules.backfill", "sch1", "2016-10-08", datetime(2016, 10, 8, 0, 3), overlap="allow_all")
        assert not begun.is_over
        assert platform.requests[0]["json"] == {"from": "2016-10-08T00:00:00.000000Z", "to": "2016-10-08T00:03:00.000000Z", "overlap": "allow_all"}
        ended = client.call("schedules.wait_backfill", "sch1", begun.id, poll=0)
        assert ended.is_over and (ended.completed, ended.failed, ended.progress) == (3, 1, 100)
        assert client.call("schedules.cancel_backfill", "sch1", "bf1").state == "cancelled"
        assert [one.id for one in client.take(9, "schedules.backfills", "sch1")] == ["bf1"]
        assert [one.job_id for one in client.take(9, "schedules.backfill_runs", "sch1", "bf1")] == ["j1"]
        assert asked(platform)[1:] == [
            ("GET", "/api/schedules/sch1/backfills/bf1"), ("GET", "/api/schedules/sch1/backfills/bf1"), ("DELETE", "/api/schedules/sch1/backfills/bf1"),
            ("GET", "/api/schedules/sch1/backfills?limit=50"), ("GET", "/api/schedules/sch1/backfills/bf1/runs?limit=50")]


def test_a_wait_for_a_backfill_has_an_end(driver):
    with PlatformDouble(lambda request: (200, backfill())) as platform:
        with pytest.raises(TimeoutError):
            driver(platform.url).call("schedules.wait_backfill", "sch1", "bf1", timeout=-1)


def test_cadence_and_occurrences(driver):
    occurrence = {
        "occurrence_id": "o1", "due_at": "2016-10-08T00:00:00.000000Z", "due_count": 1, "as_of": "2016-10-08T00:00:00.000000Z", "outcome": "skipped",
        "reason": "paused", "made_at": "2016-10-08T00:00:00.000000Z",
    }
    with PlatformDouble(lambda request: (200, CADENCE if "cadence" in request["path"] else {"items": [occurrence], "next_cursor": None})) as platform:
        client = driver(platform.url)
        assert client.call("schedules.cadence", "sch1", start="2016-10-08")["total"]["on_time"] == 7
        [found] = client.take(9, "schedules.occurrences", "sch1")
        assert (found.outcome, found.reason, found.job_id) == ("skipped", "paused", None)
        assert asked(platform) == [("GET", "/api/schedules/sch1/cadence?from=2016-10-08"), ("GET", "/api/schedules/sch1/occurrences?limit=50")]


def test_refusals_and_what_cannot_be_read(driver):
    with PlatformDouble(lambda request: (404, {"code": "not_found", "field": "id"}) if "sch1" in request["path"] else (200, {})) as platform:
        client = driver(platform.url)
        for name in ("get", "preview", "pause", "resume", "run", "cadence"):
            with pytest.raises(auspex.NotFound):
                client.call(f"schedules.{name}", "sch1")
        for name, arguments in (("get", ["x"]), ("preview", ["x"]), ("get_backfill", ["x", "y"])):
            with pytest.raises(auspex.UnreadableAnswer):
                client.call(f"schedules.{name}", *arguments)


@pytest.fixture
def platform(monkeypatch, tmp_path):
    monkeypatch.setenv("AUSPEX_API_KEY", "aus_x")
    monkeypatch.chdir(tmp_path)

    def answer(request):
        path = urlsplit(request["path"]).path
        if path == "/api/schedules":
            return (200, {"items": [schedule("paused", pause_reason="a\x1b[2J\nb"), schedule(number=2)], "next_cursor": None})
        if path.endswith("preview"):
            return (200, PREVIEW)
        if path.endswith("cadence"):
            return (200, CADENCE)
        if path.endswith("/runs"):
            return (200, {"items": [{"due_at": "2016-10-08T00:00:00.000000Z", "job_id": "j1", "state": "failed"}], "next_cursor": None})
        if path.endswith("/backfills") and request["method"] == "GET":
            return (200, {"items": [], "next_cursor": None})
        if "backfills" in path:
            return (202, backfill("cancelled" if request["method"] == "DELETE" else "completed", completed=3, failed=1))
        if path.endswith("/run"):
            return (202, {"job_id": "j1", "kind": "dry_run"})
        if path.startswith("/api/jobs/"):
            job = {"job_id": "j1", "kind": "dry_run", "state": "completed", "progress": 100, "attempt": 1, "version": 3}
            events = f"id: 3\nevent: job\ndata: {json.dumps(job)}\n\n".encode()
            return (200, events, {"Content-Type": "text/event-stream"}) if path.endswith("stream") else (200, job)
        return (200, schedule("paused" if path.endswith("pause") else "active"))

    with PlatformDouble(answer) as double:
        yield double


def run(platform, *arguments):
    platform.requests.clear()
    return cli.main(["schedule", *arguments, "--url", platform.url])


def test_the_command_finds_the_schedule_of_a_signal_or_a_folder(platform, capsys, tmp_path):
    assert run(platform, "list") == 0
    assert capsys.readouterr().out == (
        "sch1  signal  sig1  paused       (a\\x1b[2J b)\nsch2  signal  sig2  active       next 2016-10-08 12:01:00 UTC\n")
    assert run(platform, "pause") == 1
    assert "which schedule?" in capsys.readouterr().err
    assert run(platform, "pause", "--signal", "sig2", "--reason", "holidays") == 0
    assert asked(platform)[-1] == ("POST", "/api/schedules/sch2/pause") and platform.requests[-1]["json"] == {"reason": "holidays"}
    (tmp_path / ".auspex").mkdir()
    (tmp_path / ".auspex" / "project.json").write_text(json.dumps({"url": platform.url, "signal_id": "sig1"}))
    assert run(platform, "resume") == 0
    assert asked(platform)[-1] == ("POST", "/api/schedules/sch1/resume")
    assert run(platform, "resume", "sch9") == 0
    assert asked(platform) == [("POST", "/api/schedules/sch9/resume")]


def test_the_command_previews_and_counts(platform, capsys, tmp_path):
    assert run(platform, "preview", "sch1") == 0
    assert capsys.readouterr().out == "2026-03-29 01:00:00 UTC  2026-03-29T03:00:00+02:00 Europe/Berlin  (02:30 is skipped)\nall of them\n"
    assert cli.main(["init", str(tmp_path / "mine")]) == 0
    assert run(platform, "preview", "--folder", str(tmp_path / "mine")) == 0
    assert asked(platform) == [("POST", "/api/schedules/preview")] and platform.requests[0]["json"]["schedule"]["kind"] == "bar_close"
    capsys.readouterr()
    assert run(platform, "cadence", "sch1", "--from", "2016-10-08") == 0
    counts = "10 due, 7 on time (77.78%), 1 late, 2 skipped (1 calendar, 1 paused)"
    assert capsys.readouterr().out == f"2016-10-08  {counts}  (so far)\n2016-10-08 to 2016-10-09: {counts}\n"


def test_the_command_runs_now_and_in_the_past(platform, capsys):
    assert run(platform, "run", "sch1") == 0
    assert "dry_run" in capsys.readouterr().out and asked(platform)[1] == ("GET", "/api/jobs/j1/stream")
    assert run(platform, "backfill", "sch1") == 0
    assert capsys.readouterr().out == "no backfills\n"
    # It ended, but a run of it failed.
    assert run(platform, "backfill", "sch1", "--from", "2016-10-08", "--to", "2016-10-08T00:03:00Z") == 1
    assert "completed, 4 of 4 runs, 1 failed" in capsys.readouterr().out
    assert run(platform, "backfill", "sch1", "--cancel", "bf1") == 0
    assert asked(platform) == [("DELETE", "/api/schedules/sch1/backfills/bf1")]
    assert run(platform, "backfill", "sch1", "--show", "bf1") == 0
    assert "  2016-10-08 00:00:00  j1  failed\n" in capsys.readouterr().out
    for mistake in (["--from", "2016-10-08"], ["--from", "soon", "--to", "2016-10-08"], ["--from", "2016-10-08", "--to", "2016-10-09", "--cancel", "bf1"]):
        assert run(platform, "backfill", "sch1", *mistake) == 1
        assert platform.requests == []


def test_logs_can_be_searched(monkeypatch, capsys):
    monkeypatch.setenv("AUSPEX_API_KEY", "aus_x")
    found = {"job_id": "j1", "attempt": 1, "lines": [{"number": 3, "text": "no \x1b[2Jdata"}], "count": 1}
    with PlatformDouble(lambda request: (200, {"items": [found] * 3, "next_cursor": "next"})) as platform:
        assert cli.main(["logs", "--search", "data", "-n", "2", "--signal", "sig1", "--url", platform.url]) == 0
        assert capsys.readouterr().out == "job j1, attempt 1: 1 line\n  3: no \\x1b[2Jdata\n" * 2
        [request] = platform.requests
        assert parse_qs(urlsplit(request["path"]).query) == {"q": ["data"], "signal_id": ["sig1"], "limit": ["20"]}
