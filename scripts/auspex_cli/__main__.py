"""Finds the command named on the command line and runs it."""

import os
import signal
import sys

from . import catalogue
from .console import Failure, say_error


def main(arguments: list[str]) -> int:
    name, rest = (arguments[0], arguments[1:]) if arguments else ("help", [])
    if name in ("-h", "--help"):
        name = "help"
    if name in ("-V", "--version"):
        name = "version"
    command = catalogue.find(name)
    if command is None:
        say_error(f"unknown command '{name}'; './auspex help' lists them")
        return 2
    try:
        return command.run(rest) or 0
    except Failure as failure:
        failure.tell()
        return failure.exit_code
    except KeyboardInterrupt:
        say_error("interrupted")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
