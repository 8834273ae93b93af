"""`up --live`: prices as they happen, where the network reaches somebody who tells them. Where it does not, one line says so and nothing else is different."""

import json
import os
import ssl
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
    """Why the source is not reached, in a few words; None where it is. Proxies are those of the environment, authorities those that marketdata trusts."""
    authorities = settings.text("AUSPEX_OUTBOUND_CA_FILE")
    try:
        context = ssl.create_default_context(cafile=authorities) if authorities else None
    except OSError as error:
        return f"AUSPEX_OUTBOUND_CA_FILE {authorities} cannot be used: {error.strerror or error}"
    try:
        request = urllib.request.Request(source.base(settings) + source.path, headers={"User-Agent": "auspex"})
        with urllib.request.urlopen(request, timeout=seconds, context=context) as answer:
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
    admin = None
    refused: list[str] = []
    with step(f"watch {', '.join(wanted.symbols)} at {source.name}", log=deployment.layout.log("marketdata")):
        try:
            admin = _administrator(deployment, plan, api)
        except (APIProblem, Failure, OSError) as error:
            refused = [f"{', '.join(wanted.symbols)}: not live, as nobody could log in to say so: {_words(error)}"]
        else:
            refused = [line for symbol in wanted.symbols if (line := _refusal(admin, source, symbol))]
    for line in refused:
        say(f"  ! {line}")
    if admin is not None and len(refused) < len(wanted.symbols):
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


def _refusal(admin: API, source: LiveSource, symbol: str) -> str | None:
    """Makes it live; why it is not, where it is not."""
    try:
        make_live(admin, source, symbol)
    except (APIProblem, OSError) as error:
        return f"{symbol} is not live: {_words(error)}"
    return None


def _words(error: Exception) -> str:
    return error.detail if isinstance(error, APIProblem) else str(error) or type(error).__name__


def _administrator(deployment: Deployment, plan: ServicePlan, api: API) -> API:
    """An administrator of this command's own, made at the server once: the address is written down before there is one, so that there is never a second."""
    record = deployment.layout.run / "live-admin.json"
    password = deployment.secrets.password("live-admin-password")
    try:
        email = json.loads(record.read_text())["email"]
        return login(api, Account(email, password, ""))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        # Nobody can guess it, so nobody can have registered with it.
        email = f"live-{os.urandom(6).hex()}@demo.auspex.example"
        private_file(record, json.dumps({"email": email}) + "\n")
    except APIProblem as problem:
        # One who was disabled is kept out on purpose.
        if problem.status != 401:
            raise
    given = ["--email", email, "--password-file", str(deployment.secrets.path("live-admin-password"))]
    result = plan.command("auth", ["admin", "create", *given])
    # One who is there already has another password: that of secrets which are gone.
    if result.returncode != 0 and plan.command("auth", ["admin", "reset-password", *given]).returncode != 0:
        raise Failure(f"auth admin create: {(result.stderr or result.stdout).strip()}")
    return login(api, Account(email, password, ""))
