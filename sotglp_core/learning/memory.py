"""Training within the memory of a GPU."""

import warnings
from collections.abc import Callable
from typing import Any

import torch

from ..method.model import SOTGLP
from ..method.prompts import PromptLearner

ENTRIES = 16  # kept for the backward pass per token, layer and unit of width; 8 to 13 were measured


def choose_text_chunk(model: SOTGLP) -> int | None:
    """Prompts whose graph fits into 3/4 of a GPU's free memory; None: all of them, as on the CPU.

    bytes of a prompt = ENTRIES * tokens of the longest * layers * width * bytes of a number
    """
    backbone = model.backbone
    if backbone.device.type != "cuda":
        return None
    torch.cuda.empty_cache()
    room = torch.cuda.mem_get_info(backbone.device)[0] * 3 // 4
    learners = [child for child in model.children() if isinstance(child, PromptLearner)]
    tokens = max(int(x.lengths.max()) + x.context.shape[2] for x in learners)
    layers = len(backbone.text.transformer.resblocks)
    prompt = ENTRIES * tokens * layers * backbone.text_width * backbone.dtype.itemsize
    return None if prompt * _prompts(model) <= room else max(1, room // prompt)


def with_less_memory(model: SOTGLP, step: Callable[..., Any], *arguments: Any) -> Any:
    """step(*arguments), once more with half the text chunk where memory is too small.

    :raises torch.OutOfMemoryError: if it is too small for that, or of several processes one fails.
    """
    try:
        return step(*arguments)
    except torch.OutOfMemoryError:
        if torch.distributed.is_initialized():  # the others would not try again
            raise
    # only here is free what the step held
    model.text_chunk = max(1, (model.text_chunk or _prompts(model)) // 2)
    torch.cuda.empty_cache()
    warnings.warn(
        "a training step did not fit into the GPU's memory; "
        f"it is tried again with text_chunk={model.text_chunk}",
        stacklevel=3,
    )
    return step(*arguments)


def _prompts(model: SOTGLP) -> int:
    config = model.config
    return len(model.class_names) * (config.global_prompts + config.local_prompts)
