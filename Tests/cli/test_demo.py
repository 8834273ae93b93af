"""What `up` shows when something goes wrong on the way, and what it leaves behind."""

import contextlib
import io
import json
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from auspex_cli import demo
from auspex_cli.console import Failure, step
from auspex_cli.downloads import Fetched
from auspex_cli.layout import Layout
from auspex_demo import market, signals
from auspex_demo.accounts import Account
from auspex_demo.api import APIProblem
from auspex_demo.main_job import Cast

from support import folder_for

PROBLEM = APIProblem("POST", "/api/imports", 503, "unavailable", "come back later")


class Gateway:
    """The platform's answers, in memory: replays and signals of one provider, and a stranger's replay."""

    def __init__(self):
        self.replays = {"other": "running"}
        self.signals: set[str] = set()
        self.away = False

    def get(self, path: str) -> dict:
        if self.away:
            raise ConnectionRefusedError("connection refused")
        if path.startswith("/api/replays"):
            return {"items": [{"id": name, "state": state} for name, state in self.replays.items()], "next_cursor": None}
        return {"items": [{"id": name} for name in sorted(self.signals)], "next_cursor": None}

    def delete(self, path: str) -> dict:
        name = path.rpartition("/")[2]
        if name == "other":
            raise APIProblem("DELETE", path, 404, "unknown_replay", "There is no such replay.")
        if path.startswith("/api/replays"):
            self.replays[name] = "stopped"
        else:
            self.signals.discard(name)
        return {}


class Job:
    """The steps of the main job on such a platform, one of which fails."""

    casts = 0

    def __init__(self, gateway: Gateway, failing: str | None, error: BaseException = PROBLEM):
        self.gateway, self.failing, self.error = gateway, failing, error

    def _step(self, name: str) -> None:
        if name == self.failing:
            raise self.error

    def cast(self) -> Cast:
        Job.casts += 1
        return Cast(*(Account(f"{name}-{Job.casts}@x", "password", name) for name in ("admin", "provider", "subscriber")))

    def as_(self, account: Account) -> Gateway:
        return self.gateway

    def load_bars(self, cast, sources):
        self._step("load_bars")
        return [{"instrument": "SPY", "rows": 2000}]

    def start_replays(self, cast, sources, seconds_a_bar):
        self.gateway.replays[f"replay-{len(self.gateway.replays)}"] = "running"
        self._step("start_replays")

    def publish(self, cast):
        self.gateway.signals.add("first")
        self._step("publish")

    def subscribe(self, cast):
        self._step("subscribe")
        cast.key = "aus_key"


