"""Both clients against a stand-in platform; each test runs with either."""

import asyncio
import threading
from datetime import datetime, timezone
from decimal import Decimal

import pytest
from platform_double import PlatformDouble, page, row

import auspex
from auspex import AsyncClient, Client


def test_a_page_is_typed(driver):
    outcome = {
        "state": "settled", "opens_at": "2016-10-08T12:01:01.000000Z", "open_price": "616.5", "closes_at": None, "close_price": None,
        "realised_return": "-0.001", "correct": False, "counts": True, "reason": None, "settled_at": None}
    rows = [row(2, outcome=outcome, seal={"n": 7, "root": "ab", "sealed_at": "2016-10-08T12:01:03.000000Z"}), row(1, kind="quantiles", value={"0.1": "1.5", "0.9": "2"})]
    with PlatformDouble(lambda request: (200, page(rows))) as platform:
        answer = driver(platform.url).call("predictions", "s1", limit=2)
        assert platform.requests[0]["path"] == "/api/predictions/s1?limit=2"
        assert platform.requests[0]["headers"]["x-api-key"] == "aus_k"
    newest, oldest = answer.items
    assert newest.value == Decimal("616.53") and newest.seq == 2
    assert newest.made_at == datetime(2016, 10, 8, 12, 1, 2, 1, tzinfo=timezone.utc)
    assert newest.outcome.correct is False and newest.outcome.realised_return == Decimal("-0.001")
    assert newest.seal.n == 7
    assert oldest.value == {"0.1": Decimal("1.5"), "0.9": Decimal(2)}
    assert answer.last_outcome == "fired" and answer.next_due_at is None


@pytest.mark.parametrize("status,kind,code", [
    (400, auspex.BadRequest, "invalid_parameter"), (401, auspex.Unauthorized, "invalid_api_key"), (403, auspex.Forbidden, "not_subscribed"),
    (404, auspex.NotFound, "not_found"), (409, auspex.Conflict, "conflict"), (422, auspex.BadRequest, "unprocessable"), (418, auspex.ProblemError, "teapot"),
])
def test_refusals_are_exceptions(driver, status, kind, code):
    with PlatformDouble(lambda request: (status, {"code": code, "detail": "No.", "field": "f", "request_id": "r"})) as platform:
        with pytest.raises(kind) as caught:
            driver(platform.url).call("predictions", "s1")
        assert len(platform.requests) == 1
    assert (caught.value.code, caught.value.field, caught.value.request_id, caught.value.status) == (code, "f", "r", status)


def test_a_limit_says_when_to_return(driver):
    with PlatformDouble(lambda request: (429, {"code": "rate_limited"}, {"Retry-After": "7"})) as platform:
        with pytest.raises(auspex.RateLimited) as caught:
            driver(platform.url).call("predictions", "s1")
    assert caught.value.retry_after == 7


def test_used_up_credits_are_an_error_of_their_own(driver):
    with PlatformDouble(lambda request: (402, {"code": "usage_exceeded", "detail": "The credits of this API key are used up."})) as platform:
        with pytest.raises(auspex.UsageExceeded) as caught:
            driver(platform.url).call("predictions", "s1")
        assert caught.value.code == "usage_exceeded" and caught.value.status == 402
        assert len(platform.requests) == 1
        # It does not pass by itself, so a follower hears of it too.
        with pytest.raises(auspex.UsageExceeded):
            driver(platform.url).take(1, "follow", "s1", after_seq=0)


def test_a_key_is_made_with_its_limits(driver):
    with PlatformDouble(lambda request: (201, {"id": "k", "key": "aus_x", "secret_already_shown": False, "api_key": {}})) as platform:
        assert driver(platform.url).call("create_key", "k", ["predictions:read"], requests_per_minute=60, credits=0) == "aus_x"
        driver(platform.url).call("create_key", "k", ["predictions:read"])
        assert platform.requests[0]["json"] == {"name": "k", "scopes": ["predictions:read"], "requests_per_minute": 60, "credits": 0}
        assert platform.requests[1]["json"] == {"name": "k", "scopes": ["predictions:read"]}


