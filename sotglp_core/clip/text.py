"""A causal text tower on packed sequences: no padding, and a common beginning encoded once."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

KVCache = list[Tensor]  # each layer's keys and values: (2, 1, m or 1, heads, T, d)


def encode_packed(
    text: Any, groups: list[Tensor], cache: KVCache | None = None
) -> tuple[list[Tensor], KVCache]:
    """h_i = softmax(q_i [k_cache k_1..i]^T / sqrt(d)) [v_cache v_1..i], all tokens in one list.

    Attention is causal, so a beginning does not depend on what follows: encode it once, and give
    its cache to all that go on from it. The features are those of the padded tower.

    :param text: open_clip's text tower.
    :param groups: word embeddings, (c, m, L, W) each: c x m sequences of one length.
    :param cache: of a beginning, (1, m, T, W) or (1, 1, T, W).
    :return: the features at the last token of each sequence, (c, m, D) per group, not normalised;
        and the first group's cache.
    """
    begun = cache[0].shape[-2] if cache else 0
    shapes = [group.shape[:3] for group in groups]
    positions = text.positional_embedding[begun:]
    x = torch.cat([(group + positions[: group.shape[2]]).flatten(0, 2) for group in groups])
    x = x.to(text.transformer.get_cast_dtype())  # (tokens, W)
    lengths = [L for c, m, L in shapes for _ in range(c * m)]
    ends = torch.tensor(lengths, device=x.device).cumsum(0) - 1
    new_cache: KVCache = []
    for layer, block in enumerate(text.transformer.resblocks):
        attention = block.attn
        qkv = linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
        mixed = []
        for (c, m, L), rows in zip(shapes, qkv.split([c * m * L for c, m, L in shapes])):
            heads = rows.view(c, m, L, 3, attention.num_heads, -1).permute(3, 0, 1, 4, 2, 5)
            q, kv = heads[0], heads[1:]  # (2, c, m, heads, L, d)
            if len(new_cache) == layer:
                new_cache.append(kv)
            if cache:
                kv = torch.cat([cache[layer].expand(-1, c, m, -1, -1, -1), kv], -2)
            k, v = kv.flatten(1, 2)
            causal = torch.ones(L, begun + L, dtype=torch.bool, device=x.device).tril(begun)
            seen = scaled_dot_product_attention(q.flatten(0, 1), k, v, attn_mask=causal)
            mixed.append(seen.transpose(1, 2).flatten(0, 1).flatten(1))
        attended = torch.cat(mixed)
        if layer == len(text.transformer.resblocks) - 1:
            x, attended = x[ends], attended[ends]
        x = x + block.ls_1(attention.out_proj(attended))
        x = x + block.ls_2(block.mlp(block.ln_2(x)))
    features = project(text, text.ln_final(x)).split([c * m for c, m, _ in shapes])
    return [rows.unflatten(0, (c, m)) for rows, (c, m, _) in zip(features, shapes)], new_cache


def project(text: Any, x: Tensor) -> Tensor:
    """(..., W) normed tokens to (..., D)."""
    projection = text.text_projection
    return projection(x) if isinstance(projection, nn.Linear) else x @ projection
