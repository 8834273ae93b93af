"""List, show, replay or drop messages that no handler could take: dead SERVICE list|show|replay|drop

usage: ./auspex dead SERVICE list
       ./auspex dead SERVICE show CONSUMER [LIMIT]
       ./auspex dead SERVICE replay CONSUMER (ID... | --all)
       ./auspex dead SERVICE drop CONSUMER (ID... | --all)
       [--var DIR]

SERVICE is signals or scheduler: the ones that hear events by queues."""

from ..console import usage
from ..handing_over import hand_over

HEARING = ("signals", "scheduler")


def run(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in HEARING:
        raise usage(f"usage: ./auspex dead SERVICE list|show|replay|drop, SERVICE one of {', '.join(HEARING)}")
    return hand_over(arguments[0], ["dead"], arguments[1:])
