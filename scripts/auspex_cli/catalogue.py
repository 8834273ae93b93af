"""The list of commands; `help` is made from the first line of each command's own doc text."""

import importlib
from dataclasses import dataclass
from types import ModuleType

# In the order in which a newcomer meets them.
GROUPS: list[tuple[str, list[str]]] = [
    ("run it", ["up", "down", "status", "logs", "psql", "restart", "reset"]),
    ("look after it", ["init", "admin", "dead", "audit", "verify-ledger"]),
    ("work on it", ["test", "bench", "lint", "compose"]),
    ("about", ["help", "version"]),
]


@dataclass(frozen=True)
class Command:
    """One verb of `./auspex`."""

    name: str
    module: ModuleType

    @property
    def summary(self) -> str:
        return (self.module.__doc__ or "").strip().splitlines()[0]

    @property
    def details(self) -> str:
        return (self.module.__doc__ or "").strip()

    def run(self, arguments: list[str]) -> int | None:
        if "-h" in arguments or "--help" in arguments:
            print(self.details)
            return 0
        return self.module.run(arguments)


def names() -> list[str]:
    return [name for _, group in GROUPS for name in group]


def find(name: str) -> Command | None:
    if name not in names():
        return None
    return Command(name, importlib.import_module(f"auspex_cli.commands.{name.replace('-', '_')}"))
