"""A causal text tower on packed sequences: no padding, a common beginning read once, the last layer at the last tokens alone."""

from __future__ import annotations

from itertools import accumulate, chain, repeat
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

Past = list[
    tuple[Tensor, Tensor]
]  # every layer's keys and values, (1, m or 1, heads, T, W / heads)


def read(text: Any, groups: list[Tensor], past: Past | None = None) -> tuple[list[Tensor], Past]:
    """h_i = softmax(q_i [k_past k_1..i]^T / sqrt(d)) [v_past v_1..i] in every layer, all groups' tokens in one long list.

    Attention is causal, so a beginning does not depend on what follows: read it once, and give its ``past`` to all that go on
    from it. Position by position the result is that of the padded tower.

    :param text: open_clip's text tower.
    :param groups: word embeddings, (c, m, L, W) each: c x m sequences of one length.
    :param past: what :func:`read` returned for a beginning, (1, m, T, W) or (1, 1, T, W).
    :return: the features at the last token of each sequence, (c, m, D) a group, not normalised; and the first group's past.
    """
    begun = past[0][0].shape[-2] if past else 0
    blocks, shapes = text.transformer.resblocks, [group.shape[:3] for group in groups]
    places = text.positional_embedding[begun:]
    x = torch.cat(
        [(group + places[: group.shape[2]]).flatten(0, 2) for group in groups]
    )  # (tokens, W)
    x = x.to(text.transformer.get_cast_dtype())
    ends = (
        torch.tensor(list(accumulate(chain.from_iterable(repeat(L, c * m) for c, m, L in shapes))))
        - 1
    )
    masks = [
        torch.ones(L, begun + L, dtype=torch.bool, device=x.device).tril(begun)
        for _, _, L in shapes
    ]
    memory: Past = []
    for layer, block in enumerate(blocks):
        attention, W = block.attn, x.shape[-1]
        wanted = ends.to(x.device) if block is blocks[-1] else slice(None)
        lengths = [1 if block is blocks[-1] else L for *_, L in shapes]
        normed = block.ln_1(x)
        q = linear(normed[wanted], attention.in_proj_weight[:W], attention.in_proj_bias[:W])
        kv = linear(normed, attention.in_proj_weight[W:], attention.in_proj_bias[W:])
        mixed, q_at, kv_at = [], 0, 0
        for (c, m, L), Q, mask in zip(shapes, lengths, masks):
            queries = (
                q[q_at : (q_at := q_at + c * m * Q)]
                .view(c * m, Q, attention.num_heads, -1)
                .transpose(1, 2)
            )
            k, v = (
                kv[kv_at : (kv_at := kv_at + c * m * L)]
                .view(c, m, L, 2, attention.num_heads, -1)
                .permute(3, 0, 1, 4, 2, 5)
            )
            if not past and len(memory) == layer:
                memory.append((k, v))
            elif past:
                k, v = (
                    torch.cat([old.expand(c, m, *old.shape[2:]), new], -2)
                    for old, new in zip(past[layer], (k, v))
                )
            seen = scaled_dot_product_attention(
                queries, k.flatten(0, 1), v.flatten(0, 1), attn_mask=None if Q < L else mask
            )
            mixed.append(seen.transpose(1, 2).reshape(c * m * Q, W))
        x = x[wanted] + block.ls_1(attention.out_proj(torch.cat(mixed)))
        x = x + block.ls_2(block.mlp(block.ln_2(x)))
    features = project(text, text.ln_final(x)).split([c * m for c, m, _ in shapes])
    return [rows.unflatten(0, (c, m)) for rows, (c, m, _) in zip(features, shapes)], memory


def project(text: Any, x: Tensor) -> Tensor:
    """(..., W) normed tokens to (..., D)."""
    return (
        text.text_projection(x)
        if isinstance(text.text_projection, nn.Linear)
        else x @ text.text_projection
    )
