"""Dense features of an image tower: what the patch tokens say, from one forward pass."""

from collections.abc import Callable, Iterator
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

    def record(block: nn.Module, before: tuple, after: Tensor) -> None:
        steps.append(Step(block, before[0], after))

    handles = [x.register_forward_hook(record) for x in transformer.resblocks]
    try:
        yield steps
    finally:
        for handle in handles:
            handle.remove()


def vv(steps: list[Step]) -> Tensor:
    """x_0 + sum_l y_l, with y_l block l's V-V attention to the ordinary stream; no MLP.

    Source: SOT-GLP (arXiv 2603.08347).
    """
    tokens = steps[0].before
    for block, x, _ in steps:
        tokens = tokens + block.ls_1(vv_attention(block.attn, block.ln_1(x)))
    return tokens


def vv_shared(steps: list[Step]) -> Tensor:
    """:func:`vv` plus block 1's ordinary attention output.

    In SOT-GLP's released code both streams are one tensor until the second block.
    """
    block, x, _ = steps[0]
    normed = block.ln_1(x)
    return vv(steps) + block.ls_1(block.attn(normed, normed, normed, need_weights=False)[0])


def value(steps: list[Step]) -> Tensor:
    """v' + mlp(ln_2 v') with v' = x + W_o (W_v ln_1 x + b_v) + b_o, of the last block's input x.

    Source: MaskCLIP (Zhou et al., arXiv 2112.01071), as used in LoCoOp, GL-MCM and GalLoP.
    """
    block, x, _ = steps[-1]
    x = x + block.ls_1(block.attn.out_proj(_values(block.attn, block.ln_1(x))))
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def plain(steps: list[Step]) -> Tensor:
    """The ordinary stream's last tokens, as in PLOT (arXiv 2210.01253)."""
    return steps[-1].after


# From the steps of a forward pass to (B, 1 + P, V) tokens, for ln_post.
DENSE: dict[str, Callable[[list[Step]], Tensor]] = {
    "vv": vv,
    "vv-shared": vv_shared,
    "value": value,
    "plain": plain,
}


def vv_attention(attention: nn.MultiheadAttention, x: Tensor) -> Tensor:
    """y = W_o softmax(v v^T / sqrt(d)) v + b_o with v = W_v x + b_v, per head of width d.

    :param x: (B, L, V) layer-normed tokens.
    :return: (B, L, V).

    Source: CLIP Surgery (Li et al., arXiv 2304.05653), without its dual path's final averaging.
    """
    v = _values(attention, x).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
    y = scaled_dot_product_attention(v, v, v).transpose(1, 2).flatten(2)  # v: (B, heads, L, d)
    return attention.out_proj(y)


def _values(attention: nn.MultiheadAttention, x: Tensor) -> Tensor:
    V = x.shape[-1]
    return linear(x, attention.in_proj_weight[-V:], attention.in_proj_bias[-V:])
