"""Weights are read as data: from every kind of file the same, and whatever else a file holds is not run."""

import pickle
import warnings
import zipfile

import pytest
import torch
from torch import nn

from sotglp_core.clip.weights import read_weights


class Payload:
    """Whoever unpickles it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


class Small(nn.Module):
    """Parameters and buffers, shared and not, and attributes that are neither."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 2, bias=False)
        ).half()
        self.register_buffer("vocab_size", torch.tensor(7))
        self.register_buffer("part", torch.arange(12.0)[3:9].view(2, 3).T)
        self.mask, self.number = torch.ones(2), 3

    def forward(self, x):
        return self.layers(x) + self.mask + self.number


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


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, but there are weights in it
        yield


@pytest.mark.parametrize(
    "made", [torch.jit.script, lambda module: torch.jit.trace(module, torch.ones(4, 3).half())]
)
def test_torchscript_archives_are_read_as_torch_reads_them(tmp_path, quiet, made):
    made(Small().eval()).save(str(tmp_path / "a.pt"))
    wanted, found = (
        torch.jit.load(str(tmp_path / "a.pt")).state_dict(),
        read_weights(tmp_path / "a.pt", 7),
    )
    assert (
        found.openai
        and set(found.state) == set(wanted) - {"vocab_size"}
        and "mask" not in found.state
    )
    for name, value in found.state.items():
        assert value.dtype == wanted[name].dtype and torch.equal(value, wanted[name]), name


def test_nothing_in_an_archive_is_run(tmp_path, quiet, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.jit.script(Hostile()).save("a.pt")
    torch.jit.load("a.pt")
    assert (tmp_path / "owned").exists(), "torch itself runs it"
    (tmp_path / "owned").unlink()
    with pytest.raises(ValueError, match="a.pt can't be read as weights"):
        read_weights(tmp_path / "a.pt", 7)
    assert not (tmp_path / "owned").exists()


def test_an_archive_with_a_pickle_of_code(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/constants.pkl", pickle.dumps(()))
        archive.writestr("a/data.pkl", pickle.dumps(Payload(tmp_path / "owned")))
    with pytest.raises(ValueError, match="can't be read as weights: it holds a "):
        read_weights(tmp_path / "a.pt", 7)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors", "a.bin"])
def test_no_pickle_is_run(tmp_path, name):
    for write in (lambda x, path: path.write_bytes(pickle.dumps(x)), torch.save):
        write({"w": Payload(tmp_path / "owned")}, tmp_path / name)
        with pytest.raises(ValueError, match="can't be read as weights"):
            read_weights(tmp_path / name, 7)
    assert not (tmp_path / "owned").exists()
