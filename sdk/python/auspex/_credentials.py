"""What a client proves itself with."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional


class Credentials:
    """An API key, or the tokens of a login; the access token is renewed when it has ended."""

    def __init__(self, api_key: Optional[str] = None, access_token: Optional[str] = None, refresh_token: Optional[str] = None):
        self._api_key = api_key
        self._access_token = access_token
        self.refresh_token = refresh_token

    def headers(self) -> Dict[str, str]:
        if self._api_key:
            return {"X-API-Key": self._api_key}
        if self._access_token:
            return {"Authorization": f"Bearer {self._access_token}"}
        return {}

    def take(self, tokens: Mapping[str, Any]) -> None:
        """Takes over what a login or a renewal answered."""
        self._access_token = tokens["access_token"]
        self.refresh_token = tokens.get("refresh_token")

    def can_renew(self, code: str) -> bool:
        return code in ("token_expired", "invalid_token") and self.refresh_token is not None and self._api_key is None

    def __repr__(self) -> str:
        # Neither keys nor tokens in logs and tracebacks.
        return "Credentials(api key)" if self._api_key else "Credentials(login)" if self._access_token else "Credentials(none)"
