"""Files are whole or not there, also when the process dies while writing."""

import os
import signal
import subprocess
import sys

import pytest
import torch

from sotglp_core.storage import atomic_path, load_tensors, save_tensors, write_text

KILLED = """
import os, signal, sys, torch
from sotglp_core.storage import save_tensors

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

save_tensors(sys.argv[1], {"x": torch.zeros(3)}, {"i": 1})
storage = sys.modules["sotglp_core.storage"]
steps = {"tensors": (storage, "save"), "sync": (os, "fsync"), "rename": (os, "replace")}
setattr(*steps[sys.argv[2]], die)
save_tensors(sys.argv[1], {"x": torch.ones(3)}, {"i": 2})
"""


def test_round_trip(tmp_path):
    save_tensors(tmp_path / "a" / "x.safetensors", {"x": torch.arange(3)}, {"names": ["é", "b"]})
    tensors, record = load_tensors(tmp_path / "a" / "x.safetensors")
    assert tensors["x"].tolist() == [0, 1, 2] and record == {"names": ["é", "b"]}


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "x.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["x.txt"]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["tensors", "sync", "rename"])
def test_killed_while_saving(tmp_path, moment):
    path = tmp_path / "x.safetensors"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), moment])
    assert done.returncode == -signal.SIGKILL
    tensors, record = load_tensors(path)
    assert record == {"i": 1} and tensors["x"].tolist() == [0, 0, 0]


def test_errors(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        load_tensors(tmp_path / "none")
    (tmp_path / "junk").write_bytes(b"x" * 100)
    with pytest.raises(
        ValueError, match="can't be read as a file that this package saved: SafetensorError"
    ):
        load_tensors(tmp_path / "junk")
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "foreign")
    with pytest.raises(ValueError, match="saved: KeyError.'record'"):
        load_tensors(tmp_path / "foreign")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="can't write .*; choose another folder"):
        write_text(tmp_path / "file" / "below", "x")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe: it is a folder, a pipe or a device; name a file"):
        write_text(tmp_path / "pipe", "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="folder: it is a folder, a pipe or a device; name a file"):
        write_text(tmp_path / "folder", "x")
