"""Doors that only services use: the internal port of another service, and the broker. Here a test stands where a service would."""

import base64
import http.client
import json
import socket
import struct
import subprocess
import time
import uuid
from pathlib import Path
from urllib.parse import unquote, urlsplit


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class ServiceDoor:
    """Calls internal routes as one of the services, with its own key."""

    def __init__(self, secrets: Path, service: str, audience: str, port: int):
        self.key = secrets / service / "service-key.pem"
        keys = json.loads((secrets / "services.jwks").read_text())["keys"]
        self.kid = next(key["kid"] for key in keys if key["auspex_service"] == service)
        self.service, self.audience, self.port = service, audience, port

    def _token(self) -> str:
        now = int(time.time())
        header = {"alg": "ES256", "typ": "svc+jwt", "kid": self.kid}
        claims = {"iss": self.service, "aud": self.audience, "iat": now, "exp": now + 60, "jti": str(uuid.uuid4())}
        signed = ".".join(_text(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
        der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(self.key)], input=signed.encode(), capture_output=True, check=True).stdout
        return f"{signed}.{_text(_both_numbers(der))}"

    def call(self, method: str, path: str, body=None) -> dict:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(
                method, path, None if body is None else json.dumps(body),
                {"Authorization": f"Service {self._token()}", "Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
        return json.loads(text) if text else {}


def _both_numbers(der: bytes) -> bytes:
    """An ECDSA signature as JWT has it: r and s with 32 bytes each, out of the two integers of the DER form."""
    numbers, at = b"", 2
    for _ in range(2):
        length = der[at + 1]
        numbers += der[at + 2:at + 2 + length].lstrip(b"\0").rjust(32, b"\0")
        at += 2 + length
    return numbers


class BrokerDoor:
    """A connection to the broker as one of the services, just enough of AMQP 0-9-1 to publish with confirms and to count a queue."""

    def __init__(self, url: str):
        address = urlsplit(url)
        self.socket = socket.create_connection((address.hostname, address.port), timeout=30)
        self.buffer, self.published, self.unconfirmed = b"", 0, set()
        self.socket.sendall(b"AMQP\x00\x00\x09\x01")
        self._expect(10, 10)
        login = f"\0{unquote(address.username)}\0{unquote(address.password)}".encode()
        self._method(0, 10, 11, _long(b"") + _short("PLAIN") + _long(login) + _short("en_US"))
        tune = self._expect(10, 30)
        self.frame_bytes = struct.unpack(">HIH", tune[:8])[1] or 131_072
        self._method(0, 10, 31, struct.pack(">HIH", 1, self.frame_bytes, 0))
        self._method(0, 10, 40, _short("/") + _short("") + b"\0")
        self._expect(10, 41)
        self._method(1, 20, 10, _short(""))
        self._expect(20, 11)
        self._method(1, 85, 10, b"\0")
        self._expect(85, 11)

    def publish(self, exchange: str, routing_key: str, body: bytes, message_id: str = "", kind: str = "") -> None:
        """Sends one; `settle` waits until the broker has all of them."""
        self._method(1, 60, 40, struct.pack(">H", 0) + _short(exchange) + _short(routing_key) + b"\0")
        properties = _short("application/json") + b"\x02" + _short(message_id) + _short(kind)
        self._frame(2, 1, struct.pack(">HHQH", 60, 0, len(body), 0x8000 | 0x1000 | 0x0080 | 0x0020) + properties)
        most = self.frame_bytes - 8
        for start in range(0, len(body), most):
            self._frame(3, 1, body[start:start + most])
        self.published += 1
        self.unconfirmed.add(self.published)

    def settle(self) -> None:
        while self.unconfirmed:
            self._read()

    def count(self, queue: str) -> int:
        """Messages that wait in a queue."""
        self._method(1, 50, 10, struct.pack(">H", 0) + _short(queue) + b"\x01" + _long(b""))
        answer = self._expect(50, 11)
        name = answer[0]
        return struct.unpack(">I", answer[1 + name:5 + name])[0]

    def close(self) -> None:
        self.socket.close()

    def _method(self, channel: int, of: int, number: int, arguments: bytes) -> None:
        self._frame(1, channel, struct.pack(">HH", of, number) + arguments)

    def _frame(self, kind: int, channel: int, payload: bytes) -> None:
        self.socket.sendall(struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce")

    def _expect(self, of: int, number: int) -> bytes:
        while True:
            found = self._read()
            if found and found[:2] == (of, number):
                return found[2]

    def _read(self) -> tuple[int, int, bytes] | None:
        """The next method; confirms are counted on the way, and a refusal is an error."""
        kind, _, size = struct.unpack(">BHI", self._bytes(7))
        payload = self._bytes(size + 1)[:-1]
        if kind != 1:
            return None
        of, number = struct.unpack(">HH", payload[:4])
        rest = payload[4:]
        if (of, number) in ((10, 50), (20, 40)):
            code, length = struct.unpack(">HB", rest[:3])
            raise RuntimeError(f"the broker refused: {code} {rest[3:3 + length].decode()}")
        if (of, number) == (60, 120):
            raise RuntimeError("the broker did not take a message")
        if (of, number) == (60, 80):
            tag, is_multiple = struct.unpack(">QB", rest[:9])
            self.unconfirmed -= {waiting for waiting in self.unconfirmed if waiting <= tag} if is_multiple else {tag}
        return of, number, rest

    def _bytes(self, count: int) -> bytes:
        while len(self.buffer) < count:
            more = self.socket.recv(65_536)
            if not more:
                raise RuntimeError("the broker closed the connection")
            self.buffer += more
        found, self.buffer = self.buffer[:count], self.buffer[count:]
        return found


def _short(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">B", len(raw)) + raw


def _long(raw: bytes) -> bytes:
    return struct.pack(">I", len(raw)) + raw
