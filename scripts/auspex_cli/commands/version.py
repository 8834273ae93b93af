"""Say which version of Auspex this checkout is"""

import subprocess

from ..console import say
from ..layout import REPOSITORY
from ..options import Options


def describe() -> str:
    """The commit, and a mark when the files differ from it."""
    result = subprocess.run(["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"], capture_output=True, text=True)
    return result.stdout.strip() or "unknown"


def run(arguments: list[str]) -> int:
    Options(arguments).none_left()
    say(f"auspex {describe()}")
    return 0
