"""The gateway's configuration and the joined API document."""

import http.client
import json
import os
import re
import socket
import subprocess
import threading
import unittest
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from auspex_cli import gateway, openapi
from auspex_cli.console import Failure
from auspex_cli.layout import Layout, Ports
from support import folder_for


class Routing(unittest.TestCase):
    def patterns(self):
        for line in gateway.locations(gateway.route_table(), "/log").splitlines():
            found = re.search(r"location ~ (\S+) \{ .*proxy_pass http://(\w+);", line)
            yield re.compile(found[1]), found[2], line

    def service_of(self, path: str):
        return next((service for pattern, service, _ in self.patterns() if pattern.search(path)), None)

    def test_every_owned_path_with_and_without_slash(self):
        for service, prefixes in gateway.route_table().items():
            for prefix in prefixes:
                for path in (prefix, prefix + "/", prefix + "/x/y"):
                    self.assertEqual(self.service_of(path), service, path)

    def test_a_version_may_be_larger_and_nothing_else(self):
        lines = [line for pattern, _, line in self.patterns() if pattern.search("/api/signals/x/versions")]
        self.assertIn("client_max_body_size 12m", lines[0])
        for path in ("/api/signals/x/versions/1/dry-run", "/api/signals", "/api/imports"):
            first = next(line for pattern, _, line in self.patterns() if pattern.search(path))
            self.assertNotIn("client_max_body_size", first, path)

    def test_what_is_not_owned_goes_nowhere(self):
        for path in ("/api/loginx", "/api/meter", "/internal/v1/bars", "/metrics", "/api", "/api/other", "/x/api/login", "/Xwell-known/jwks.json"):
            self.assertIsNone(self.service_of(path), path)

    def test_streams_are_not_buffered(self):
        lines = [line for pattern, _, line in self.patterns() if pattern.search("/api/stream")]
        self.assertEqual(len(lines), 1)
        self.assertIn("proxy_buffering off", lines[0])

    def test_streams_of_jobs_are_not_buffered_and_other_jobs_are(self):
        for path, streams in (("/api/jobs/stream", True), ("/api/jobs/0192/stream", True), ("/api/jobs/0192/stream/", True),
                              ("/api/jobs/0192/logs/stream", True), ("/api/jobs/0192/logs/stream/", True), ("/api/jobs", False),
                              ("/api/jobs/0192", False), ("/api/jobs/0192/logs", False), ("/api/jobs/streams", False), ("/api/jobs/a/b/stream", False),
                              ("/api/jobs/logs", False), ("/api/jobs/0192/logs/streams", False)):
            first = next(line for pattern, _, line in self.patterns() if pattern.search(path))
            self.assertEqual("proxy_buffering off" in first, streams, path)
            self.assertIn("http://scheduler", first, path)

    def test_a_stream_below_another_one_s_path_has_its_own_owner(self):
        for path, owner in (("/api/stream", "signals"), ("/api/stream/", "signals"), ("/api/stream/other", "signals"),
                            ("/api/stream/bars", "marketdata"), ("/api/stream/bars/", "marketdata"), ("/api/stream/barsx", "signals")):
            self.assertEqual(self.service_of(path), owner, path)
            self.assertEqual(gateway.owner_of(path, gateway.route_table()), owner, path)
        first = next(line for pattern, _, line in self.patterns() if pattern.search("/api/stream/bars"))
        self.assertIn("proxy_buffering off", first)

    def test_tokens_of_charts_stay_out_of_the_error_log(self):
        for path in ("/historical/", "/historical/chunk", "/utils/session/heartbeat", "/udf/session/secret/config"):
            first = next(line for pattern, _, line in self.patterns() if pattern.search(path))
            self.assertIn("error_log /log crit;", first, path)


class Template(unittest.TestCase):
    def test_an_unset_name_is_refused(self):
        with self.assertRaises(Failure):
            gateway.fill("listen ${AUSPEX_NOBODY};", {})

    def test_nginx_variables_stay(self):
        self.assertEqual(gateway.fill("$uri ${AUSPEX_A} ${other}", {"AUSPEX_A": "1"}), "$uri 1 ${other}")

    @unittest.skipUnless(Path(gateway.NGINX).exists(), "nginx is not installed")
    def test_nginx_accepts_it_with_replicas_demo_and_tls(self):
        folder = folder_for(self)
        layout = Layout(folder)
        layout.prepare()
        key, certificate = folder / "key.pem", folder / "certificate.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
             "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
        for secure in (False, True):
            door = gateway.Gateway(
                layout, Ports(20000, 20080), 3, certificate=str(certificate) if secure else None, key=str(key) if secure else None)
            door.folder.mkdir(exist_ok=True)
            door.allow_demo("aus_x", ["0198c3a4-0000-7000-8000-000000000001"])
            door.create()
            text = (door.folder / "nginx.conf").read_text()
            self.assertEqual(text.count("max_fails"), 12)
            self.assertEqual("ssl_certificate " in text, secure)

    def test_the_demo_takes_no_strange_id(self):
        layout = Layout(folder_for(self))
        layout.prepare()
        with self.assertRaises(Failure):
            gateway.Gateway(layout, Ports(), 1).allow_demo("aus_x", ["x; } location / { "])