def test_reads_are_repeated_and_plain_posts_are_not(driver):
    with PlatformDouble(lambda request: (503, {"code": "unavailable"})) as platform:
        client = driver(platform.url)
        with pytest.raises(auspex.Unavailable):
            client.call("predictions", "s1")
        assert len(platform.requests) == 3
        platform.requests.clear()
        with pytest.raises(auspex.Unavailable):
            client.call("create_key", "k", ["predictions:read"])
        assert len(platform.requests) == 1


def test_changes_are_repeated_under_one_idempotency_key(driver):
    answers = [None, None, (201, {"id": "sub", "signal_id": "s1", "active": True})]
    with PlatformDouble(lambda request: answers.pop(0)) as platform:
        subscription = driver(platform.url).call("subscribe", "s1")
        assert subscription.active
        keys = {request["headers"]["idempotency-key"] for request in platform.requests}
        assert len(platform.requests) == 3 and len(keys) == 1
        assert platform.requests[-1]["json"] == {"signal_id": "s1"}


def test_nobody_there(driver):
    with PlatformDouble(lambda request: None) as platform:
        url = platform.url
    with pytest.raises(auspex.ConnectionFailed) as caught:
        driver(url).call("predictions", "s1")
    assert "aus_k" not in str(caught.value)


def test_chunked_answers_and_unreadable_ones(driver):
    answers = [(200, page([row(1)]), {"chunked": True}), (200, b"{nonsense"), (200, {"items": []}), (204, None)]
    with PlatformDouble(lambda request: answers.pop(0)) as platform:
        client = driver(platform.url)
        assert client.call("predictions", "s1").items[0].seq == 1
        for _ in range(2):
            with pytest.raises(auspex.UnreadableAnswer):
                client.call("predictions", "s1")
        assert client.call("unsubscribe", "sub/1") is None
        assert platform.requests[-1]["path"] == "/api/subscriptions/sub%2F1"


def test_history_reads_page_by_page(driver):
    def answer(request):
        return (200, page([row(2), row(1)])) if "cursor=next" in request["path"] else (200, page([row(4), row(3)], next_cursor="next"))

    with PlatformDouble(answer) as platform:
        assert [item.seq for item in driver(platform.url).take(10, "history", "s1")] == [4, 3, 2, 1]


class Feed:
    """A signal whose rows grow while a follower waits, with faults in between."""

    def __init__(self, faults=()):
        self.faults = list(faults)
        self.last = 3
        self.lock = threading.Lock()

    def answer(self, request):
        with self.lock:
            if self.faults:
                fault = self.faults.pop(0)
                if fault != "fine":
                    return fault
            if "after_seq" not in request["path"]:
                return 200, page([row(self.last)])
            after = int(request["path"].split("after_seq=")[1].split("&")[0])
            self.last = max(self.last, after + 2)
            return 200, page([row(seq) for seq in range(after + 1, self.last + 1)], seq=self.last)


def test_follow_gives_each_row_once_and_in_order(driver):
    faults = ["fine", None, (503, {"code": "unavailable"}), (503, {"code": "unavailable"}), "fine", (429, {"code": "rate_limited"}), (502, b"<html>")]
    feed = Feed(faults)
    with PlatformDouble(feed.answer) as platform:
        found = driver(platform.url).take(9, "follow", "s1", after_seq=0)
        assert [item.seq for item in found] == list(range(1, 10))
        assert "wait=30" in platform.requests[0]["path"]


def test_follow_begins_with_what_comes_next(driver):
    feed = Feed()
    with PlatformDouble(feed.answer) as platform:
        assert [item.seq for item in driver(platform.url).take(3, "follow", "s1")] == [4, 5, 6]
        assert "wait" not in platform.requests[0]["path"]


