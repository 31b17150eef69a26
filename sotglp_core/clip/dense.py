"""The dense stream of an image tower: what the patch tokens say, block by block."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention


class Step(NamedTuple):
    """One block of the ordinary stream, with its tokens before and after: (B, 1 + P, V)."""

    block: Any
    before: Tensor
    after: Tensor


@contextmanager
def recorded(transformer: Any) -> Iterator[list[Step]]:
    """The steps of the forward pass that is made inside."""
    steps: list[Step] = []

    def record(block: nn.Module, args: tuple, named: dict, after: Tensor) -> None:
        steps.append(Step(block, args[0] if args else named["q_x"], after))

    handles = [x.register_forward_hook(record, with_kwargs=True) for x in transformer.resblocks]
    try:
        yield steps
    finally:
        for handle in handles:
            handle.remove()


def vv_stream(steps: list[Step], *, shared_first_block: bool) -> Tensor:
    """x_0 + sum_l y_l, with y_l block l's V-V attention to the ordinary stream; no MLP.

    :param shared_first_block: add block 1's ordinary attention output, too, as the released code
        does.
    :return: (B, 1 + P, V).
    """
    tokens = steps[0].before
    for number, (block, x, _) in enumerate(steps):
        normed = block.ln_1(x)
        tokens = tokens + block.ls_1(vv_attention(block.attn, normed))
        if number == 0 and shared_first_block:
            ordinary = block.attn(normed, normed, normed, need_weights=False)[0]
            tokens = tokens + block.ls_1(ordinary)
    return tokens


def vv_attention(attention: nn.MultiheadAttention, x: Tensor) -> Tensor:
    """y = W_o softmax(v v^T / sqrt(d)) v + b_o with v = W_v x + b_v, per head of width d.

    :param x: (B, L, V) layer-normed tokens.
    :return: (B, L, V).

    Source: CLIP Surgery (Li et al., arXiv 2304.05653), without its dual path's final averaging.
    """
    V = x.shape[-1]
    v = linear(x, attention.in_proj_weight[-V:], attention.in_proj_bias[-V:])
    v = v.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)  # (B, heads, L, d)
    y = scaled_dot_product_attention(v, v, v).transpose(1, 2).flatten(2)
    return attention.out_proj(y)