class DemoThatFails(unittest.TestCase):
    def setUp(self):
        Job.casts = 0
        self.layout = Layout(folder_for(self) / "var")
        self.layout.prepare()
        self.gateway = Gateway()
        self.deployment = SimpleNamespace(
            layout=self.layout, control=None, gateway=SimpleNamespace(url="http://127.0.0.1:1", certificate=None))
        self.record = self.layout.run / "demo.json"
        for name in ("market_sources", "data_folder", "_show_on_page"):
            patch = mock.patch.object(demo, name)
            patch.start()
            self.addCleanup(patch.stop)

    def show(self, failing: str | None, error: BaseException = PROBLEM) -> str:
        said = io.StringIO()
        with mock.patch.object(demo, "MainJob", lambda *_: Job(self.gateway, failing, error)), contextlib.redirect_stdout(said):
            demo.show(self.deployment, None, data=None, story=False)
        return said.getvalue()

    def running(self) -> list[str]:
        return [name for name, state in self.gateway.replays.items() if state == "running" and name != "other"]

    def test_any_step_that_fails_names_itself_and_its_log(self):
        for failing, name, log in [
            ("load_bars", "make demo accounts, import real bars", "marketdata"), ("start_replays", "the main job", "executor"),
            ("publish", "the main job", "executor"), ("subscribe", "the main job", "executor"),
        ]:
            for error in (PROBLEM, ConnectionResetError("connection reset")):
                with self.subTest(failing, error=error), self.assertRaises(Failure) as caught:
                    self.show(failing, error)
                self.assertEqual((caught.exception.step, caught.exception.log), (name, self.layout.log(log)))
                self.assertEqual(caught.exception.reason, str(error))
                self.assertFalse(self.record.exists())

    def test_what_was_begun_is_taken_back_and_the_next_up_uses_the_same_accounts(self):
        for failing in ("start_replays", "publish", "subscribe"):
            with self.assertRaises(Failure):
                self.show(failing)
            self.assertEqual((self.running(), self.gateway.signals), ([], set()), failing)
        said = self.show(None)
        self.assertEqual(Job.casts, 1)
        self.assertEqual((len(self.running()), self.gateway.signals), (1, {"first"}))
        self.assertIn("provider-1@x", said)
        self.assertTrue(self.record.exists())
        self.assertFalse((self.layout.run / "demo.unfinished.json").exists())
        self.assertEqual(self.gateway.replays["other"], "running", "a stranger's replay is nobody's business")

    def test_an_interrupted_demo_is_taken_back_as_well(self):
        with self.assertRaises(KeyboardInterrupt):
            self.show("publish", KeyboardInterrupt())
        self.assertEqual((self.running(), self.gateway.signals), ([], set()))

    def test_what_could_not_be_taken_back_is_ended_by_the_next_up(self):
        class Away(Exception):
            pass

        def go_away(*_):
            self.gateway.away = True
            raise Away("the gateway is gone")

        with mock.patch.object(Job, "subscribe", go_away), self.assertRaises(Failure):
            self.show(None)
        self.assertEqual(len(self.running()), 1)
        before = self.running()
        self.gateway.away = False
        self.show(None)
        self.assertEqual(self.gateway.replays[before[0]], "stopped")
        self.assertEqual(len(self.running()), 1)

    def test_the_unfinished_record_is_private_and_a_broken_one_is_no_obstacle(self):
        with self.assertRaises(Failure):
            self.show("subscribe")
        unfinished = self.layout.run / "demo.unfinished.json"
        self.assertEqual(unfinished.stat().st_mode & 0o777, 0o600)
        unfinished.write_text("{")
        self.show(None)
        self.assertEqual(json.loads(self.record.read_text())["signals"], [])


class Steps(unittest.TestCase):
    def test_any_exception_is_a_failure_of_the_step(self):
        log = folder_for(self) / "step.log"
        for error, reason in [
            (PROBLEM, str(PROBLEM)), (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
            (KeyError("rows"), "KeyError: 'rows' (test_demo.py, line "),
        ]:
            with contextlib.redirect_stdout(io.StringIO()), self.assertRaises(Failure) as caught:
                with step("import bars", log=log):
                    raise error
            self.assertEqual((caught.exception.step, caught.exception.log), ("import bars", log))
            self.assertIn(reason, caught.exception.reason)

    def test_a_failure_keeps_the_step_that_it_names_itself(self):
        with contextlib.redirect_stdout(io.StringIO()), self.assertRaises(Failure) as caught:
            with step("outer"):
                raise Failure("no", step="inner")
        self.assertEqual(caught.exception.step, "inner")


class Bars(unittest.TestCase):
    def lazily(self, layout: Layout) -> tuple[Fetched, mock.Mock]:
        patch = mock.patch("auspex_cli.downloads.fetch", return_value={"FOREX_EURUSD_1H_ASK.csv": Path("euro.csv")})
        fetch = patch.start()
        self.addCleanup(patch.stop)
        return Fetched(demo.LOCK, layout.downloads, layout), fetch

    def test_the_samples_are_fetched_only_where_there_is_nothing_else(self):
        folder = folder_for(self)
        samples, fetch = self.lazily(Layout(folder / "var"))
        for path in ("lean/equity/usa/second/spy/20131008_trade.zip", "lean/crypto/coinbase/second/btcusd/20161008_trade.zip"):
            (folder / path).parent.mkdir(parents=True)
            (folder / path).touch()
        self.assertEqual([source.symbol for source in market.sources(folder, samples)], ["SPY", "BTCUSD"])
        fetch.assert_not_called()
        self.assertEqual([source.path for source in market.sources(None, samples)], [Path("euro.csv")] * 2)
        fetch.assert_called_once()


class TakingBack(unittest.TestCase):
    def test_only_ones_own_replays_and_signals(self):
        gateway = Gateway()
        gateway.replays |= {"mine": "running", "over": "stopped"}
        gateway.signals = {"a", "b"}
        self.assertEqual(market.stop_all(gateway), 1)
        self.assertEqual(gateway.replays, {"other": "running", "mine": "stopped", "over": "stopped"})
        self.assertEqual(signals.delete_all(gateway), 2)


if __name__ == "__main__":
    unittest.main()
