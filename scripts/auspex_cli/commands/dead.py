"""List, show, replay or drop messages that no handler could take: dead SERVICE list|show|replay|drop

usage: ./auspex dead SERVICE list | show ID | replay ID | drop ID [--var DIR]"""

from ..console import usage
from ..handing_over import hand_over
from ..layout import DATABASE_SERVICES


def run(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in DATABASE_SERVICES:
        raise usage(f"usage: ./auspex dead SERVICE list|show|replay|drop, SERVICE one of {', '.join(DATABASE_SERVICES)}")
    return hand_over(arguments[0], ["dead"], arguments[1:])
