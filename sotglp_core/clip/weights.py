"""Read the weights of a CLIP from a file, whatever wrote it; nothing in it is ever executed, be it a pickle's or TorchScript's."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

OPENAI_KEYS = (
    "input_resolution",
    "context_length",
    "vocab_size",
)  # found in checkpoints of OpenAI's own format alone


class Weights(NamedTuple):
    """A state dictionary, and whether it came in OpenAI's own format."""

    state: dict[str, Tensor]
    openai: bool


def read_weights(path: Path, vocabulary: int) -> Weights:
    """Weights from safetensors, a torch checkpoint (loaded as data only), or OpenAI's TorchScript archive.

    :param vocabulary: rows of the whole word embedding; a file may hold only the rows that training met.
    :raises ValueError: if the file is none of these.
    """
    state: Any
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        elif zipfile.is_zipfile(path) and any(
            name.endswith("constants.pkl") for name in zipfile.ZipFile(path).namelist()
        ):
            with zipfile.ZipFile(path) as archive:
                state = dict(_Script(archive).load().tensors())
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        state = state.get("state_dict", state)
        state = {key.removeprefix("module."): value for key, value in state.items()}
        if not all(isinstance(value, Tensor) for value in state.values()):
            raise TypeError("it holds more than tensors")
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise ValueError(f"{path} can't be read as weights: {reason}") from None
    openai = any(key in state for key in OPENAI_KEYS)
    state = {key: value for key, value in state.items() if key not in OPENAI_KEYS}
    if "token_rows" in state:
        state["token_embedding.weight"] = _expand_rows(
            state.pop("token_rows"), state["token_embedding.weight"], vocabulary
        )
    return Weights(state, openai)


class _Module:
    """A module of a TorchScript archive: its attributes, without its code."""

    kept: frozenset[str]  # those that are parameters or buffers

    def tensors(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        for name, value in vars(self).items():
            if isinstance(value, _Module):
                yield from value.tensors(f"{prefix}{name}.")
            elif isinstance(value, Tensor) and name in self.kept:
                yield prefix + name, value


class _Script(pickle.Unpickler):
    """A TorchScript archive as data: modules, tensors and numbers, and an error for all else."""

    def __init__(self, archive: zipfile.ZipFile):
        self.archive, self.root = archive, archive.namelist()[0].split("/")[0]
        super().__init__(archive.open(f"{self.root}/data.pkl"))

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "__torch__":
            code = self.archive.read(f"{self.root}/code/{module.replace('.', '/')}.py").decode()
            lists = re.search(
                rf"^class {re.escape(name)}\(Module\):((?:\n  __(?:parameters|buffers)__ = \[.*\])*)",
                code,
                re.MULTILINE,
            )
            return type(
                name,
                (_Module,),
                {"kept": frozenset(re.findall(r'"(\w+)"', lists[1] if lists else ""))},
            )
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: storage.as_strided(
                size, stride, offset
            )
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        dtype = getattr(torch, name.removesuffix("Storage").lower(), None)  # of a FloatStorage, say
        if module == "torch" and name.endswith("Storage") and isinstance(dtype, torch.dtype):
            return dtype
        raise TypeError(f"it holds a {module}.{name}")

    def persistent_load(self, saved: Any) -> Tensor:
        _, dtype, key, _, number = saved
        content = bytearray(self.archive.read(f"{self.root}/data/{key}"))
        return (
            torch.frombuffer(content, dtype=dtype, count=number)
            if number
            else torch.empty(0, dtype=dtype)
        )


def _expand_rows(rows: Tensor, known: Tensor, vocabulary: int) -> Tensor:
    """The whole vocabulary from the rows that were trained; the other words get fixed noise of the same spread."""
    noise = np.random.default_rng(0).standard_normal((vocabulary, known.shape[1]), dtype=np.float32)
    table = torch.from_numpy(noise) * known.float().std()
    table[rows.long()] = known.float()
    return table
