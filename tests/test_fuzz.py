"""Hundreds of inputs made at random: each ends soon, in one clear answer, and touches nothing but its own folder."""

import copy
import io
import os
import resource
import sys
from pathlib import Path

import fuzzed
import psutil
import pytest
from commands import run

from sotglp_core import checkpoint, cli
from sotglp_core.runs import Run

pytestmark = pytest.mark.timeout(40)
COUNT, SEED = int(os.environ.get("SOTGLP_FUZZ", 60)), os.environ.get("SOTGLP_FUZZ_SEED", "1")
MEMORY = 6 << 30  # bytes that a case may reserve
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
ALLOWED: list[Path] = []  # where the running case may write; empty: no case runs


class Escaped(BaseException):
    """What a case must not do, before it is done."""


def watch(event, details):
    if not ALLOWED:
        return
    if event in ("os.system", "os.exec", "os.posix_spawn", "socket.getaddrinfo", "pickle.find_class") or (
            event == "socket.connect" and isinstance(details[1], tuple)):  # a text: a socket of this machine, between its processes
        raise Escaped(event, details)
    if event == "open":
        touched = details[:1] if isinstance(details[0], str | bytes) and details[2] & WRITES else ()
    else:
        touched = details[:2] if event in ("os.rename", "os.link") else details[1:2] if event == "os.symlink" else details[:1] if event in (
            "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "os.chown", "os.utime") else ()
    for path in map(os.fsdecode, touched):
        folder, name = os.path.split(os.path.abspath(path))
        real = Path(os.path.realpath(path) if event == "open" else os.path.join(os.path.realpath(folder), name))
        if path != os.devnull and "__pycache__" not in path and not any(real.is_relative_to(place) for place in ALLOWED):
            raise Escaped(event, details)


sys.addaudithook(watch)


@pytest.fixture(scope="module")
def inputs(pocket, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    fuzzed.make_inputs(folder, pocket)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOTGLP_CACHE", str(folder / "cache"))
        patch.setattr(Run, "finish", lambda self: None)
        patch.setattr(sys, "argv", ["sotglp", "train", "--data", str(folder / "photos"), "--ood", str(folder / "other"), "--shots", "1", "--set",
                                    "epochs=1", "--device", "cpu", "--out", str(folder / "stopped")])
        cli.app(standalone_mode=False)
    return folder


@pytest.fixture(autouse=True)
def loaded_once(pocket, monkeypatch):
    """The embedded weights are read once; each case has a copy of its own, for an exported model drops the text tower."""
    for module in (checkpoint, sys.modules["sotglp_core.cli.train"], sys.modules["sotglp_core.cli.compare"], sys.modules["sotglp_core.cli.reproduce"]):
        load = module.load_backbone

        def loaded(name="pocket", pretrained=None, *, load=load, **others):
            plain = name == "pocket" and pretrained in (None, "embedded") and others.get("precision", "fp32") == "fp32"
            return copy.deepcopy(pocket).to(others.get("device", "cpu")) if plain else load(name, pretrained, **others)

        monkeypatch.setattr(module, "load_backbone", loaded)


@pytest.fixture
def bounded():
    """Less memory than a blow-up needs."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def state(*folders):
    paths = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    return {str(path): (found.st_mode, found.st_size, found.st_mtime_ns) for path in paths for found in [path.lstat()]}


@pytest.mark.parametrize("number", range(COUNT))
def test_one_clear_answer(number, inputs, bounded, tmp_path, monkeypatch, capsys, recwarn):
    here, home, cache = (tmp_path / name for name in ("here", "home", "cache"))
    for folder in (here, home, cache):
        folder.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SOTGLP_CACHE", str(cache))
    arguments, piped = fuzzed.case(number, SEED, here, inputs)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped)))
    sys.stderr.reconfigure(errors="backslashreplace")  # as Python's own
    before = state(inputs, home)
    ALLOWED[:] = [Path(os.path.realpath(here)), Path(os.path.realpath(cache))]
    try:
        code, out, err = run(monkeypatch, capsys, *arguments)
    finally:
        ALLOWED.clear()
    assert code in (0, 1, 2), (arguments, code, err)
    assert "Traceback" not in out + err, (arguments, err)
    assert len(err.splitlines()) < 16, (arguments, err)
    assert state(inputs, home) == before, arguments
    assert not set((out + err).replace("\x1b[A", "")) & set("\x1b\0\x07\x08"), (arguments, out, err)  # which a progress bar may move up by
    assert not recwarn.list, (arguments, [str(warning.message) for warning in recwarn])
    with capsys.disabled():
        if os.environ.get("SOTGLP_FUZZ_SHOW"):
            print(number, code, [a[:60] for a in arguments], "->", err.strip()[-300:] if code else "", flush=True)
