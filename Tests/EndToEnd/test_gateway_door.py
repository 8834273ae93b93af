"""The public door alone, with nobody behind it: what it refuses, and how."""

import http.client
import json
import socket
import subprocess
import unittest

from auspex_cli.gateway import Gateway
from auspex_cli.layout import REPOSITORY, Layout, Ports
from auspex_cli.process import port_answers, stop, wait_until
from auspex_demo.private_platform import free_base


class Door(unittest.TestCase):
    """nginx with the real configuration and no service."""

    @classmethod
    def setUpClass(cls):
        layout = Layout(REPOSITORY / "var" / "private" / "door")
        layout.prepare()
        base = free_base()
        cls.port = base + 80
        cls.layout = layout
        gateway = Gateway(layout, Ports(base, cls.port), 1, rate=100000, burst=100000)
        gateway.create()
        spec = gateway.process()
        process = spec.start()
        cls.addClassCleanup(stop, process, spec)
        assert wait_until(lambda: port_answers(cls.port), 60)
        cls.addClassCleanup(
            subprocess.run, [str(REPOSITORY / "auspex"), "reset", "--yes", "--var", str(layout.var)], stdout=subprocess.DEVNULL)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer, text

    def problem(self, expected: int, code: str, method: str, path: str, body: bytes | None = None, **headers: str):
        answer, text = self.ask(method, path, body, **headers)
        self.assertEqual(answer.status, expected, text[:200])
        self.assertEqual(answer.getheader("Content-Type"), "application/problem+json")
        value = json.loads(text)
        self.assertEqual((value["status"], value["code"]), (expected, code))
        self.assertEqual(answer.getheader("X-Content-Type-Options"), "nosniff")
        return answer, value

    def test_tokens_of_charts_stay_out_of_every_log(self):
        secret = "Zm9yLW5vYm9keS1lbHNlcy1leWVzLW9ubHktMDEyMzQ"
        for path in (f"/udf/session/{secret}/config", f"/udf/session/{secret}", f"/udf/config?session_token={secret}", f"/historical/?session_token={secret}"):
            self.problem(502, "service_away", "GET", path)
        self.problem(502, "service_away", "POST", f"/utils/session/heartbeat?session_token={secret}")
        logs = {name: self.layout.log(name) for name in ("gateway", "gateway-access")}
        self.assertTrue(wait_until(lambda: logs["gateway-access"].read_text().count('"status":502') >= 5, 60))
        for name, log in logs.items():
            self.assertNotIn(secret, log.read_text(), name)

    def test_every_refusal_is_a_problem_document(self):
        self.problem(404, "not_found", "GET", "/nothing")
        self.problem(404, "not_found", "GET", "/internal/v1/bars")
        self.problem(404, "not_found", "GET", "/api/keys/..%2f..%2finternal/v1/bars")
        self.problem(404, "not_found", "GET", "/_problem/not_found")
        self.problem(405, "method_not_allowed", "BREW", "/api/login")
        self.problem(413, "body_too_large", "POST", "/api/login", b"x" * (8 * 1024 * 1024 + 1))
        self.problem(414, "path_too_long", "GET", "/api/jobs?cursor=" + "%F3%92%8E%93" * 2000)
        self.problem(400, "malformed_request", "GET", "/", X_Large="y" * 40000)
        self.problem(502, "service_away", "GET", "/api/me")

    def test_a_broken_request_line_is_a_problem_too(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(b"GET  /\x01 HTTP/9.9\r\n\r\n")
            text = b""
            while part := connection.recv(4096):
                text += part
        self.assertTrue(text.startswith(b"HTTP/1.1 400 ") or b'"status":400' in text, text[:200])
        self.assertIn(b"malformed_request", text)

    def test_request_ids_are_kept_when_harmless_and_made_when_not(self):
        answer, _ = self.ask("GET", "/nothing", X_Request_ID="my-request-7")
        self.assertEqual(answer.getheader("X-Request-ID"), "my-request-7")
        for bad in ("x", "a b c d e f g h", "<script>alert</script>", "y" * 65):
            answer, _ = self.ask("GET", "/nothing", X_Request_ID=bad)
            self.assertRegex(answer.getheader("X-Request-ID"), "^[0-9a-f]{32}$")

    def test_the_page_is_there_with_a_strict_policy(self):
        answer, text = self.ask("GET", "/")
        self.assertEqual(answer.status, 200)
        self.assertIn(b"Auspex", text)
        self.assertIn("default-src 'self'", answer.getheader("Content-Security-Policy"))
        self.assertNotIn("unsafe", answer.getheader("Content-Security-Policy"))
        for path in ("/assets/page.js", "/assets/page.css", "/assets/mark.svg"):
            self.assertEqual(self.ask("GET", path)[0].status, 200, path)


if __name__ == "__main__":
    unittest.main()
