"""A provider and a subscriber, made through the public API with passwords at random."""

import secrets
from dataclasses import dataclass

from .api import API


@dataclass(frozen=True)
class Account:
    """Somebody who can log in."""

    email: str
    password: str
    account_id: str


def register(api: API, name: str, roles: list[str]) -> Account:
    """A new account; the address is unique, so that a demo can be made again beside an old one."""
    email = f"{name}-{secrets.token_hex(3)}@demo.auspex.example"
    password = secrets.token_urlsafe(15)
    answer = api.post("/api/register", {"email": email, "password": password, "display_name": name.capitalize(), "roles": roles})
    return Account(email, password, answer["account_id"])


def login(api: API, account: Account) -> API:
    """The same API, acting as this account; the token lives for 15 minutes."""
    answer = api.post("/api/login", {"email": account.email, "password": account.password})
    return api.acting_as(token=answer["access_token"])


def make_key(api: API, name: str, scopes: list[str]) -> str:
    """An API key of the account that `api` acts as; shown once, here."""
    return api.post("/api/keys", {"name": name, "scopes": scopes})["key"]
