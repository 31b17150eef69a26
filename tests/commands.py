"""The command as a user types it, in this process."""

import signal
import sys

from sotglp_core import cli
from sotglp_core.cli import common


def run(monkeypatch, capsys, *arguments):
    """(exit code, standard output, standard error) of one command, on a wide terminal."""
    monkeypatch.setattr(sys, "argv", ["sotglp", *map(str, arguments)])
    monkeypatch.setattr(common.console, "_width", 250)
    before, code = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}, 0
    try:
        cli.main()
    except SystemExit as stop:
        code = stop.code or 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    out = capsys.readouterr()
    return code, out.out, out.err
