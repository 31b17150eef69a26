"""Read the weights of a CLIP from a file, as data: nothing in the file is ever run."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

WRAPPERS = ("state_dict", "model_state_dict", "model")  # under which training loops save weights
OPENAI_KEYS = ("input_resolution", "context_length", "vocab_size")  # of OpenAI's own format alone


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dictionary of a safetensors file or a torch checkpoint.

    :raises ValueError: if the file is neither, or holds more than tensors.
    """
    state: Any
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        for wrapper in WRAPPERS:
            state = state.get(wrapper, state)
        if not all(isinstance(value, Tensor) for value in state.values()):
            raise TypeError("it holds more than tensors")
        return {
            key.removeprefix("_orig_mod.").removeprefix("module."): value
            for key, value in state.items()
        }
    except Exception as error:
        raise ValueError(
            f"{path} can't be read as weights ({type(error).__name__}): give a safetensors file, "
            "or a state_dict() alone that torch.save wrote, which a TorchScript program is not"
        ) from None


def put_weights(model: Any, state: dict[str, Tensor], path: Path, name: str) -> bool:
    """Load what a file held into a model.

    Of the word embedding, a file may hold only the rows that training met.

    :return: whether the file is in OpenAI's own format.
    :raises ValueError: if names or shapes of tensors are not those of the model.
    """
    integers = [state.pop(key) for key in OPENAI_KEYS if key in state]
    if "token_rows" in state:  # other words get fixed noise
        rows, known = state.pop("token_rows").long(), state["token_embedding.weight"].float()
        shape = (model.vocab_size, known.shape[1])
        noise = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        table = torch.from_numpy(noise) * known.std()
        table[rows] = known
        state["token_embedding.weight"] = table
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        difference = str(error).splitlines()[1].strip()[:120]
        raise ValueError(
            f"{path.name} does not hold the weights of {name} ({difference}); name the model that "
            "they are of, or convert them from Hugging Face's names to open_clip's"
        ) from None
    return bool(integers)
