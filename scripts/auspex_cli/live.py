"""`up --live`: prices as they happen, where the network reaches somebody who tells them. Where it does not, one line says so and nothing else is different."""

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass

from auspex_demo.accounts import Account, login
from auspex_demo.api import API, APIProblem

from .console import Failure, say, step, usage
from .deployment import Deployment
from .services import ServicePlan
from .settings import Settings
from .users import private_file

SECONDS_TO_ANSWER = 4.0


@dataclass(frozen=True)
class LiveSource:
    """A source that needs no account: its id at the platform, where it says that it is there, and what it is watched for unless told."""

    id: str
    name: str
    setting: str
    address: str
    path: str
    symbols: tuple[str, ...]

    def base(self, settings: Settings) -> str:
        return (settings.text(self.setting) or self.address).rstrip("/")


SOURCES = {
    one.id: one
    for one in (
        LiveSource("binance", "Binance", "AUSPEX_BINANCE_REST_URL", "https://api.binance.com", "/api/v3/ping", ("BTCUSDT", "ETHUSDT")),
        LiveSource("coinbase", "Coinbase", "AUSPEX_COINBASE_REST_URL", "https://api.exchange.coinbase.com", "/time", ("BTC-USD", "ETH-USD")),
    )
}


@dataclass(frozen=True)
class Wish:
    """Which symbols of which source are wanted."""

    source: LiveSource
    symbols: tuple[str, ...]


def wish(source: str, symbols: list[str]) -> Wish:
    """What was asked for; refused in one line where it cannot be."""
    known = SOURCES.get(source)
    if known is None:
        raise usage(f"--source must be one of {', '.join(SOURCES)}, not '{source}'")
    for symbol in symbols:
        if not symbol.replace("-", "").isalnum() or not symbol.isascii() or len(symbol) > 20:
            raise usage(f"'{symbol}' is no symbol; such as {known.symbols[0]} would be right")
    return Wish(known, tuple(dict.fromkeys(symbol.upper() for symbol in symbols)) or known.symbols)


def trouble(source: LiveSource, settings: Settings, seconds: float = SECONDS_TO_ANSWER) -> str | None:
    """Why the source is not reached, in a few words; None where it is. Proxies are those of the environment."""
    try:
        request = urllib.request.Request(source.base(settings) + source.path, headers={"User-Agent": "auspex"})
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            answer.read(4096)
    except urllib.error.HTTPError as error:
        return f"it answers with status {error.code}"
    except urllib.error.URLError as error:
        return str(error.reason)
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__
    return None


def show(deployment: Deployment, plan: ServicePlan, wanted: Wish, settings: Settings) -> None:
    """Makes the wanted instruments live, or says in one line why they are not: the platform runs either way."""
    source = wanted.source
    reason = trouble(source, settings)
    if reason is not None:
        say(f"  live: {source.name} is not reached at {source.base(settings)} ({reason}); the platform runs as usual, without live prices")
        return
    api = API(deployment.gateway.url, certificate=deployment.gateway.certificate)
    refused: list[str] = []
    with step(f"watch {', '.join(wanted.symbols)} at {source.name}", log=deployment.layout.log("marketdata")):
        admin = _administrator(deployment, plan, api)
        for symbol in wanted.symbols:
            try:
                make_live(admin, source, symbol)
            except APIProblem as problem:
                refused.append(f"{symbol} is not live: {problem.detail}")
    for line in refused:
        say(f"  ! {line}")
    if len(refused) < len(wanted.symbols):
        say(f"  live: bars of {source.name} come as they close: {deployment.gateway.url}/api/bars?instrument={wanted.symbols[0]}&interval=1m")


def make_live(admin: API, source: LiveSource, symbol: str) -> None:
    """The instrument, where there is none yet, and its bars from that source; the same again changes nothing."""
    try:
        admin.get(f"/api/instruments/{symbol}")
    except APIProblem as problem:
        if problem.status != 404:
            raise
        admin.post("/api/instruments", {"symbol": symbol, "asset_class": "crypto"})
    admin.put(f"/api/sources/{source.id}/live?instrument={symbol}", {"symbol": symbol, "stream": "trades"})


def _administrator(deployment: Deployment, plan: ServicePlan, api: API) -> API:
    """An administrator of this command's own, made at the server once."""
    record = deployment.layout.run / "live-admin.json"
    password = deployment.secrets.password("live-admin-password")
    try:
        known = Account(json.loads(record.read_text())["email"], password, "")
        return login(api, known)
    except (FileNotFoundError, ValueError, KeyError):
        pass
    except APIProblem as problem:
        if problem.status not in (401, 403):
            raise
    email = f"live-{os.urandom(3).hex()}@demo.auspex.example"
    result = plan.command("auth", ["admin", "create", "--email", email, "--password-file", str(deployment.secrets.path("live-admin-password"))])
    if result.returncode != 0:
        raise Failure(f"auth admin create: {(result.stderr or result.stdout).strip()}")
    private_file(record, json.dumps({"email": email}) + "\n")
    return login(api, Account(email, password, ""))
