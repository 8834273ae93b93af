"""Check the form of the code: format, banned constructs, module borders, routes against their owners

usage: ./auspex lint"""

from auspex_lint import run_all

from .. import toolchain
from ..console import say
from ..layout import REPOSITORY
from ..options import Options


def run(arguments: list[str]) -> int:
    Options(arguments).none_left()
    outcome = run_all(REPOSITORY, toolchain.swift())
    say(str(outcome))
    return 0 if outcome.failed == 0 else 1
