"""Administer accounts: admin create, reset-password, disable, enable (asks the auth program)

usage: ./auspex admin create --email ADDRESS [--name NAME] [--password-file FILE]
       ./auspex admin reset-password --email ADDRESS [--password-file FILE]
       ./auspex admin disable | enable --email ADDRESS
       [--var DIR]

Without a file the password is made and printed once."""

from ..handing_over import hand_over


def run(arguments: list[str]) -> int:
    return hand_over("auth", ["admin"], arguments)