@dataclass(frozen=True)
class TakenPorts(Ports):
    """Replicas at ports that the system chose."""

    replicas: tuple[int, ...] = ()

    def public(self, service: str, replica: int = 0) -> int:
        return self.replicas[replica]


@unittest.skipUnless(Path(gateway.NGINX).exists(), "nginx is not installed")
class Failing(unittest.TestCase):
    """What the gateway holds against a replica, asked of nginx itself."""

    def replica(self, number: int, get: int) -> int:
        """A replica that answers POST with 503, since another service is away, and GET with this status."""
        case = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                case.asked.append(number)
                self.say(503, "marketdata_away")

            def do_GET(self):
                self.say(get, "fine" if get == 200 else "draining")

            def say(self, status: int, code: str):
                body = json.dumps({"code": code}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server.server_address[1]

    def start(self, *replicas: int) -> int:
        layout = Layout(folder_for(self))
        layout.prepare()
        # nginx takes over a socket that listens already: who connects before it serves waits in its queue.
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        door = gateway.Gateway(layout, TakenPorts(gateway=port, replicas=replicas), len(replicas))
        door.create()
        with listener:
            process = subprocess.Popen(
                door.process().arguments, stdin=subprocess.DEVNULL, pass_fds=[listener.fileno()], env={**os.environ, "NGINX": f"{listener.fileno()};"}
            )
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        return port

    def send(self, port: int, method: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.addCleanup(connection.close)
        connection.request(method, "/api/schedules/x/backfills", body=b"{}" if method == "POST" else None)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())["code"]

    def test_503_to_a_post_is_passed_on_and_held_against_nobody(self):
        """A scheduler that says of marketdata that it is away is not away itself: two failures within 2 s would take it out of turn."""
        self.asked: list[int] = []
        port = self.start(self.replica(0, 503), self.replica(1, 200))
        self.assertEqual({self.send(port, "POST") for _ in range(12)}, {(503, "marketdata_away")})
        self.assertEqual([self.asked.count(number) for number in range(2)], [6, 6])
        # What may be repeated is asked of the other one: there a 503 speaks of the replica.
        self.assertEqual({self.send(port, "GET") for _ in range(6)}, {(200, "fine")})


class Joining(unittest.TestCase):
    def test_same_components_are_shared_and_different_ones_told_apart(self):
        problem = {"type": "object"}
        documents = {
            "auth": {"paths": {"/a": {"get": {"responses": {"200": {"$ref": "#/components/schemas/Key"}}}}},
                     "components": {"schemas": {"Problem": problem, "Key": {"type": "string"}}}},
            "signals": {"paths": {"/b": {"get": {"responses": {"200": {"$ref": "#/components/schemas/Key"}}}}},
                        "components": {"schemas": {"Problem": problem, "Key": {"type": "integer"}}}},
        }
        merged = openapi.merge(documents)
        self.assertEqual(set(merged["components"]["schemas"]), {"Problem", "Key", "SignalsKey"})
        self.assertEqual(merged["paths"]["/b"]["get"]["responses"]["200"]["$ref"], "#/components/schemas/SignalsKey")
        self.assertEqual(merged["paths"]["/a"]["get"]["responses"]["200"]["$ref"], "#/components/schemas/Key")
        self.assertEqual(merged["paths"]["/b"]["get"]["tags"], ["signals"])

    def test_a_path_described_twice_is_refused(self):
        item = {"paths": {"/a": {"get": {"responses": {}}}}}
        with self.assertRaises(ValueError):
            openapi.merge({"auth": item, "signals": item})

    def test_every_reference_of_the_real_document_leads_somewhere(self):
        merged = json.loads(openapi.merged_text())
        for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(merged)):
            value = merged
            for part in reference.split("/"):
                part = part.replace("~1", "/").replace("~0", "~")
                self.assertIn(part, value, reference)
                value = value[part]


if __name__ == "__main__":
    unittest.main()
