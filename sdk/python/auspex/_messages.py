"""Requests and answers apart from how they travel: what the synchronous and the asynchronous client share."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Mapping, Optional, Tuple
from urllib.parse import quote, urlencode, urlsplit

from .errors import ProblemError, UnreadableAnswer

#: Where a platform of one's own listens.
DEFAULT_URL = "http://127.0.0.1:8080"
USER_AGENT = "auspex-python/0.1.0"


@dataclass(frozen=True)
class Call:
    """One request, and how its answer is read."""

    method: str
    path: str
    read: Callable[..., Any] = lambda answer: answer
    query: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    data: Optional[bytes] = None
    content_type: str = "application/octet-stream"
    #: Seconds that the server may take before its answer begins, beyond the client's own time-out.
    waits: float = 0
    #: Whether the call may be repeated when its answer was lost: reads, and unsafe calls with an idempotency key.
    repeatable: bool = False
    idempotency_key: Optional[str] = None
    needs_login: bool = True
    #: Whether ``read`` is also given the answer's headers, by their lower-case names.
    reads_headers: bool = False

    @property
    def target(self) -> str:
        query = {name: value for name, value in self.query.items() if value is not None}
        return self.path + ("?" + urlencode(query) if query else "")

    @property
    def body(self) -> Optional[bytes]:
        if self.json is not None:
            return json.dumps(self.json, separators=(",", ":")).encode()
        return self.data

    def headers(self) -> Dict[str, str]:
        headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
        if self.json is not None:
            headers["Content-Type"] = "application/json"
        elif self.data is not None:
            headers["Content-Type"] = self.content_type
        if self.idempotency_key:
            headers["Idempotency-Key"] = self.idempotency_key
        return headers


def once() -> Dict[str, Any]:
    """What makes an unsafe call safe to repeat: the server knows the key again and answers as the first time."""
    return {"idempotency_key": str(uuid.uuid4()), "repeatable": True}


def segment(text: str) -> str:
    """One segment of a path, whatever characters it has."""
    return quote(str(text), safe="")


@dataclass(frozen=True)
class Endpoint:
    """Where a platform is."""

    scheme: str
    host: str
    port: int
    prefix: str

    @classmethod
    def parse(cls, base_url: str) -> "Endpoint":
        """Reads a base URL.

        >>> Endpoint.parse("https://auspex.example/")
        Endpoint(scheme='https', host='auspex.example', port=443, prefix='')
        """
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{base_url!r} is not the URL of a platform, such as https://auspex.example")
        if parts.username or parts.password:
            raise ValueError("a key does not belong into the URL")
        return cls(parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80), parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


def read_answer(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Any:
    """The value of an answer, or the exception that it stands for. ``headers`` have lower-case names."""
    is_json = "json" in headers.get("content-type", "")
    more = (headers,) if call.reads_headers else ()
    if 200 <= status < 300:
        if status == 204 or not body:
            return call.read(None, *more)
        if not is_json:
            return call.read(body, *more)
        try:
            document = json.loads(body)
        except ValueError:
            raise UnreadableAnswer("the answer is not the JSON that it says it is") from None
        return call.read(document, *more)
    document: Any = {}
    if is_json:
        try:
            document = json.loads(body)
        except ValueError:
            pass
    if not isinstance(document, dict):
        document = {}
    raise ProblemError.of(status, document, _seconds(headers.get("retry-after")))


def _seconds(text: Optional[str]) -> Optional[float]:
    try:
        return max(0.0, min(300.0, float(text))) if text else None
    except ValueError:
        return None


def split_head(head: bytes) -> Tuple[int, Dict[str, str]]:
    """Status and headers of an HTTP/1.1 answer."""
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
        raise UnreadableAnswer("the answer is not HTTP")
    headers: Dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return int(parts[1]), headers
