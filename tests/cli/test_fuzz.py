"""Hundreds of inputs made at random: each ends soon, in one clear answer, and touches nothing but
its own folder.

SOTGLP_FUZZ=500 tries so many instead of 40, and SOTGLP_FUZZ_SEED=2 others.
"""

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

from sotglp_core import cli
from sotglp_core.clip import backbone
from sotglp_core.learning import checkpoint
from sotglp_core.workbench.runs import Run

pytestmark = pytest.mark.timeout(40)
COUNT, SEED = int(os.environ.get("SOTGLP_FUZZ", 40)), os.environ.get("SOTGLP_FUZZ_SEED", "1")
MEMORY = 6 << 30  # bytes that a case may reserve
FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "socket.getaddrinfo", "pickle.find_class")
CHANGES = {
    "os.mkdir": [0],
    "os.remove": [0],
    "os.rmdir": [0],
    "os.truncate": [0],
    "os.chmod": [0],
    "os.chown": [0],
    "os.utime": [0],
    "os.rename": [0, 1],
    "os.link": [0, 1],
    "os.symlink": [1],
}  # which arguments are paths that are written to
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
own: list[str] = []  # where the running case may write; empty: no case runs


class Escaped(BaseException):
    """A case was about to do what it must not."""


def watch(event, details):
    """Stops whatever is written elsewhere, run or asked of the network in this process."""
    if not own:
        return
    if (
        event in FORBIDDEN or event == "socket.connect" and isinstance(details[1], tuple)
    ):  # a text: another process of this machine
        raise Escaped(event, details)
    changed = [details[i] for i in CHANGES.get(event, ()) if not isinstance(details[i], int)]
    if event == "open" and isinstance(details[0], str | bytes) and details[2] & WRITES:
        changed = [os.path.realpath(details[0])]
    for path in map(os.path.abspath, map(os.fsdecode, changed)):
        real = Path(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        if (
            path != os.devnull
            and "__pycache__" not in path
            and not any(real.is_relative_to(place) for place in own)
        ):
            raise Escaped(event, details)


sys.addaudithook(watch)


@pytest.fixture(scope="module")
def inputs(pocket, tmp_path_factory):
    """What the cases read and must not change; a run in it was killed just before its end."""
    folder = tmp_path_factory.mktemp("inputs")
    fuzzed.make_inputs(folder, pocket)
    command = [
        "sotglp",
        "train",
        "--data",
        folder / "photos",
        "--ood",
        folder / "other",
        "--shots",
        1,
        "--set",
        "epochs=1",
        "--device",
        "cpu",
        "--out",
        folder / "stopped",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOTGLP_CACHE", str(folder / "cache"))
        patch.setattr(Run, "finish", lambda self: None)
        patch.setattr(sys, "argv", list(map(str, command)))
        cli.app(standalone_mode=False)
    return folder


@pytest.fixture(autouse=True)
def loaded_once(pocket, monkeypatch):
    """The embedded weights are read once; each case has a copy of its own, for an exported model
    drops the text tower.
    """
    load = backbone.load_backbone

    def loaded(name="pocket", pretrained=None, *, device="cpu", precision="auto"):
        shipped = (name, pretrained or "embedded") == ("pocket", "embedded")
        if shipped and precision in ("auto", "fp32"):
            return copy.deepcopy(pocket).to(backbone.choose_device(device))
        return load(name, pretrained, device=device, precision=precision)

    for module in (checkpoint, backbone):
        monkeypatch.setattr(module, "load_backbone", loaded)


@pytest.fixture(autouse=True)
def bounded():
    """Less memory than a blow-up needs."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def state(*folders):
    paths = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    return {
        str(path): (found.st_mode, found.st_size, found.st_mtime_ns)
        for path in paths
        for found in [path.lstat()]
    }


@pytest.mark.slow
@pytest.mark.parametrize("number", range(COUNT))
def test_one_clear_answer(number, inputs, tmp_path, monkeypatch, capsys, recwarn):
    here, home, cache = (tmp_path / name for name in ("here", "home", "cache"))
    for folder in (here, home, cache):
        folder.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SOTGLP_CACHE", str(cache))
    arguments, piped = fuzzed.case(number, SEED, here, inputs)
    before = state(inputs, home)
    out, err = (
        io.TextIOWrapper(io.BytesIO(), "utf-8", errors, write_through=True)
        for errors in ("strict", "backslashreplace")
    )
    own[:] = map(os.path.realpath, (here, cache))
    try:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped)))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            code, *_ = run(patch, capsys, *arguments)
    finally:
        own.clear()
    out, err = (stream.buffer.getvalue().decode(errors="replace") for stream in (out, err))
    said = f"{arguments}\n{err}"
    assert code in (0, 1, 2) and state(inputs, home) == before, said
    assert "Traceback" not in out + err and err.count("\n") < 16 and not recwarn.list, said
    assert not set((out + err).replace("\x1b[A", "")) & set("\x1b\0\x07\x08"), (
        said
    )  # but a progress bar may move up
    assert "not enough memory" not in err or number % 3 != 1, (
        f"what a file of prompts claims was believed: {said}"
    )