def test_follow_raises_what_will_not_pass(driver):
    with PlatformDouble(lambda request: (403, {"code": "not_subscribed"})) as platform:
        with pytest.raises(auspex.Forbidden):
            driver(platform.url).take(1, "follow", "s1", after_seq=0)
    with PlatformDouble(lambda request: (200, page([row(5)]))) as platform:
        with pytest.raises(auspex.MissingRows) as caught:
            driver(platform.url).take(1, "follow", "s1", after_seq=3)
        assert (caught.value.expected, caught.value.found) == (4, 5)
    epochs = [1, 2]
    with PlatformDouble(lambda request: (200, page([row(4 if len(epochs) == 2 else 5)], ledger_epoch=epochs.pop(0)))) as platform:
        with pytest.raises(auspex.LedgerRestarted):
            driver(platform.url).take(2, "follow", "s1", after_seq=3)


def test_a_login_renews_its_token_once(driver):
    state = {"token": "t1", "refreshed": 0}

    def answer(request):
        if request["path"] == "/api/login":
            assert request["json"] == {"email": "a@b.c", "password": "secret"}
            return 200, {"access_token": "t1", "refresh_token": "r1"}
        if request["path"] == "/api/refresh":
            assert request["json"] == {"refresh_token": f"r{state['refreshed'] + 1}"}
            state["refreshed"] += 1
            state["token"] = f"t{state['refreshed'] + 1}"
            return 200, {"access_token": state["token"], "refresh_token": f"r{state['refreshed'] + 1}"}
        if request["headers"].get("authorization") != f"Bearer {state['token']}":
            return 401, {"code": "token_expired"}
        return 200, page([row(1)])

    with PlatformDouble(answer) as platform:
        client = driver.login(platform.url, "a@b.c", "secret")
        assert client.call("predictions", "s1").items
        state["token"] = "gone"
        assert client.call("predictions", "s1").items
        assert state["refreshed"] == 1
        assert "t2" not in repr(client.client) and "r2" not in repr(client.client)


def test_a_revoked_login_is_not_renewed_for_ever(driver):
    def answer(request):
        if request["path"] in ("/api/login", "/api/refresh"):
            return 200, {"access_token": "t", "refresh_token": "r"}
        return 401, {"code": "token_expired"}

    with PlatformDouble(answer) as platform:
        with pytest.raises(auspex.Unauthorized):
            driver.login(platform.url, "a@b.c", "secret").call("predictions", "s1")
        assert len(platform.requests) < 6


def test_dry_runs_are_waited_for(driver):
    states = ["pending", "running", "completed"]

    def answer(request):
        if request["method"] == "POST":
            return 202, {"id": "run1", "version": 3, "state": "pending"}
        return 200, {"id": "run1", "version": 3, "state": states.pop(0), "result": {"rows": [{"row": 0}]}, "refusal": None, "log": "hello"}

    with PlatformDouble(answer) as platform:
        run = driver(platform.url).call("dry_run", "s1", 3, poll=0.001)
        assert run.succeeded and run.log == "hello" and run.rows == ({"row": 0},)
        assert platform.requests[0]["path"] == "/api/signals/s1/versions/3/dry-run"


@pytest.mark.parametrize("url", ["ftp://a", "auspex.example", "http://", "https://user:key@a"])
def test_urls_are_checked(url):
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError):
            kind(url)


def test_keys_do_not_show():
    assert "aus_secret" not in repr(Client("http://a", api_key="aus_secret"))
    assert repr(Client("http://a", key="aus_secret")) == "Client('http://a', Credentials(api key))"


def test_the_sandbox_does_not_pay_for_the_client():
    import subprocess
    import sys

    code = "import auspex, sys; print(sorted(name for name in sys.modules if name in ('ssl', 'http.client', 'asyncio', 'auspex.client')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_both_clients_have_the_same_calls():
    def calls(kind):
        return {name for name in dir(kind) if not name.startswith("_")}

    client, other = Client("http://127.0.0.1:1"), AsyncClient("http://127.0.0.1:1")
    for one, another in ((client, other), (client.jobs, other.jobs), (client.schedules, other.schedules)):
        assert calls(one) == calls(another)
