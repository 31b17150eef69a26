"""Value-value attention: what a patch token says when it attends to the tokens that carry the same values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.nn.functional import linear, scaled_dot_product_attention


def vv_attention(
    x: Tensor,
    value_weight: Tensor,
    value_bias: Tensor,
    out_weight: Tensor,
    out_bias: Tensor,
    *,
    heads: int,
) -> Tensor:
    """y = W_o softmax(v v^T / sqrt(d)) v + b_o with v = W_v x + b_v, per head.

    :param x: (B, L, V) layer-normed tokens of the ordinary stream.
    :param value_weight: (V, V) the value rows of the block's input projection.
    :param value_bias: (V,).
    :param out_weight: (V, V).
    :param out_bias: (V,).
    :param heads: number of heads, d = V / heads.
    :return: (B, L, V), what the block adds to the dense stream.

    Source: CLIP Surgery (Li et al., arXiv 2304.05653), without its dual path's final averaging.
    """
    B, L, V = x.shape
    v = (
        linear(x, value_weight, value_bias).view(B, L, heads, V // heads).transpose(1, 2)
    )  # (B, heads, L, d)
    y = scaled_dot_product_attention(v, v, v).transpose(1, 2).reshape(B, L, V)
    return linear(y, out_weight, out_bias)


@contextmanager
def ordinary_stream(transformer: Any) -> Iterator[list[Tensor]]:
    """Collect the ordinary stream of a forward pass: each block's input, then the last one's output, (B, 1 + P, V)."""
    stream: list[Tensor] = []

    def note(x: Tensor) -> None:
        stream.append(x if transformer.resblocks[0].attn.batch_first else x.transpose(0, 1))

    blocks = transformer.resblocks
    handles = [
        block.register_forward_pre_hook(
            lambda _, args, named: note(args[0] if args else named["q_x"]), with_kwargs=True
        )
        for block in blocks
    ]
    handles.append(blocks[-1].register_forward_hook(lambda _, args, output: note(output)))
    try:
        yield stream
    finally:
        for handle in handles:
            handle.remove()
