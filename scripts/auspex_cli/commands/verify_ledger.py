"""Verify the prediction ledger: every chain and every seal; names the first bad row

usage: ./auspex verify-ledger [--signal ID | --file FILE [--keys FILE]] [--var DIR]

Without arguments: every signal of this platform and the chain of all seals. A FILE is an export of
GET /api/signals/ID/ledger; its keys are those of GET /api/signals/ledger/keys."""

from ..handing_over import hand_over


def run(arguments: list[str]) -> int:
    chosen = any(word.startswith(("--signal", "--file", "--all")) for word in arguments)
    return hand_over("signals", ["verify-ledger"], arguments if chosen else ["--all", *arguments])
