"""Prompts with learnable contexts: [start][context][class name][end], one text feature for each class and prompt."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from .backbone import Backbone


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

    def __init__(self, backbone: Backbone, class_names: tuple[str, ...], *, number: int, length: int, class_specific: bool,
                 template: str, init: str, generator: torch.Generator):
        super().__init__()
        before, after = template.split("{}")
        tokens = backbone.tokenize([name + after for name in class_names])  # (C, 1 + R), start token first
        words = backbone.embed(tokens).float()
        self.register_buffer("start", words[:1, :1], persistent=False)  # (1, 1, W)
        self.register_buffer("names", words[:, 1:], persistent=False)  # (C, R, W)
        self.register_buffer("end", tokens.argmax(-1) + length, persistent=False)  # (C,)
        window = backbone.text.positional_embedding.shape[0]
        if int(self.end.max()) >= window:
            longest = class_names[int(self.end.argmax())]
            raise ValueError(f"the prompt of class {longest!r} has {int(self.end.max()) + 1} tokens, the text tower reads {window}; "
                             "shorten the name or the context")
        spread = backbone.text.token_embedding.weight.float().std().cpu()
        owners = len(class_names) if class_specific else 1
        context = spread * torch.randn(owners, number, length, backbone.text_width, generator=generator)
        context = context.to(backbone.device)
        if init == "template":
            given = backbone.embed(backbone.tokenize([before])[0, 1:-1]).float()
            if len(given) != length:
                raise ValueError(f"the template {template!r} has {len(given)} tokens before {{}}, the context has {length}; "
                                 "make them equal, or start from random contexts")
            context[:, 0] = 0
            context = given + 0.5 * context
        self.context = nn.Parameter(context)  # (C or 1, N, T, W)

    def forward(self, backbone: Backbone) -> Tensor:
        """Unit text features, (C, N, D)."""
        C, R, W = self.names.shape
        _, N, T, _ = self.context.shape
        sequences = torch.cat([self.start.expand(C, N, 1, W), self.context.expand(C, N, T, W),
                               self.names[:, None].expand(C, N, R, W)], 2)  # (C, N, 1 + T + R, W)
        features = backbone.encode_sequences(sequences.flatten(0, 1), self.end.repeat_interleave(N))
        return normalize(features.float(), dim=-1).unflatten(0, (C, N))
