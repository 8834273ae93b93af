"""`up --live`: what it says without a network, and what it asks of the platform with one."""

import contextlib
import http.server
import io
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest
import urllib.error
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from auspex_cli import live
from auspex_cli.commands import up
from auspex_cli.console import Failure
from auspex_cli.services import ServicePlan
from auspex_cli.settings import Settings
from auspex_demo.api import APIProblem


def closed_port() -> int:
    """A port on which nobody listens; one that was bound and let go again is the next one's who asks for any."""
    return 1


@contextlib.contextmanager
def answering(status: int, certificate: tuple[str, str] | None = None):
    """An exchange that answers everything with this status, over TLS where there is a certificate with its key; gives its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def settings(address: str) -> Settings:
    return Settings({"AUSPEX_BINANCE_REST_URL": address}, "")


def output_of(body) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        body()
    return out.getvalue()


@mock.patch.dict(os.environ, {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"})
class Reaching(unittest.TestCase):
    def test_somebody_who_answers_is_reached(self):
        with answering(200) as address:
            self.assertIsNone(live.trouble(live.SOURCES["binance"], settings(address + "/")))

    def test_a_refusal_is_said_with_its_status(self):
        with answering(451) as address:
            self.assertEqual(live.trouble(live.SOURCES["binance"], settings(address)), "it answers with status 451")

    def test_authorities_are_those_that_marketdata_trusts(self):
        with tempfile.TemporaryDirectory() as folder:
            made, key = f"{folder}/certificate.pem", f"{folder}/key.pem"
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", made]
                + ["-days", "2", "-subj", "/CN=exchange", "-addext", "subjectAltName=IP:127.0.0.1"],
                check=True,
                capture_output=True,
            )
            with answering(200, (made, key)) as address:
                told = {"AUSPEX_BINANCE_REST_URL": address}
                self.assertIn("CERTIFICATE_VERIFY_FAILED", live.trouble(live.SOURCES["binance"], Settings(told, "")))
                self.assertIsNone(live.trouble(live.SOURCES["binance"], Settings(told | {"AUSPEX_OUTBOUND_CA_FILE": made}, "")))
                for wrong in (key, f"{folder}/absent.pem"):
                    reason = live.trouble(live.SOURCES["binance"], Settings(told | {"AUSPEX_OUTBOUND_CA_FILE": wrong}, ""))
                    self.assertIn(f"AUSPEX_OUTBOUND_CA_FILE {wrong} cannot be used", reason)

    def test_nobody_there_and_nobody_who_speaks(self):
        source = live.SOURCES["binance"]
        self.assertIn("refused", live.trouble(source, settings(f"http://127.0.0.1:{closed_port()}")))
        self.assertTrue(live.trouble(source, settings("no address at all")))
        with socket.create_server(("127.0.0.1", 0)) as silent:
            self.assertIn("timed out", live.trouble(source, settings(f"http://127.0.0.1:{silent.getsockname()[1]}"), seconds=0.2))


@mock.patch.dict(os.environ, {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"})
class Showing(unittest.TestCase):
    def test_without_a_network_there_is_one_line_and_nothing_is_asked(self):
        address = f"http://127.0.0.1:{closed_port()}"
        # A deployment that would fail at any touch: nothing of the platform is asked.
        text = output_of(lambda: live.show(None, None, live.wish("binance", []), settings(address)))
        self.assertEqual(len(text.strip().splitlines()), 1)
        self.assertIn(f"live: Binance is not reached at {address}", text)
        self.assertIn("the platform runs as usual", text)

    def test_up_ends_as_without_it(self):
        address = f"http://127.0.0.1:{closed_port()}"
        endings = []
        for arguments in ([], ["--live"], ["--live", "BTCUSDT"]):
            with (
                mock.patch.object(up, "Settings", lambda: settings(address)),
                mock.patch.object(up, "layout_from"),
                mock.patch.object(up, "choices_from"),
                mock.patch.object(up, "Deployment"),
                mock.patch.object(up, "bring_up") as bring_up,
                mock.patch.object(up, "exclusive", lambda *_: contextlib.nullcontext()),
            ):
                codes = []
                text = output_of(lambda: codes.append(up.run(["--no-demo", *arguments])))
                endings.append((codes, bring_up.call_count, text.count("Auspex is up")))
                self.assertEqual(text.count("live: Binance is not reached"), 1 if arguments else 0)
        self.assertEqual(endings, [([0], 1, 1)] * 3)

    def test_with_a_network_the_instruments_are_made_live(self):
        class Platform:
            def __init__(self):
                self.asked = []

            def get(self, path):
                if path.endswith("ETHUSDT"):
                    return {"symbol": "ETHUSDT"}
                raise APIProblem("GET", path, 404, "unknown_instrument", "There is no such instrument.")

            def post(self, path, body):
                self.asked.append(("POST", path, body["symbol"], body["asset_class"]))

            def put(self, path, body):
                self.asked.append(("PUT", path, body["symbol"], body["stream"]))
                if "ETHUSDT" in path:
                    raise APIProblem("PUT", path, 409, "live_elsewhere", "The instrument is live from iqfeed.")

        platform = Platform()
        deployment = SimpleNamespace(
            gateway=SimpleNamespace(url="http://127.0.0.1:1", certificate=None), layout=SimpleNamespace(log=lambda name: f"{name}.log")
        )
        with answering(200) as address, mock.patch.object(live, "_administrator", lambda *_: platform):
            text = output_of(lambda: live.show(deployment, None, live.wish("binance", ["btcusdt", "ETHUSDT"]), settings(address)))
        self.assertEqual(
            platform.asked,
            [
                ("POST", "/api/instruments", "BTCUSDT", "crypto"),
                ("PUT", "/api/sources/binance/live?instrument=BTCUSDT", "BTCUSDT", "trades"),
                ("PUT", "/api/sources/binance/live?instrument=ETHUSDT", "ETHUSDT", "trades"),
            ],
        )
        self.assertIn("ETHUSDT is not live: The instrument is live from iqfeed.", text)
        self.assertIn("bars of Binance come as they close", text)


class Users:
    """The login and the terminal's commands of a platform with one administrator at most; `refusal` is what a login is met with instead."""

    def __init__(self, passwords=None, refusal=None, fails=()):
        self.passwords, self.refusal, self.fails, self.commands = dict(passwords or {}), refusal, fails, []

    def login(self, _, account):
        if self.refusal is not None:
            raise APIProblem("POST", "/api/login", self.refusal, "no", f"status {self.refusal}")
        if self.passwords.get(account.email) != account.password:
            raise APIProblem("POST", "/api/login", 401, "wrong_credentials", "wrong")
        return account.email

    def command(self, _, words):
        verb, email = words[1], words[words.index("--email") + 1]
        self.commands.append(verb)
        is_known = email in self.passwords
        if verb in self.fails or is_known == (verb == "create"):
            return SimpleNamespace(returncode=70, stderr=f"{verb} failed", stdout="")
        self.passwords[email] = "secret"
        return SimpleNamespace(returncode=0, stderr="", stdout="")


