"""Calls an internal route as one of the services: the benchmark stands where signals or marketdata would."""

import base64
import http.client
import json
import time
import uuid
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class ServiceClient:
    """One keep-alive connection with a service token that is renewed before it ends."""

    def __init__(self, secrets: Path, service: str, audience: str, port: int):
        pem = (secrets / service / "service-key.pem").read_text()
        self.key = serialization.load_pem_private_key(pem[pem.index("-----BEGIN"):].encode(), None)
        keys = json.loads((secrets / "services.jwks").read_text())["keys"]
        self.kid = next(key["kid"] for key in keys if key["auspex_service"] == service)
        self.service, self.audience = service, audience
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._token, self._until = "", 0.0

    def _fresh_token(self) -> str:
        now = time.time()
        if now > self._until - 15:
            header = {"alg": "ES256", "typ": "svc+jwt", "kid": self.kid}
            claims = {"iss": self.service, "aud": self.audience, "iat": int(now), "exp": int(now) + 60, "jti": str(uuid.uuid4())}
            signed = ".".join(_text(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
            r, s = decode_dss_signature(self.key.sign(signed.encode(), ECDSA(hashes.SHA256())))
            self._token, self._until = f"{signed}.{_text(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}", now + 60
        return self._token

    def authorization(self) -> str:
        """The header's value; good for at least 15 s."""
        return f"Service {self._fresh_token()}"

    def call(self, method: str, path: str, body=None) -> dict:
        self.connection.request(
            method, path, None if body is None else json.dumps(body),
            {"Authorization": self.authorization(), "Content-Type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
        return json.loads(text) if text else {}
