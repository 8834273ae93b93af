"""Settings of `./auspex` itself: the environment, then `.env` in the checkout; the rest of `.env` goes to the services."""

import os
import re

from .console import Failure
from .layout import REPOSITORY

# What this script reads; every other AUSPEX_ setting is handed to the services as it is.
OWN = {
    "AUSPEX_GATEWAY_PORT", "AUSPEX_GATEWAY_LISTEN", "AUSPEX_GATEWAY_RATE", "AUSPEX_GATEWAY_BURST", "AUSPEX_PORT_BASE", "AUSPEX_REPLICAS",
    "AUSPEX_TLS_CERTIFICATE", "AUSPEX_TLS_KEY", "AUSPEX_DATA", "AUSPEX_VAR", "AUSPEX_SWIFT", "AUSPEX_PYTHON", "AUSPEX_SHARED",
    "AUSPEX_OWNER",
}
# What others of this house read: the SDK, the build, tests and benchmarks. It is in the environment of whoever works here, and no service's business,
# an API key least of all.
ELSEWHERE = re.compile(
    r"^AUSPEX_(API_KEY|URL|CACHE|CACHE_BYTES|TARGETS|KEEP|STORM_SECONDS|FAULTS_SEED|PYARROW_PYTHON|WRITE_RECORD|(TESTS?|BENCH|WEEK)_.*)$")
# A vendor's account is for the program that logs in with it: no service gets it, least of all the one that runs strangers' code.
ACCOUNTS = re.compile(r"^AUSPEX_DTN_(PRODUCT_ID|LOGIN|PASSWORD)(_FILE)?$")
# What only marketdata reads.
FEEDS = ("AUSPEX_DTN_", "AUSPEX_BINANCE_", "AUSPEX_COINBASE_", "AUSPEX_LMAX_", "AUSPEX_OPENBB_", "AUSPEX_OUTBOUND_")
_LINE = re.compile(r"^(?:export\s+)?(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)$")


def read_env_file(text: str) -> dict[str, str]:
    """KEY=VALUE lines; `#` comments; values may stand in quotes."""
    values = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        found = _LINE.match(line)
        if not found:
            raise Failure(f".env line {number} is not KEY=VALUE", exit_code=2)
        value = found["value"].strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        else:
            value = re.sub(r"\s+#.*$", "", value)
        values[found["name"]] = value
    return values


class Settings:
    """What was set, the environment before `.env`."""

    def __init__(self, environment: dict[str, str] | None = None, file_text: str | None = None):
        if file_text is None:
            path = REPOSITORY / ".env"
            file_text = path.read_text() if path.exists() else ""
        self.values = read_env_file(file_text)
        surroundings = os.environ if environment is None else environment
        self.values |= {name: value for name, value in surroundings.items() if name.startswith("AUSPEX_")}

    def text(self, name: str, default: str | None = None) -> str | None:
        return self.values.get(name) or default

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        text = self.values.get(name)
        if not text:
            return default
        if not text.isdecimal() or not least <= int(text) <= most:
            raise Failure(f"{name} must be a whole number from {least} to {most}, not '{text}'", exit_code=2)
        return int(text)

    def for_services(self) -> dict[str, str]:
        """What the services get as it is."""
        return {
            name: value for name, value in self.values.items()
            if name.startswith("AUSPEX_") and name not in OWN and not ELSEWHERE.match(name) and not ACCOUNTS.match(name)
        }

    def for_service(self, service: str) -> dict[str, str]:
        """What one of them gets as it is."""
        return {name: value for name, value in self.for_services().items() if service == "marketdata" or not name.startswith(FEEDS)}
