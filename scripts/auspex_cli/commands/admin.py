"""Administer accounts: admin create, admin reset-password, keys (asks the auth program)

usage: ./auspex admin create EMAIL | reset-password EMAIL [--var DIR]"""

from ..handing_over import hand_over


def run(arguments: list[str]) -> int:
    return hand_over("auth", ["admin"], arguments)
