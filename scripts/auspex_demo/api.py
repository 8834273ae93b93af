"""One request to the gateway, with its problem as an error that a person can read."""

import json
import ssl
import urllib.error
import urllib.request
import uuid


class APIProblem(Exception):
    """An answer that is not a success: status, stable code, and detail of the problem document."""

    def __init__(self, method: str, path: str, status: int, code: str, detail: str):
        super().__init__(f"{method} {path}: {status} {code}: {detail}")
        self.status, self.code, self.detail = status, code, detail


class API:
    """A client of the public API, as nobody, as somebody with a token, or as a program with a key."""

    def __init__(self, base: str, *, token: str | None = None, key: str | None = None, certificate: str | None = None):
        self.base, self.token, self.key = base, token, key
        self.context = ssl.create_default_context(cafile=certificate) if base.startswith("https") else None

    def acting_as(self, *, token: str | None = None, key: str | None = None) -> "API":
        other = API(self.base, token=token, key=key)
        other.context = self.context
        return other

    def call(self, method: str, path: str, body=None, *, raw: bytes | None = None, content_type: str | None = None, seconds: float = 40) -> dict:
        """Sends it; a body travels as JSON unless it is given raw. Unsafe requests carry an idempotency key."""
        data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.base + path, data=data, method=method)
        request.add_header("Accept", "application/json")
        if data is not None:
            request.add_header("Content-Type", content_type or "application/json")
        if method not in ("GET", "HEAD"):
            request.add_header("Idempotency-Key", str(uuid.uuid4()))
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        if self.key:
            request.add_header("X-API-Key", self.key)
        try:
            with urllib.request.urlopen(request, timeout=seconds, context=self.context) as answer:
                text = answer.read()
                return json.loads(text) if text and "json" in answer.headers.get("Content-Type", "") else {"bytes": text}
        except urllib.error.HTTPError as error:
            raise _problem(method, path, error) from None

    def get(self, path: str, **options) -> dict:
        return self.call("GET", path, **options)

    def post(self, path: str, body=None, **options) -> dict:
        return self.call("POST", path, {} if body is None and "raw" not in options else body, **options)

    def put(self, path: str, body=None, **options) -> dict:
        return self.call("PUT", path, body, **options)

    def delete(self, path: str) -> dict:
        return self.call("DELETE", path)


def _problem(method: str, path: str, error: urllib.error.HTTPError) -> APIProblem:
    text = error.read()
    try:
        value = json.loads(text)
    except ValueError:
        value = {}
    return APIProblem(method, path, error.code, value.get("code", "unknown"), value.get("detail", text[:200].decode(errors="replace")))
