"""Read the weights of a CLIP from a file, whatever wrote it; no pickle is ever executed."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

OPENAI_KEYS = ("input_resolution", "context_length", "vocab_size")  # found in checkpoints of OpenAI's own format alone


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
        elif zipfile.is_zipfile(path) and any(name.endswith("constants.pkl") for name in zipfile.ZipFile(path).namelist()):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                state = torch.jit.load(path, map_location="cpu").state_dict()
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
        state["token_embedding.weight"] = _expand_rows(state.pop("token_rows"), state["token_embedding.weight"], vocabulary)
    return Weights(state, openai)


def _expand_rows(rows: Tensor, known: Tensor, vocabulary: int) -> Tensor:
    """The whole vocabulary from the rows that were trained; the other words get fixed noise of the same spread."""
    noise = np.random.default_rng(0).standard_normal((vocabulary, known.shape[1]), dtype=np.float32)
    table = torch.from_numpy(noise) * known.float().std()
    table[rows.long()] = known.float()
    return table