@mock.patch.dict(os.environ, {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"})
class Administering(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.record = Path(folder.name) / "live-admin.json"
        self.deployment = SimpleNamespace(
            gateway=SimpleNamespace(url="http://127.0.0.1:1", certificate=None),
            layout=SimpleNamespace(run=Path(folder.name), log=lambda name: f"{name}.log"),
            secrets=SimpleNamespace(password=lambda name: "secret", path=lambda name: Path(folder.name) / name),
        )

    def administrator(self, users: Users):
        with mock.patch.object(live, "login", users.login):
            return live._administrator(self.deployment, users, None)

    def test_made_once_and_then_known(self):
        users = Users()
        first = self.administrator(users)
        self.assertEqual(self.administrator(users), first)
        self.assertEqual((users.commands, list(users.passwords)), (["create"], [first]))

    def test_killed_after_it_was_made_there_is_no_second(self):
        users = Users()
        make = users.command

        def killed(service, words):
            make(service, words)
            raise KeyboardInterrupt

        users.command = killed
        with self.assertRaises(KeyboardInterrupt):
            self.administrator(users)
        users.command = make
        self.assertEqual([self.administrator(users)], list(users.passwords))

    def test_killed_before_it_was_made_it_is_made_then(self):
        users = Users()
        with mock.patch.object(users, "command", side_effect=KeyboardInterrupt), self.assertRaises(KeyboardInterrupt):
            self.administrator(users)
        self.assertEqual([self.administrator(users)], list(users.passwords))

    def test_with_secrets_that_are_gone_it_gets_the_new_password(self):
        users = Users()
        email = self.administrator(users)
        users.passwords[email] = "another"
        self.assertEqual(self.administrator(users), email)
        self.assertEqual(users.passwords, {email: "secret"})

    def test_one_who_is_kept_out_stays_out(self):
        users = Users()
        self.administrator(users)
        users.refusal = 403
        with self.assertRaises(APIProblem):
            self.administrator(users)
        self.assertEqual(users.commands, ["create"])

    def test_trouble_with_it_is_a_line_and_up_goes_on(self):
        for users, told in ((Users(refusal=429), "status 429"), (Users(refusal=503), "status 503"), (Users(fails=("create",)), "create failed")):
            self.record.unlink(missing_ok=True)
            with answering(200) as address, mock.patch.object(live, "login", users.login):
                text = output_of(lambda: live.show(self.deployment, users, live.wish("binance", ["BTCUSDT"]), settings(address)))
            self.assertIn("BTCUSDT: not live", text)
            self.assertIn(told, text)
            self.assertNotIn("come as they close", text)

    def test_a_gateway_that_is_gone_is_a_line_too(self):
        with answering(200) as address, mock.patch.object(live, "login", side_effect=urllib.error.URLError("refused")):
            text = output_of(lambda: live.show(self.deployment, Users(), live.wish("binance", ["BTCUSDT"]), settings(address)))
        self.assertIn("BTCUSDT: not live", text)


class Asking(unittest.TestCase):
    def test_symbols_and_sources_that_cannot_be_are_one_clear_line(self):
        for source, symbols in (("nobody", []), ("binance", ["a/b"]), ("binance", [""]), ("binance", ["X" * 21]), ("coinbase", ["BTC USD"])):
            with self.assertRaises(Failure) as caught:
                live.wish(source, symbols)
            self.assertEqual(caught.exception.exit_code, 2)

    def test_what_is_watched_unless_told(self):
        self.assertEqual(live.wish("binance", []).symbols, ("BTCUSDT", "ETHUSDT"))
        self.assertEqual(live.wish("coinbase", ["btc-usd", "BTC-USD"]).symbols, ("BTC-USD",))

    def test_a_symbol_without_live_is_refused(self):
        with self.assertRaises(Failure):
            up.run(["BTCUSDT"])

    def test_only_marketdata_gets_keys_of_exchanges_and_the_way_through_a_proxy(self):
        told = Settings({"AUSPEX_BINANCE_API_KEY": "k", "AUSPEX_OPENBB_URL": "http://x"}, "")
        self.assertEqual(told.for_service("executor"), {})
        self.assertEqual(set(told.for_service("marketdata")), {"AUSPEX_BINANCE_API_KEY", "AUSPEX_OPENBB_URL"})
        plan = ServicePlan.__new__(ServicePlan)
        plan.deployment = mock.MagicMock(settings=told)
        plan.rights = mock.MagicMock()
        with mock.patch.dict(os.environ, {"HTTPS_PROXY": "http://proxy.example:3128"}):
            self.assertEqual(plan.environment("marketdata").get("HTTPS_PROXY"), "http://proxy.example:3128")
            self.assertIsNone(plan.environment("signals").get("HTTPS_PROXY"))


if __name__ == "__main__":
    unittest.main()
