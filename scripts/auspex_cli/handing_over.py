"""Commands that are a subcommand of one service's program, run with that service's settings."""

from .deployment import Deployment
from .options import Options
from .services import ServicePlan


def hand_over(service: str, words: list[str], arguments: list[str]) -> int:
    """Takes `--var DIR` out and hands everything else to the program."""
    var, rest, waiting = [], [], list(arguments)
    while waiting:
        word = waiting.pop(0)
        if word == "--var" and waiting:
            var += [word, waiting.pop(0)]
        elif word.startswith("--var="):
            var.append(word)
        else:
            rest.append(word)
    deployment = Deployment.existing(Options(var, values=("--var",)))
    return ServicePlan(deployment, "").hand_over(service, [*words, *rest])
