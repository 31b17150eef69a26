"""Prompts with learnable contexts: [start][context][class name][end] to a text feature."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..clip.backbone import Backbone
from ..clip.text import KVCache, encode_packed

FROM_TEMPLATE = ("template", "perturbed")

# From a function of a slice of rows, and the number of rows, to all rows.
EncodeSharded = Callable[[Callable[[slice], Tensor], int], Tensor]


class PromptLearner(nn.Module):
    """``number`` prompts for every class.

    :param class_specific: a context per class and prompt; otherwise the classes share them.
    :param length: context tokens T, where they begin at random.
    :param template: the words before {} initialise the context, those after it follow the name.
    :param init: as in :func:`initial_context`.
    :param generator: draws the random part, on the CPU.
    :raises ValueError: naming a class whose prompt is longer than the text tower's window.
    """

    start: Tensor
    names: Tensor

    def __init__(
        self,
        backbone: Backbone,
        class_names: tuple[str, ...],
        *,
        number: int,
        length: int,
        class_specific: bool,
        template: str,
        init: str,
        generator: torch.Generator,
    ):
        super().__init__()
        before, after = template.split("{}")
        dtype, window = backbone.compute_dtype, len(backbone.text.positional_embedding)
        given = backbone.embed(backbone.tokenize([before])[0, 1:-1]).to(dtype)  # (T, W)
        if init in FROM_TEMPLATE:
            length = len(given)
        tokens = backbone.tokenize([name + after for name in class_names])  # (C, 1 + R)
        words = backbone.embed(tokens).to(dtype)
        self.lengths = tokens.argmax(-1).cpu()  # (C,) of the names, end token included
        longest = int(self.lengths.max()) + length + 1
        if longest > window:
            name = class_names[int(self.lengths.argmax())]
            raise ValueError(
                f"the prompt of class {name!r} has {longest} tokens, "
                f"the text tower reads {window}; shorten the name or the context"
            )
        self.register_buffer("start", words[:1, :1], persistent=False)  # (1, 1, W)
        self.register_buffer("names", words[:, 1:], persistent=False)  # (C, R, W)
        context = initial_context(
            init,
            (len(class_names) if class_specific else 1, number, length, backbone.text_width),
            words=given.cpu(),
            deviation=float(backbone.text.token_embedding.weight.std()),
            generator=generator,
        )
        self.context = nn.Parameter(context.to(backbone.device))

    def forward(
        self,
        backbone: Backbone,
        *,
        chunk: int | None = None,
        encode_sharded: EncodeSharded | None = None,
    ) -> Tensor:
        """Text features (C, N, D), not normalised.

        :param chunk: prompts whose graph is in memory at once: each chunk is encoded without a
            graph, and again with one when its gradient has come. None: all, encoded once.
        :param encode_sharded: divides the classes between processes and gathers their features;
            None: this process encodes all.
        """
        C, N = len(self.lengths), self.context.shape[1]
        if len(self.context) > 1:  # class-specific: only the start token is common
            beginning, contexts = self.start[None], self.context[:]
        else:
            beginning = torch.cat([self.start.expand(1, N, 1, -1), self.context], 2)
            contexts = self.context[:, :, :0].expand(C, -1, -1, -1)
        length = torch.tensor([beginning.shape[2]])
        cache = encode_packed(backbone.text, beginning, length)[1]

        encode_piece: Callable = _encode
        if chunk is not None:
            settings = {"use_reentrant": False, "preserve_rng_state": False}
            encode_piece = partial(checkpoint, _encode, **settings)

        def encode(shard: slice) -> Tensor:
            step = C if chunk is None else max(1, chunk // N)  # classes at once
            parts = (x[shard].split(step) for x in (self.names, contexts, self.lengths))
            features = [encode_piece(backbone.text, cache, *piece) for piece in zip(*parts)]
            return torch.cat(features).to(backbone.compute_dtype)

        return encode_sharded(encode, C) if encode_sharded else encode(slice(None))


def initial_context(
    init: str,
    shape: tuple[int, int, int, int],
    *,
    words: Tensor,
    deviation: float,
    generator: torch.Generator,
) -> Tensor:
    """Contexts (C or 1, N, T, W) before training.

    "template": the template's words, all prompts equal (SOT-GLP's global prompts, GalLoP).
    "perturbed": the same with noise in all prompts but the first, so that they can part.
    "normal": N(0, 0.02^2) (CoOp, LoCoOp, PLOT).
    "xavier": uniform, of variance 2 / ((C + N) T W) (the local prompts of SOT-GLP's released code).

    :param shape: (C or 1, N, T, W).
    :param words: (T, W) embeddings of the template's words.
    :param deviation: of all word embeddings; the noise has half of it.
    :param generator: of the CPU.
    """
    context = torch.zeros(shape, dtype=words.dtype)
    if init == "xavier":
        nn.init.xavier_uniform_(context, generator=generator)
    elif init != "template":
        std = 0.02 if init == "normal" else deviation / 2
        nn.init.normal_(context, std=std, generator=generator)
    if init in FROM_TEMPLATE:
        context[:, 0] = 0
        context += words
    return context


class FixedPrompts(nn.Module):
    """Text features (C, N, D) in place of the prompts that they were encoded from."""

    features: Tensor

    def __init__(self, backbone: Backbone, classes: int, number: int):
        super().__init__()
        shape = (classes, number, backbone.joint_width)
        features = torch.zeros(shape, dtype=backbone.compute_dtype, device=backbone.device)
        self.register_buffer("features", features)

    def forward(self, backbone: Backbone, **_: Any) -> Tensor:
        return self.features


def _encode(text: Any, cache: KVCache, names: Tensor, contexts: Tensor, lengths: Tensor) -> Tensor:
    """Features of (c, N, T, W) contexts before (c, R, W) names of these lengths: (c, N, D)."""
    _, N, T, _ = contexts.shape
    names = names[:, None, : int(lengths.max())].expand(-1, N, -1, -1)
    return encode_packed(text, torch.cat([contexts, names], 2), lengths + T, cache)[0]
