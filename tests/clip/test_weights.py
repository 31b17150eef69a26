"""Weights are read as data; whatever else a file holds is not run."""

import pickle
import warnings

import pytest
import torch
from torch import nn

from sotglp_core.clip.weights import WRAPPERS, read_weights


class Payload:
    """Whoever unpickles it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


class Hostile(nn.Module):
    """Writes a file when it is loaded."""

    def __init__(self):
        super().__init__()
        self.register_buffer("w", torch.zeros(1))

    def forward(self, x):
        return x

    @torch.jit.export
    def __getstate__(self):
        return self.w, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]):
        torch.save(state[0], "owned")
        self.w, self.training = state


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "_orig_mod.module."])
def test_what_training_loops_save(tmp_path, wrapper, prefix):
    torch.save({wrapper: {f"{prefix}weight": torch.arange(3.0)}, "epoch": 3}, tmp_path / "a.pt")
    found = read_weights(tmp_path / "a.pt")
    assert list(found) == ["weight"] and torch.equal(found["weight"], torch.arange(3.0))


def test_torchscript_archives_are_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.jit.script(Hostile()).save("a.pt")
        torch.jit.load("a.pt")
        assert (tmp_path / "owned").exists(), "torch itself runs it"
        (tmp_path / "owned").unlink()
        with pytest.raises(ValueError, match="a state_dict.. alone .* which a TorchScript program"):
            read_weights(tmp_path / "a.pt")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors", "a.bin"])
def test_no_pickle_is_run(tmp_path, name):
    for write in (lambda x, path: path.write_bytes(pickle.dumps(x)), torch.save):
        write({"w": Payload(tmp_path / "owned")}, tmp_path / name)
        with pytest.raises(ValueError, match="can't be read as weights"):
            read_weights(tmp_path / name)
    assert not (tmp_path / "owned").exists()
