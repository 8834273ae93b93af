"""Verify the prediction ledger: every chain and every seal; names the first bad row

usage: ./auspex verify-ledger [arguments of 'signals verify-ledger'] [--var DIR]"""

from ..handing_over import hand_over


def run(arguments: list[str]) -> int:
    return hand_over("signals", ["verify-ledger"], arguments)
