"""The command as a user types it, in this process."""

import sys

from sotglp_core import cli


def run(monkeypatch, capsys, *arguments):
    """(exit code, standard output, standard error) of one command, on a wide terminal."""
    monkeypatch.setattr(sys, "argv", ["sotglp", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "250")
    code = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = stop.code or 0
    out = capsys.readouterr()
    return code, out.out, out.err
