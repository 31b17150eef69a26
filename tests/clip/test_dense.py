import pytest
import torch
from torch import nn

from sotglp_core.clip.dense import recorded, vv_attention


def test_equals_the_formula_head_by_head():
    B, L, heads, d = 2, 7, 3, 5
    V = heads * d
    torch.manual_seed(0)
    x, attention = torch.randn(B, L, V), nn.MultiheadAttention(V, heads, batch_first=True)
    nn.init.normal_(attention.in_proj_bias)
    weight, bias = attention.in_proj_weight[2 * V :], attention.in_proj_bias[2 * V :]
    mixed = torch.empty(B, L, V)
    for b in range(B):
        for h in range(heads):
            v = (x[b] @ weight.T + bias)[:, h * d : (h + 1) * d]
            mixed[b, :, h * d : (h + 1) * d] = torch.softmax(v @ v.T / d**0.5, -1) @ v
    torch.testing.assert_close(
        vv_attention(attention, x), attention.out_proj(mixed), atol=1e-5, rtol=1e-5
    )


def test_hooks_are_removed_whatever_happens(tiny):
    transformer = tiny.model.visual.transformer
    with pytest.raises(RuntimeError), recorded(transformer) as steps:
        tiny.model.encode_image(torch.randn(1, 3, 112, 112))
        raise RuntimeError
    assert len(steps) == len(transformer.resblocks)
    assert torch.equal(steps[0].after, steps[1].before)
    assert all(not block._forward_hooks for block in transformer.resblocks)
