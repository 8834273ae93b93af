"""Jobs against a stand-in platform."""

import ast
import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from platform_double import PlatformDouble

import auspex
from auspex import cli


def job(state="pending", progress=0, number=1, version=1, **more):
    return {
        "job_id": f"0192{number:04d}", "kind": "backtest", "state": state, "progress": progress, "attempt": 1, "version": version,
        "created_at": "2016-10-08T12:01:00.000000Z", **more,
    }


def stream(*jobs):
    events = "".join(f"id: {number}\nevent: {kind}\ndata: {json.dumps(data)}\n\n" for number, kind, data in jobs)
    return (200, ("retry: 2000\n\n: alive\n\n" + events).encode(), {"Content-Type": "text/event-stream"})


def question(request):
    return parse_qs(urlsplit(request["path"]).query)


def test_lists_follow_their_pages_and_filters(driver):
    answers = [(200, {"items": [job(number=2), job(number=1)], "next_cursor": "next"}), (200, {"items": [job(number=0)], "next_cursor": None})]
    with PlatformDouble(lambda request: answers.pop(0)) as platform:
        found = driver(platform.url).take(9, "jobs.list", state="failed", kind=["backtest", "dry_run"], batch="b", oldest_first=True)
        assert [one.id for one in found] == ["01920002", "01920001", "01920000"]
        assert question(platform.requests[0]) == {
            "state": ["failed"], "kind": ["backtest,dry_run"], "batch": ["b"], "order": ["oldest"], "limit": ["50"]}
        assert question(platform.requests[1])["cursor"] == ["next"]


def test_waits_through_lost_connections_and_gives_the_result(driver):
    answers = [
        stream((1, "job", job())), None, stream((2, "job", job("running", 40, version=2)), (3, "job", job("completed", 100, version=3))),
        (200, job("completed", 100, version=3, result={"sharpe": 1.5})),
    ]
    with PlatformDouble(lambda request: answers.pop(0)) as platform:
        done = driver(platform.url).call("jobs.wait", "01920001")
        assert done.succeeded and done.result == {"sharpe": 1.5}
        assert [request["path"] for request in platform.requests] == ["/api/jobs/01920001/stream"] * 3 + ["/api/jobs/01920001"]


def test_a_wait_ends_in_time_though_the_stream_lives_on(driver):
    with PlatformDouble(lambda request: stream(*[(number, "job", job("running", number)) for number in range(50)])) as platform:
        with pytest.raises(TimeoutError):
            driver(platform.url).call("jobs.wait", "01920001", timeout=0)


def test_following_goes_on_from_the_last_id(driver):
    answers = [
        stream((5, "mark", {}), (7, "job", job())), stream((9, "job", job("running", 1, version=2)), (12, "reset", {})), stream((13, "job", job("failed"))),
    ]
    with PlatformDouble(lambda request: answers.pop(0)) as platform:
        states = [one.state for one in driver(platform.url).take(3, "jobs.follow")]
        assert states == ["pending", "running", "failed"]
        assert [question(request).get("after") for request in platform.requests] == [None, ["7"], ["12"]]


def test_refusals_are_raised(driver):
    with PlatformDouble(lambda request: (404, {"code": "not_found", "field": "id"})) as platform:
        for name in ("get", "cancel", "wait", "batch", "cancel_batch"):
            with pytest.raises(auspex.NotFound):
                driver(platform.url).call(f"jobs.{name}", "01920001")


def test_cancels_with_children_and_shows_batches_and_costs(driver):
    answers = [(202, job("cancelled")), (200, {"state": "running"}), (200, {"items": [], "total": {}})]
    with PlatformDouble(lambda request: answers.pop(0)) as platform:
        client = driver(platform.url)
        assert client.call("jobs.cancel", "01920001", children=True).state == "cancelled"
        assert client.call("jobs.batch", "b/1")["state"] == "running"
        client.call("jobs.costs", start="2016-10-01", group="day")
        assert [(request["method"], request["path"]) for request in platform.requests] == [
            ("DELETE", "/api/jobs/01920001?children=true"), ("GET", "/api/jobs/batches/b%2F1"), ("GET", "/api/jobs/costs?from=2016-10-01&group=day")]


def test_a_search_in_logs_goes_on_over_empty_pages(driver):
    found = {"job_id": "01920001", "attempt": 2, "lines": [{"number": 7, "text": "Nothing"}], "count": 31, "stored_at": "2016-10-08T12:01:00.000000Z"}
    answers = [(200, {"items": [], "next_cursor": "further"}), (200, {"items": [found], "next_cursor": None})]
    with PlatformDouble(lambda request: answers.pop(0)) as platform:
        [log] = driver(platform.url).take(9, "jobs.search_logs", "noth", signal="s1", start="2016-10-08")
        assert (log.job_id, log.attempt, log.lines, log.count) == ("01920001", 2, ((7, "Nothing"),), 31)
        asked = {"q": ["noth"], "signal_id": ["s1"], "from": ["2016-10-08T00:00:00.000000Z"], "limit": ["20"]}
        assert [question(request) for request in platform.requests] == [asked, {**asked, "cursor": ["further"]}]
        assert urlsplit(platform.requests[0]["path"]).path == "/api/jobs/logs"


def test_a_log_is_followed_to_its_end(driver):
    answers = [stream(("1", "log", {"attempt": 1, "text": "one"}), ("2", "other", {})), None, stream(("3", "end", {"attempt": 1, "state": "completed"}))]
    with PlatformDouble(lambda request: (*answers.pop(0)[:2], {"Content-Type": "text/event-stream", "chunked": True}) if answers[0] else answers.pop(0)) as platform:
        events = driver(platform.url).take(9, "follow_log", "01920001")
        assert [(event.text, event.state) for event in events] == [("one", None), ("", "completed")]
        assert [question(request).get("after") for request in platform.requests] == [None, ["1"], ["1"]]
        assert platform.requests[0]["headers"]["accept"] == "text/event-stream"


def test_the_command_lists_shows_and_waits(monkeypatch, capsys):
    monkeypatch.setenv("AUSPEX_API_KEY", "aus_x")

    def answer(request):
        path = urlsplit(request["path"]).path
        if path == "/api/jobs":
            return (200, {"items": [job("running", 40)], "next_cursor": None})
        if path.endswith("/stream"):
            return stream((3, "job", job("failed", failure_kind="exception")))
        return (200, job("failed", failure_kind="exception", error_message="ValueError: \x1b[2Jx\nat line 1", cpu_seconds=0.5))

    with PlatformDouble(answer) as platform:
        assert cli.main(["jobs", "--url", platform.url]) == 0
        assert "backtest     running 40 %" in capsys.readouterr().out
        assert cli.main(["jobs", "01920001", "--url", platform.url]) == 0
        shown = capsys.readouterr().out
        assert "failed (exception)" in shown and "! ValueError: \\x1b[2Jx\n" in shown and "cpu seconds: 0.5" in shown
        assert cli.main(["jobs", "01920001", "--wait", "--url", platform.url]) == 1
        capsys.readouterr()
        assert cli.main(["logs", "--job", "01920001", "--url", platform.url]) == 0
        assert "! ValueError: \\x1b[2Jx\n" in capsys.readouterr().out


def test_no_call_hides_another_one_of_its_name():
    for path in Path(auspex.__file__).parent.glob("*.py"):
        names = [node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        assert len(names) == len(set(names)), path.name
