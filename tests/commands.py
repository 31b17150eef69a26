"""The command as a user types it, in this process."""

import io
import signal
import sys
from contextlib import redirect_stdout

import pytest

from sotglp_core import cli
from sotglp_core.cli import common


def run(monkeypatch, capsys, *arguments):
    """(exit code, standard output, standard error) of one command, on a wide terminal."""
    code, out = call(monkeypatch, arguments), capsys.readouterr()
    return code, out.out, out.err


def printed_by(*arguments):
    """Standard output of a command that ends well; for fixtures that several tests share."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as out:
        assert call(patch, arguments) == 0
    return out.getvalue()


def call(monkeypatch, arguments):
    """The command's exit code."""
    monkeypatch.setattr(sys, "argv", ["sotglp", *map(str, arguments)])
    monkeypatch.setattr(common.console, "_width", 250)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        cli.main()
    except SystemExit as stop:
        return stop.code or 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0
