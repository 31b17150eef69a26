"""The method as its formulas read, to measure against: 77 tokens, dense similarity, a loop over
probabilities.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from sotglp_core.clip.backbone import Backbone
from sotglp_core.method.model import SOTGLP

CLASSES = [
    "banded",
    "blotchy",
    "braided",
    "bubbly",
    "bumpy",
    "chequered",
    "cobwebbed",
    "cracked",
    "crosshatched",
    "crystalline",
    "dotted",
    "fibrous",
    "flecked",
    "freckled",
    "frilly",
    "gauzy",
    "grid",
    "grooved",
    "honeycombed",
    "interlaced",
    "knitted",
    "lacelike",
    "lined",
    "marbled",
    "matted",
    "meshed",
    "paisley",
    "perforated",
    "pitted",
    "pleated",
    "polka-dotted",
    "porous",
    "potholed",
    "scaly",
    "smeared",
    "spiralled",
    "sprinkled",
    "stained",
    "stratified",
    "striped",
    "studded",
    "swirly",
    "veined",
    "waffled",
    "woven",
    "wrinkled",
    "zigzagged",
]  # noqa: SIM905 -- DTD's 47


def prompt_features(backbone: Backbone, names: tuple[str, ...], context: Tensor) -> Tensor:
    """Every prompt as 77 tokens through open_clip's own tower: (C, N, D)."""
    T = context.shape[2]
    tokens = backbone.tokenizer([" ".join(["x"] * T + [name]) + "." for name in names])
    words = backbone.embed(tokens)[:, None].expand(-1, context.shape[1], -1, -1)
    sequences = torch.cat(
        [words[:, :, :1], context.expand(len(names), -1, -1, -1), words[:, :, 1 + T :]], 2
    ).flatten(0, 1)
    x = backbone.encode_sequences(sequences, tokens.argmax(-1).repeat_interleave(context.shape[1]))
    return normalize(x, dim=-1).unflatten(0, (len(names), -1))


def transport(similarity: Tensor, epsilon: float = 0.1) -> Tensor:
    """Sinkhorn in the probability domain on (B, C, K, N), until a scaling moves by less than 0.01
    in the mean.
    """
    *_, K, N = similarity.shape
    kernel = (-(1 - similarity) / epsilon).exp()
    r, c = torch.ones_like(kernel[..., :, 0]), torch.ones_like(kernel[..., 0, :])
    for _ in range(100):
        before = r
        r = (1 / K) / (kernel @ c[..., None])[..., 0]
        c = (1 / N) / (kernel.mT @ r[..., None])[..., 0]
        if (r - before).abs().mean() < 0.01:
            break
    return r[..., None] * kernel * c[..., None, :]


def local_score(patches: Tensor, prompts: Tensor, support: int = 10) -> Tensor:
    """(B, P, D), (C, N, D) -> (B, C), through the similarity of every patch with every prompt."""
    similarity = torch.einsum("bpd,cnd->bcpn", patches, prompts)
    index = similarity.mean(-1).topk(support, -1).indices
    similarity = similarity.gather(2, index[..., None].expand(-1, -1, -1, prompts.shape[1]))
    with torch.no_grad():
        plan = transport(similarity)
    return (plan * similarity).sum((-1, -2))


def step(model: SOTGLP, pixels: Tensor, labels: Tensor) -> None:
    """Images, prompts, both losses and the backward pass, nothing cached between steps."""
    backbone, names = model.backbone, model.class_names
    with torch.no_grad():
        seen = backbone.encode_image(pixels)
    image, patches = (
        normalize(seen.image, dim=-1),
        normalize(backbone.project(seen.patches), dim=-1),
    )
    shared, local = (
        prompt_features(backbone, names, learner.context)
        for learner in (model.global_prompts, model.local_prompts)
    )
    scores = torch.einsum("bd,cmd->bcm", image, shared).mean(-1), local_score(patches, local)
    sum(cross_entropy(backbone.logit_scale * score, labels) for score in scores).backward()
