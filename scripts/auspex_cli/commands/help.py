"""List the commands, or explain one: help COMMAND"""

from .. import catalogue
from ..console import say, usage
from ..options import Options


def run(arguments: list[str]) -> int:
    options = Options(arguments)
    if options.rest:
        command = catalogue.find(options.rest[0])
        if command is None:
            raise usage(f"unknown command '{options.rest[0]}'; './auspex help' lists them")
        say(command.details)
        return 0
    say("Auspex: forecasting signals as code, their track record proven before the outcome is known.\n")
    say("usage: ./auspex COMMAND [arguments]")
    for title, names in catalogue.GROUPS:
        say(f"\n{title}")
        for name in names:
            command = catalogue.find(name)
            say(f"  {name:14} {command.summary}")
    say("\n'./auspex help COMMAND' explains one. Settings are read from .env in this folder.")
    return 0
