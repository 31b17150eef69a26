"""A causal text tower on packed sequences: no padding, and a common beginning encoded once."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

KVCache = list[Tensor]  # each layer's keys and values: (2, 1, m or 1, heads, T, d)


def encode_packed(
    text: Any, sequences: Tensor, lengths: Tensor, cache: KVCache | None = None
) -> tuple[Tensor, KVCache]:
    """h_i = softmax(q_i [k_cache k_1..i]^T / sqrt(d)) [v_cache v_1..i], all tokens in one list.

    Attention is causal, so a beginning does not depend on what follows: encode it once, and give
    its cache to all that go on from it. The features are those of the padded tower.

    :param text: open_clip's text tower.
    :param sequences: (c, m, L, W) word embeddings, filled up at their ends.
    :param lengths: (c,) true lengths, on the CPU.
    :param cache: of a beginning, (1, m, T, W) or (1, 1, T, W).
    :return: the features at the last token of each sequence, (c, m, D), not normalised; and, if
        there was no cache, the keys and values of all.
    """
    c, m, L, _ = sequences.shape
    begun, device = cache[0].shape[-2] if cache else 0, sequences.device
    real = (torch.arange(L) < lengths[:, None, None]).expand(c, m, L).flatten()
    rows = real.nonzero()[:, 0].to(device)  # of the list of all tokens
    ends = (lengths.repeat_interleave(m).cumsum(0) - 1).to(device)
    causal = torch.ones(L, begun + L, dtype=torch.bool, device=device).tril(begun)
    x = (sequences + text.positional_embedding[begun : begun + L]).flatten(0, 2)
    x = x.index_select(0, rows).to(text.transformer.get_cast_dtype())  # (tokens, W)
    new_cache: KVCache = []
    for layer, block in enumerate(text.transformer.resblocks):
        attention = block.attn
        qkv = linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
        filled = qkv.new_zeros(c * m * L, qkv.shape[-1]).index_copy(0, rows, qkv)
        heads = filled.view(c, m, L, 3, attention.num_heads, -1).permute(3, 0, 1, 4, 2, 5)
        q, kv = heads[0], heads[1:]  # (2, c, m, heads, L, d)
        if cache:
            kv = torch.cat([cache[layer].expand(-1, c, m, -1, -1, -1), kv], -2)
        else:
            new_cache.append(kv)
        k, v = kv.flatten(1, 2)
        seen = scaled_dot_product_attention(q.flatten(0, 1), k, v, attn_mask=causal)
        attended = seen.transpose(1, 2).flatten(0, 1).flatten(1).index_select(0, rows)
        if layer == len(text.transformer.resblocks) - 1:
            x, attended = x[ends], attended[ends]
        x = x + block.ls_1(attention.out_proj(attended))
        x = x + block.ls_2(block.mlp(block.ln_2(x)))
    return project(text, text.ln_final(x)).unflatten(0, (c, m)), new_cache


def project(text: Any, x: Tensor) -> Tensor:
    """(..., W) normed tokens to (..., D)."""
    projection = text.text_projection
    return projection(x) if isinstance(projection, nn.Linear) else x @ projection
