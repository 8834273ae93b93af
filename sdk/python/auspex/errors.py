"""What can go wrong between a program and an Auspex platform: one exception a kind, all of them :class:`AuspexError`."""

from __future__ import annotations

from typing import Any, Mapping, Optional


class AuspexError(Exception):
    """The root of everything that this package raises about a platform."""


class ConnectionFailed(AuspexError):
    """The platform could not be reached, or hung up before its answer was complete. Trying again may help."""


class UnreadableAnswer(AuspexError):
    """The answer was not what this version of the package understands."""


class MissingSettings(AuspexError):
    """The environment does not say which key to use."""


class ProblemError(AuspexError):
    """The platform refused a request and said why (an ``application/problem+json`` of RFC 9457).

    ``code`` is a stable word for programs, ``field`` the part of the request that is at fault, if one is.

    >>> error = ProblemError.of(404, {"code": "not_found", "detail": "There is nothing here."})
    >>> type(error).__name__, error.code, str(error)
    ('NotFound', 'not_found', 'There is nothing here. (not_found)')
    """

    def __init__(self, status: int, document: Mapping[str, Any], retry_after: Optional[float] = None):
        self.status = status
        self.document = dict(document)
        self.code = str(document.get("code") or f"http_{status}")
        self.detail = str(document.get("detail") or document.get("title") or f"status {status}")
        self.field: Optional[str] = document.get("field")
        self.request_id: Optional[str] = document.get("request_id")
        #: Seconds after which another try makes sense, when the platform said so.
        self.retry_after = retry_after
        where = f", field {self.field}" if self.field else ""
        super().__init__(f"{self.detail} ({self.code}{where})")

    @staticmethod
    def of(status: int, document: Mapping[str, Any], retry_after: Optional[float] = None) -> "ProblemError":
        """The exception of the kind that fits the status."""
        kinds = {400: BadRequest, 401: Unauthorized, 402: UsageExceeded, 403: Forbidden, 404: NotFound, 409: Conflict, 422: BadRequest, 429: RateLimited}
        kind = kinds.get(status, Unavailable if status in (502, 503, 504) else ProblemError)
        return kind(status, document, retry_after)


class BadRequest(ProblemError):
    """The request itself is wrong; ``field`` names the part (400 or 422)."""


class Unauthorized(ProblemError):
    """The key or token is missing, wrong, expired or revoked (401)."""


class UsageExceeded(ProblemError):
    """The credits of the API key are used up (402): more requests go through only after its owner has set new ones."""


class Forbidden(ProblemError):
    """Known, but not allowed, for example ``not_subscribed`` or ``insufficient_scope`` (403)."""


class NotFound(ProblemError):
    """Not there, or not for the caller to know that it is (404)."""


class Conflict(ProblemError):
    """It does not go with the present state (409)."""


class RateLimited(ProblemError):
    """Too many requests (429): ``retry_after`` is the number of seconds after which there is room for one more.

    >>> error = ProblemError.of(429, {"code": "rate_limited", "detail": "This API key is used too often."}, retry_after=12.0)
    >>> type(error).__name__, error.retry_after
    ('RateLimited', 12.0)
    """


class Unavailable(ProblemError):
    """The platform cannot answer right now; see ``retry_after`` (502, 503, 504)."""


class MissingRows(AuspexError):
    """A signal's rows came with a gap in ``seq``: rows have been lost or withheld."""

    def __init__(self, expected: int, found: int):
        super().__init__(f"row {expected} should follow, but row {found} came")
        self.expected = expected
        self.found = found


class LedgerRestarted(AuspexError):
    """The platform was restored from a backup and began a new ledger epoch: start again from the first row."""
