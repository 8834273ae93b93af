"""Following bars against a stand-in platform."""

from urllib.parse import parse_qs, urlsplit

import pytest
from platform_double import PlatformDouble

import auspex
from auspex import Client


def event(number, start, kind="bar", identified=True):
    mark = f"id: {number}\n" if identified else ""
    return f'{mark}event: {kind}\ndata: {{"topic":"1m:SPY","start":"{start}","close":"1.5"}}\n\n'.encode()


def stream(*parts):
    return (200, b"retry: 2000\n\n" + b"".join(parts), {"Content-Type": "text/event-stream"})


def question(request):
    return parse_qs(urlsplit(request["path"]).query)


def test_goes_on_from_the_last_id_and_skips_what_is_cut_off(driver):
    answers = [
        stream(event(7, "a"), b": alive\n\n", event(8, "b", "running"), event(9, "c", identified=False), b'event: bar\ndata: {"topic"'),
        None,
        stream(event(9, "c"), b'id: 10\nevent: mark\ndata: {"known_at":"x"}\n\n'),
        stream(event(11, "d")),
    ]
    with PlatformDouble(lambda request: answers.pop(0)) as platform:
        events = driver(platform.url).take(5, "follow_bars", ["1m:SPY", "5m:A&B"], after=6)
        assert [(one.kind, one.data["start"], one.id) for one in events] == [
            ("bar", "a", 7), ("running", "b", 8), ("bar", "c", None), ("bar", "c", 9), ("bar", "d", 11)]
        assert [question(request)["after"] for request in platform.requests] == [["6"], ["8"], ["8"], ["10"]]
        assert all(question(request)["topic"] == ["1m:SPY", "5m:A&B"] for request in platform.requests)
        assert platform.requests[0]["headers"]["accept"] == "text/event-stream"


def test_a_refusal_that_does_not_pass_is_raised(driver):
    with PlatformDouble(lambda request: (404, {"code": "unknown_instrument", "field": "topic"})) as platform:
        with pytest.raises(auspex.NotFound) as refused:
            driver(platform.url).take(1, "follow_bars", ["1m:NOBODY"])
        assert refused.value.code == "unknown_instrument"


def test_a_token_that_has_ended_is_renewed(driver):
    answers = [
        (401, {"code": "token_expired"}), (200, {"access_token": "new", "refresh_token": "next", "expires_in": 900}), stream(event(1, "a")),
    ]
    with PlatformDouble(lambda request: answers.pop(0)) as platform:
        client = driver(platform.url, api_key=None, access_token="old", refresh_token="once")
        assert client.take(1, "follow_bars", ["1m:SPY"])[0].data["start"] == "a"
        assert platform.requests[2]["headers"]["authorization"] == "Bearer new"


def test_a_log_is_followed_to_its_end_over_lost_connections():
    def piece(number, text):
        return f'id: a.{number}\nevent: log\ndata: {{"attempt":1,"attempt_id":"a","offset":0,"text":"{text}"}}\n\n'.encode()

    end = b'id: a.9\nevent: end\ndata: {"attempt":1,"state":"failed","failure_kind":"exception","error_message":"no","truncated":false}\n\n'
    answers = [stream(piece(3, "one"), b'event: log\ndata: {"attempt"'), None, stream(piece(6, "two"), b": alive\n\n", end)]
    with PlatformDouble(lambda request: answers.pop(0)) as platform:
        events = list(Client(platform.url, api_key="aus_x").follow_log("j1"))
        assert [event.text for event in events] == ["one", "two", ""] and events[-1].state == "failed"
        assert [question(request).get("after") for request in platform.requests] == [None, ["a.3"], ["a.3"]]
        assert all(request["path"].startswith("/api/jobs/j1/logs/stream") for request in platform.requests)
