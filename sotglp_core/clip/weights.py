"""Read the weights of a CLIP from a file, as data: nothing in the file is ever run."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

WRAPPERS = ("state_dict", "model_state_dict", "model")  # under which training loops save weights
OPENAI_KEYS = ("input_resolution", "context_length", "vocab_size")  # of OpenAI's own format alone


class Weights(NamedTuple):
    """A state dictionary, and whether it came in OpenAI's own format."""

    state: dict[str, Tensor]
    openai: bool


def read_weights(path: Path, vocabulary: int) -> Weights:
    """Weights from safetensors or a torch checkpoint.

    :param vocabulary: rows of the whole word embedding; a file may hold only those that training
        met.
    :raises ValueError: if the file is neither.
    """
    state: Any
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        for wrapper in WRAPPERS:
            state = state.get(wrapper, state)
        state = {
            key.removeprefix("_orig_mod.").removeprefix("module."): value
            for key, value in state.items()
        }
        if not all(isinstance(value, Tensor) for value in state.values()):
            raise TypeError("it holds more than tensors")
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if "TorchScript" in reason:
            reason = (
                "it is a TorchScript program; save its state_dict(), or name a tag of open_clip"
            )
        elif isinstance(error, UnpicklingError):  # torch explains at length
            reason = (
                "it holds other things than tensors, or is damaged; save the state_dict() alone"
            )
        raise ValueError(f"{path} can't be read as weights: {reason}") from None
    integers = [state.pop(key) for key in OPENAI_KEYS if key in state]
    if "token_rows" in state:
        rows, known = state.pop("token_rows"), state["token_embedding.weight"]
        state["token_embedding.weight"] = _expand_rows(rows, known, vocabulary)
    return Weights(state, bool(integers))


def put_weights(model: Any, state: dict[str, Tensor], path: Path, name: str) -> None:
    """Load what a file held into a model.

    :raises ValueError: if names or shapes of tensors are not those of the model.
    """
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    given = {key: value.shape for key, value in state.items()}
    wrong = sorted(key for key in shapes | given if shapes.get(key) != given.get(key))
    if wrong:
        huggingface = any(key.startswith(("text_model.", "vision_model.")) for key in given)
        advice = "; they have Hugging Face's names: convert them, or name a tag of open_clip"
        raise ValueError(
            f"{path.name} does not hold the weights of {name}: {len(wrong)} names or shapes "
            f"of tensors differ, such as {wrong[0]!r}{advice if huggingface else ''}"
        )
    model.load_state_dict(state)


def _expand_rows(rows: Tensor, known: Tensor, vocabulary: int) -> Tensor:
    """The whole vocabulary from the trained rows; other words get fixed noise."""
    noise = np.random.default_rng(0).standard_normal((vocabulary, known.shape[1]), dtype=np.float32)
    table = torch.from_numpy(noise) * known.float().std()
    table[rows.long()] = known.float()
    return table
