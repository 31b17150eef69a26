"""Prompts with learnable contexts: [start][context][class name][end], one text feature for each class and prompt."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.utils.checkpoint import checkpoint

from ..clip.backbone import Backbone
from ..clip.text import read

EncodeSharded = Callable[
    [Callable[[slice], Tensor], int], Tensor
]  # (a function of a slice of rows, how many there are) -> all rows


class PromptLearner(nn.Module):
    """``number`` prompts for every class.

    :param class_specific: each class has contexts of its own; otherwise the classes share them.
    :param length: context tokens T.
    :param template: the words before {} initialise the context, the words after it follow the class name.
    :param init: "random" with the spread of the word embeddings, or "template": the first prompt is the template itself,
        the others add noise, without which they would be and stay the same prompt.
    :param generator: draws the random part, on the CPU.
    :raises ValueError: naming a class whose prompt is longer than the text tower's window, or if the template's length is not T.
    """

    start: Tensor
    names: Tensor
    order: Tensor

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
        tokens = backbone.tokenize(
            [name + after for name in class_names]
        )  # (C, 1 + R), start token first
        words, ends = backbone.embed(tokens).to(backbone.compute_dtype), tokens.argmax(-1)
        order = ends.argsort(
            stable=True
        )  # shortest names first, so that equal lengths stand together
        self.lengths = ends[order].tolist()  # of the sorted names, end token included
        self.register_buffer("start", words[:1, :1], persistent=False)  # (1, 1, W)
        self.register_buffer("names", words[order, 1:], persistent=False)  # (C, R, W), sorted
        self.register_buffer("order", order, persistent=False)  # (C,)
        window = backbone.text.positional_embedding.shape[0]
        if self.lengths[-1] + length >= window:
            raise ValueError(
                f"the prompt of class {class_names[int(order[-1])]!r} has {self.lengths[-1] + length + 1} tokens, "
                f"the text tower reads {window}; shorten the name or the context"
            )
        spread = backbone.text.token_embedding.weight.to(backbone.compute_dtype).std().cpu()
        owners = len(class_names) if class_specific else 1
        context = spread * torch.randn(
            owners,
            number,
            length,
            backbone.text_width,
            dtype=backbone.compute_dtype,
            generator=generator,
        )
        context = context.to(backbone.device)
        if init == "template":
            given = backbone.embed(backbone.tokenize([before])[0, 1:-1]).to(backbone.compute_dtype)
            if len(given) != length:
                raise ValueError(
                    f"the template {template!r} has {len(given)} tokens before {{}}, the context has {length}; "
                    "make them equal, or start from random contexts"
                )
            context[:, 0] = 0
            context = given + 0.5 * context
        self.context = nn.Parameter(context)  # (C or 1, N, T, W)

    def forward(
        self,
        backbone: Backbone,
        *,
        chunk: int | None = None,
        encode_sharded: EncodeSharded | None = None,
    ) -> Tensor:
        """Unit text features, (C, N, D).

        :param chunk: prompts whose graph is in memory at once: each chunk's features are computed without a graph, and again
            with one when its gradient has come. None: all prompts, computed once.
        :param encode_sharded: splits the classes between processes and gathers their features; None: this process encodes all.
        """
        own, N = self.context.shape[0] > 1, self.context.shape[1]
        begin = (
            self.start[None]
            if own
            else torch.cat([self.start.expand(1, N, 1, -1), self.context], 2)
        )  # (1, 1 or N, ..., W)
        past = read(backbone.text, [begin])[1]
        contexts = self.context[self.order] if own else None
        step = max(1, (chunk or N * len(self.lengths)) // N)  # classes at once

        def encode(rows: slice) -> Tensor:
            names, lengths, owned = (
                self.names[rows],
                self.lengths[rows],
                None if contexts is None else contexts[rows],
            )

            def some(lo: int, hi: int) -> Tensor:
                groups, at = [], lo
                for length, same in groupby(lengths[lo:hi]):
                    here = slice(at, at := at + len(list(same)))
                    group = names[here, None, :length].expand(-1, N, -1, -1)  # (c, N, R, W)
                    groups.append(group if owned is None else torch.cat([owned[here], group], 2))
                return torch.cat(read(backbone.text, groups, past)[0])

            if not chunk or not torch.is_grad_enabled():
                done = [some(at, at + step) for at in range(0, len(lengths), step)]
            else:
                done = [
                    checkpoint(some, at, at + step, use_reentrant=False, preserve_rng_state=False)
                    for at in range(0, len(lengths), step)
                ]
            return normalize(torch.cat(done).to(backbone.compute_dtype), dim=-1)

        rows = len(self.lengths)
        features = encode_sharded(encode, rows) if encode_sharded else encode(slice(None))
        return features[self.order.argsort()]
